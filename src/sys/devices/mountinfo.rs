//! `/proc/self/mountinfo` and `/proc/swaps` as data.

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Device number of the filesystem; major 0 is none of a block device
    pub(super) number: (u32, u32),
    /// Which directory of the filesystem
    pub(super) root: String,
    /// Where
    pub(super) target: String,
    /// Options of the mount, then those of the filesystem
    pub(super) options: Vec<String>,
    /// Type of the filesystem
    pub(super) kind: String,
    /// What was given to mount(2)
    pub(super) source: String,
}

/// Reads mountinfo. A line of another form is left out: nothing else can be done about it.
pub(super) fn parse(bytes: &[u8]) -> Vec<Line> {
    bytes.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Line> {
    let mut words = line.split(|byte| *byte == b' ');
    let _id = words.next()?;
    let _parent = words.next()?;
    let number = number(words.next()?)?;
    let root = unescape(words.next()?);
    let target = unescape(words.next()?);
    let mount_options = unescape(words.next()?);
    // Optional fields end with a lone dash.
    words.find(|word| *word == b"-")?;
    let kind = unescape(words.next()?);
    let source = unescape(words.next()?);
    let options = unescape(words.next().unwrap_or_default());
    let split = |text: &str| -> Vec<String> {
        text.split(',')
            .filter(|option| !option.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut all = split(&mount_options);
    for option in split(&options) {
        if !all.contains(&option) {
            all.push(option);
        }
    }
    Some(Line {
        number,
        root,
        target,
        options: all,
        kind,
        source,
    })
}

/// `8:1` as two numbers.
pub(super) fn number(text: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(text).ok()?.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The files and devices of `/proc/swaps`, whose first line is a heading.
pub(super) fn swaps(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| line.split(u8::is_ascii_whitespace).next())
        .filter(|name| !name.is_empty())
        .map(unescape)
        .collect()
}

/// The kernel writes blanks, line feeds and backslashes as `\NNN`, octal.
fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let text = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
            30 25 0:27 / /dev/shm rw - tmpfs tmpfs rw,size=1k\n\
            88 27 0:45 /@home /with\\040space\\134 ro,nosuid shared:5 master:1 - btrfs /dev/vdb3 rw,subvol=/@home\n\
            broken line\n\
            1 2 3:x / / rw - a b c\n";
        let lines = parse(text);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0].number, (254, 0));
        assert_eq!(lines[0].options, ["rw", "relatime", "discard"]);
        assert_eq!(lines[2].target, "/with space\\");
        assert_eq!(lines[2].root, "/@home");
        assert_eq!(
            (lines[2].kind.as_str(), lines[2].source.as_str()),
            ("btrfs", "/dev/vdb3")
        );
    }

    #[test]
    fn swap_spaces() {
        let text = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/vda2                               partition\t1\t0\t-2\n/swap\\040file file 1 0 -3\n";
        assert_eq!(swaps(text), ["/dev/vda2", "/swap file"]);
        assert_eq!(swaps(b"Filename\tType\n"), Vec::<String>::new());
        assert_eq!(swaps(b""), Vec::<String>::new());
    }

    #[test]
    fn escapes() {
        for (text, want) in [
            ("a\\040b", "a b"),
            ("a\\04", "a\\04"),
            ("\\777", "\\777"),
            ("\\\\040", "\\ "),
            ("\\+12", "\\+12"),
        ] {
            assert_eq!(unescape(text.as_bytes()), want);
        }
    }
}
