//! The generator: each kernel parameter that it looks at.

use super::scene::Scene;
use crate::support::programs::Ran;

/// Units of other modules that Flatcar's initrd has.
const OF_FLATCAR: [&str; 7] = [
    "disk-uuid.service",
    "initrd-setup-root.service",
    "initrd-setup-root-after-ignition.service",
    "flatcar-afterburn-network.service",
    "flatcar-metadata-hostname.service",
    "flatcar-openstack-hostname.service",
    "flatcar-static-network.service",
];

fn flatcar(command_line: &str) -> Option<Scene> {
    let scene = Scene::new(command_line)?;
    for unit in OF_FLATCAR {
        scene.unit(unit);
    }
    Some(scene)
}

#[track_caller]
fn run(scene: &Scene) -> Vec<String> {
    silent(&scene.run("ignition-generator", &["/units", "/units.early", "/units.late"]));
    scene.tree("units")
}

#[track_caller]
fn silent(ran: &Ran) {
    ran.expect_code(0);
    assert_eq!(ran.output(), "", "{ran}");
}

/// What is not about the vendor of the machine, on one with a root on a disk.
const FIRST: [&str; 9] = [
    "emergency.target.wants/ignition-digest.service",
    "ignition-complete.target.requires/ignition-diskful.target",
    "ignition-complete.target.requires/initrd-setup-root-after-ignition.service",
    "ignition-complete.target.requires/initrd-setup-root.service",
    "ignition-files.service.requires/initrd-setup-root.service",
    "ignition-mount.service.requires/initrd-setup-root.service",
    "initrd-cleanup.service.d/10-ignition.conf",
    "initrd.target.requires/disk-uuid.service",
    "initrd.target.requires/ignition-complete.target",
];
const LATER: [&str; 6] = [
    "ignition-subsequent.target.requires/ignition-diskful-subsequent.target",
    "ignition-subsequent.target.requires/initrd-setup-root-after-ignition.service",
    "ignition-subsequent.target.requires/initrd-setup-root.service",
    "initrd.target.requires/disk-uuid.service",
    "initrd.target.requires/ignition-subsequent.target",
    "initrd.target.wants/ignition-forget.service",
];
const QUENCH: &str = "initrd.target.requires/ignition-quench.service";

#[test]
fn which_boots_are_first_ones() {
    let first: [&str; 13] = [
        "flatcar.first_boot=1",
        "flatcar.first_boot=yes",
        "flatcar.first_boot=true",
        "flatcar.first_boot",
        "coreos.first_boot=1",
        "coreos.first_boot",
        "ignition.firstboot",
        "ignition.firstboot=1",
        "ignition.firstboot=0 ignition.firstboot=1",
        "flatcar.first_boot=0 flatcar.first_boot=1",
        "flatcar.first_boot=0 coreos.first_boot=yes",
        "coreos.first_boot=off flatcar.first_boot=yes",
        "flatcar.first_boot=detected flatcar.first_boot=1",
    ];
    let later: [&str; 16] = [
        "",
        "root=LABEL=ROOT quiet",
        "flatcar.first_boot=",
        "flatcar.first_boot=0",
        "flatcar.first_boot=no",
        "flatcar.first_boot=off",
        "coreos.first_boot=0",
        "coreos.first_boot=",
        "ignition.firstboot=",
        "ignition.firstboot=no",
        "flatcar.first_boot=detected flatcar.first_boot=0",
        "flatcar.first_boot=1 flatcar.first_boot=",
        "xflatcar.first_boot=1",
        "flatcar.first_bootx=1",
        "flatcar-first_boot=1",
        "ignition.first_boot=1",
    ];
    for (lines, want) in [(&first[..], &FIRST[..]), (&later[..], &LATER[..])] {
        for line in lines {
            let Some(scene) = flatcar(line) else { return };
            assert_eq!(run(&scene), want, "{line}");
        }
    }
}

