//! The units: what they say, how they hang together, and what systemd makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::{has, module};
use crate::support::programs::{Program, Ran};

/// A unit as `(section, key) -> words of all its lines`.
struct Unit {
    name: String,
    text: String,
    values: BTreeMap<String, Vec<String>>,
}

impl Unit {
    fn all() -> Vec<Self> {
        let mut units: Vec<Self> = fs::read_dir(module())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let kind = path.extension().and_then(|kind| kind.to_str());
                matches!(kind, Some("service" | "target" | "mount"))
            })
            .map(|path| Self::read(&path))
            .collect();
        units.sort_by(|a, b| a.name.cmp(&b.name));
        units
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text
            .lines()
            .filter(|line| !line.starts_with(['#', '[']) && !line.is_empty())
        {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path:?}: {line}"));
            let words = value.split_whitespace().map(str::to_owned);
            values.entry(key.to_owned()).or_default().extend(words);
        }
        Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            text,
            values,
        }
    }

    fn words(&self, key: &str) -> BTreeSet<&str> {
        self.values
            .get(key)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }

    fn line(&self, key: &str) -> String {
        self.values
            .get(key)
            .map(|words| words.join(" "))
            .unwrap_or_default()
    }

    fn has(&self, key: &str, word: &str) -> bool {
        self.words(key).contains(word)
    }
}

const STAGES: [&str; 6] = ["fetch-offline", "fetch", "kargs", "disks", "mount", "files"];

fn stage(name: &str) -> Unit {
    Unit::read(&module().join(format!("ignition-{name}.service")))
}

#[test]
fn stages_are_run_as_the_engine_expects_it() {
    for name in STAGES {
        let unit = stage(name);
        let stdout = if matches!(name, "mount" | "files") {
            " --log-to-stdout"
        } else {
            ""
        };
        assert_eq!(
            unit.line("ExecStart"),
            format!("/usr/bin/ignition --root=/sysroot --platform=${{PLATFORM_ID}} --stage={name}{stdout}")
        );
        assert_eq!(unit.line("EnvironmentFile"), "/run/ignition.env", "{name}");
        assert_eq!(unit.line("Type"), "oneshot", "{name}");
        assert_eq!(unit.line("RemainAfterExit"), "yes", "{name}");
        assert!(unit.has("Before", "ignition-complete.target"), "{name}");
        assert!(
            !unit.text.contains("TimeoutStartSec"),
            "{name}: a stage may wait for ever"
        );
    }
    assert_eq!(
        stage("mount").line("ExecStop"),
        "/usr/bin/ignition --root=/sysroot --platform=${PLATFORM_ID} --stage=umount --log-to-stdout"
    );
    let fetch = stage("fetch");
    assert!(fetch.has("ConditionPathExists", "/run/ignition/neednet"));
    assert!(fetch.has("ConditionPathExists", "!/run/ignition.json"));
    assert_eq!(stage("kargs").line("MountFlags"), "slave");
}

#[test]
fn every_unit_is_of_an_initrd_and_fails_into_the_emergency_target() {
    for unit in Unit::all() {
        assert_eq!(unit.line("DefaultDependencies"), "no", "{}", unit.name);
        if unit.name.ends_with(".service") {
            assert!(
                unit.has("ConditionPathExists", "/etc/initrd-release"),
                "{}",
                unit.name
            );
        }
        let may_fail = matches!(
            unit.name.as_str(),
            // Its failure is that of initrd.target, or of nobody: the engine says what it cannot reach.
            "flatcar-afterburn-network.service"
                | "flatcar-openstack-hostname.service"
                | "ignition-network.service"
                | "ignition-digest.service"
                | "ignition-forget.service"
        );
        if unit.name.ends_with(".service") && !may_fail {
            assert_eq!(unit.line("OnFailure"), "emergency.target", "{}", unit.name);
            assert_eq!(
                unit.line("OnFailureJobMode"),
                "replace-irreversibly",
                "{}",
                unit.name
            );
        }
        if unit.name.ends_with(".target") {
            for other in [
                "initrd-switch-root.target",
                "umount.target",
                "dracut-emergency.service",
                "emergency.service",
                "emergency.target",
            ] {
                assert!(unit.has("Conflicts", other), "{} {other}", unit.name);
            }
        }
    }
}

