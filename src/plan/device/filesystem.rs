//! Making a filesystem (spec/disks.md 5).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::super::Change;
use crate::sys::{Invocation, Tool};
use crate::view::{DeviceOverlay, Devices, Signature, ViewError, names};

/// `format` of a filesystem that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `btrfs`
    Btrfs,
    /// `ext4`
    Ext4,
    /// `xfs`
    Xfs,
    /// `vfat`
    Vfat,
    /// `swap`
    Swap,
    /// `none`: only wiped
    None,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Btrfs,
        Self::Ext4,
        Self::Xfs,
        Self::Vfat,
        Self::Swap,
        Self::None,
    ];

    /// As the config has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Vfat => "vfat",
            Self::Swap => "swap",
            Self::None => "none",
        }
    }

    /// The type that blkid finds once it is made; empty for `none`.
    pub fn signature(self) -> &'static str {
        match self {
            Self::None => "",
            other => other.name(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not a format that can be made. The config's rules let none through.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a format; formats are ext4, btrfs, xfs, vfat, swap and none")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// Wipes what is on a device and makes a filesystem. Those of different devices are made side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MakeFilesystem {
    /// The device as the config names it
    pub device: String,
    /// Its node
    pub node: String,
    /// What is made
    pub format: Format,
    /// Label; `Some("")` is passed on, too
    pub label: Option<String>,
    /// UUID in its canonical form ([`canonical_uuid`])
    pub uuid: Option<String>,
    /// The config's own arguments of mkfs; they come first
    pub options: Vec<String>,
}

impl MakeFilesystem {
    /// `wipefs`, then the format's own program.
    pub fn commands(&self) -> Vec<Invocation> {
        let mut commands = vec![Invocation::new(Tool::Wipefs, ["-a", &self.node])];
        let (tool, force, uuid, label) = match self.format {
            Format::Btrfs => (Tool::MkfsBtrfs, Some("--force"), "-U", "-L"),
            Format::Ext4 => (Tool::MkfsExt4, Some("-F"), "-U", "-L"),
            Format::Xfs => (Tool::MkfsXfs, Some("-f"), "-m", "-L"),
            Format::Vfat => (Tool::MkfsFat, None, "-i", "-n"),
            Format::Swap => (Tool::Mkswap, Some("-f"), "-U", "-L"),
            Format::None => return commands,
        };
        let mut args = self.options.clone();
        args.extend(force.map(str::to_owned));
        if let Some(value) = &self.uuid {
            args.push(uuid.to_owned());
            args.push(match self.format {
                Format::Xfs => format!("uuid={value}"),
                _ => value.clone(),
            });
        }
        if let Some(value) = &self.label {
            args.push(label.to_owned());
            args.push(value.clone());
        }
        args.push(self.node.clone());
        commands.push(Invocation::new(tool, args));
        commands
    }

    /// The links that follow from what the config says of it.
    pub fn links(&self) -> Vec<String> {
        let found = self.signature();
        let links = [names::by_label(&found.label), names::by_uuid(&found.uuid)];
        match self.format {
            Format::None => Vec::new(),
            _ => links.into_iter().flatten().collect(),
        }
    }

    /// What blkid finds on the device afterwards. A UUID that nobody asked for is known once it is made.
    fn signature(&self) -> Signature {
        Signature {
            kind: self.format.signature().to_owned(),
            uuid: printed_uuid(self.format, self.uuid.as_deref().unwrap_or_default()),
            label: self.label.clone().unwrap_or_default(),
            ..Signature::default()
        }
    }

    pub(super) fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        let links = |signature: &Signature| {
            [names::by_label(&signature.label), names::by_uuid(&signature.uuid)]
                .into_iter()
                .flatten()
        };
        // What may not be read leaves links that lead to it; they stay as they are.
        let before = overlay.signature(&self.node).unwrap_or_default();
        for link in links(&before) {
            if overlay
                .device(&link)?
                .is_some_and(|found| found.node == self.node)
            {
                overlay.put_path(&link, None);
            }
        }
        // A disk that becomes a filesystem has no partitions any more.
        for partition in overlay.partitions(&self.node)? {
            overlay.remove_device(&partition.node);
        }
        let after = self.signature();
        overlay.put_signature(&self.node, after.clone());
        for link in links(&after) {
            overlay.put_path(&link, Some(&self.node));
        }
        Ok(())
    }

    pub(super) fn check(
        &self,
        change: &Change,
        devices: &dyn Devices,
    ) -> Result<Result<(), String>, ViewError> {
        if let Err(problem) = super::check_unused(&self.node, devices)? {
            return Ok(Err(problem));
        }
        super::check_said(&self.node, change, devices)
    }

    /// Format, label and UUID in words.
    pub fn details(&self) -> String {
        let mut parts = vec![self.format.name().to_owned()];
        parts.extend(self.label.as_ref().map(|label| format!("label {label:?}")));
        parts.extend(self.uuid.as_ref().map(|uuid| format!("uuid {uuid}")));
        if self.node != self.device {
            parts.push(format!("on {}", self.node));
        }
        parts.join(", ")
    }
}

/// A UUID as it is compared and passed on: lower case; of vfat without the dash in its middle.
pub fn canonical_uuid(format: Format, uuid: &str) -> String {
    let mut uuid = uuid.to_lowercase();
    if format == Format::Vfat && uuid.as_bytes().get(4) == Some(&b'-') {
        uuid.remove(4);
    }
    uuid
}

