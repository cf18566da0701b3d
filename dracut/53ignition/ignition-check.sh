#!/bin/sh
# Before the initrd is left on a first boot: whether the last stage has been run. A unit that somebody stops takes with it what depends on
# it, and that is no failure to systemd: it would go on and boot a machine that nobody has specified.
set -eu

if systemctl --quiet is-active ignition-files.service; then
    exit 0
fi
# It ends in the emergency target, where ignition-show-digest says what is known.
echo "ignition-files.service has not been run: this machine is not provisioned" >&2
exit 1
