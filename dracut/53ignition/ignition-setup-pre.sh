#!/bin/sh
# Says which platform this is, in /run/ignition.env: for the stages, and on every boot for units of the real root.
set -efu

read -r line </proc/cmdline || :

# The last value of a kernel parameter, or the second argument if there is none.
parameter() {
    value=
    for word in $line; do
        case $word in
        "$1="*) value=${word#*=} ;;
        esac
    done
    printf '%s\n' "${value:-$2}"
}

case $(systemd-detect-virt 2>/dev/null || :) in
kvm | qemu) detected=qemu ;;
oracle) detected=virtualbox ;;
vmware) detected=vmware ;;
*) detected=metal ;;
esac

platform=$(parameter flatcar.oem.id "$detected")
if [ "$platform" = "$detected" ]; then
    platform=$(parameter coreos.oem.id "$detected")
fi
if [ "$platform" = "$detected" ]; then
    platform=$(parameter ignition.platform.id "$detected")
fi

case $platform in
ec2) platform=aws ;;
gce) platform=gcp ;;
cloudsigma | pxe | vagrant) platform=$detected ;;
esac

printf 'OEM_ID=%s\nPLATFORM_ID=%s\n' "$platform" "$platform" >/run/ignition.env
