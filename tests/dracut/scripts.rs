//! The scripts that units run.

use super::scene::Scene;

/// What `/run/ignition.env` says is the platform.
#[track_caller]
fn platform(command_line: &str, virtualization: Option<&str>) -> Option<String> {
    let scene = Scene::new(command_line)?;
    match virtualization {
        Some("none") => scene.fake("systemd-detect-virt", "echo none; exit 1"),
        Some(name) => scene.fake("systemd-detect-virt", &format!("echo {name}")),
        None => scene.fake("systemd-detect-virt", "exit 127"),
    };
    let ran = scene.run("ignition-setup-pre.sh", &[]);
    ran.expect_code(0);
    assert_eq!(ran.output(), "", "{ran}");
    let text = scene.read("run/ignition.env").unwrap();
    let (first, second) = text.trim_end().split_once('\n').unwrap();
    let oem = first.strip_prefix("OEM_ID=").unwrap();
    assert_eq!(second, format!("PLATFORM_ID={oem}"), "{command_line}");
    Some(oem.to_owned())
}

#[test]
fn the_platform_by_the_machine() {
    for (virtualization, want) in [
        (Some("kvm"), "qemu"),
        (Some("qemu"), "qemu"),
        (Some("oracle"), "virtualbox"),
        (Some("vmware"), "vmware"),
        (Some("xen"), "metal"),
        (Some("microsoft"), "metal"),
        (Some("amazon"), "metal"),
        (Some("none"), "metal"),
        (None, "metal"),
    ] {
        for line in ["", "flatcar.first_boot=detected root=LABEL=ROOT"] {
            let Some(found) = platform(line, virtualization) else {
                return;
            };
            assert_eq!(found, want, "{line}, {virtualization:?}");
        }
    }
}

#[test]
fn the_platform_by_the_kernel_command_line() {
    // On a machine of QEMU: what is not told is qemu.
    for (line, want) in [
        ("flatcar.oem.id=ec2", "aws"),
        ("coreos.oem.id=ec2", "aws"),
        ("flatcar.oem.id=aws", "aws"),
        ("flatcar.oem.id=gce", "gcp"),
        ("coreos.oem.id=gce", "gcp"),
        ("flatcar.oem.id=cloudsigma", "qemu"),
        ("flatcar.oem.id=pxe", "qemu"),
        ("coreos.oem.id=pxe", "qemu"),
        ("flatcar.oem.id=vagrant", "qemu"),
        ("flatcar.oem.id=packet", "packet"),
        ("flatcar.oem.id=openstack", "openstack"),
        ("flatcar.oem.id=digitalocean", "digitalocean"),
        ("flatcar.oem.id=proxmoxve", "proxmoxve"),
        ("flatcar.oem.id=unheard-of", "unheard-of"),
        ("flatcar.oem.id=azure flatcar.oem.id=gce", "gcp"),
        ("flatcar.oem.id=azure coreos.oem.id=gce", "azure"),
        ("coreos.oem.id=gce flatcar.oem.id=azure", "azure"),
        // Flatcar's own is as if it were not there if it says what is found anyway.
        ("flatcar.oem.id=qemu coreos.oem.id=gce", "gcp"),
        ("flatcar.oem.id=", "qemu"),
        ("flatcar.oem.id= coreos.oem.id=ec2", "aws"),
        ("flatcar.oem.id", "qemu"),
        // Ignition's parameter, if no other says more.
        ("ignition.platform.id=metal", "metal"),
        ("ignition.platform.id=openstack ignition.platform.id=aws", "aws"),
        ("ignition.platform.id=aws flatcar.oem.id=azure", "azure"),
        ("ignition.platform.id=aws coreos.oem.id=azure", "azure"),
        ("ignition.platform.id=", "qemu"),
        ("flatcar.oem.id=*", "*"),
    ] {
        let Some(found) = platform(line, Some("kvm")) else {
            return;
        };
        assert_eq!(found, want, "{line}");
    }
    for line in [
        "flatcar.oem.id=pxe",
        "flatcar.oem.id=vagrant",
        "flatcar.oem.id=cloudsigma",
    ] {
        let Some(found) = platform(line, Some("none")) else {
            return;
        };
        assert_eq!(found, "metal", "{line}");
        assert_eq!(platform(line, Some("vmware")).unwrap(), "vmware", "{line}");
    }
}

