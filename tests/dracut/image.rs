//! An initrd that Debian's dracut makes with the module.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ignition_rs::sys::Tool;

use super::{has, module};
use crate::support::programs::{self, BINARY, Program, privileged, skipped};

/// Where links lead; `-` for what is no link.
type Content = BTreeMap<String, String>;

/// dracut's own tree with our module in it, at the place of the machine's own; its directory is `$1`. What is in `$1/image` is added to
/// the machine's `/usr`.
const DRACUT: &str = r#"
mount -t tmpfs tmpfs "$1/over"
mkdir "$1/over/upper" "$1/over/work"
cp -a "$1/image/." "$1/over/upper/"
mount -t overlay -o "lowerdir=/usr,upperdir=$1/over/upper,workdir=$1/over/work" overlay /usr
mount --bind "$1/lib" /usr/lib/dracut
exec dracut --force --no-hostonly --no-hostonly-cmdline --no-kernel --add ignition --omit "$2" --no-early-microcode \
    --compress cat --no-machineid --tmpdir "$1/tmp" "$1/initrd"
"#;

/// Makes an initrd without kernel modules and tells what is in it. `modules` are further ones of dracut's, `image` further files of `/usr`.
/// None if that cannot be had here.
fn make(directory: &Path, modules: &[(&str, &str)], image: &[&str]) -> Option<Content> {
    let lib = directory.join("lib");
    copy(Path::new("/usr/lib/dracut"), &lib);
    for old in ["30ignition", "53ignition"] {
        let _absent = fs::remove_dir_all(lib.join("modules.d").join(old));
    }
    let own = lib.join("modules.d/53ignition");
    copy(&module(), &own);
    programs::copy(BINARY, own.join("ignition"));
    for name in ["tmp", "image", "over"] {
        fs::create_dir(directory.join(name)).unwrap();
    }
    for (path, text) in modules {
        program(&lib.join("modules.d").join(path), text);
    }
    for path in image {
        program(&directory.join("image").join(path), "#!/bin/sh\n");
    }
    // What takes long and is not asked about.
    let omit = "i18n nvdimm crypt-gpg crypt-loop plymouth resume terminfo kernel-modules kernel-modules-extra drm btrfs mdraid lvm";
    let made = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-euc", DRACUT, "sh"])
        .args([directory.to_str().unwrap(), omit])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    if said.contains("mount: ") {
        skipped(&format!("no mounts to be had: {said}"));
        return None;
    }
    assert!(made.status.success(), "{said}");
    for wrong in [
        "cannot be found or installed",
        "FAILED",
        "Failed to install",
        "No such file",
    ] {
        assert!(!said.contains(wrong), "{said}");
    }
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    let script = "cd \"$1\" && cpio --quiet -idm --no-absolute-filenames <\"$2\"";
    Program::new("sh")
        .args(["-euc", script, "sh"])
        .args([&tree, &directory.join("initrd")])
        .run()
        .expect_code(0);
    let mut content = Content::new();
    list(&tree, &tree, &mut content);
    Some(content)
}

fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    Program::new("cp").arg("-a").args([from, to]).run().expect_code(0);
}

fn list(top: &Path, directory: &Path, content: &mut Content) {
    for entry in fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        match fs::read_link(&path) {
            Ok(target) => {
                content.insert(name, target.display().to_string());
            }
            Err(_) if path.is_dir() => list(top, &path, content),
            Err(_) => {
                content.insert(name, "-".to_owned());
            }
        }
    }
}

fn can_be_made() -> bool {
    privileged() && has("dracut", "dracut-core") && has("cpio", "cpio")
}

const UNITS: &str = "usr/lib/systemd/system";

