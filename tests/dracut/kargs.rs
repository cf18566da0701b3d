//! `ignition-kargs-helper`: Flatcar's OEM `grub.cfg`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::scene::Scene;
use crate::support::programs::Ran;

const CONFIG: &str = "oem/grub.cfg";
const ON_DISK: &str = "rootfs / rootfs rw 0 0\n/dev/vda6 /oem btrfs rw 0 0\n";
/// What is done when something has changed, in this order.
const REBOOT: [&str; 6] = [
    "mount -t vfat /dev/disk/by-label/EFI-SYSTEM /run/ignition/flag",
    "umount /run/ignition/flag",
    "sync",
    "mv -f /oem/.grub.cfg.ignition /oem/grub.cfg",
    "sync",
    "systemctl reboot --force",
];

fn scene(command_line: &str) -> Option<Scene> {
    let scene = Scene::new(&format!("mount.usr=PARTUUID=1 {command_line}"))?;
    scene.file("proc/self/mounts", ON_DISK);
    scene
        .fake("mount", "")
        .fake(
            "umount",
            "[ -s /run/ignition/flag/flatcar/first_boot ] && [ ! -e /oem/.grub.cfg.ignition ]",
        )
        .fake("sync", "")
        .fake("mv", "exec /usr/bin/mv \"$@\"")
        .fake("systemctl", "")
        .fake("sleep", "");
    Some(scene)
}

fn run(scene: &Scene, arguments: &str) -> Ran {
    scene.run(
        "ignition-kargs-helper",
        &arguments.split_whitespace().collect::<Vec<_>>(),
    )
}

/// The file before, the arguments, the file after; none if nothing is to be done.
#[test]
fn the_file_is_changed_as_flatcars_helper_does_it() {
    let table: [(Option<&str>, &str, Option<&str>); 16] = [
        (
            None,
            "--should-exist a=1",
            Some("set linux_append=\"$linux_append a=1\"\n"),
        ),
        (
            Some(""),
            "--should-exist a=1 --should-exist b",
            Some("set linux_append=\"$linux_append a=1 b\"\n"),
        ),
        (
            Some("set oem_id=\"qemu\"\n"),
            "--should-exist a",
            Some("set oem_id=\"qemu\"\nset linux_append=\"$linux_append a\"\n"),
        ),
        // Whether a line without an end is the last one.
        (
            Some("set oem_id=\"qemu\""),
            "--should-exist a",
            Some("set oem_id=\"qemu\"\nset linux_append=\"$linux_append a\"\n"),
        ),
        (
            Some("set linux_append=\"$linux_append x y=2\"\nset oem_id=\"qemu\"\n"),
            "--should-exist a",
            Some("set oem_id=\"qemu\"\nset linux_append=\"$linux_append x y=2 a\"\n"),
        ),
        (
            Some("set linux_append=\"x\"\n# other\nset linux_append=\"$linux_append y\"\n"),
            "--should-exist a --should-not-exist x",
            Some("# other\nset linux_append=\"$linux_append y a\"\n"),
        ),
        (
            Some("set linux_append=\"$linux_append a b a c a\"\n"),
            "--should-not-exist a",
            Some("set linux_append=\"$linux_append b c\"\n"),
        ),
        (
            Some("set linux_append=\"$linux_append a\"\n"),
            "--should-not-exist a",
            Some("set linux_append=\"$linux_append \"\n"),
        ),
        // Words are compared, not parts of them, and not as patterns.
        (
            Some("set linux_append=\"ab a.b axb\"\n"),
            "--should-exist a --should-not-exist a.b",
            Some("set linux_append=\"$linux_append ab axb a\"\n"),
        ),
        (
            Some("set linux_append=\"ab\"\n"),
            "--should-exist a*",
            Some("set linux_append=\"$linux_append ab a*\"\n"),
        ),
        // What is indented stands in a condition.
        (
            Some("if true; then\n  set linux_append=\"$linux_append a\"\nfi\nset linux_console=\"a\"\n"),
            "--should-exist a",
            Some(
                "if true; then\n  set linux_append=\"$linux_append a\"\nfi\nset linux_console=\"a\"\n\
                 set linux_append=\"$linux_append a\"\n",
            ),
        ),
        // Nothing to do.
        (
            Some("set linux_append=\"$linux_append a b\"\n"),
            "--should-exist b --should-exist a",
            None,
        ),
        (Some("set linux_append=\"  a   b \"\n"), "--should-exist a", None),
        (Some("set oem_id=\"qemu\"\n"), "--should-not-exist a", None),
        (None, "--should-not-exist a", None),
        (
            Some("set oem_id=\"qemu\"\n"),
            "--should-exist a --should-not-exist a",
            None,
        ),
    ];
    for (before, arguments, after) in table {
        let Some(scene) = scene("") else { return };
        if let Some(before) = before {
            scene.file(CONFIG, before);
        }
        let ran = run(&scene, arguments);
        if let Some(after) = after {
            // It is the reboot that ends it; ours does not come.
            ran.expect_code(1);
            assert!(ran.stderr.contains("the reboot did not come"), "{ran}");
            assert_eq!(scene.read(CONFIG).as_deref(), Some(after), "{arguments}");
            let calls = scene.calls();
            assert_eq!(calls[..6], REBOOT, "{arguments}");
            assert_eq!(calls[6..], ["sleep 120"], "{arguments}");
            // The next boot finds nothing to do.
            fs::remove_file(scene.at("calls")).unwrap();
            run(&scene, arguments).expect_code(0);
            assert_eq!(scene.calls(), [""; 0], "{arguments}");
        } else {
            ran.expect_code(0);
            assert_eq!(scene.read(CONFIG).as_deref(), before, "{arguments}");
            assert_eq!(scene.calls(), [""; 0], "{arguments}");
        }
        assert_eq!(
            scene.tree("oem").len(),
            usize::from(before.is_some() || after.is_some())
        );
    }
}

