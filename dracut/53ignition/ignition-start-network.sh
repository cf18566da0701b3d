#!/bin/sh
# Starts the network, because /run/ignition/neednet says so. Nothing is waited for here: the engine waits for the server that it
# wants to reach, and says so.
set -eu

found=
for unit in systemd-networkd.service systemd-resolved.service; do
    for directory in /etc /run /usr/lib /lib; do
        if [ -e "$directory/systemd/system/$unit" ]; then
            found="$found $unit"
            break
        fi
    done
done

if [ -z "$found" ]; then
    echo "this initrd has no systemd-networkd; whatever else brings the network up will be waited for"
    exit 0
fi
# shellcheck disable=SC2086 # words
exec systemctl start --no-block $found