#[test]
fn debian() {
    if !can_be_made() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(content) = make(directory.path(), &[], &[]) else {
        return;
    };
    let at = |path: &str| content.get(path).map(String::as_str);
    assert_eq!(at("usr/bin/ignition"), Some("-"));
    assert_eq!(at("usr/bin/ignition-rs"), Some("ignition"));
    assert_eq!(
        at("usr/lib/systemd/system-generators/ignition-generator"),
        Some("-")
    );
    for stage in ["fetch-offline", "fetch", "kargs", "disks", "mount", "files"] {
        assert_eq!(at(&format!("{UNITS}/ignition-{stage}.service")), Some("-"));
        assert_eq!(
            at(&format!(
                "{UNITS}/ignition-complete.target.requires/ignition-{stage}.service"
            )),
            Some(format!("../ignition-{stage}.service").as_str())
        );
    }
    assert_eq!(
        at(&format!(
            "{UNITS}/ignition-diskful.target.requires/ignition-remount-sysroot.service"
        )),
        Some("../ignition-remount-sysroot.service")
    );
    for unit in [
        "ignition-setup-pre.service",
        "ignition-network.service",
        "ignition-quench.service",
        "ignition-digest.service",
        "ignition-forget.service",
        "ignition-complete.target",
        "ignition-diskful.target",
        "ignition-subsequent.target",
        "ignition-diskful-subsequent.target",
        "boot.mount",
        "systemd-networkd.service",
    ] {
        assert_eq!(at(&format!("{UNITS}/{unit}")), Some("-"), "{unit}");
    }
    // The network is there and waits for being asked.
    for (path, target) in &content {
        assert!(
            !(path.contains(".wants/") && target.contains("systemd-networkd")),
            "{path} starts the network"
        );
    }
    for tool in Tool::ALL {
        let here = ["usr/sbin", "usr/bin"]
            .iter()
            .any(|directory| Path::new("/").join(directory).join(tool.name()).exists());
        let there = ["usr/sbin", "usr/bin", "sbin", "bin"]
            .iter()
            .any(|directory| content.contains_key(&format!("{directory}/{tool}")));
        assert!(there || !here, "{tool} is not in the initrd");
    }
    // What the scripts and units run.
    for program in [
        "sh",
        "mkdir",
        "ln",
        "rm",
        "mv",
        "sleep",
        "sync",
        "mount",
        "umount",
        "systemctl",
        "systemd-detect-virt",
    ] {
        let there = ["usr/sbin", "usr/bin", "sbin", "bin"]
            .iter()
            .any(|directory| content.contains_key(&format!("{directory}/{program}")));
        assert!(there, "{program} is not in the initrd");
    }
    // The program runs with what is in there.
    Program::new("/usr/bin/ignition")
        .arg("-version")
        .under(["chroot", directory.path().join("tree").to_str().unwrap()])
        .run()
        .expect_code(0);
}

#[test]
fn flatcar() {
    if !can_be_made() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // The module that tells Flatcar's initrd, and programs that its image has.
    let usr_generator = "#!/bin/bash\ncheck() { return 0; }\ninstall() { :; }\n";
    let image = [
        "bin/clevis",
        "bin/clevis-luks-bind",
        "bin/clevis-luks-common-functions",
        "bin/coreos-metadata",
        "bin/curl",
        "bin/ignition",
        "bin/ignition-rs",
        "bin/jose",
        "bin/luksmeta",
        "bin/tpm2",
        "bin/tpm2_createprimary",
        "bin/xfs_db",
        "bin/xfs_repair",
        "lib/systemd/systemd-reply-password",
        "libexec/clevis-luks-generic-unlocker",
    ];
    let modules = [("51usr-generator/module-setup.sh", usr_generator)];
    let Some(content) = make(directory.path(), &modules, &image) else {
        return;
    };
    // dracut's module systemd has installed that one before.
    for path in image
        .into_iter()
        .filter(|path| !path.ends_with("systemd-reply-password"))
    {
        let wrapper = fs::read_to_string(directory.path().join("tree/usr").join(path)).unwrap();
        // What the others source must not take their place, or nothing is bound and the end is code 0.
        let want = if path.ends_with("-common-functions") {
            format!(". /sysusr/usr/{path}\n")
        } else {
            format!("#!/bin/sh\nLD_LIBRARY_PATH=/sysusr/usr/lib64 exec /sysusr/usr/{path} \"$@\"\n")
        };
        assert_eq!(wrapper, want);
    }
    let at = |path: &str| content.get(path).map(String::as_str);
    assert_eq!(at("usr/lib/ignition/user.ign"), Some("/oem/config.ign"));
    assert_eq!(at("usr/lib/ignition/base.d"), Some("/oem/base"));
    for unit in [
        "flatcar-afterburn-network.service",
        "flatcar-metadata-hostname.service",
        "flatcar-openstack-hostname.service",
        "flatcar-static-network.service",
        "ignition-disks.service.d/10-sysusr.conf",
        "systemd-cryptsetup@rootencrypted.service.d/10-sysusr.conf",
    ] {
        assert_eq!(at(&format!("{UNITS}/{unit}")), Some("-"), "{unit}");
    }
    assert!(at("bin/is-live-image").or(at("usr/bin/is-live-image")).is_some());
    // Another module of Flatcar brings them.
    assert_eq!(at("usr/lib/systemd/network/zz-ignition.network"), None);
}

/// A program that is missing ends the build: an initrd without it would fail at its first boot.
#[test]
fn an_image_without_the_program_is_not_built() {
    if !can_be_made() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let modules = [(
        "51usr-generator/module-setup.sh",
        "#!/bin/bash\ncheck() { return 0; }\ninstall() { :; }\n",
    )];
    let made = std::panic::catch_unwind(|| make(directory.path(), &modules, &["bin/ignition"]));
    assert!(!matches!(made, Ok(Some(_))), "an initrd without coreos-metadata");
}
