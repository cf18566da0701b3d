#!/bin/sh
# Unmounts the OEM partition: a config may format it, or mount it elsewhere. In RAM it is a tmpfs, which stays.
set -eu

kind=
while read -r _ where type _; do
    if [ "$where" = /oem ]; then
        kind=$type
    fi
done </proc/self/mounts

case $kind in
"" | tmpfs) ;;
*) exec systemctl stop oem.mount ;;
esac
