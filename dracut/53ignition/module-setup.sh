#!/bin/bash
# Puts ignition-rs into an initrd: in Flatcar's in the place of bootengine's module of this name, and in any other that has systemd.
#
# What is different in Flatcar: the program is not in the initrd but in /usr, which is mounted at /sysusr before; and units of
# other modules have to come before the stages. Those are looked for when the machine boots (ignition-generator).
# shellcheck disable=SC2154 # dracut's variables

# Whether this is an initrd of Flatcar: nobody else has that module.
is_flatcar() {
    dracut_module_included usr-generator
}

check() {
    local modules
    # Flatcar's has always been in every initrd. Elsewhere it has to be asked for, with add_dracutmodules.
    for modules in "$dracutbasedir"/modules.d/[0-9][0-9]usr-generator; do
        [[ -d $modules ]] && return 0
    done
    return 255
}

depends() {
    echo qemu systemd
    # A module that cannot be installed would take this one with it.
    if ! is_flatcar && find_binary dmsetup >/dev/null; then
        echo dm
    fi
}

installkernel() {
    # Where platforms hand over their configs: Hyper-V, QEMU, VMware and others by vsock, drives.
    instmods -c hv_utils
    instmods -c vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport
    instmods -c qemu_fw_cfg
    if is_flatcar; then
        return 0
    fi
    hostonly='' instmods -c isofs udf cdrom sr_mod loop
    # What a config may make and mount.
    hostonly='' instmods -c ext4 xfs btrfs vfat nls_ascii nls_cp437 nls_iso8859-1 nls_utf8 crc32c_generic crc32c-intel
    hostonly='' instmods -c dm_mod dm_crypt algif_hash algif_skcipher xts md_mod raid0 raid1 raid10 raid456
    if has_networkd; then
        instmods -c virtio_net vmxnet3 hv_netvsc xen-netfront af_packet '=drivers/net/ethernet'
    fi
}

has_networkd() {
    [[ -x $dracutsysrootdir$systemdutildir/systemd-networkd ]]
}

# install_unit UNIT [TARGET]: TARGET requires it
install_unit() {
    inst_simple "$moddir/$1" "$systemdsystemunitdir/$1"
    if [[ ${2:-} ]]; then
        mkdir -p "$initdir$systemdsystemunitdir/$2.requires"
        ln -sfn "../$1" "$initdir$systemdsystemunitdir/$2.requires/$1"
    fi
}

# What the engine runs (src/sys/tool.rs; a test compares). A config that needs none of them runs without.
install_tools() {
    inst_multiple -o \
        useradd usermod userdel groupadd groupmod groupdel \
        systemctl modprobe udevadm mount blkid dmsetup \
        cryptsetup clevis zkey zkey-cryptsetup mdadm wipefs \
        mkfs.btrfs mkfs.ext4 mkfs.xfs mkfs.fat mkswap

    # For binding a volume, and for opening it again; clevis is a set of scripts.
    inst_multiple -o \
        clevis-encrypt-sss clevis-encrypt-tang clevis-encrypt-tpm2 clevis-luks-bind \
        clevis-luks-common-functions clevis-luks-unlock pwmake \
        awk basename cat cut grep head mktemp sed sort tail tr uniq wc \
        tpm2_create tpm2_createpolicy

    # For whoever stands in front of a machine that failed.
    inst_multiple -o lsblk sgdisk partx nvme findmnt mountpoint
}

