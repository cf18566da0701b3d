//! First boots that fail: each ends in the emergency target, with a digest on both consoles, and keeps the flag.

use super::computer::CHANGES;
use super::server::Server;
use super::{Computer, Play, Scenario};
use crate::Result;
use crate::job::must;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "bad-config",
        shows: "a config with an error: emergency, the place in the digest on two consoles; corrected, it comes up",
        ci: true,
        play: bad_config,
    },
    Scenario {
        name: "unreachable-server",
        shows: "a file of a server that does not answer",
        ci: false,
        play: unreachable,
    },
    Scenario {
        name: "full-disk",
        shows: "a file that is larger than its file system",
        ci: true,
        play: full_disk,
    },
    Scenario {
        name: "wrong-device",
        shows: "a device that is not there",
        ci: false,
        play: wrong_device,
    },
    Scenario {
        name: "stopped-stage",
        shows: "a unit that the stages depend on is stopped: no machine is booted that is not provisioned; a later boot says nothing",
        ci: true,
        play: stopped,
    },
    Scenario {
        name: "late-failure",
        shows: "a unit fails after the stages, before the flag is removed: the next boot goes on with what is there",
        ci: true,
        play: late,
    },
    Scenario {
        name: "ec2-failure",
        shows: "a file with another hash, by HTTP: on EC2, which looks whether a machine has a network, a failed one has none, elsewhere it has",
        ci: false,
        play: ec2,
    },
];

fn ec2(play: &Play) -> Result<()> {
    let file = Server::start(&[("/file", b"other".to_vec())])?;
    let config = format!(
        r#"{{"ignition": {{"version": "3.4.0"}}, "storage": {{"files": [{{"path": "/etc/new", "contents": {{
  "source": "http://10.0.2.2:{}/file",
  "verification": {{"hash": "sha256-2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}}}}}}]}}}}"#,
        file.port
    );
    let front = Server::start(&[("/config", config.into_bytes())])?;
    for (oem, network) in [("qemu", "active"), ("ec2", "inactive")] {
        let mut computer = Computer::new(play, oem)?.argument(&format!(
            "ignition.config.url=http://10.0.2.2:{}/config",
            front.port
        ));
        computer.put(6, "/grub.cfg", &format!("set oem_id=\"{oem}\"\n"))?;
        let boot = computer.failing_boot(
            &["files", "storage.files[0]", "sha256"],
            "step network systemctl is-active systemd-networkd.service",
        )?;
        let found = boot.job.step("network")?.stdout;
        must(found.trim() == network, format!("{oem}: networkd is {found}"))?;
        computer.forget()?;
    }
    must(front.asked().len() == 2, format!("{:?}", front.asked()))
}

fn late(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.config(
        r#"{"ignition": {"version": "3.3.0"},
  "storage": {"files": [{"path": "/etc/new", "contents": {"source": "data:,new"}},
    {"path": "/etc/hosts", "append": [{"source": "data:,10.0.0.1%20once%0A"}]}]},
  "systemd": {"units": [{"name": "shipped.service", "enabled": true}]}}"#,
    );
    // Somebody reboots: the stage umount is run, and not because the root is switched to.
    let emergency =
        "step stop systemctl stop ignition-mount.service\nstep record tail -n 1 /sysroot/.ignition-progress";
    let boot = computer.run("", emergency, |machine| machine.argument("vm-tests.fail"))?;
    must(boot.text("why")?.trim() == "emergency", "it came up")?;
    must(boot.job.step("stop")?.code == 0, boot.job.step("stop")?.stderr)?;
    let last = boot.job.step("record")?.stdout;
    must(last.trim() == "finished", format!("the record ends with {last}"))?;
    must(computer.flag()?, "the flag is gone after a failure")?;
    computer.first_boot(&[
        ("cat /etc/new; grep -c once /etc/hosts", "new1"),
        ("systemctl is-active shipped.service", "active"),
        CHANGES,
    ])?;
    computer.later_boot(&[("cat /etc/new", "new")])?;
    Ok(())
}

/// To systemd that is no failure: it would go on without the stages.
fn stopped(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?
        .config(r#"{"ignition": {"version": "3.3.0"}}"#)
        .argument("vm-tests.stop");
    computer.failing_boot(&["were not run to their end"], "")?;
    // No stage at all has been run, and none has failed.
    computer.failing_boot_with(
        &["were not run to their end", "failed units: none"],
        "",
        |machine| machine.argument("rd.systemd.unit=emergency.target"),
    )?;
    computer.clear_flag()?;
    computer.silent_emergency()?;
    Ok(())
}

fn bad_config(play: &Play) -> Result<()> {
    let good = r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [
  {"path": "/etc/new", "mode": 420, "contents": {"source": "data:,new"}}]}}"#;
    let mut computer = Computer::new(play, "computer")?.config(&good.replace("420", "\"0644\""));
    computer.failing_boot(
        &[
            "stage:     fetch-offline",
            "storage.files[0].mode must be an integer",
            "the config of the platform qemu:2:38",
        ],
        "",
    )?;
    computer = computer.config(good);
    computer.first_boot(&[("cat /etc/new", "new")])?;
    Ok(())
}

fn unreachable(play: &Play) -> Result<()> {
    // Nothing listens on the host's port 9.
    let config = r#"{"ignition": {"version": "3.3.0", "timeouts": {"httpTotal": 15, "httpResponseHeaders": 5}},
  "storage": {"files": [{"path": "/etc/first", "contents": {"source": "data:,1"}},
    {"path": "/etc/remote", "contents": {"source": "http://10.0.2.2:9/file"}}]}}"#;
    let mut computer = Computer::new(play, "computer")?.config(config);
    computer.failing_boot(&["files", "http://10.0.2.2:9/file", "storage.files[1]"], "")?;
    Ok(())
}

fn full_disk(play: &Play) -> Result<()> {
    let server = Server::start(&[("/big", vec![b'x'; 64 << 20])])?;
    let config = format!(
        r#"{{"ignition": {{"version": "3.3.0"}},
  "storage": {{
    "disks": [{{"device": "/dev/vdb", "wipeTable": true, "partitions": [{{"number": 1, "label": "small", "sizeMiB": 32}}]}}],
    "filesystems": [{{"device": "/dev/disk/by-partlabel/small", "format": "ext4", "path": "/srv/small"}}],
    "files": [{{"path": "/srv/small/big", "contents": {{"source": "http://10.0.2.2:{}/big"}}}}]}}}}"#,
        server.port
    );
    let mut computer = Computer::new(play, "computer")?
        .config(&config)
        .disk("data", 128)?;
    let boot = computer.failing_boot(
        &["files", "/srv/small/big", "No space left on device"],
        "step left ls -A /sysroot/srv/small",
    )?;
    let left = boot.job.step("left")?.stdout;
    must(
        !left.contains("big"),
        format!("half a file is under its name: {left}"),
    )
}

fn wrong_device(play: &Play) -> Result<()> {
    let config = r#"{"ignition": {"version": "3.3.0"}, "storage": {"filesystems": [
  {"device": "/dev/disk/by-partlabel/missing", "format": "ext4", "path": "/srv"}]}}"#;
    let mut computer = Computer::new(play, "computer")?.config(config);
    computer.failing_boot(
        &[
            "disks, phase filesystems",
            "storage.filesystems[0].device",
            "/dev/disk/by-partlabel/missing did not appear",
            "label ROOT",
        ],
        "",
    )?;
    Ok(())
}
