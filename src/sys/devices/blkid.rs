//! What `blkid -p` says about a device (spec/disks.md 1.5). It reads the device itself, and never writes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;

use crate::sys::runner::{Ended, Invocation, RunError, Runner};
use crate::sys::tool::Tool;
use crate::view::{Signature, ViewError, names};

/// Nothing was found.
const NOTHING: i32 = 2;

/// Several signatures fit.
const AMBIVALENT: i32 = 8;

/// Everything that is asked of blkid's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Type, UUID, label, partition table
    pub(super) signature: Signature,
    /// `filesystem`, `raid`, `crypto`, `other`; empty: nothing was found
    usage: String,
    /// Which table the device is a partition of: `gpt`, `dos`; empty: none
    scheme: String,
    /// Its name there
    name: String,
    /// Its GUID there
    guid: String,
}

/// A part of a file: where it begins and how long it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) size: u64,
}

impl Found {
    /// The same, on a partition of a GPT with this name and GUID. blkid cannot tell that of a part of a file.
    pub(super) fn in_gpt(self, name: String, guid: &str) -> Self {
        Self {
            scheme: "gpt".to_owned(),
            name,
            guid: guid.to_ascii_lowercase(),
            ..self
        }
    }

    /// The links that udev's rules for storage make from this.
    pub(super) fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        if matches!(self.usage.as_str(), "filesystem" | "other" | "crypto") {
            links.extend(names::by_uuid(&self.signature.uuid));
            links.extend(names::by_label(&self.signature.label));
        }
        links.extend(names::by_partuuid(&self.guid));
        if self.scheme == "gpt" {
            links.extend(names::by_partlabel(&self.name));
        }
        links
    }
}

/// Reads the output of `blkid -p -o export`: a line `KEY=value` each, values with backslashes before what a shell
/// would take for its own.
///
/// A label may hold a line feed, which blkid prints as it is, so that it can look like another line. What the device
/// really has comes after it and counts.
pub(super) fn parse(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (key, value) = line.split_at(at);
        let value = unescape(value.get(1..).unwrap_or_default());
        let signature = &mut found.signature;
        match key {
            b"TYPE" => signature.kind = value,
            b"UUID" => signature.uuid = value,
            b"LABEL" => signature.label = value,
            b"PTTYPE" => signature.table = value,
            b"USAGE" => found.usage = value,
            b"PART_ENTRY_SCHEME" => found.scheme = value,
            b"PART_ENTRY_NAME" => found.name = value,
            b"PART_ENTRY_UUID" => found.guid = value,
            _ => {}
        }
    }
    found
}

fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.extend(rest.next()),
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks what is on a device.
///
/// If several signatures fit, the first type in blkid's own order counts, as in upstream's second, plain probe: each type
/// is then asked for by itself.
pub(super) fn probe(runner: &dyn Runner, node: &str) -> Result<Found, ViewError> {
    probe_part(runner, node, None)
}

/// Asks what is on a device, or on a part of it or of a file.
pub(super) fn probe_part(runner: &dyn Runner, node: &str, part: Option<Part>) -> Result<Found, ViewError> {
    // blkid's exit code does not tell what may not be read from what is blank.
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(node)
        .map_err(|source| ViewError::Io {
            operation: "read",
            path: node.to_owned(),
            source,
        })?;
    match ask(runner, node, part, None)? {
        Answer::Found(found) => Ok(found),
        Answer::Nothing => Ok(Found::default()),
        Answer::Ambivalent => first_of_several(runner, node, part),
    }
}

enum Answer {
    Found(Found),
    Nothing,
    Ambivalent,
}

fn ask(runner: &dyn Runner, node: &str, part: Option<Part>, kind: Option<&str>) -> Result<Answer, ViewError> {
    let mut args: Vec<String> = ["-p", "-o", "export"].map(str::to_owned).into();
    if let Some(Part { start, size }) = part {
        args.extend(["--offset".to_owned(), start.to_string()]);
        args.extend(["--size".to_owned(), size.to_string()]);
    }
    args.extend(
        kind.map(|kind| ["-n".to_owned(), kind.to_owned()])
            .into_iter()
            .flatten(),
    );
    args.push(node.to_owned());
    match runner.run(&Invocation::new(Tool::Blkid, args)) {
        Ok(output) => Ok(Answer::Found(parse(&output.stdout))),
        Err(RunError::Failed {
            ended: Ended::Code(NOTHING),
            ..
        }) => Ok(Answer::Nothing),
        Err(RunError::Failed {
            ended: Ended::Code(AMBIVALENT),
            ..
        }) => Ok(Answer::Ambivalent),
        Err(error) => Err(ViewError::Program {
            program: Tool::Blkid.name(),
            problem: crate::report::chain(&error),
        }),
    }
}

