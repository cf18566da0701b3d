//! Where configs and contents come from: a server, with the network late; the OEM partition.

use std::time::Duration;

use super::computer::{CHANGES, FW_CFG};
use super::server::{Server, TlsServer};
use super::{Computer, Play, Scenario};
use crate::job::must;
use crate::{Act, Moment, Result};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "http",
        shows: "ignition.config.url= with the network late; files by HTTP and by HTTPS with a CA of the config, with hashes",
        ci: true,
        play: http,
    },
    Scenario {
        name: "oem",
        shows: "config.ign and base/ of the OEM partition, oem:// as a source; fw_cfg is not looked at",
        ci: true,
        play: oem,
    },
    Scenario {
        name: "kargs",
        shows: "kernelArguments: grub.cfg of the OEM partition, one reboot with the flag kept, then the run",
        ci: false,
        play: kargs,
    },
];

/// Tells QEMU to plug the network card's cable in, or out.
fn cable(plugged: bool) -> Act {
    Act::Tell(format!(
        r#"{{"execute": "set_link", "arguments": {{"name": "nic0", "up": {plugged}}}}}"#
    ))
}

fn http(play: &Play) -> Result<()> {
    let tls = TlsServer::start(&play.directory.join("tls"), &[("secret", b"over tls")])?;
    let child = r#"{"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "/etc/merged", "contents": {"source": "data:,merged"}}]}}"#;
    let server = Server::start(&[("/test", b"test\n".to_vec()), ("/child.ign", child.into())])?;
    let port = server.port;
    let authority = tls.authority()?;
    // The config is a server's too: its own place is known only now.
    let config = format!(
        r#"{{"ignition": {{"version": "3.4.0",
    "config": {{"merge": [{{"source": "http://10.0.2.2:{port}/child.ign"}}]}},
    "security": {{"tls": {{"certificateAuthorities": [{{"source": "data:;base64,{authority}"}}]}}}}}},
  "storage": {{"files": [
    {{"path": "/etc/test", "contents": {{"source": "http://10.0.2.2:{port}/test", "httpHeaders": [{{"name": "X-Test", "value": "yes"}}]}}}},
    {{"path": "/etc/secret", "contents": {{"source": "https://10.0.2.2:{}/secret"}}}},
    {{"path": "/etc/hashed", "contents": {{"source": "data:,x", "verification": {{"hash": "sha256-2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}}}}}}]}}}}"#,
        tls.port
    );
    let front = Server::start(&[("/config?uuid=a&mac=52-54-00", config.into_bytes())])?;
    let mut computer = Computer::new(play, "computer")?
        .argument(&format!(
            "ignition.config.url=http://10.0.2.2:{}/config?uuid=a&mac=52-54-00",
            front.port
        ))
        // A source of higher rank is there.
        .fw_cfg(FW_CFG, "{}");
    let questions = [
        (
            "cat /etc/test /etc/merged /etc/secret /etc/hashed",
            "test\nmergedover tlsx",
        ),
        CHANGES,
    ];
    let boot = computer.boot_with(&questions, |machine| {
        machine.then(Moment::After(Duration::ZERO), cable(false)).then(
            Moment::AfterLine(
                "Starting ignition-fetch.service".to_owned(),
                Duration::from_secs(12),
            ),
            cable(true),
        )
    })?;
    boot.provisioned(true)?;
    must(!computer.flag()?, "the flag is still there")?;
    let asked = server.asked();
    let test = asked
        .iter()
        .find(|request| request.contains("GET /test "))
        .ok_or("nobody asked for /test")?;
    for header in ["x-test: yes", "user-agent: ignition/2.26.0"] {
        must(
            test.to_lowercase().contains(header),
            format!("no {header} in\n{test}"),
        )?;
    }
    must(front.asked().len() == 1, format!("{:?}", front.asked()))?;
    let before = front.asked().len() + server.asked().len();
    computer.later_boot(&questions)?;
    must(
        front.asked().len() + server.asked().len() == before,
        "the second boot asked for something",
    )
}

fn oem(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?
        .config(r#"{"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "/etc/platform", "contents": {"source": "data:,1"}}]}}"#);
    computer.put(
        6,
        "/config.ign",
        r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [
  {"path": "/etc/user", "contents": {"source": "data:,user"}},
  {"path": "/etc/both", "contents": {"source": "data:,user"}},
  {"path": "/etc/from-oem", "contents": {"source": "oem:///payload"}}]}}"#,
    )?;
    computer.put(
        6,
        "/base/base.ign",
        r#"{"ignition": {"version": "3.0.0"}, "storage": {"files": [
  {"path": "/etc/both", "contents": {"source": "data:,base"}},
  {"path": "/etc/base", "contents": {"source": "data:,base"}}]}}"#,
    )?;
    computer.put(
        6,
        "/base/more.ign",
        r#"{"ignition": {"version": "3.1.0"}, "storage": {"files": [
  {"path": "/etc/more", "mode": 420, "contents": {"source": "data:,more"}}]}}"#,
    )?;
    computer.put(6, "/payload", "of the oem\n")?;
    let questions = [
        (
            "cat /etc/user /etc/both /etc/base /etc/more /etc/from-oem",
            "useruserbasemoreof the oem",
        ),
        ("ls /etc/platform", ""),
        ("cat /oem/payload", "of the oem"),
        CHANGES,
    ];
    computer.first_boot(&questions)?;
    computer.later_boot(&questions)?;
    Ok(())
}

fn kargs(play: &Play) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.config(
        r#"{"ignition": {"version": "3.3.0"},
  "kernelArguments": {"shouldExist": ["vm-tests.wanted", "vm-tests.two=2"], "shouldNotExist": ["vm-tests.old"]},
  "storage": {"files": [{"path": "/etc/new", "contents": {"source": "data:,new"}}]}}"#,
    );
    computer.put(
        6,
        "/grub.cfg",
        "set oem_id=\"qemu\"\nset linux_append=\"$linux_append vm-tests.old vm-tests.kept\"\n",
    )?;
    // It reboots in the stage kargs, which QEMU is told to end with.
    let boot = computer.run("", "", |machine| machine)?;
    must(
        boot.job.ended == crate::job::Ended::ByItself && boot.job.code.is_none(),
        format!("{:?} {:?}", boot.job.ended, boot.job.code),
    )?;
    must(computer.flag()?, "the flag is gone before the run")?;
    let questions = [
        ("cat /etc/new", "new"),
        (
            "tr ' ' '\\n' </proc/cmdline | grep vm-tests | sort",
            "vm-tests.kept\nvm-tests.two=2\nvm-tests.wanted",
        ),
        (
            "grep -c linux_append /oem/grub.cfg; grep oem_id /oem/grub.cfg",
            "1\nset oem_id=\"qemu\"",
        ),
    ];
    computer.first_boot(&questions)?;
    computer.later_boot(&questions)?;
    Ok(())
}
