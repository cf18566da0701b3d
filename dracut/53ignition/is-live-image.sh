#!/bin/sh
# Whether this system runs in RAM, from an initrd that has /usr in it. As Ignition has it: success means live.
set -efu

read -r line </proc/cmdline || :
for word in $line; do
    case $word in
    mount.usr=?* | usr=?*) exit 1 ;;
    esac
done
[ -f /usr.squashfs ]
