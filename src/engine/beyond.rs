//! Where a digest goes beside the consoles, so that somebody who sees none of them learns why a boot failed: the virtio
//! ports of whoever runs the virtual machine, and a file on a partition that the image's builder has chosen
//! (docs/debugging.md). What cannot be done is logged, and changes nothing.

use super::cmdline;
use super::edges::Edges;
use super::failure::Failure;
use crate::stages::disks::Wiped;
use crate::sys::devices::BlockDevices as _;
use crate::sys::{Clock as _, leave, ports};
use crate::view::Devices;
use std::time::Duration;

/// A port that gets the digest as it stands on the consoles.
const PLAIN_PORT: &str = "org.flatcar.ignition";

/// A port of which readers expect entries of the journal as JSON, one to a line (`journalctl -o json`).
const JOURNAL_PORT: &str = "com.coreos.ignition.journal";

/// The kernel parameter that names the device on which the digest is left.
const DEVICE: &str = "ignition.digest.device";

/// The file on that device.
const FILE: &str = "ignition-failure.txt";

/// How long that device is waited for.
const DEVICE_WAIT: Duration = Duration::from_secs(5);

/// The most bytes that are written: far more than a digest has.
const MOST: usize = 16 << 10;

/// Sends a digest, as it stands on the consoles, wherever else it goes.
pub(super) fn send(failure: &Failure, text: &str) {
    let entry = serde_json::json!({
        "MESSAGE": text,
        "PRIORITY": "2",
        "SYSLOG_IDENTIFIER": "ignition",
    });
    for (name, bytes) in [
        (PLAIN_PORT, text.to_owned()),
        (JOURNAL_PORT, format!("{entry}\n")),
    ] {
        match ports::write(name, bytes.as_bytes()) {
            Ok(true) => tracing::info!("the digest is sent to the virtio port {name}"),
            Ok(false) => {}
            Err(error) => tracing::warn!("the virtio port {name} did not take the digest: {error}"),
        }
    }
    let edges = Edges::of_this_machine();
    let line = edges.kernel_command_line().unwrap_or_default();
    let Some(device) = cmdline::value(&line, DEVICE).filter(|device| !device.is_empty()) else {
        return;
    };
    match leave_on(&edges, &device, &failure.wiped, text) {
        Ok(()) => tracing::info!("the digest is in {FILE} on {device}"),
        Err(why) => tracing::warn!("the digest is not left on {device} ({DEVICE}): {why}"),
    }
}

fn leave_on(edges: &Edges, path: &str, wiped: &[Wiped], text: &str) -> Result<(), String> {
    if !path.starts_with("/dev/") {
        return Err("write a path below /dev, such as /dev/disk/by-label/OEM".to_owned());
    }
    let all = edges.devices.clone().waiting_at_most(DEVICE_WAIT);
    // What is missing is told below.
    let _waited = all.await_paths(&[path]);
    let devices: &dyn Devices = all.devices();
    let said = |error: crate::view::ViewError| crate::report::chain(&error);
    let device = devices
        .device(path)
        .map_err(said)?
        .ok_or_else(|| "it is not there".to_owned())?;
    for wiped in wiped {
        let found = devices.device(wiped.path()).map_err(said)?;
        if wiped.concerns(found.as_ref(), &device) {
            return Err(format!("the config makes {} anew", wiped.path()));
        }
    }
    let kind = devices.signature(&device.node).map_err(said)?.kind;
    let boot = crate::sys::host::boot_id(&edges.host).unwrap_or_default();
    let mut text = format!(
        "{text}\nwritten:   {}, by ignition-rs {}, in boot {boot}\n",
        edges.clock.now(),
        crate::VERSION
    )
    .into_bytes();
    text.truncate(MOST);
    leave::file_on(&device.node, &kind, FILE, &text).map_err(|error| error.to_string())
}