fn first_of_several(runner: &dyn Runner, node: &str, part: Option<Part>) -> Result<Found, ViewError> {
    let known = runner
        .run(&Invocation::new(Tool::Blkid, ["-k"]))
        .map_err(|error| ViewError::Program {
            program: Tool::Blkid.name(),
            problem: crate::report::chain(&error),
        })?;
    for kind in String::from_utf8_lossy(&known.stdout).split_whitespace() {
        if let Answer::Found(mut found) = ask(runner, node, part, Some(kind))?
            && !found.signature.is_blank()
        {
            found.signature.ambivalent = true;
            tracing::warn!(
                "{node}: several types fit, taking it for {}; wipefs {node} shows them all",
                found.signature.kind
            );
            return Ok(found);
        }
    }
    Err(ViewError::Program {
        program: Tool::Blkid.name(),
        problem: format!("it finds several signatures on {node}, and none of them alone"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::runner::FakeRunner;

    /// As blkid of util-linux 2.38 prints it.
    #[test]
    fn outputs() {
        let ext4 = parse(
            b"DEVNAME=/dev/loop0\nLABEL=my\\ label\\'x\nUUID=fbca7c02-9d7c-46fb-8011-3105e9956049\nVERSION=1.0\n\
              BLOCK_SIZE=1024\nTYPE=ext4\nUSAGE=filesystem\nPART_ENTRY_SCHEME=gpt\nPART_ENTRY_NAME=a\\ b\n\
              PART_ENTRY_UUID=94ff4025-5276-4bec-adea-e98da271b64c\nPART_ENTRY_NUMBER=1\n",
        );
        assert_eq!(ext4.signature.label, "my label'x");
        assert_eq!(ext4.signature.kind, "ext4");
        assert_eq!(
            ext4.links(),
            [
                "/dev/disk/by-uuid/fbca7c02-9d7c-46fb-8011-3105e9956049",
                "/dev/disk/by-label/my\\x20label\\x27x",
                "/dev/disk/by-partuuid/94ff4025-5276-4bec-adea-e98da271b64c",
                "/dev/disk/by-partlabel/a\\x20b",
            ]
        );
        let vfat = parse(
            b"DEVNAME=t\nSEC_TYPE=msdos\nLABEL_FATBOOT=x\nLABEL=a\\\"\\$\\`\\\\b\nUUID=2E24-EC82\nTYPE=vfat\nUSAGE=filesystem\n",
        );
        assert_eq!(vfat.signature.label, "a\"$`\\b");
        let disk = parse(b"DEVNAME=g\nPTUUID=5b1a2402-c603-6649-9a1a-32f0c89a37be\nPTTYPE=gpt\n");
        assert!(disk.signature.is_blank());
        assert_eq!(disk.signature.table, "gpt");
        assert_eq!(disk.links(), Vec::<String>::new());
        let raid = parse(b"UUID=a\nUUID_SUB=b\nLABEL=host:x\nTYPE=linux_raid_member\nUSAGE=raid\n");
        assert_eq!(
            raid.links(),
            Vec::<String>::new(),
            "members of arrays have no such links"
        );
        assert_eq!(raid.signature.uuid, "a");
        assert_eq!(parse(b""), Found::default());
    }

    #[test]
    fn a_label_does_not_forge_a_type() {
        let found = parse(b"LABEL=x\nTYPE=swap\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n");
        assert_eq!(found.signature.kind, "ext4");
        assert_eq!(
            parse(b"LABEL=x\ny\xff\nTYPE=ext4\n").signature.label,
            "x",
            "the rest of the line is lost"
        );
    }

    #[test]
    fn exit_codes() {
        let blank = FakeRunner::new().fail(2, "");
        assert_eq!(probe(&blank, "/dev/null").unwrap(), Found::default());
        assert_eq!(blank.commands(), ["blkid -p -o export /dev/null"]);
        let broken = FakeRunner::new().fail(4, "no such thing");
        let error = probe(&broken, "/dev/null").unwrap_err();
        assert!(crate::report::chain(&error).contains("no such thing"), "{error}");
        let part = Part {
            start: 1 << 20,
            size: 4096,
        };
        let blank = FakeRunner::new().fail(2, "");
        let found = probe_part(&blank, "/dev/null", Some(part)).unwrap();
        assert_eq!(
            blank.commands(),
            ["blkid -p -o export --offset 1048576 --size 4096 /dev/null"]
        );
        let found = found.in_gpt("a b".to_owned(), "94FF");
        assert_eq!(
            found.links(),
            ["/dev/disk/by-partuuid/94ff", "/dev/disk/by-partlabel/a\\x20b"]
        );
        let several = FakeRunner::new()
            .fail(8, "ambivalent")
            .succeed(b"vfat\next4\nbtrfs\n")
            .fail(2, "")
            .succeed(b"UUID=u\nTYPE=ext4\n");
        let found = probe(&several, "/dev/null").unwrap();
        assert!(found.signature.ambivalent);
        assert_eq!(found.signature.kind, "ext4");
        assert_eq!(several.commands()[3], "blkid -p -o export -n ext4 /dev/null");
        let error = probe(&FakeRunner::new(), "/dev/none").unwrap_err();
        assert!(matches!(error, ViewError::Io { .. }));
    }

    proptest::proptest! {
        #[test]
        fn any_output_is_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            parse(&bytes);
        }
    }
}