# Ours: what the scripts and units of this directory run.
install_scripts() {
    inst_multiple sh cat mkdir ln rm mv sleep sync mount umount systemctl
    inst_multiple -o systemd-detect-virt
    inst_script "$moddir/ignition-setup-pre.sh" /usr/sbin/ignition-setup-pre
    inst_script "$moddir/ignition-leave-oem.sh" /usr/sbin/ignition-leave-oem
    inst_script "$moddir/ignition-start-network.sh" /usr/sbin/ignition-start-network
    inst_script "$moddir/ignition-quench.sh" /usr/sbin/ignition-quench
    inst_script "$moddir/ignition-check.sh" /usr/sbin/ignition-check
    inst_script "$moddir/ignition-forget.sh" /usr/sbin/ignition-forget
    inst_script "$moddir/ignition-show-digest.sh" /usr/sbin/ignition-show-digest
    inst_script "$moddir/ignition-generator" "$systemdutildir/system-generators/ignition-generator"
    # A distribution that has one knows its boot loader.
    inst_multiple -o ignition-kargs-helper
    if ! [[ -e $initdir/usr/sbin/ignition-kargs-helper || -e $initdir/usr/bin/ignition-kargs-helper ]]; then
        inst_script "$moddir/ignition-kargs-helper" /usr/sbin/ignition-kargs-helper
    fi
}

install_units() {
    local name
    for name in fetch-offline fetch kargs disks mount files; do
        install_unit "ignition-$name.service" ignition-complete.target
    done
    install_unit ignition-remount-sysroot.service ignition-diskful.target
    for name in setup-pre network quench forget; do
        install_unit "ignition-$name.service"
    done
    for name in complete diskful subsequent diskful-subsequent; do
        install_unit "ignition-$name.target"
    done
    install_unit boot.mount
    install_unit ignition-digest.service
    # Its private /tmp comes after systemd-tmpfiles-setup.service, that after local-fs.target, and the stages come before that.
    inst_simple "$moddir/systemd-resolved.conf" "$systemdsystemunitdir/systemd-resolved.service.d/10-ignition.conf"
}

