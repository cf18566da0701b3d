//! Another distribution: dracut with its own modules and this one, one file system for everything, and nobody's flag file.

use super::computer::CHANGES;
use super::server::Server;
use super::{Computer, Play, Scenario, disks};
use crate::job::must;
use crate::{Machine, Result};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "plain",
    shows: "plain dracut, as on Debian, ignition.firstboot: disks, a file by HTTP, an account, units; a failure; a later boot does nothing",
    ci: false,
    play: plain,
}];

/// What a boot loader adds once.
fn asked_for(machine: Machine) -> Machine {
    machine
        .argument("ignition.firstboot")
        .argument("ignition.platform.id=qemu")
}

fn plain(play: &Play) -> Result<()> {
    let server = Server::start(&[("/remote", b"by the network".to_vec())])?;
    let config = disks::CONFIG
        .replace(
            r#""files": ["#,
            &format!(
                r#""files": [
      {{"path": "/etc/remote", "contents": {{"source": "http://10.0.2.2:{}/remote"}}}},
      {{"path": "/etc/hostname", "mode": 420, "contents": {{"source": "data:,plain-host"}}}},"#,
                server.port
            ),
        )
        .replace(
            r#""systemd": {"units": ["#,
            r#""passwd": {"users": [{"name": "alice", "uid": 1234, "passwordHash": "$y$j9T$abc$def", "groups": ["docker"],
    "sshAuthorizedKeys": ["ssh-ed25519 AAAAalice"]}]},
  "systemd": {"units": [
    {"name": "shipped.service", "enabled": true},"#,
        );
    // A failure first: the digest is shown after the words of dracut's own emergency.
    let mut broken = Computer::plain(play, "broken")?.fw_cfg(
        "opt/com.coreos/config",
        &config.replace(r#""level": "raid1""#, r#""level": "raid1.5""#),
    );
    broken.failing_boot_with(
        &["stage:     fetch-offline", "storage.raid[0].level"],
        "",
        asked_for,
    )?;
    broken.silent_emergency()?;

    let mut computer = Computer::plain(play, "computer")?
        .fw_cfg("opt/com.coreos/config", &config)
        .disk("data", 2048)?;
    let mut questions = disks::QUESTIONS.to_vec();
    questions.extend([
        ("cat /etc/remote", "by the network"),
        ("cat /proc/sys/kernel/hostname", "plain-host"),
        (
            "getent passwd alice; getent shadow alice | cut -d: -f2; id -nG alice",
            "alice:x:1234:1234::/home/alice:/bin/sh\n$y$j9T$abc$def\nalice docker",
        ),
        (
            "grep . ~alice/.ssh/authorized_keys.d/ignition",
            "ssh-ed25519 AAAAalice",
        ),
        ("systemctl is-active shipped.service", "active"),
        ("findmnt -no SOURCE,FSTYPE / | tr -s ' '", "/dev/vda1 ext4"),
        CHANGES,
    ]);
    let boot = computer.boot_with(&questions, asked_for)?;
    boot.provisioned(true)?;
    must(boot.text("env")?.contains("PLATFORM_ID=qemu"), boot.text("env")?)?;
    must(
        server
            .asked()
            .iter()
            .filter(|request| request.contains("/remote"))
            .count()
            == 1,
        format!("{:?}", server.asked()),
    )?;
    computer.later_boot(&questions)?;
    Ok(())
}