/// A canonical UUID as blkid prints it: vfat's in upper case, with a dash in its middle.
fn printed_uuid(format: Format, uuid: &str) -> String {
    match (format, uuid.split_at_checked(4)) {
        (Format::Vfat, Some((high, low))) => format!("{high}-{low}").to_uppercase(),
        _ => uuid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fake_devices::FakeDevices;

    fn made(format: Format, label: Option<&str>, uuid: Option<&str>, options: &str) -> Vec<String> {
        let action = MakeFilesystem {
            device: "/dev/disk/by-partlabel/x".to_owned(),
            node: "/dev/vda1".to_owned(),
            format,
            label: label.map(str::to_owned),
            uuid: uuid.map(str::to_owned),
            options: options.split_whitespace().map(str::to_owned).collect(),
        };
        action.commands().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn command_lines_are_those_of_the_spec() {
        let uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4";
        let table = [
            (
                Format::Btrfs,
                Some("d"),
                Some(uuid),
                "-m dup",
                Some(format!("mkfs.btrfs -m dup --force -U {uuid} -L d /dev/vda1")),
            ),
            (
                Format::Ext4,
                None,
                None,
                "-b 1024",
                Some("mkfs.ext4 -b 1024 -F /dev/vda1".to_owned()),
            ),
            (
                Format::Ext4,
                Some(""),
                Some(uuid),
                "",
                Some(format!("mkfs.ext4 -F -U {uuid} -L '' /dev/vda1")),
            ),
            (
                Format::Xfs,
                Some("x"),
                Some(uuid),
                "",
                Some(format!("mkfs.xfs -f -m uuid={uuid} -L x /dev/vda1")),
            ),
            (
                Format::Vfat,
                Some("EFI"),
                Some("2e24ec82"),
                "-F 32",
                Some("mkfs.fat -F 32 -i 2e24ec82 -n EFI /dev/vda1".to_owned()),
            ),
            (
                Format::Swap,
                Some("s"),
                None,
                "",
                Some("mkswap -f -L s /dev/vda1".to_owned()),
            ),
            (
                Format::Swap,
                None,
                Some(uuid),
                "",
                Some(format!("mkswap -f -U {uuid} /dev/vda1")),
            ),
            (Format::None, None, None, "", None),
        ];
        for (format, label, uuid, options, mkfs) in table {
            let mut want = vec!["wipefs -a /dev/vda1".to_owned()];
            want.extend(mkfs);
            assert_eq!(made(format, label, uuid, options), want, "{format}");
        }
    }

    #[test]
    fn uuids_are_compared_in_one_form() {
        for (format, given, want) in [
            (Format::Ext4, "AB-CD", "ab-cd"),
            (Format::Vfat, "2E24-EC82", "2e24ec82"),
            (Format::Vfat, "2e24ec82", "2e24ec82"),
            (Format::Vfat, "2-e24", "2-e24"),
            (Format::Xfs, "2E24-EC82", "2e24-ec82"),
            (Format::Vfat, "é", "é"),
        ] {
            assert_eq!(canonical_uuid(format, given), want);
        }
    }

    #[test]
    fn the_effect_is_what_blkid_and_udev_see() {
        let base = FakeDevices::new()
            .disk("/dev/vda", 1 << 30)
            .partition("/dev/vda", 1, 1 << 20, 1 << 20)
            .disk("/dev/vdb", 1 << 30)
            .signature("/dev/vdb", "ext4", "u", "old name")
            .link("/dev/disk/by-label/old\\x20name", "/dev/vdb")
            .link("/dev/disk/by-uuid/u", "/dev/vda1");
        let mut overlay = DeviceOverlay::new(&base);
        let make = |node: &str, format, label: &str, uuid: &str| MakeFilesystem {
            device: node.to_owned(),
            node: node.to_owned(),
            format,
            label: Some(label.to_owned()),
            uuid: Some(uuid.to_owned()),
            options: Vec::new(),
        };
        make("/dev/vdb", Format::Vfat, "new name", "2e24ec82")
            .predict(&mut overlay)
            .unwrap();
        make("/dev/vda", Format::Ext4, "", "ab-cd")
            .predict(&mut overlay)
            .unwrap();
        let node = |path: &str| overlay.device(path).unwrap().map(|device| device.node);
        assert_eq!(node("/dev/disk/by-label/old\\x20name"), None);
        assert_eq!(
            node("/dev/disk/by-label/new\\x20name").as_deref(),
            Some("/dev/vdb")
        );
        assert_eq!(node("/dev/disk/by-uuid/2E24-EC82").as_deref(), Some("/dev/vdb"));
        assert_eq!(node("/dev/disk/by-uuid/ab-cd").as_deref(), Some("/dev/vda"));
        assert_eq!(
            node("/dev/vda1"),
            None,
            "a disk with a filesystem has no partitions"
        );
        let signature = overlay.signature("/dev/vdb").unwrap();
        assert_eq!(
            (signature.kind.as_str(), signature.uuid.as_str()),
            ("vfat", "2E24-EC82")
        );
    }

    #[test]
    fn formats_by_name() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("zfs".parse::<Format>().is_err());
    }
}