#[test]
fn what_is_in_the_file_and_not_active_is_said_and_not_tried_again() {
    let Some(scene) = scene("b unwanted") else { return };
    scene.file(CONFIG, "set linux_append=\"$linux_append a b\"\n");
    let ran = run(
        &scene,
        "--should-exist a --should-exist b --should-not-exist unwanted --should-not-exist c",
    );
    ran.expect_code(0);
    assert!(
        ran.stderr
            .contains("in /oem/grub.cfg, but not active in this boot: a. Did GRUB"),
        "{ran}"
    );
    assert!(
        ran.stderr
            .contains("not in /oem/grub.cfg, but active in this boot: unwanted."),
        "{ran}"
    );
    assert_eq!(scene.calls(), [""; 0]);
    // As it should be: nothing is said.
    let Some(scene) = super::kargs::scene("a") else {
        return;
    };
    scene.file(CONFIG, "set linux_append=\"$linux_append a\"\n");
    let ran = run(&scene, "--should-exist a --should-not-exist c");
    ran.expect_code(0);
    assert_eq!(ran.output(), "", "{ran}");
}

#[test]
fn a_system_in_ram_is_refused_by_what_it_is() {
    for (line, mounts, squashfs, why) in [
        (
            "flatcar.first_boot=1",
            "tmpfs /oem tmpfs rw 0 0\n",
            true,
            "booted into RAM",
        ),
        (
            "flatcar.first_boot=1 flatcar.oem.id=qemu",
            "/dev/vda6 /oem btrfs rw 0 0\n",
            true,
            "booted into RAM",
        ),
        (
            "mount.usr= flatcar.first_boot=1",
            "/dev/vda6 /oem btrfs rw 0 0\n",
            true,
            "booted into RAM",
        ),
        (
            "mount.usr=PARTUUID=1",
            "tmpfs /oem tmpfs rw 0 0\n",
            false,
            "/oem is in RAM",
        ),
        ("mount.usr=PARTUUID=1", "", false, "no OEM partition is mounted"),
        ("ignition.firstboot", "", false, "no OEM partition is mounted"),
    ] {
        let Some(scene) = scene("") else { return };
        scene.file("proc/cmdline", &format!("{line}\n"));
        scene.file("proc/self/mounts", &format!("rootfs / rootfs rw 0 0\n{mounts}"));
        if squashfs {
            scene.file("usr.squashfs", "");
        }
        let ran = run(&scene, "--should-exist a");
        ran.expect_code(1);
        assert!(ran.stderr.contains(why), "{ran}");
        assert_eq!(scene.calls(), [""; 0]);
        assert_eq!(scene.read(CONFIG), None);
    }
}

#[test]
fn what_grub_would_read_otherwise_is_refused_before_anything_is_done() {
    for argument in ["a=\"b", "a=$b", "a\\b", "a=`b`", "", "a\nb"] {
        let Some(scene) = scene("") else { return };
        let ran = scene.run(
            "ignition-kargs-helper",
            &["--should-exist", "fine", "--should-exist", argument],
        );
        ran.expect_code(1);
        assert_eq!(scene.calls(), [""; 0], "{argument}");
        assert_eq!(scene.read(CONFIG), None, "{argument}");
    }
    for arguments in [&["--should-exist"][..], &["--nonsense", "a"], &["a"]] {
        let Some(scene) = scene("") else { return };
        scene.run("ignition-kargs-helper", arguments).expect_code(1);
        assert_eq!(scene.calls(), [""; 0], "{arguments:?}");
    }
    // An argument with blanks is one.
    let Some(scene) = scene("") else { return };
    scene
        .run("ignition-kargs-helper", &["--should-exist", "a b"])
        .expect_code(1);
    assert_eq!(
        scene.read(CONFIG).as_deref(),
        Some("set linux_append=\"$linux_append a b\"\n")
    );
}

