#!/bin/bash
# What the harness needs to see an initrd.

check() { return 255; }

depends() { echo systemd; }

install() {
  inst_multiple bash basename cat chmod cut dirname dmesg find grep head ls mkdir modprobe mount mv rm sed setsid sleep sort stat sync tail tar \
    touch tr true umount uniq wc
  for unit in vm-tests-stop.service vm-tests-fail.service; do
    inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
    $SYSTEMCTL -q --root "$initdir" enable "$unit"
  done
  inst_libdir_file "libgcc_s.so*"
  # The harness's part of the system, which tree/ has from guest/scene/usr.
  for file in lib/vm-tests/agent lib/vm-tests/lib lib/systemd/journald.conf.d/vm-tests.conf lib/systemd/system.conf.d/vm-tests.conf \
    lib/systemd/system/emergency.service.d/vm-tests.conf; do
    inst_simple "$moddir/usr/$file" "/usr/$file"
  done
}
