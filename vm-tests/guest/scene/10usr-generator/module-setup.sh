#!/bin/bash
# Flatcar's module of this name, by which other modules know its initrd: mounts that are there before the first stage. Flatcar's first program
# mounts /usr before systemd is started; here units do.

check() { return 255; }

depends() { echo systemd; }

install() {
  inst_script "$moddir/diskless-generator" "$systemdutildir/system-generators/diskless-generator"
  for unit in sysusr-usr.mount oem.mount sysroot-oem.mount; do
    # In /etc: systemd's generator makes a unit for mount.usr= too, which waits for what comes after the stages.
    inst_simple "$moddir/$unit" "/etc/systemd/system/$unit"
  done
}