/// Without it a stage would run although one before it has failed: `After` alone does not keep it from that.
#[test]
fn a_stage_needs_those_before_it() {
    for pair in STAGES.windows(2) {
        let [before, after] = pair else { unreachable!() };
        let unit = stage(after);
        let name = format!("ignition-{before}.service");
        assert!(unit.has("Requires", &name), "{after} does not require {before}");
        assert!(unit.has("After", &name), "{after} does not come after {before}");
    }
    let quench = Unit::read(&module().join("ignition-quench.service"));
    for name in ["ignition-disks.service", "ignition-files.service"] {
        assert!(quench.has("Requires", name) && quench.has("After", name));
    }
    assert_eq!(quench.line("RequiresMountsFor"), "/boot");
}

#[test]
fn the_root_is_not_mounted_before_the_disks_are_done() {
    for name in ["setup-pre", "fetch-offline", "fetch", "kargs", "disks"] {
        let unit = stage(name);
        assert!(unit.has("Requires", "local-fs-pre.target"), "{name}");
        assert!(unit.has("Before", "local-fs-pre.target"), "{name}");
    }
    let disks = stage("disks");
    assert!(disks.has("Before", "sysroot.mount") && disks.has("Before", "initrd-root-device.target"));
    assert!(disks.has("Requires", "systemd-udevd.service") && disks.has("After", "systemd-udevd.service"));
}

/// Conditions of a unit do not keep what it wants from being started: so no unit of a first boot wants the network.
#[test]
fn nothing_wants_the_network_but_who_is_told_to() {
    for unit in Unit::all() {
        let wants: BTreeSet<&str> = unit
            .words("Wants")
            .union(&unit.words("Requires"))
            .copied()
            .collect();
        let network = wants
            .iter()
            .any(|name| name.contains("networkd") || name.contains("network.target"));
        // Those are linked on their platforms only.
        assert_eq!(network, unit.name.starts_with("flatcar-"), "{}", unit.name);
    }
    let network = stage("network");
    assert!(network.has("ConditionPathExists", "/run/ignition/neednet"));
    assert!(network.has("After", "ignition-fetch-offline.service"));
    assert!(stage("fetch").has("After", "ignition-network.service"));
}

/// Targets that wait for local-fs-pre.target, by themselves or by what they wait for.
const LATE: [&str; 8] = [
    "sysinit.target",
    "basic.target",
    "local-fs.target",
    "sockets.target",
    "paths.target",
    "timers.target",
    "initrd-root-fs.target",
    "systemd-tmpfiles-setup.service",
];

#[test]
fn what_comes_before_the_file_systems_waits_for_nothing_that_comes_after_them() {
    let units = Unit::all();
    let after: BTreeMap<&str, BTreeSet<&str>> = units.iter().fold(BTreeMap::new(), |mut all, unit| {
        for name in unit.words("After") {
            all.entry(unit.name.as_str())
                .or_insert_with(BTreeSet::new)
                .insert(name);
        }
        for name in unit.words("Before") {
            all.entry(name).or_default().insert(unit.name.as_str());
        }
        all
    });
    let mut waiting = vec!["local-fs-pre.target"];
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        assert!(!LATE.contains(&name), "local-fs-pre.target waits for {name}");
        if seen.insert(name) {
            waiting.extend(after.get(name).into_iter().flatten().copied());
        }
    }
    assert!(
        seen.contains("ignition-setup-pre.service") && seen.contains("ignition-network.service"),
        "{seen:?}"
    );
    assert!(!seen.contains("ignition-mount.service"), "{seen:?}");
}

/// A root with this machine's units of systemd, as an initrd has them, and ours.
struct Units {
    root: TempDir,
}

