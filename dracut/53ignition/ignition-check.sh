#!/bin/sh
# Before the initrd is left on a first boot: whether the last stage has been run. A unit that somebody stops takes with it what depends on
# it, and that is no failure to systemd: it would go on and boot a machine that nobody has specified.
set -eu

if systemctl --quiet is-active ignition-files.service; then
    exit 0
fi
mkdir -p /run/ignition
if [ ! -e /run/ignition/digest ]; then
    cat >/run/ignition/digest <<'END'
ignition: provisioning failed
error:     the stages of this first boot were not run to their end, and none of them failed:
           something has stopped a unit that they depend on
to do:     see journalctl -b -u 'ignition-*' for which was stopped, and boot again
END
fi
echo "ignition-files.service has not been run: this machine is not provisioned" >&2
exit 1
