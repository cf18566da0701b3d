//! First boots that are asked for again.

use super::computer::{CHANGES, digest};
use super::disks::root_config;
use super::{Computer, Play, Scenario};
use crate::Result;
use crate::job::must;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rerun-reformat",
        shows: "asked for again with a config that makes ROOT anew: a machine as new, other partitions kept",
        ci: true,
        play: reformat,
    },
    Scenario {
        name: "rerun-refused",
        shows: "asked for again on a root that stays: refused before anything is written",
        ci: false,
        play: refused,
    },
    Scenario {
        name: "rerun-converge",
        shows: "the same with ignition.rerun=converge: what the config names is as it says, the rest stays",
        ci: false,
        play: converge,
    },
    Scenario {
        name: "rerun-reset",
        shows: "asked for again as flatcar-reset does: selected paths and the machine's id stay",
        ci: false,
        play: reset,
    },
];

/// What is done to a machine between two runs.
const LIVED_IN: &[(&str, &str)] = &[
    (
        "useradd -m visitor; echo junk >/etc/junk; echo junk >/var/lib/junk; id -un visitor",
        "visitor",
    ),
    (
        "echo changed >/etc/new; echo kept >/oem/kept; sync; cat /etc/new",
        "changed",
    ),
    (
        "touch /boot/flatcar/first_boot; sync; ls /boot/flatcar",
        "first_boot",
    ),
];

fn reformat(play: &Play) -> Result<()> {
    let config = root_config("ext4", "label").replace(
        r#""filesystems": ["#,
        r#""disks": [{"device": "/dev/vdb", "partitions": [{"number": 1, "label": "data"}]}],
    "filesystems": [{"device": "/dev/disk/by-partlabel/data", "format": "xfs", "label": "DATA", "path": "/srv"}, "#,
    );
    let mut computer = Computer::new(play, "computer")?
        .config(&config)
        .disk("data", 512)?;
    let mut lived_in = vec![(
        "mount LABEL=DATA /srv && echo data >/srv/data; cat /srv/data",
        "data",
    )];
    lived_in.extend(LIVED_IN);
    let first = computer.first_boot(&lived_in)?;
    let second = computer.first_boot(&[
        ("cat /etc/new /var/lib/new", "newnew"),
        ("ls /etc/junk /var/lib/junk", ""),
        ("getent passwd visitor; ls /home", "core"),
        ("cat /oem/kept", "kept"),
        ("mount LABEL=DATA /srv && cat /srv/data", "data"),
        ("systemctl is-active shipped.service", "active"),
        CHANGES,
    ])?;
    must(
        first.text("machine-id")? != second.text("machine-id")?,
        "the machine has its old id",
    )?;
    computer.later_boot(&[
        ("cat /etc/new", "new"),
        ("mount LABEL=DATA /srv && cat /srv/data", "data"),
    ])?;
    Ok(())
}

const STAYS: &str = r#"{"ignition": {"version": "3.3.0"},
  "storage": {
    "directories": [{"path": "/etc/app"}],
    "files": [{"path": "/etc/first", "contents": {"source": "data:,1"}},
              {"path": "/etc/new", "contents": {"source": "data:,new"}},
              {"path": "/var/lib/new", "overwrite": true, "contents": {"source": "data:,new"}}]},
  "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAcore"]}]},
  "systemd": {"units": [{"name": "shipped.service", "enabled": true}]}}"#;

fn refused(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.config(STAYS);
    computer.first_boot(LIVED_IN)?;
    // What stands in the way comes last in this one; what comes before it must not be there afterwards.
    let changed = STAYS
        .replace("/etc/first", "/etc/another")
        .replace("/etc/app", "/etc/other");
    computer = computer.config(&changed);
    let boot = computer.failing_boot(
        &["/etc/new"],
        "step there ls /sysroot/etc/another /sysroot/etc/other /sysroot/etc/junk; step new cat /sysroot/etc/new",
    )?;
    let there = boot.job.step("there")?;
    must(
        there.stdout.trim() == "/sysroot/etc/junk",
        format!("something was written: {}", there.stdout),
    )?;
    must(
        boot.job.step("new")?.stdout.trim() == "changed",
        "/etc/new was written",
    )?;
    // The machine tries again by itself, and says the same.
    let again = computer.failing_boot(&["/etc/new"], "")?;
    must(
        digest(&boot.job.console) == digest(&again.job.console),
        "the second time the digest is another one",
    )
}

fn converge(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.config(STAYS);
    computer.first_boot(LIVED_IN)?;
    let changed = STAYS
        .replace("/etc/first", "/etc/another")
        .replace("shipped.service", "shipped-on.service");
    let mut computer = computer.config(&changed).argument("ignition.rerun=converge");
    let questions = [
        ("cat /etc/another /etc/new /var/lib/new", "1newnew"),
        ("cat /etc/first /etc/junk /var/lib/junk", "1junk\njunk"),
        (
            "id -un visitor; cat ~core/.ssh/authorized_keys.d/ignition",
            "visitor\nssh-ed25519 AAAAcore",
        ),
        (
            "grep shipped-on /etc/systemd/system-preset/20-ignition.preset",
            "enable shipped-on.service",
        ),
        ("grep -c . /etc/passwd >/dev/null; sort /etc/passwd | uniq -d", ""),
        CHANGES,
    ];
    let boot = computer.boot(&questions)?;
    must(boot.flag, "the flag was not there")?;
    must(!computer.flag()?, "the flag is still there")?;
    must(
        boot.text("result")?.contains("\"userConfigProvided\": true"),
        boot.text("result")?,
    )?;
    let id = boot.text("boot_id")?;
    must(
        boot.text("result")?.contains(id.trim()),
        "the result file is of another boot",
    )?;
    computer.later_boot(&questions)?;
    Ok(())
}

fn reset(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.config(STAYS);
    let mut lived_in = vec![
        (
            "mkdir /mydata; echo data >/mydata/data; echo log >/var/log/kept; mkdir -p /etc/ssh; echo key >/etc/ssh/ssh_host_key",
            "",
        ),
        (
            "echo '(/mydata/.*|/mydata|/var/log/.*|/var/log|/etc/ssh/ssh_host_.*)' >/selective-os-reset; cat /selective-os-reset | wc -l",
            "1",
        ),
        (
            "echo \"set linux_append=\\\"\\$linux_append systemd.machine_id=$(cat /etc/machine-id)\\\"\" >>/oem/grub.cfg; sync; grep -c systemd.machine_id= /oem/grub.cfg",
            "1",
        ),
    ];
    lived_in.extend(LIVED_IN);
    let first = computer.first_boot(&lived_in)?;
    let second = computer.first_boot(&[
        ("cat /etc/new /var/lib/new /etc/first", "newnew1"),
        ("ls /etc/junk /var/lib/junk /selective-os-reset", ""),
        ("getent passwd visitor; ls /home", "core"),
        (
            "cat /mydata/data /var/log/kept /etc/ssh/ssh_host_key",
            "data\nlog\nkey",
        ),
        ("systemctl is-active shipped.service", "active"),
        CHANGES,
    ])?;
    must(
        first.text("machine-id")? == second.text("machine-id")?,
        "the machine has another id",
    )?;
    computer.later_boot(&[("cat /etc/new", "new")])?;
    Ok(())
}
