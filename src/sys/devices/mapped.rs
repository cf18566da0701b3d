//! Partitions of disks of the device mapper, as multipath makes them. The kernel reads no tables on these and takes no
//! partitions for them (BLKPG is EINVAL): a partition is one more device, a linear mapping of its disk. It is known by its
//! UUID, `part3-` and that of the disk, which kpartx, blkid and udev's rules go by, too.

use super::TableError;
use crate::gpt::{KernelPartition, Tell};
use crate::sys::runner::{Invocation, RunError, Runner};
use crate::sys::tool::Tool;
use crate::view::names;

/// What tables of the device mapper count in, whatever the disk's own sectors are.
const UNIT: u64 = 512;

/// A disk of the device mapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MappedDisk {
    /// Its node
    pub(super) node: String,
    /// The device mapper's name
    pub(super) name: String,
    /// Its UUID with the device mapper; empty: none
    pub(super) uuid: String,
    /// Major and minor
    pub(super) number: (u32, u32),
}

/// Where a mapped partition begins, in bytes; `None` if it is no single linear mapping.
pub(super) fn start(runner: &dyn Runner, name: &str) -> Result<Option<u64>, RunError> {
    let output = runner.run(&Invocation::new(Tool::Dmsetup, ["table", "--", name]))?;
    Ok(start_in(&output.stdout))
}

/// Reads `0 16384 linear 252:32 2048`.
fn start_in(table: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(table).ok()?;
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next()?.split_whitespace().collect();
    let ["0", _size, "linear", _disk, start] = words.as_slice() else {
        return None;
    };
    if lines.next().is_some() {
        return None;
    }
    start.parse::<u64>().ok()?.checked_mul(UNIT)
}

/// Makes, changes or removes the device of a partition. `known` gives the names of those that are there.
pub(super) fn tell(
    runner: &dyn Runner,
    disk: &MappedDisk,
    known: &[(u32, String)],
    news: Tell,
) -> Result<(), TableError> {
    let run = |operation: String, args: Vec<String>| {
        runner
            .run(&Invocation::new(Tool::Dmsetup, args))
            .map(drop)
            .map_err(|error| TableError::new(operation, &disk.node, std::io::Error::other(error)))
    };
    let name_of = |number: u32| {
        let named = known.iter().find(|(known, _)| *known == number);
        named.map_or_else(
            || names::of_partition(&disk.name, number),
            |(_, name)| name.clone(),
        )
    };
    let table = |part: KernelPartition| {
        let (major, minor) = disk.number;
        let (size, start) = (part.size / UNIT, part.start / UNIT);
        format!("0 {size} linear {major}:{minor} {start}")
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match news {
        Tell::Delete(number) => run(
            format!("remove the device of partition {number} of"),
            words(&["remove", "--retry", "--", &name_of(number)]),
        ),
        Tell::Resize(part) => {
            let operation = format!("change the size of the device of partition {} of", part.number);
            let name = name_of(part.number);
            run(
                operation.clone(),
                words(&["reload", "--table", &table(part), "--", &name]),
            )?;
            run(operation, words(&["resume", "--", &name]))
        }
        Tell::Add(part) => {
            let uuid = format!("part{}-{}", part.number, disk.uuid);
            run(
                format!("make a device for partition {} of", part.number),
                words(&[
                    "create",
                    "--uuid",
                    &uuid,
                    "--table",
                    &table(part),
                    "--",
                    &name_of(part.number),
                ]),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::runner::FakeRunner;

    #[test]
    fn where_they_begin() {
        for (table, start) in [
            ("0 16384 linear 252:32 2048\n", Some(1 << 20)),
            ("0 16384 linear 252:32 0\n", Some(0)),
            ("0 8 linear 252:32 2048\n8 8 linear 252:48 0\n", None),
            ("0 16384 crypt aes-xts-plain64 :64:logon:x 0 252:1 32768\n", None),
            ("0 16384 linear 252:32 36028797018963968\n", None),
            ("", None),
        ] {
            assert_eq!(start_in(table.as_bytes()), start, "{table}");
        }
    }

    #[test]
    fn what_is_run() {
        let disk = MappedDisk {
            node: "/dev/dm-0".to_owned(),
            name: "mpath0".to_owned(),
            uuid: "mpath-3600".to_owned(),
            number: (253, 0),
        };
        let part = |number| KernelPartition {
            number,
            start: 2 << 20,
            size: 1 << 20,
        };
        let runner = FakeRunner::new();
        let known = [(2, "mpath0-part2".to_owned())];
        for news in [
            Tell::Delete(2),
            Tell::Delete(3),
            Tell::Resize(part(2)),
            Tell::Add(part(4)),
        ] {
            tell(&runner, &disk, &known, news).unwrap();
        }
        assert_eq!(
            runner.commands(),
            [
                "dmsetup remove --retry -- mpath0-part2",
                "dmsetup remove --retry -- mpath0p3",
                "dmsetup reload --table '0 2048 linear 253:0 4096' -- mpath0-part2",
                "dmsetup resume -- mpath0-part2",
                "dmsetup create --uuid part4-mpath-3600 --table '0 2048 linear 253:0 4096' -- mpath0p4",
            ]
        );
        let deaf = FakeRunner::new().fail(1, "Device or resource busy");
        let error = tell(&deaf, &disk, &known, Tell::Delete(2)).unwrap_err();
        assert_eq!(
            crate::report::chain(&error),
            "cannot remove the device of partition 2 of /dev/dm-0: `dmsetup remove --retry -- mpath0-part2` failed with exit code 1: Device or resource busy"
        );
    }
}