#[test]
fn oem_is_left_unless_it_is_in_ram() {
    for (mounts, want) in [
        ("/dev/vda6 /oem btrfs rw 0 0\n", &["umount /oem"][..]),
        ("/dev/vda6 /oem ext4 rw 0 0\n", &["umount /oem"]),
        ("tmpfs /oem tmpfs rw 0 0\n", &[]),
        ("", &[]),
        (
            "/dev/vda6 /sysroot/oem btrfs rw 0 0\n/dev/vda7 /oem2 ext4 rw 0 0\n",
            &[],
        ),
        // What is mounted last is on top.
        ("/dev/vda6 /oem btrfs rw 0 0\ntmpfs /oem tmpfs rw 0 0\n", &[]),
    ] {
        let Some(scene) = Scene::new("") else { return };
        scene.file("proc/self/mounts", &format!("rootfs / rootfs rw 0 0\n{mounts}"));
        // Not systemctl: stopping the unit would stop the stages, which require it.
        scene.fake("umount", "");
        scene.run("ignition-leave-oem.sh", &[]).expect_code(0);
        assert_eq!(scene.calls(), want, "{mounts}");
    }
}

/// To systemd it is no failure that somebody has stopped a stage.
#[test]
fn the_initrd_is_not_left_before_the_last_stage_has_run() {
    for (is_active, says) in [(0, ""), (3, "ignition-files.service has not been run")] {
        let Some(scene) = Scene::new("") else { return };
        scene.fake("systemctl", &format!("exit {is_active}"));
        let ran = scene.run("ignition-check.sh", &[]);
        ran.expect_code(i32::from(is_active != 0));
        assert!(ran.stderr.starts_with(says) && ran.stdout.is_empty(), "{ran}");
        assert_eq!(
            scene.calls(),
            ["systemctl --quiet is-active ignition-files.service"]
        );
    }
}

#[test]
fn a_later_boot_forgets_a_run_that_was_done() {
    for (record, stays) in [
        ("ignition-rs progress 1 x\nfile /a\nfinished\n", false),
        ("ignition-rs progress 1 x\nfile /a\n", true),
        ("ignition-rs progress 1 x\nfinished\nfile /a\n", true),
        // Torn.
        ("ignition-rs progress 1 x\nfinished", true),
        ("ignition-rs progress 1 x\nfile /finished\n", true),
        ("", true),
    ] {
        let Some(scene) = Scene::new("") else { return };
        scene.file("sysroot/.ignition-progress", record);
        scene.run("ignition-forget.sh", &[]).expect_code(0);
        assert_eq!(
            scene.at("sysroot/.ignition-progress").exists(),
            stays,
            "{record:?}"
        );
    }
}

#[test]
fn the_network_is_what_is_there() {
    for (units, want) in [
        (
            &["systemd-networkd.service", "systemd-resolved.service"][..],
            "systemctl start --no-block systemd-networkd.service systemd-resolved.service",
        ),
        (
            &["systemd-networkd.service"],
            "systemctl start --no-block systemd-networkd.service",
        ),
        (&[], ""),
    ] {
        let Some(scene) = Scene::new("") else { return };
        // The machine's own units must not count.
        let script = scene.read("out/ignition-start-network.sh").unwrap();
        scene.file(
            "out/ignition-start-network.sh",
            &script.replace("/etc /run /usr/lib /lib", "/etc /run"),
        );
        for unit in units {
            scene.unit(unit);
        }
        scene.fake("systemctl", "");
        let ran = scene.run("ignition-start-network.sh", &[]);
        ran.expect_code(0);
        assert_eq!(scene.calls().join("\n"), want);
        assert_eq!(
            ran.stdout.contains("no systemd-networkd"),
            units.is_empty(),
            "{ran}"
        );
    }
}

const FLAGS: [&str; 2] = ["boot/flatcar/first_boot", "boot/coreos/first_boot"];

#[test]
fn the_flag_goes_when_all_is_on_the_disks() {
    for flags in [&FLAGS[..1], &FLAGS[1..], &FLAGS[..]] {
        let Some(scene) = Scene::new("") else { return };
        for flag in flags {
            scene.file(flag, "x\n");
        }
        scene.file("boot/flatcar/grub/grub.cfg", "");
        // At the first sync the flags are still there, at the last they are gone.
        scene.fake(
            "sync",
            "ls /boot/flatcar/first_boot /boot/coreos/first_boot 2>/dev/null >>/calls || :",
        );
        scene.run("ignition-quench.sh", &[]).expect_code(0);
        let mut expected = vec!["sync".to_owned()];
        let mut there: Vec<String> = flags.iter().map(|flag| format!("/{flag}")).collect();
        there.sort();
        there.reverse();
        let mut calls = scene.calls();
        calls[1..].sort_by(|a, b| (a == "sync").cmp(&(b == "sync")).then(b.cmp(a)));
        expected.extend(there);
        expected.push("sync".to_owned());
        assert_eq!(calls, expected);
        assert_eq!(scene.tree("boot"), ["flatcar/grub/grub.cfg"]);
    }
}

