//! What `module-setup.sh` installs, asked of itself: it runs with stand-ins for dracut's functions that say what they are given.

use std::collections::BTreeSet;

use ignition_rs::sys::Tool;

use super::module;
use crate::support::programs::Program;

/// dracut's functions and variables. `$FLATCAR` says whose initrd it is; every program exists.
const DRACUT: &str = r#"
set -eu
cd "$1"
export initdir=$PWD/init moddir=$2 dracutbasedir=$PWD/dracut DRACUT_TMPDIR=$PWD
systemdsystemunitdir=/usr/lib/systemd/system systemdutildir=/usr/lib/systemd udevdir=/usr/lib/udev dracutsysrootdir=$PWD/image hostonly=
mkdir -p "$initdir"/{etc,usr/bin}
say() { local word; for word in "${@:2}"; do [[ $word == -* ]] || printf '%s %s\n' "$1" "$word"; done; }
inst_multiple() { say program "$@"; }
inst_binary() { say file "$2"; }
inst_simple() { say file "${2:-$1}"; [[ $1 != $moddir/* || -f $1 ]]; }
inst_script() { [[ -f $1 ]]; say file "$2"; }
inst_rules() { say rule "$@"; }
instmods() { say module "$@"; }
find_binary() { echo /usr/bin/true; }
dfatal() { echo "$*" >&2; }
dracut_module_included() { [[ $1 == usr-generator && $FLATCAR ]]; }
. "$moddir/module-setup.sh"
say depends $(depends)
installkernel
install
"#;

/// What is installed, as lines `kind name`.
fn installed(flatcar: bool) -> BTreeSet<String> {
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("image");
    for path in [
        "usr/bin/ignition",
        "usr/bin/coreos-metadata",
        "usr/bin/curl",
        "usr/bin/clevis",
        "usr/bin/jose",
        "usr/bin/luksmeta",
        "usr/bin/tpm2",
        "usr/bin/xfs_db",
        "usr/bin/xfs_repair",
        "usr/lib/systemd/systemd-reply-password",
        "usr/lib/systemd/systemd-networkd",
        "etc/passwd",
        "etc/group",
    ] {
        let path = image.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let ran = Program::new("bash")
        .args(["-c", DRACUT, "dracut"])
        .args([scratch.path(), &module()])
        .env("FLATCAR", if flatcar { "yes" } else { "" })
        .run();
    ran.expect_code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn every_tool_of_the_engine_is_installed() {
    for flatcar in [true, false] {
        let found = installed(flatcar);
        for tool in Tool::ALL {
            let by_name = found.contains(&format!("program {tool}"));
            let ours = match tool {
                Tool::KargsHelper => found.contains("file /usr/sbin/ignition-kargs-helper"),
                // Optional, and ours only in Flatcar's initrd: elsewhere it belongs to whoever builds live images.
                Tool::IsLiveImage => !flatcar || found.contains("file /bin/is-live-image"),
                _ => false,
            };
            assert!(by_name || ours, "{tool} is not installed, flatcar: {flatcar}");
        }
    }
}

/// Kernel modules that the engine loads, or whose absence it would report.
#[test]
fn modules_of_platforms_and_filesystems_are_installed() {
    let flatcar = installed(true);
    let plain = installed(false);
    for name in ["hv_utils", "qemu_fw_cfg", "vsock", "vmw_vsock_virtio_transport"] {
        for found in [&flatcar, &plain] {
            assert!(found.contains(&format!("module {name}")), "{name}");
        }
    }
    for name in [
        "ext4",
        "xfs",
        "btrfs",
        "vfat",
        "isofs",
        "udf",
        "dm_crypt",
        "raid1",
        "raid456",
        "virtio_net",
    ] {
        assert!(plain.contains(&format!("module {name}")), "{name}");
        assert!(
            !flatcar.contains(&format!("module {name}")),
            "Flatcar's other modules have {name}"
        );
    }
}

/// The engine names modules in its code: each such name is in the list.
#[test]
fn modules_that_the_engine_names_are_installed() {
    let found = installed(true);
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/platform");
    let mut named = BTreeSet::new();
    let mut directories = vec![source];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().filter(|line| line.starts_with("const MODULE: &str")) {
                named.insert(line.split('"').nth(1).unwrap().to_owned());
            }
        }
    }
    assert!(named.contains("qemu_fw_cfg"), "{named:?}");
    for name in named {
        assert!(found.contains(&format!("module {name}")), "{name}");
    }
}

#[test]
fn flatcar_gets_wrappers_and_links_and_others_the_program() {
    let flatcar = installed(true);
    let plain = installed(false);
    assert!(flatcar.contains("depends qemu") && flatcar.contains("depends systemd"));
    assert!(!flatcar.contains("depends dm") && plain.contains("depends dm"));
    for name in [
        "/usr/bin/coreos-metadata",
        "/usr/bin/curl",
        "/bin/is-live-image",
        "/usr/lib/systemd/system/flatcar-metadata-hostname.service",
        "/usr/lib/systemd/system/ignition-disks.service.d/10-sysusr.conf",
        "/usr/lib/systemd/system/systemd-cryptsetup@rootencrypted.service.d/10-sysusr.conf",
    ] {
        assert!(flatcar.contains(&format!("file {name}")), "{name}");
        assert!(!plain.contains(&format!("file {name}")), "{name}");
    }
    assert!(flatcar.contains("file /usr/bin/ignition") && plain.contains("file /usr/bin/ignition"));
    assert!(plain.contains("file /usr/lib/systemd/network/zz-ignition.network"));
}