impl Units {
    fn new() -> Self {
        let units = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let system = Path::new("/usr/lib/systemd/system");
        fs::create_dir_all(units.path("")).unwrap();
        fs::create_dir_all(units.root.path().join("etc/systemd/system")).unwrap();
        fs::write(units.root.path().join("etc/initrd-release"), "ID=test\n").unwrap();
        for entry in fs::read_dir(system).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let known = [
                "initrd",
                "emergency",
                "rescue",
                "systemd-",
                "dbus",
                "network",
                "remote-",
                "cryptsetup",
                "nss-",
                "kmod",
            ]
            .iter()
            .any(|start| name.starts_with(start));
            let is_unit = [".service", ".target", ".socket", ".path", ".mount"]
                .iter()
                .any(|kind| name.ends_with(kind));
            if entry.path().is_file() && is_unit && (known || name.ends_with(".target")) {
                fs::copy(entry.path(), units.path(&name)).unwrap();
            }
        }
        for unit in [
            "systemd-udevd",
            "systemd-udev-trigger",
            "systemd-journald",
            "systemd-tmpfiles-setup",
            "systemd-sysctl",
        ] {
            units.link("wants", "sysinit.target", &format!("{unit}.service"));
        }
        for unit in [
            "systemd-udevd-control",
            "systemd-journald",
            "systemd-networkd",
            "dbus",
        ] {
            units.link("wants", "sockets.target", &format!("{unit}.socket"));
        }
        // A package of its own in Debian; its private /tmp is what matters here.
        units.unit(
            "systemd-resolved.service",
            "[Unit]\nDefaultDependencies=no\nAfter=systemd-sysctl.service systemd-sysusers.service\n\
             Before=sysinit.target network.target\n[Service]\nType=notify\nPrivateTmp=yes\nExecStart=/usr/bin/true\n",
        );
        units.link("wants", "sysinit.target", "systemd-resolved.service");
        for unit in Unit::all() {
            units.unit(&unit.name, &unit.text);
        }
        let resolved = fs::read_to_string(module().join("systemd-resolved.conf")).unwrap();
        units.unit("systemd-resolved.service.d/10-ignition.conf", &resolved);
        for name in STAGES {
            units.link(
                "requires",
                "ignition-complete.target",
                &format!("ignition-{name}.service"),
            );
        }
        units.link(
            "requires",
            "ignition-diskful.target",
            "ignition-remount-sysroot.service",
        );
        units.unit(
            "sysroot.mount",
            "[Unit]\nBefore=initrd-root-fs.target\n[Mount]\nWhat=/dev/disk/by-label/ROOT\nWhere=/sysroot\n",
        );
        units.link("requires", "initrd-root-fs.target", "sysroot.mount");
        units
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join("usr/lib/systemd/system").join(name)
    }

    fn unit(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, kind: &str, target: &str, unit: &str) {
        let directory = self.path(&format!("{target}.{kind}"));
        fs::create_dir_all(&directory).unwrap();
        let _there = symlink(format!("../{unit}"), directory.join(unit));
    }

    fn first_boot(&self) {
        self.link("requires", "initrd.target", "ignition-complete.target");
        self.link("requires", "initrd.target", "ignition-quench.service");
        self.link("wants", "emergency.target", "ignition-digest.service");
        self.link("requires", "ignition-complete.target", "ignition-diskful.target");
    }

    /// What Flatcar's other modules bring.
    fn flatcar(&self) {
        let service = |name: &str, unit: &str| {
            self.unit(
                name,
                &format!("[Unit]\nDefaultDependencies=no\n{unit}\n[Service]\nType=oneshot\nExecStart=/usr/bin/true\n"),
            );
        };
        service(
            "initrd-setup-root.service",
            "RequiresMountsFor=/sysroot/usr/\nAfter=initrd-root-fs.target\nBefore=initrd-parse-etc.service",
        );
        service(
            "initrd-setup-root-after-ignition.service",
            "After=ignition-files.service initrd-setup-root.service\nBefore=initrd-parse-etc.service",
        );
        service(
            "disk-uuid.service",
            "Wants=local-fs-pre.target\nBefore=local-fs-pre.target systemd-fsck-root.service ignition-disks.service boot.mount\n\
             After=systemd-udevd.service",
        );
        let mount = |what: &str, at: &str| {
            format!("[Unit]\nDefaultDependencies=no\n[Mount]\nWhat={what}\nWhere={at}\n")
        };
        self.unit("oem.mount", &mount("/dev/disk/by-label/OEM", "/oem"));
        self.unit("sysusr-usr.mount", &mount("/dev/mapper/usr", "/sysusr/usr"));
        self.unit(
            "sysroot-oem.mount",
            "[Unit]\nAfter=ignition-mount.service\n[Mount]\nWhat=/oem\nWhere=/sysroot/oem\nOptions=bind\n",
        );
        let sysusr = fs::read_to_string(module().join("sysusr.conf")).unwrap();
        for name in ["fetch-offline", "fetch", "kargs", "disks", "mount"] {
            self.unit(&format!("ignition-{name}.service.d/10-sysusr.conf"), &sysusr);
        }
        for target in ["ignition-complete.target", "ignition-subsequent.target"] {
            self.link("requires", target, "initrd-setup-root.service");
            self.link("requires", target, "initrd-setup-root-after-ignition.service");
        }
        for name in ["mount", "files"] {
            self.link(
                "requires",
                &format!("ignition-{name}.service"),
                "initrd-setup-root.service",
            );
        }
        self.link("requires", "initrd.target", "disk-uuid.service");
        for name in ["metadata-hostname", "openstack-hostname"] {
            self.link("wants", "initrd.target", &format!("flatcar-{name}.service"));
        }
        for name in ["static-network", "afterburn-network"] {
            self.link("requires", "initrd.target", &format!("flatcar-{name}.service"));
        }
    }

    fn verify(&self) -> Ran {
        for entry in fs::read_dir(self.path("")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with("Exec")) {
                let program = line
                    .split_once('=')
                    .unwrap()
                    .1
                    .trim_start_matches(['-', '!', '@', ':', '+']);
                let program = program.split_whitespace().next().unwrap_or_default();
                let name = if program.contains('/') {
                    program.to_owned()
                } else {
                    format!("/usr/bin/{program}")
                };
                let program = self.root.path().join(name.trim_start_matches('/'));
                fs::create_dir_all(program.parent().unwrap()).unwrap();
                fs::write(&program, "#!/bin/sh\n").unwrap();
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let mut root = std::ffi::OsString::from("--root=");
        root.push(self.root.path());
        Program::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=yes"])
            .arg(root)
            .args(["initrd.target", "emergency.target"])
            .env("SYSTEMD_IN_INITRD", "1")
            .run()
    }
}