#[test]
fn the_flag_is_removed_if_the_boot_loader_has_seen_it() {
    for (line, want) in [
        ("flatcar.first_boot=detected", true),
        ("coreos.first_boot=detected", true),
        ("flatcar.first_boot=1 coreos.first_boot=detected", true),
        ("flatcar.first_boot=1 flatcar.first_boot=detected", true),
        ("flatcar.first_boot=detected flatcar.first_boot=1", false),
        ("ignition.firstboot=detected", false),
    ] {
        let Some(scene) = flatcar(line) else { return };
        let mut expected: Vec<&str> = FIRST.to_vec();
        expected.extend(want.then_some(QUENCH));
        expected.sort_unstable();
        assert_eq!(run(&scene), expected, "{line}");
    }
}

#[test]
fn what_depends_on_the_vendor() {
    const HOSTNAME: &str = "initrd.target.wants/flatcar-metadata-hostname.service";
    const OPENSTACK: &str = "initrd.target.wants/flatcar-openstack-hostname.service";
    const STATIC: &str = "initrd.target.requires/flatcar-static-network.service";
    const AFTERBURN: &str = "initrd.target.requires/flatcar-afterburn-network.service";
    const CONFLICT: &str = "systemd-networkd.service.d/10-conflict-emergency.conf";
    const SOCKET: &str = "systemd-networkd.socket.d/10-conflict-emergency.conf";
    // For flatcar.oem.id and for coreos.oem.id; on a first boot and on a later one.
    let table: [(&str, [&[&str]; 4]); 20] = [
        ("ec2", [&[CONFLICT, SOCKET], &[CONFLICT, SOCKET], &[], &[]]),
        ("packet", [&[HOSTNAME, STATIC], &[HOSTNAME, STATIC], &[], &[]]),
        ("openstack", [&[OPENSTACK], &[OPENSTACK], &[], &[]]),
        (
            "digitalocean",
            [
                &[AFTERBURN, HOSTNAME],
                &[AFTERBURN, HOSTNAME],
                &[AFTERBURN],
                &[AFTERBURN],
            ],
        ),
        ("proxmoxve", [&[AFTERBURN, HOSTNAME], &[], &[AFTERBURN], &[]]),
        ("aliyun", [&[HOSTNAME], &[HOSTNAME], &[], &[]]),
        ("azure", [&[HOSTNAME], &[HOSTNAME], &[], &[]]),
        ("azurestack", [&[HOSTNAME], &[HOSTNAME], &[], &[]]),
        ("exoscale", [&[HOSTNAME], &[HOSTNAME], &[], &[]]),
        ("ibmcloud", [&[HOSTNAME], &[HOSTNAME], &[], &[]]),
        ("vultr", [&[HOSTNAME], &[HOSTNAME], &[], &[]]),
        ("hetzner", [&[HOSTNAME], &[], &[], &[]]),
        ("kubevirt", [&[HOSTNAME], &[], &[], &[]]),
        ("scaleway", [&[HOSTNAME], &[], &[], &[]]),
        ("oraclecloud", [&[HOSTNAME], &[], &[], &[]]),
        ("qemu", [&[], &[], &[], &[]]),
        ("gce", [&[], &[], &[], &[]]),
        ("vmware", [&[], &[], &[], &[]]),
        ("ec2x", [&[], &[], &[], &[]]),
        ("", [&[], &[], &[], &[]]),
    ];
    for (oem, wants) in table {
        let lines = [
            format!("flatcar.first_boot=1 flatcar.oem.id={oem}"),
            format!("flatcar.first_boot=1 coreos.oem.id={oem}"),
            format!("flatcar.oem.id={oem}"),
            format!("coreos.oem.id={oem}"),
        ];
        for ((number, line), want) in lines.iter().enumerate().zip(wants) {
            let Some(scene) = flatcar(line) else { return };
            let usual: &[&str] = if number < 2 { &FIRST } else { &LATER };
            let mut expected: Vec<&str> = [usual, want].concat();
            expected.sort_unstable();
            assert_eq!(run(&scene), expected, "{line}");
        }
    }
}

#[test]
fn the_last_vendor_counts() {
    let Some(scene) = flatcar("flatcar.first_boot=1 flatcar.oem.id=ec2 flatcar.oem.id=qemu") else {
        return;
    };
    assert_eq!(run(&scene), FIRST);
}