# The program and what it needs, from the image's /usr, which is mounted at /sysusr/usr.
install_flatcar() {
    local name program wrapper
    for name in fetch-offline fetch kargs disks mount; do
        inst_simple "$moddir/sysusr.conf" "$systemdsystemunitdir/ignition-$name.service.d/10-sysusr.conf"
    done
    inst_simple "$moddir/sysusr.conf" \
        "$systemdsystemunitdir/systemd-cryptsetup@rootencrypted.service.d/10-sysusr.conf"
    for name in metadata-hostname openstack-hostname static-network afterburn-network; do
        install_unit "flatcar-$name.service"
    done
    # tpm2_load and the others are one program that goes by its name: each that clevis runs has a wrapper of its own.
    for program in "$dracutsysrootdir"/usr/bin/{clevis*,coreos-metadata,curl,ignition,jose,luksmeta,tpm2,xfs_db,xfs_repair} \
        "$dracutsysrootdir"/usr/bin/ignition-rs* "$dracutsysrootdir"/usr/bin/tpm2_{create,flushcontext,load,pcr,unseal}* \
        "$dracutsysrootdir"/usr/lib/systemd/systemd-reply-password "$dracutsysrootdir"/usr/libexec/clevis*; do
        if [[ ! -f $program ]]; then
            # A pattern that nothing fits; the programs themselves must be there.
            [[ $program == *\* ]] && continue
            dfatal "ignition: $program is not in the image"
            exit 1
        fi
        wrapper=$DRACUT_TMPDIR/ignition-wrapper
        if [[ $program == *-common-functions ]]; then
            # The others source it: with exec they would end there, without an error.
            printf '. %q\n' "/sysusr${program#"$dracutsysrootdir"}" >"$wrapper"
        elif [[ -x $program ]]; then
            printf '#!/bin/sh\nLD_LIBRARY_PATH=/sysusr/usr/lib64 exec %q "$@"\n' \
                "/sysusr${program#"$dracutsysrootdir"}" >"$wrapper"
        else
            continue
        fi
        program=${program#"$dracutsysrootdir"}
        chmod 0755 "$wrapper"
        inst_script "$wrapper" "$program"
        rm "$wrapper"
    done
    # Local configs. The initrd is not written to when it runs; links that lead nowhere count as no config.
    mkdir -p "$initdir/usr/lib/ignition"
    ln -sfn /oem/config.ign "$initdir/usr/lib/ignition/user.ign"
    ln -sfn /oem/base "$initdir/usr/lib/ignition/base.d"
    inst_script "$moddir/is-live-image.sh" /bin/is-live-image
    inst_multiple -o "$udevdir/cloud_aws_ebs_nvme_id"
    inst_rules 60-cdrom_id.rules 66-azure-storage.rules 90-cloud-storage.rules
}

install_plain() {
    local program
    for program in "$moddir/ignition" "$(find_binary ignition-rs)" "$(find_binary ignition)" ""; do
        [[ -x $program ]] && break
    done
    if [[ ! $program ]]; then
        dfatal "ignition: there is no ignition-rs to install, neither as $moddir/ignition nor on PATH"
        exit 1
    fi
    inst_binary "$program" /usr/bin/ignition
    # Under this name it has verbs: report, plan.
    ln -sfn ignition "$initdir/usr/bin/ignition-rs"
    if [[ -e $dracutsysrootdir/usr/lib/ignition ]]; then
        inst_multiple -o /usr/lib/ignition/user.ign "/usr/lib/ignition/base.d/*" "/usr/lib/ignition/base.platform.d/*/*"
    fi
    inst_multiple -o clevis-decrypt clevis-decrypt-sss clevis-decrypt-tang clevis-decrypt-tpm2 clevis-encrypt \
        jose curl luksmeta tpm2 tpm2_createprimary tpm2_load tpm2_unseal tpm2_flushcontext tpm2_pcrread tpm2_pcrlist
    inst_rules 60-cdrom_id.rules 63-md-raid-arrays.rules
    # Without it https works with authorities from the config only.
    inst_multiple -o /etc/ssl/certs/ca-certificates.crt
    if has_networkd; then
        install_network
    fi
}

# systemd-networkd and systemd-resolved, which ignition-network.service starts. Dracut's own modules would enable them.
install_network() {
    local kind
    inst_multiple -o \
        "$systemdutildir/systemd-networkd" "$systemdutildir/systemd-network-generator" \
        "$systemdsystemunitdir/systemd-networkd.service" "$systemdsystemunitdir/systemd-networkd.socket" \
        "$systemdsystemunitdir/systemd-network-generator.service" \
        "$systemdutildir/systemd-resolved" "$systemdsystemunitdir/systemd-resolved.service" \
        networkctl resolvectl ip
    inst_multiple -o "/usr/lib/systemd/network/*.link"
    inst_simple "$moddir/zz-ignition.network" /usr/lib/systemd/network/zz-ignition.network
    # ip= and others on the kernel command line.
    mkdir -p "$initdir$systemdsystemunitdir/systemd-networkd.service.wants"
    ln -sfn ../systemd-network-generator.service \
        "$initdir$systemdsystemunitdir/systemd-networkd.service.wants/systemd-network-generator.service"
    for kind in passwd group; do
        grep -E '^(systemd-network|systemd-resolve):' "$dracutsysrootdir/etc/$kind" |
            while IFS= read -r line; do
                grep -q "^${line%%:*}:" "$initdir/etc/$kind" 2>/dev/null || echo "$line" >>"$initdir/etc/$kind"
            done
    done
    [[ -e $initdir/etc/resolv.conf || -L $initdir/etc/resolv.conf ]] ||
        ln -s ../run/systemd/resolve/resolv.conf "$initdir/etc/resolv.conf"
}

install() {
    # First: what has a wrapper is not installed once more.
    if is_flatcar; then
        install_flatcar
    else
        install_plain
    fi
    install_tools
    install_scripts
    install_units
    inst_simple "$moddir/99-xx-ignition-systemd-cryptsetup.rules" \
        /usr/lib/udev/rules.d/99-xx-ignition-systemd-cryptsetup.rules
    inst_simple "$moddir/ignition-luks.conf" /etc/security/pwquality.conf.d/ignition-luks.conf
}
