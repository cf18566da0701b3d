//! Names of systemd's device units (spec/disks.md 1.1).

/// The device unit of a path: `/dev/disk/by-label/ROOT` is `dev-disk-by\x2dlabel-ROOT.device`. Slashes that do not
/// separate anything are dropped.
pub(super) fn device_unit(path: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(path.len() + 7);
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push('-');
        }
        for byte in part.bytes() {
            let plain = byte.is_ascii_alphanumeric()
                || matches!(byte, b':' | b'_')
                // A unit's name does not begin with a dot.
                || (byte == b'.' && !name.is_empty());
            if plain {
                name.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    if name.is_empty() {
        name.push('-');
    }
    name.push_str(".device");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 9] = [
        "/dev/vda9",
        "/dev/disk/by-label/ROOT",
        "/dev/disk/by-label/my\\x20label",
        "/dev//disk/by-partlabel/a.b:c_d/",
        "/dev/mapper/x@y+z",
        "/.hidden/.too",
        "/",
        "/dev/disk/by-label/é",
        "/dev/disk/by-id/scsi-0HC_Volume_1#2=3,4",
    ];

    #[test]
    fn names_of_units() {
        assert_eq!(
            device_unit("/dev/disk/by-label/ROOT"),
            "dev-disk-by\\x2dlabel-ROOT.device"
        );
        assert_eq!(
            device_unit("/dev/disk/by-label/a\\x20b"),
            "dev-disk-by\\x2dlabel-a\\x5cx20b.device"
        );
        assert_eq!(device_unit("/.hidden/.too"), "\\x2ehidden-.too.device");
    }

    #[test]
    fn they_are_those_of_systemd() {
        let said = std::process::Command::new("systemd-escape")
            .args(["--path", "--suffix=device", "--"])
            .args(PATHS)
            .output();
        let Ok(said) = said else {
            eprintln!("skipped: systemd-escape is not installed");
            return;
        };
        let said = String::from_utf8(said.stdout).unwrap();
        let ours: Vec<String> = PATHS.iter().map(|path| device_unit(path)).collect();
        // It prints them in one line.
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ours);
    }
}