#[test]
fn a_boot_without_the_flag_that_was_seen_fails() {
    let Some(scene) = Scene::new("") else { return };
    scene.file("boot/flatcar/other", "");
    scene.fake("sync", "");
    let ran = scene.run("ignition-quench.sh", &[]);
    ran.expect_code(1);
    assert!(
        ran.stderr
            .contains("neither flatcar/first_boot nor coreos/first_boot"),
        "{ran}"
    );
    assert_eq!(scene.calls(), [""; 0]);
}

#[test]
fn a_flag_that_stays_fails() {
    let Some(scene) = Scene::new("") else { return };
    scene.file(FLAGS[0], "x\n");
    scene.fake("sync", "").fake("rm", "exit 1");
    scene.run("ignition-quench.sh", &[]).expect_code(1);
    // Nor is it removed before what was written is safe.
    let Some(scene) = Scene::new("") else { return };
    scene.file(FLAGS[0], "x\n");
    scene.fake("sync", "exit 1");
    scene.run("ignition-quench.sh", &[]).expect_code(1);
    assert!(scene.at(FLAGS[0]).exists());
}

#[test]
fn live_means_that_usr_came_with_the_initrd() {
    for (line, squashfs, live) in [
        ("", true, true),
        ("", false, false),
        ("mount.usr=x", true, false),
        ("usr=x", true, false),
        ("mount.usr= quiet", true, true),
        ("mount.usrflags=ro", true, true),
    ] {
        let Some(scene) = Scene::new(line) else { return };
        if squashfs {
            scene.file("usr.squashfs", "");
        }
        let ran = scene.run("is-live-image.sh", &[]);
        ran.expect_code(i32::from(!live));
    }
}

#[test]
fn the_digest_comes_after_the_shell_on_every_console() {
    let Some(scene) = Scene::new("") else { return };
    scene.file(
        "run/ignition/digest",
        "ignition: provisioning failed\nerror:     \\c $x *\n",
    );
    scene.file(
        "proc/consoles",
        "ttyS0                -W- (EC p a)    4:64\nhvc0                 -W- (E    )  229:0\nbraille0             R-- (E     )\n",
    );
    scene.file("proc/77/comm", "dracut-emergenc\n");
    scene.fake("systemctl", "echo 77");
    // Asked for the third time, it has become the shell.
    scene.fake(
        "sleep",
        "[ -e /dev/ttyS0 ] && exit 1; if [ -e /once ]; then echo sulogin >/proc/77/comm; fi; : >/once",
    );
    scene.run("ignition-show-digest.sh", &[]).expect_code(0);
    let shown = "\r\nignition: provisioning failed\r\nerror:     \\c $x *\r\n";
    for console in ["dev/ttyS0", "dev/hvc0"] {
        assert_eq!(scene.read(console).as_deref(), Some(shown), "{console}");
    }
    assert!(!scene.at("dev/braille0").exists());
    let asked = "systemctl show --property=MainPID --value emergency.service";
    assert_eq!(
        scene.calls(),
        [asked, "sleep 1", asked, "sleep 1", asked, "sleep 1"]
    );
}

/// Seen in QEMU: a stage was killed, or what it depends on was stopped, and the consoles showed nothing but a shell.
#[test]
fn a_first_boot_that_ends_without_a_word_of_a_stage_gets_a_digest() {
    for (is_active, failed, want) in [
        (3, "", Some("failed units: none")),
        (
            3,
            "sysroot.mount loaded failed failed /sysroot\nignition-disks.service loaded failed failed disks\n",
            Some("failed units: sysroot.mount ignition-disks.service"),
        ),
        // Provisioned: what brought the machine here is no stage.
        (0, "ignition-quench.service loaded failed failed flag\n", None),
    ] {
        let Some(scene) = Scene::new("") else { return };
        scene.file("proc/consoles", "ttyS0                -W- (EC p a)    4:64\n");
        scene.file("proc/77/comm", "sulogin\n");
        scene.file("failed", failed);
        scene.fake(
            "systemctl",
            &format!(
                "case $1 in show) echo 77 ;; list-units) while read -r line; do echo \"$line\"; done </failed ;; *) exit {is_active} ;; esac"
            ),
        );
        scene.fake("sleep", "");
        scene.run("ignition-show-digest.sh", &[]).expect_code(0);
        let digest = scene.read("run/ignition/digest");
        let shown = scene.read("dev/ttyS0");
        let Some(want) = want else {
            assert_eq!((digest, shown), (None, None));
            continue;
        };
        let digest = digest.unwrap();
        assert!(
            digest.starts_with("ignition: provisioning failed\nerror:     the stages"),
            "{digest}"
        );
        assert!(
            digest.contains(&format!("           {want}\nto do:     ")),
            "{digest}"
        );
        let mode = std::fs::metadata(scene.at("run/ignition/digest")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(shown, Some(format!("\r\n{}", digest.replace('\n', "\r\n"))));
    }
}
