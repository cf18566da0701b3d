//! Having the kernel tell udev of a device, and hearing when udev has dealt with it: what `udevadm trigger --settle` does
//! (Documentation/ABI/testing/sysfs-uevent), without a program, and for one device and not for its partitions as well.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::sys::netlink::Netlink;

/// The group in which udev says what it has dealt with; in that below it is the kernel.
const UDEV: u32 = 2;

/// What is heard of udev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It has dealt with an event that was given this name when it was asked for ([`ask`])
    Named(String),
    /// It has dealt with another
    Other,
    /// Nothing in time
    Nothing,
}

/// Hears what udev has dealt with.
pub(super) trait Ear {
    /// The next, waited for as long as said.
    fn next(&mut self, time: Duration) -> io::Result<Heard>;
}

impl Ear for Netlink {
    fn next(&mut self, time: Duration) -> io::Result<Heard> {
        Ok(match self.receive(time)? {
            None => Heard::Nothing,
            Some(message) => name_of(&message).map_or(Heard::Other, Heard::Named),
        })
    }
}

/// Listens from now on.
pub(super) fn listen() -> io::Result<Netlink> {
    Netlink::open(libc::NETLINK_KOBJECT_UEVENT, UDEV)
}

/// Asks the kernel for an event of a device, as if the device had changed. The event gets this name, a UUID.
pub(super) fn ask(sysfs: &Path, number: u64, name: &str) -> io::Result<()> {
    let (major, minor) = (libc::major(number), libc::minor(number));
    OpenOptions::new()
        .write(true)
        .open(sysfs.join(format!("dev/block/{major}:{minor}/uevent")))?
        // In one piece, as sysfs wants it.
        .write_all(format!("change {name}").as_bytes())
}

/// A name that nobody else gives.
pub(super) fn new_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    crate::sys::random::fill(&mut bytes)?;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    ))
}

/// The name in a message of udev: a header that begins with a word and has at 16 where the properties begin, each of which
/// ends with a NUL (`struct monitor_netlink_header`).
fn name_of(message: &[u8]) -> Option<String> {
    if !message.starts_with(b"libudev\0") {
        return None;
    }
    let offset = message.get(16..20)?.try_into().ok().map(u32::from_ne_bytes)?;
    let properties = message.get(usize::try_from(offset).ok()?..)?;
    let name = properties
        .split(|byte| *byte == 0)
        .find_map(|property| property.strip_prefix(b"SYNTH_UUID="))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: &[u8]) -> Vec<u8> {
        let mut message = b"libudev\0\xfe\xed\xca\xfe".to_vec();
        let length = u32::try_from(properties.len()).unwrap();
        for number in [40_u32, 40, length, 0, 0, 0, 0] {
            message.extend(number.to_ne_bytes());
        }
        message.extend(properties);
        message
    }

    #[test]
    fn names_in_messages() {
        let named = message(b"ACTION=change\0DEVNAME=/dev/sda\0SYNTH_UUID=abc-1\0SEQNUM=7\0");
        assert_eq!(name_of(&named).as_deref(), Some("abc-1"));
        assert_eq!(name_of(&message(b"ACTION=add\0X=SYNTH_UUID=1\0")), None);
        assert_eq!(name_of(b"change@/devices/x\0SYNTH_UUID=1\0"), None, "the kernel");
        for length in 0..named.len() {
            // It must not fail, whatever is cut off.
            let _ = name_of(&named[..length]);
        }
        let mut far = named;
        far[16..20].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(name_of(&far), None);
    }

    #[test]
    fn names_are_uuids() {
        let name = new_name().unwrap();
        let lengths: Vec<usize> = name.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{name}");
        assert_ne!(name, new_name().unwrap());
    }

    #[test]
    fn an_event_is_asked_for() {
        let sysfs = tempfile::tempdir().unwrap();
        let device = sysfs.path().join("dev/block/8:1");
        std::fs::create_dir_all(&device).unwrap();
        let number = libc::makedev(8, 1);
        assert!(ask(sysfs.path(), number, "x").is_err(), "there is no such device");
        std::fs::write(device.join("uevent"), "").unwrap();
        ask(sysfs.path(), number, "abc-1").unwrap();
        assert_eq!(
            std::fs::read_to_string(device.join("uevent")).unwrap(),
            "change abc-1"
        );
    }
}
