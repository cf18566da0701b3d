#!/bin/sh
# On a boot that is no first one: removes the record of a run that was done. It is there if the power was cut after the flag of the first
# boot had been removed and before the initrd was left; to a run that is asked for later it would be one that has to go on.
set -eu

record=/sysroot/.ignition-progress
last=
while IFS= read -r line; do
    last=$line
done <"$record"
if [ "$last" = finished ]; then
    rm -f "$record"
fi