/// What systemd says of our units; of others, that there is a cycle.
fn complaints(ran: &Ran) -> Vec<&str> {
    let ours = |line: &str| {
        ["ignition", "flatcar", "boot.mount", "cycle", "cyclic"]
            .iter()
            .any(|word| line.contains(word))
    };
    ran.stderr.lines().filter(|line| ours(line)).collect()
}

#[test]
fn systemd_has_nothing_to_say() {
    if !has("systemd-analyze", "systemd") {
        return;
    }
    for flatcar in [false, true] {
        for first in [false, true] {
            let units = Units::new();
            if first {
                units.first_boot();
            } else {
                units.link("requires", "initrd.target", "ignition-subsequent.target");
                units.link(
                    "requires",
                    "ignition-subsequent.target",
                    "ignition-diskful-subsequent.target",
                );
            }
            if flatcar {
                units.flatcar();
            }
            let ran = units.verify();
            assert_eq!(
                complaints(&ran),
                [""; 0],
                "flatcar {flatcar}, first {first}: {ran}"
            );
        }
    }
}

/// The test above can fail.
#[test]
fn systemd_sees_cycles_and_mistakes() {
    if !has("systemd-analyze", "systemd") {
        return;
    }
    for (unit, text) in [
        ("ignition-fetch-offline.service", "[Unit]\nAfter=basic.target\n"),
        ("ignition-disks.service", "[Unit]\nAfter=sysinit.target\n"),
        ("systemd-resolved.service", "[Service]\nPrivateTmp=yes\n"),
        ("ignition-mount.service", "[Unit]\nBefore=local-fs-pre.target\n"),
        ("ignition-files.service", "[Service]\nNonsense=1\n"),
    ] {
        let units = Units::new();
        units.first_boot();
        units.unit(&format!("{unit}.d/99-wrong.conf"), text);
        let ran = units.verify();
        assert_ne!(complaints(&ran), [""; 0], "{unit}: {text}{ran}");
    }
}
