#!/bin/sh
# Removes the flag of the first boot from the EFI system partition, after all that this boot has written is on the disks.
set -eu

if [ ! -e /boot/flatcar/first_boot ] && [ ! -e /boot/coreos/first_boot ]; then
    echo "neither flatcar/first_boot nor coreos/first_boot is on the partition at /boot, where the boot loader has seen one:" \
        "the next boot would provision this machine again" >&2
    exit 1
fi
sync
rm -f /boot/flatcar/first_boot /boot/coreos/first_boot
sync
