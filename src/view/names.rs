//! The names that udev gives to devices: what is on a device decides which links lead to it.

/// A value as udev writes it into a link's name (`blkid_encode_string`): letters, digits, `#+-.:=@_` and what is not
/// ASCII stay, every other byte becomes `\xNN`.
pub fn encoded(value: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(value.len());
    for letter in value.chars() {
        if letter.is_ascii_alphanumeric() || "#+-.:=@_".contains(letter) || !letter.is_ascii() {
            name.push(letter);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "\\x{:02x}", u32::from(letter));
        }
    }
    name
}

/// The link that a filesystem's label makes; `None` for an empty one.
pub fn by_label(label: &str) -> Option<String> {
    link("by-label", label)
}

/// The link that a filesystem's UUID makes.
pub fn by_uuid(uuid: &str) -> Option<String> {
    link("by-uuid", uuid)
}

/// The link that a partition's name makes.
pub fn by_partlabel(name: &str) -> Option<String> {
    link("by-partlabel", name)
}

/// The link that a partition's GUID makes, given in lower case as udev has it.
pub fn by_partuuid(guid: &str) -> Option<String> {
    link("by-partuuid", guid)
}

/// The name of a partition: of a disk that is named by a link of udev's `/dev/disk/NAME-part1`, else as the kernel has it.
pub fn of_partition(disk: &str, number: u32) -> String {
    if disk.starts_with("/dev/disk/") {
        return format!("{disk}-part{number}");
    }
    let digit = disk.ends_with(|last: char| last.is_ascii_digit());
    format!("{disk}{}{number}", if digit { "p" } else { "" })
}

fn link(kind: &str, value: &str) -> Option<String> {
    (!value.is_empty()).then(|| format!("/dev/disk/{kind}/{}", encoded(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expectations are what `blkid -p -o udev` printed as `ID_FS_LABEL_ENC` for these labels.
    #[test]
    fn names_are_those_of_udev() {
        for (label, name) in [
            ("ROOT", "ROOT"),
            ("my label'x", "my\\x20label\\x27x"),
            ("a\"$`\\b", "a\\x22\\x24\\x60\\x5cb"),
            ("x\nyé", "x\\x0ayé"),
            ("a/b", "a\\x2fb"),
            ("#+-.:=@_", "#+-.:=@_"),
        ] {
            assert_eq!(encoded(label), name);
        }
        assert_eq!(by_label("a b").as_deref(), Some("/dev/disk/by-label/a\\x20b"));
        assert_eq!(by_uuid(""), None);
        assert_eq!(of_partition("mpath0", 9), "mpath0p9");
    }

    #[test]
    fn partitions_are_named_after_their_disk() {
        for (disk, partition) in [
            ("/dev/vda", "/dev/vda9"),
            ("/dev/nvme0n1", "/dev/nvme0n1p9"),
            ("/dev/disk/by-id/ata-x0", "/dev/disk/by-id/ata-x0-part9"),
        ] {
            assert_eq!(of_partition(disk, 9), partition);
        }
    }
}
