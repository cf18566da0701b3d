//! LUKS headers, read from the device itself: a plan needs no program for it, and works on an image.
//!
//! The form is that of the LUKS2 On-Disk Format Specification 1.1 and of LUKS1's. Numbers are big endian.

use std::fs::File;
use std::io;

use serde::Deserialize;

use super::read_at::{ReadAt, field, of_file, text};
use crate::view::Volume;

const MAGIC: &[u8] = b"LUKS\xba\xbe";
const SECOND_MAGIC: &[u8] = b"SKUL\xba\xbe";

/// Sizes that a LUKS2 header may have, its JSON included; the second header begins where the first ends.
const SIZES: [u64; 9] = [
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];

/// Size of the binary part of a LUKS2 header.
const BINARY: usize = 4096;

/// The header on a device; `None` if there is none that is whole. Of the two headers of LUKS2 the later one counts, as
/// for cryptsetup. A second header counts also if nothing is left of the first; something else may stand there by
/// then, which is for the caller to see.
pub fn read(read: ReadAt<'_>) -> io::Result<Option<Volume>> {
    let first = read(0, BINARY)?;
    if first.starts_with(MAGIC) && field(&first, 6).map(u16::from_be_bytes) == Some(1) {
        return Ok(first_version(&first));
    }
    let primary = header(read, 0, MAGIC)?;
    let places: &[u64] = match &primary {
        Some(found) => &[found.size],
        None => &SIZES,
    };
    let mut best = primary;
    for place in places {
        let second = header(read, *place, SECOND_MAGIC)?;
        let later = |second: &Header| best.as_ref().is_none_or(|best| second.sequence > best.sequence);
        if second.as_ref().is_some_and(later) {
            best = second;
        }
    }
    Ok(best.map(|header| header.volume))
}

/// The header on the device at a path.
pub fn of_device(node: &str) -> io::Result<Option<Volume>> {
    read(&of_file(&File::open(node)?))
}

fn first_version(bytes: &[u8]) -> Option<Volume> {
    Some(Volume {
        version: 1,
        uuid: text(bytes, 168, 40)?,
        label: String::new(),
        subsystem: String::new(),
        flags: Vec::new(),
    })
}

struct Header {
    size: u64,
    sequence: u64,
    volume: Volume,
}

/// A header of LUKS2 at a place, if it is whole.
fn header(read: ReadAt<'_>, place: u64, magic: &[u8]) -> io::Result<Option<Header>> {
    let start = read(place, 16)?;
    let sound = start.starts_with(magic) && field(&start, 6).map(u16::from_be_bytes) == Some(2);
    let size = field(&start, 8).map(u64::from_be_bytes);
    let (true, Some(size)) = (sound, size.filter(|size| SIZES.contains(size))) else {
        return Ok(None);
    };
    let length = usize::try_from(size).unwrap_or(BINARY);
    let bytes = read(place, length)?;
    Ok(if bytes.len() == length {
        parse(&bytes, place, size)
    } else {
        None
    })
}

fn parse(bytes: &[u8], place: u64, size: u64) -> Option<Header> {
    if u64::from_be_bytes(field(bytes, 256)?) != place || !is_whole(bytes)? {
        return None;
    }
    let json = bytes.get(BINARY..)?;
    let end = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    let metadata = Metadata::parse(json.get(..end)?)?;
    Some(Header {
        size,
        sequence: u64::from_be_bytes(field(bytes, 16)?),
        volume: Volume {
            version: 2,
            uuid: text(bytes, 168, 40)?,
            label: text(bytes, 24, 48)?,
            subsystem: text(bytes, 208, 48)?,
            flags: metadata.config.flags,
        },
    })
}

/// Whether the checksum fits. Of kinds that cryptsetup does not make itself nothing is known, so those count.
fn is_whole(bytes: &[u8]) -> Option<bool> {
    const AT: usize = 448;
    const LENGTH: usize = 64;
    let given = bytes.get(AT..AT + LENGTH)?;
    let parts = [bytes.get(..AT)?, &[0; LENGTH], bytes.get(AT + LENGTH..)?];
    let digest = match text(bytes, 72, 32)?.as_str() {
        "sha256" => hash::<sha2::Sha256>(parts),
        "sha512" => hash::<sha2::Sha512>(parts),
        _ => return Some(true),
    };
    Some(given.starts_with(&digest))
}