#[test]
fn a_failed_machine_of_ec2_loses_its_network() {
    let Some(scene) = flatcar("flatcar.first_boot=1 flatcar.oem.id=ec2") else {
        return;
    };
    run(&scene);
    // Seen in QEMU: without the socket's, the service was started again, and that stopped the emergency target.
    for unit in ["service", "socket"] {
        assert_eq!(
            scene
                .read(&format!(
                    "units/systemd-networkd.{unit}.d/10-conflict-emergency.conf"
                ))
                .unwrap(),
            "[Unit]\nConflicts=emergency.target emergency.service dracut-emergency.service\n"
        );
    }
}

#[test]
fn a_system_in_ram_has_no_disk() {
    // The kernel command line, whether /usr.squashfs is there, what a program is-live-image says, whether it is live.
    let table: [(&str, bool, Option<i32>, bool); 9] = [
        ("", false, None, false),
        ("", true, None, true),
        ("mount.usr=", true, None, true),
        ("mount.usr=PARTUUID=1", true, None, false),
        ("usr=PARTUUID=1", true, None, false),
        ("", false, Some(0), true),
        ("", false, Some(1), false),
        // Flatcar's own has said the opposite of what its name says: it is not asked where one can know.
        ("mount.usr=PARTUUID=1", false, Some(0), false),
        ("", true, Some(1), true),
    ];
    for (line, squashfs, says, live) in table {
        for first in [true, false] {
            let line = format!("{line}{}", if first { " flatcar.first_boot=yes" } else { "" });
            let Some(scene) = flatcar(&line) else { return };
            if squashfs {
                scene.file("usr.squashfs", "");
            }
            if let Some(code) = says {
                scene.fake("is-live-image", &format!("exit {code}"));
            }
            let usual: &[&str] = if first { &FIRST } else { &LATER };
            let is_of_disks = |name: &&&str| name.contains("diskful") || name.contains("disk-uuid");
            let expected: Vec<&str> = usual
                .iter()
                .filter(|name| !live || !is_of_disks(name))
                .copied()
                .collect();
            assert_eq!(run(&scene), expected, "{line}, {squashfs}, {says:?}");
        }
    }
}

#[test]
fn where_flatcars_other_modules_are_not_nothing_asks_for_them() {
    for (line, want) in [
        (
            "ignition.firstboot ignition.platform.id=digitalocean flatcar.oem.id=digitalocean",
            &[
                "emergency.target.wants/ignition-digest.service",
                "ignition-complete.target.requires/ignition-diskful.target",
                "initrd-cleanup.service.d/10-ignition.conf",
                "initrd.target.requires/ignition-complete.target",
            ][..],
        ),
        (
            "quiet",
            &[
                "ignition-subsequent.target.requires/ignition-diskful-subsequent.target",
                "initrd.target.requires/ignition-subsequent.target",
                "initrd.target.wants/ignition-forget.service",
            ],
        ),
    ] {
        let Some(scene) = Scene::new(line) else { return };
        assert_eq!(run(&scene), want, "{line}");
    }
}

#[test]
fn words_of_the_command_line_are_words_only() {
    let line = "a=* flatcar.first_boot=* $(touch /pwned) `touch /pwned` \"flatcar.oem.id=ec2\" \\ -n ~ {a,b}";
    let Some(scene) = flatcar(line) else { return };
    assert_eq!(run(&scene), FIRST);
    assert_eq!(scene.read("pwned"), None);
}

#[test]
fn every_shell_understands_it() {
    for shell in [&["dash"][..], &["bash", "--posix"], &["bash"], &["busybox", "sh"]] {
        if !super::has(shell[0], "dash, bash and busybox-static") {
            continue;
        }
        let Some(scene) = flatcar("flatcar.first_boot=detected flatcar.oem.id=ec2 x=\\y") else {
            return;
        };
        silent(&scene.run_by(
            shell,
            "ignition-generator",
            &["/units", "/units.early", "/units.late"],
        ));
        assert_eq!(scene.tree("units").len(), FIRST.len() + 3, "{shell:?}");
        // Run again after a daemon-reload that did not empty the directory, it does the same.
        silent(&scene.run_by(
            shell,
            "ignition-generator",
            &["/units", "/units.early", "/units.late"],
        ));
        assert_eq!(scene.tree("units").len(), FIRST.len() + 3, "{shell:?}");
    }
}