#[test]
fn no_flag_no_change() {
    // Without the flag the machine would come up with new arguments and without its config.
    let Some(scene) = scene("") else { return };
    scene.file(CONFIG, "set linux_append=\"x\"\n");
    scene.fake("mount", "echo no such device >&2; exit 32");
    let ran = run(&scene, "--should-exist a");
    assert_ne!(ran.code, Some(0), "{ran}");
    assert_eq!(scene.read(CONFIG).as_deref(), Some("set linux_append=\"x\"\n"));
    assert_eq!(scene.calls(), [REBOOT[0]]);
    // And the file is whole at any time, the mode that it had included.
    let Some(scene) = super::kargs::scene("") else {
        return;
    };
    scene.file(CONFIG, "set linux_append=\"x\"\n");
    fs::set_permissions(scene.at(CONFIG), fs::Permissions::from_mode(0o600)).unwrap();
    scene.fake("mv", "exit 1");
    run(&scene, "--should-exist a").expect_code(1);
    assert_eq!(scene.read(CONFIG).as_deref(), Some("set linux_append=\"x\"\n"));
    assert!(!scene.calls().iter().any(|call| call.starts_with("systemctl")));
}

/// The stage of the engine, with the helper as it is in the initrd.
#[test]
fn the_stage_calls_it() {
    let Some(scene) = scene("") else { return };
    scene.file(
        "etc/config.ign",
        r#"{"ignition": {"version": "3.4.0"}, "kernelArguments": {"shouldExist": ["a=1", "--b"], "shouldNotExist": ["quiet"]}}"#,
    );
    scene.file(CONFIG, "set linux_append=\"quiet splash\"\n");
    let stage = |name: &str| scene.engine(&["-platform", "file", "-stage", name, "-log-to-stdout"]);
    stage("fetch").expect_code(0);
    scene.fake("systemctl", "kill -TERM $PPID");
    let ran = stage("kargs");
    ran.expect_code(0);
    assert!(
        ran.stdout.contains("INFO     : kargs: modify kernel arguments"),
        "{ran}"
    );
    assert_eq!(
        scene.read(CONFIG).as_deref(),
        Some("set linux_append=\"$linux_append splash a=1 --b\"\n")
    );
    assert_eq!(scene.calls(), REBOOT);
    // After the reboot, when they are active, nothing is left to do.
    fs::remove_file(scene.at("calls")).unwrap();
    scene.file("proc/cmdline", "mount.usr=PARTUUID=1 splash a=1 --b\n");
    stage("kargs").expect_code(0);
    assert_eq!(scene.calls(), [""; 0]);
    // What the helper says is in the failure, and what asked for it.
    scene.file(
        "proc/self/mounts",
        "rootfs / rootfs rw 0 0\n/dev/vda6 /oem tmpfs rw 0 0\n",
    );
    scene.file(CONFIG, "");
    let ran = stage("kargs");
    ran.expect_code(1);
    for part in ["/oem is in RAM", "kernelArguments"] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    assert_eq!(scene.calls(), [""; 0]);
}

/// Seen in QEMU: the signal of the reboot made the stage print a digest of a failure.
#[test]
fn being_ended_by_the_reboot_is_no_failure() {
    let Some(scene) = scene("") else { return };
    scene.fake("systemctl", "kill -TERM $PPID");
    run(&scene, "--should-exist a").expect_code(0);
    assert_eq!(scene.calls(), REBOOT);
}

#[test]
fn the_flag_is_there_before_the_file_is_changed() {
    let Some(scene) = scene("") else { return };
    run(&scene, "--should-exist a");
    let flag = scene.read("run/ignition/flag/flatcar/first_boot").unwrap();
    assert!(flag.contains("provision again"), "{flag}");
    // busybox has the programs within it, which cannot be replaced.
    for shell in [&["dash"][..], &["bash"]] {
        if !super::has(shell[0], "dash and bash") {
            continue;
        }
        let Some(scene) = super::kargs::scene("") else {
            return;
        };
        scene.file(
            CONFIG,
            "set linux_append=\"$linux_append b  c\" # why\nx=\"\\n\"\n",
        );
        scene
            .run_by(shell, "ignition-kargs-helper", &["--should-exist", "a"])
            .expect_code(1);
        assert_eq!(
            scene.read(CONFIG).as_deref(),
            Some(" # why\nx=\"\\n\"\nset linux_append=\"$linux_append b  c a\"\n"),
            "{shell:?}"
        );
    }
}
