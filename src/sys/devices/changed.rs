//! What udev is to know of a device that was changed, and what it has written down (`/run/udev/data`).

use std::fs;
use std::path::Path;

use crate::view::names;

/// A device that was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Its node
    pub node: String,
    /// Links that follow from what it holds now, as far as that is known
    pub links: Vec<String>,
    /// Its entry in the table of its disk, if that is what has changed
    pub entry: Option<Entry>,
    /// Whether the kernel was just told of it, so that it has told udev
    pub is_new: bool,
}

impl Changed {
    /// A device of which nothing else is known.
    pub fn node(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            ..Self::default()
        }
    }
}

/// A partition by the table of its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its GUID
    pub guid: String,
    /// Its type
    pub type_guid: String,
    /// Its label
    pub label: String,
    /// Where it begins, in bytes
    pub start: u64,
    /// Its size in bytes
    pub size: u64,
}

/// What udev has written down about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record(Vec<u8>);

impl Record {
    /// `None` if udev has not dealt with the device.
    pub(super) fn read(run: &Path, number: u64) -> Option<Self> {
        let (major, minor) = (libc::major(number), libc::minor(number));
        let bytes = fs::read(run.join(format!("udev/data/b{major}:{minor}"))).ok()?;
        Some(Self(bytes))
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'\n')
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        self.lines().find_map(|line| {
            line.strip_prefix(b"E:")?
                .strip_prefix(key.as_bytes())?
                .strip_prefix(b"=")
        })
    }

    /// The links that the device asks for.
    pub(super) fn links(&self) -> impl Iterator<Item = String> {
        self.lines()
            .filter_map(|line| line.strip_prefix(b"S:"))
            .map(|name| format!("/dev/{}", String::from_utf8_lossy(name)))
    }

    /// Whether udev hands the device on to systemd. A wait for the unit of one that it does not would be in vain.
    pub(super) fn is_for_systemd(&self) -> bool {
        self.lines().any(|line| line == b"G:systemd") && self.value("SYSTEMD_READY") != Some(b"0")
    }

    /// Whether it was written with this entry in the table, and after all the links that it names were made. Rules without
    /// blkid write down none of this.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        let is = |key, wanted: String| self.value(key) == Some(wanted.as_bytes());
        let name = self.value("ID_PART_ENTRY_NAME").unwrap_or_default();
        is("ID_PART_ENTRY_UUID", entry.guid.to_ascii_lowercase())
            && is("ID_PART_ENTRY_TYPE", entry.type_guid.to_ascii_lowercase())
            && is("ID_PART_ENTRY_OFFSET", (entry.start / 512).to_string())
            && is("ID_PART_ENTRY_SIZE", (entry.size / 512).to_string())
            && name == names::encoded(&entry.label).as_bytes()
            // udev since 258, while it deals with an event
            && self.value("ID_PROCESSING").is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_udev_hands_on() {
        for (record, expected) in [
            (
                "S:disk/by-label/x\nI:1\nE:ID_FS_TYPE=ext4\nG:systemd\nQ:systemd\nV:1\n",
                true,
            ),
            ("I:1\nE:SYSTEMD_READY=0\nG:systemd\n", false),
            ("I:1\nE:ID_FS_LABEL=G:systemd\n", false),
            ("", false),
        ] {
            assert_eq!(Record::of(record).is_for_systemd(), expected, "{record}");
        }
    }

    #[test]
    fn what_a_device_asks_for() {
        let record = Record::of("S:disk/by-label/RO\\x20OT\nI:1\nE:X=S:disk/by-label/x\nS:md/x\n");
        assert_eq!(
            record.links().collect::<Vec<_>>(),
            ["/dev/disk/by-label/RO\\x20OT", "/dev/md/x"]
        );
    }

    #[test]
    fn whose_record_it_is() {
        let entry = Entry {
            guid: "B8455400-AE41-4F7C-9FFE-A80FBD881957".to_owned(),
            type_guid: "0FC63DAF-8483-4772-8E79-3D69D8477DE4".to_owned(),
            label: "a b".to_owned(),
            start: 1 << 20,
            size: 40 << 20,
        };
        // As udev of systemd 252 writes it.
        let text = "S:disk/by-partlabel/a\\x20b\nI:40797829\nE:ID_PART_ENTRY_SCHEME=gpt\nE:ID_PART_ENTRY_NAME=a\\x20b\n\
                    E:ID_PART_ENTRY_UUID=b8455400-ae41-4f7c-9ffe-a80fbd881957\n\
                    E:ID_PART_ENTRY_TYPE=0fc63daf-8483-4772-8e79-3d69d8477de4\nE:ID_PART_ENTRY_NUMBER=1\n\
                    E:ID_PART_ENTRY_OFFSET=2048\nE:ID_PART_ENTRY_SIZE=81920\nE:ID_PART_ENTRY_DISK=8:0\nG:systemd\nV:1\n";
        assert!(Record::of(text).is_of(&entry));
        for (from, to) in [
            ("b8455400", "b8455401"),
            ("0fc63daf", "0fc63dae"),
            ("=2048", "=4096"),
            ("=81920", "=8192"),
            ("NAME=a\\x20b", "NAME=a"),
            ("E:ID_PART_ENTRY_NAME=a\\x20b\n", ""),
            ("V:1", "E:ID_PROCESSING=1"),
            ("E:ID_PART_ENTRY_UUID", "E:ID_PART_UUID"),
        ] {
            assert!(text.contains(from));
            assert!(!Record::of(&text.replace(from, to)).is_of(&entry), "{from}");
        }
        let nameless = Entry {
            label: String::new(),
            ..entry
        };
        assert!(!Record::of(text).is_of(&nameless));
        assert!(Record::of(&text.replace("E:ID_PART_ENTRY_NAME=a\\x20b\n", "")).is_of(&nameless));
    }
}
