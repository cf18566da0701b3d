//! Names of partition types, for people.

use super::Guid;

/// The types that are met where Ignition runs: (GUID, name). From the UEFI specification, the Discoverable Partitions Specification
/// and Flatcar's disk layout.
const NAMES: &[(&str, &str)] = &[
    ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EFI system"),
    ("21686148-6449-6E6F-744E-656564454649", "BIOS boot"),
    ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "Linux filesystem"),
    ("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "Linux swap"),
    ("A19D880F-05FC-4D3B-A006-743F0F84911E", "Linux RAID"),
    ("E6D6D379-F507-44C2-A23C-238F2A3DF928", "Linux LVM"),
    ("CA7D7CCB-63ED-4C53-861C-1742536059CC", "LUKS"),
    ("8DA63339-0007-60C0-C436-083AC8230908", "Linux reserved"),
    ("BC13C2FF-59E6-4262-A352-B275FD6F7172", "Linux boot"),
    ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "Linux root (x86-64)"),
    ("B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "Linux root (arm64)"),
    ("933AC7E1-2EB4-4F13-B844-0E14E2AEF915", "Linux home"),
    ("3B8F8425-20E0-4F3B-907F-1A25A76F98E8", "Linux srv"),
    ("4D21B016-B534-45C2-A9FB-5C16E091FD2D", "Linux var"),
    ("8484680C-9521-48C6-9C11-B0720656F69E", "Linux usr (x86-64)"),
    ("9E1A2D38-C612-4316-AA26-8B49521E5A8B", "PReP boot"),
    ("E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "Microsoft reserved"),
    ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "Microsoft data"),
    ("5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6", "Flatcar usr"),
    ("3884DD41-8582-4404-B9A8-E9B84F2DF50E", "Flatcar root (resize)"),
    ("C95DC21A-DF0E-4340-8D7B-26CBFA9A03E0", "Flatcar reserved"),
    ("BE9067B9-EA49-4F15-B4F6-F36F8C9E1818", "Flatcar root on RAID"),
];

/// What people call this type, if it is known.
pub fn type_name(guid: Guid) -> Option<&'static str> {
    let text = guid.to_string();
    NAMES
        .iter()
        .find(|(known, _)| *known == text)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guid_is_one_and_stands_once() {
        for (position, (text, name)) in NAMES.iter().enumerate() {
            let guid: Guid = text.parse().unwrap();
            assert_eq!(type_name(guid), Some(*name));
            assert!(
                NAMES[position + 1..].iter().all(|(other, _)| other != text),
                "{text}"
            );
        }
        assert_eq!(type_name(Guid::ZERO), None);
    }
}