fn hash<D: sha2::Digest>(parts: [&[u8]; 3]) -> Vec<u8> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// What is read of the metadata of LUKS2, which `cryptsetup luksDump --dump-json-metadata` prints, too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    keyslots: std::collections::BTreeMap<String, Keyslot>,
    tokens: std::collections::BTreeMap<String, Token>,
    config: ConfigPart,
}

/// How a keyslot can be opened without asking.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Token {
    #[serde(rename = "type")]
    kind: String,
    keyslots: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigPart {
    flags: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keyslot {
    kdf: Kdf,
}

/// How a key is made slow to guess.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Kdf {
    /// `argon2id`, `argon2i`, `pbkdf2`
    #[serde(rename = "type")]
    pub kind: String,
    /// Memory in KiB; of the argon2 family
    pub memory: Option<u64>,
    /// Passes over it, likewise
    pub time: Option<u64>,
    /// Threads, likewise
    pub cpus: Option<u64>,
    /// Iterations; of pbkdf2
    pub iterations: Option<u64>,
}

impl Metadata {
    /// Reads it; `None` if it is not JSON of this form.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Those of all keys, by keyslot.
    pub fn kdfs(&self) -> impl Iterator<Item = &Kdf> {
        self.keyslots.values().map(|slot| &slot.kdf)
    }

    /// Whether clevis has a key of its own: a token, and a keyslot that it opens.
    pub fn is_bound_by_clevis(&self) -> bool {
        let has_slot = |token: &Token| token.keyslots.iter().any(|slot| self.keyslots.contains_key(slot));
        self.tokens
            .values()
            .any(|token| token.kind == "clevis" && has_slot(token))
    }
}

