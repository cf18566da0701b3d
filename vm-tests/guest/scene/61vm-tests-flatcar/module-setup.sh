#!/bin/bash
# What Flatcar's initrd has around its Ignition module, as far as a boot needs it.

check() { return 255; }

depends() { echo systemd; }

install() {
  inst_multiple chown chroot cp ln mktemp mountpoint rmdir systemd-tmpfiles
  inst_script "$moddir/initrd-setup-root" /usr/sbin/initrd-setup-root
  for unit in initrd-setup-root.service initrd-setup-root-after-ignition.service; do
    inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
    $SYSTEMCTL -q --root "$initdir" enable "$unit"
  done
  # Flatcar's network and arrays: networkd is there and starts when something asks for it; udev knows arrays and assembles none.
  for unit in systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service systemd-resolved.service; do
    $SYSTEMCTL -q --root "$initdir" disable "$unit" || :
  done
  inst_simple "$moddir/zz-default.network" /usr/lib/systemd/network/zz-default.network
  inst_multiple -o mdadm dmsetup cryptsetup btrfs mke2fs
  inst_rules 63-md-raid-arrays.rules
  inst_simple /etc/ssl/certs/ca-certificates.crt
  # For what is mounted from a file.
  mkdir -p "$initdir/etc/modules-load.d"
  echo loop >"$initdir/etc/modules-load.d/vm-tests.conf"
  inst_multiple -o "$systemdsystemunitdir/emergency.service" "$systemdsystemunitdir/emergency.target" \
    "$systemdsystemunitdir/poweroff.target" "$systemdsystemunitdir/systemd-poweroff.service" "$systemdsystemunitdir/final.target" \
    "$systemdsystemunitdir/reboot.target" "$systemdsystemunitdir/systemd-reboot.service"
  # dracut's own module "base" makes these.
  mkdir -p "$initdir/usr/lib" "$initdir/etc"
  [ -e "$initdir/etc/initrd-release" ] || {
    printf 'NAME=vm-tests\nID=vm-tests\nVERSION_ID=1\n' >"$initdir/usr/lib/initrd-release"
    ln -sf ../usr/lib/initrd-release "$initdir/etc/initrd-release"
    ln -sf ../usr/lib/initrd-release "$initdir/etc/os-release"
  }
  [ -e "$initdir/etc/mtab" ] || ln -s ../proc/self/mounts "$initdir/etc/mtab"
  # Without it a dependency of initrd.target that fails hangs for ever; dracut-systemd adds it.
  mkdir -p "$initdir/$systemdsystemunitdir/initrd.target.d"
  printf '[Unit]\nOnFailure=emergency.target\nOnFailureJobMode=replace-irreversibly\n' \
    >"$initdir/$systemdsystemunitdir/initrd.target.d/vm-tests.conf"
}