impl std::fmt::Display for Kdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.kind.is_empty() {
            "no key derivation"
        } else {
            &self.kind
        })?;
        if let Some(memory) = self.memory {
            write!(f, ", {} MiB of memory", memory >> 10)?;
        }
        if let Some(time) = self.time {
            write!(f, ", {time} passes")?;
        }
        if let Some(cpus) = self.cpus {
            write!(f, ", {cpus} threads")?;
        }
        if let Some(iterations) = self.iterations {
            write!(f, ", {iterations} iterations")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::super::read_at::of_bytes;
    use super::*;

    /// A volume made by the real cryptsetup; `None` without one.
    fn volume(args: &[&str]) -> Option<tempfile::NamedTempFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(32 << 20).unwrap();
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "key").unwrap();
        let mut command = Command::new("cryptsetup");
        command
            .args([
                "luksFormat",
                "-q",
                "--pbkdf-force-iterations",
                "1000",
                "--key-file",
            ])
            .arg(key.path())
            .args(args)
            .arg(file.path())
            .stdin(Stdio::null());
        match command.output() {
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => {
                eprintln!("skipped: no cryptsetup: {error}");
                return None;
            }
        }
        Some(file)
    }

    const UUID: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn headers_of_the_real_program() {
        let second = ["--type", "luks2", "--pbkdf", "pbkdf2", "--uuid", UUID];
        for (args, version, label, subsystem) in [
            (vec!["--type", "luks1", "--uuid", UUID], 1, "", ""),
            (second.to_vec(), 2, "", ""),
            (
                [&second[..], &["--label", "data", "--subsystem", "ignition-x"]].concat(),
                2,
                "data",
                "ignition-x",
            ),
            (
                [&second[..], &["--luks2-metadata-size", "1m", "--label", "big"]].concat(),
                2,
                "big",
                "",
            ),
        ] {
            let Some(file) = volume(&args) else { return };
            let found = read(&of_file(file.as_file())).unwrap().unwrap();
            let expected = Volume {
                version,
                uuid: UUID.to_owned(),
                label: label.to_owned(),
                subsystem: subsystem.to_owned(),
                flags: Vec::new(),
            };
            assert_eq!(found, expected, "{args:?}");
        }
    }

    #[test]
    fn the_header_that_is_whole_counts() {
        let args = ["--type", "luks2", "--pbkdf", "pbkdf2", "--label", "data"];
        let Some(file) = volume(&args) else { return };
        let whole = std::fs::read(file.path()).unwrap();
        let label = |bytes: &[u8]| read(&of_bytes(bytes)).unwrap().map(|volume| volume.label);
        let broken = |at: &[usize]| {
            let mut bytes = whole.clone();
            for at in at {
                bytes[*at] ^= 1;
            }
            label(&bytes)
        };
        assert_eq!(label(&whole).as_deref(), Some("data"));
        assert_eq!(broken(&[0]).as_deref(), Some("data"), "the second one is left");
        assert_eq!(broken(&[30]).as_deref(), Some("data"));
        assert_eq!(broken(&[0x4000 + 30]).as_deref(), Some("data"));
        assert_eq!(broken(&[4096 + 5, 0x4000]), None);
        assert_eq!(broken(&[0, 0x4000 + 4096 + 5]), None);
        assert_eq!(label(&whole[..0x3fff]), None);
        assert_eq!(label(&[]), None);
        assert_eq!(label(&vec![0; 1 << 20]), None);
        // A later second header, as a crash while writing leaves it.
        let mut torn = whole.clone();
        let second = &mut torn[0x4000..0x8000];
        second[24..28].copy_from_slice(b"late");
        second[16..24].copy_from_slice(&99_u64.to_be_bytes());
        second[448..512].fill(0);
        let digest = hash::<sha2::Sha256>([second, &[], &[]]);
        second[448..480].copy_from_slice(&digest);
        assert_eq!(label(&torn).as_deref(), Some("late"));
    }

    #[test]
    fn metadata() {
        let argon = br#"{"keyslots": {"0": {"kdf": {"type": "argon2id", "time": 4, "memory": 1048576, "cpus": 2, "salt": "x"}}},
            "config": {"json_size": "12288", "flags": ["allow-discards"]}}"#;
        let metadata = Metadata::parse(argon).unwrap();
        let words: Vec<String> = metadata.kdfs().map(ToString::to_string).collect();
        assert_eq!(words, ["argon2id, 1024 MiB of memory, 4 passes, 2 threads"]);
        assert_eq!(metadata.config.flags, ["allow-discards"]);
        let other = br#"{"keyslots": {"0": {"kdf": {"type": "pbkdf2", "iterations": 1000}}, "1": {}}}"#;
        let words: Vec<String> = Metadata::parse(other)
            .unwrap()
            .kdfs()
            .map(ToString::to_string)
            .collect();
        assert_eq!(words, ["pbkdf2, 1000 iterations", "no key derivation"]);
        assert!(Metadata::parse(b"[").is_none());
    }

    #[test]
    fn bound_is_a_token_of_clevis_with_a_keyslot_that_is_there() {
        for (tokens, expected) in [
            (r#"{"0": {"type": "clevis", "keyslots": ["1"], "jwe": {}}}"#, true),
            (
                r#"{"0": {"type": "systemd-tpm2", "keyslots": ["0"]}, "1": {"type": "clevis", "keyslots": ["7", "0"]}}"#,
                true,
            ),
            (r#"{"0": {"type": "clevis", "keyslots": ["7"]}}"#, false),
            (r#"{"0": {"type": "clevis", "keyslots": []}}"#, false),
            (r#"{"0": {"type": "systemd-tpm2", "keyslots": ["1"]}}"#, false),
            ("{}", false),
        ] {
            let json = format!(r#"{{"keyslots": {{"0": {{}}, "1": {{}}}}, "tokens": {tokens}}}"#);
            let metadata = Metadata::parse(json.as_bytes()).unwrap();
            assert_eq!(metadata.is_bound_by_clevis(), expected, "{tokens}");
        }
    }
}
