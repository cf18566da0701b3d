//! How a planner sees the machine: a read-only, memoised trait, what it answers, the overlay that a dry run lays its
//! predictions in, and the recording from which a plan can be replayed.
//!
//! Answers are fetched when they are asked for, so symlink chains need no guessing.

mod device;
mod device_overlay;
pub mod names;
mod overlay;
mod path;
mod resolve;

#[cfg(test)]
pub mod fake;
#[cfg(test)]
pub mod fake_devices;

pub use device::{
    Device, Devices, Member, Mounted, NoDevices, PartitionOf, Signature, Use, Volume, size_text,
};
pub use device_overlay::DeviceOverlay;
pub use overlay::Overlay;
pub use path::RootPath;
pub use resolve::{ResolveError, follow, resolve, resolve_parent};

use std::ffi::OsString;
use std::rc::Rc;

use serde::Serialize;

use crate::config::grammar::hex::hex_digit;

/// Who owns a node: an id, or an account that this run creates and whose id is known only after that.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Owner {
    /// Numeric uid or gid
    Id(u32),
    /// Account name; its id comes with the accounts phase
    Account(String),
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Account(name) => f.write_str(name),
        }
    }
}

/// Identity of an inode, to tell hard links. Predicted nodes have device 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Inode {
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub number: u64,
}

/// What kind of node stands at a path. The last component is never followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum NodeKind {
    /// Regular file
    File {
        /// Size in bytes; `None` if only a later phase knows it
        size: Option<u64>,
    },
    /// Directory
    Directory,
    /// Symbolic link
    Symlink {
        /// Its target, verbatim
        target: OsString,
    },
    /// Device, socket, FIFO
    Other,
}

/// A node in the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// What it is
    pub kind: NodeKind,
    /// Permission bits with setuid, setgid and sticky (12 bits)
    pub mode: u32,
    /// Owner
    pub user: Owner,
    /// Group
    pub group: Owner,
    /// Which inode it is
    pub inode: Inode,
}

impl Node {
    /// Whether it is a directory (not: a link to one).
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Directory)
    }

    /// Whether it is a regular file (not: a link to one).
    pub fn is_file(&self) -> bool {
        matches!(self.kind, NodeKind::File { .. })
    }
}

/// SHA-512 of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 64]);

impl Digest {
    /// Digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha512::digest(bytes).into())
    }

    /// Reads 128 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 64];
        if text.len() != 128 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            // The standard parser also takes a sign.
            let [high, low] = pair else { return None };
            *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha512-{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A file's bytes, as far as a view knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FileDigest {
    /// They are known
    Known(Digest),
    /// They come from somewhere that was not asked (a dry run does not fetch)
    Unknown,
}

/// An account of the target, from its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Login name
    pub name: String,
    /// uid, or the account's own name while this run has not created it
    pub uid: Owner,
    /// Primary group, likewise
    pub gid: Owner,
    /// Comment field
    pub gecos: String,
    /// Home directory as the file has it, not resolved
    pub home: String,
    /// Login shell
    pub shell: String,
    /// Supplementary groups that list the user, sorted
    pub groups: Vec<String>,
    /// Whether the entry is in `etc/passwd` itself, where the shadow tools see it, and not only in the image's
    /// `usr/share/baselayout` or `usr/lib`
    pub local: bool,
}

/// A group of the target, from its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Name
    pub name: String,
    /// gid, or the group's own name while this run has not created it
    pub gid: Owner,
    /// Listed members
    pub members: Vec<String>,
    /// Whether the entry is in `etc/group` itself
    pub local: bool,
}

/// What `systemctl --root ROOT is-enabled ENTRY` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Enabled {
    /// exit code 0
    Yes,
    /// another exit code
    No,
    /// the tool is not run in a dry run, or depends on files that this run writes
    Unknown,
}

/// Why a view could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The system refused.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried, e.g. `read the directory`
        operation: &'static str,
        /// On what, inside the root
        path: String,
        /// What the system said
        #[source]
        source: std::io::Error,
    },
    /// A file of the target does not have the form it must have.
    #[error("{path}:{line}: {problem}")]
    Form {
        /// Which file, inside the root
        path: String,
        /// Line, from 1
        line: usize,
        /// What is wrong with it
        problem: String,
    },
    /// A name that several devices have.
    #[error("{path} is {nodes}: they have the same label or UUID")]
    SeveralDevices {
        /// The name
        path: String,
        /// The devices
        nodes: String,
    },
    /// A filesystem that only the kernel reads.
    #[error("{path} is on {device}, which holds {kind}: its files cannot be read without mounting it")]
    NotMounted {
        /// A path in it
        path: String,
        /// The device
        device: String,
        /// What it holds: its type, and what is wrong with it if it could be read otherwise
        kind: String,
    },
    /// What comes to light with a step that is only predicted.
    #[error("what is on {device} is known when it runs or is open")]
    Unseen {
        /// The device: an array that is kept and started, a volume that is kept and opened
        device: String,
    },
    /// A program that had to be asked failed.
    #[error("cannot ask {program}: {problem}")]
    Program {
        /// Its name
        program: &'static str,
        /// What happened
        problem: String,
    },
}

impl ViewError {
    /// Whether the system said that this user may not.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
    }

    /// Whether a real run will know once it has come that far.
    pub fn is_unseen(&self) -> bool {
        matches!(self, Self::Unseen { .. })
    }
}

/// The machine as a planner sees it. Read-only. Paths are those of [`RootPath`]: inside the root, and given with their
/// parents already resolved (see [`resolve`]); the last component is never followed.
pub trait View {
    /// The node at a path; `None` if there is none, or if a parent is missing or no directory.
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError>;

    /// Names in a directory, sorted.
    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError>;

    /// Digest of a regular file.
    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError>;

    /// Bytes of a small regular file, at most `limit`; `None` if it is missing, larger, or not known to this view.
    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError>;

    /// A user by name: `etc/passwd`, then `usr/share/baselayout/passwd`, then `usr/lib/passwd`.
    fn user(&self, name: &str) -> Result<Option<User>, ViewError>;

    /// A group by name, from the same places.
    fn group(&self, name: &str) -> Result<Option<Group>, ViewError>;

    /// Whether a unit, or a template with its instances as one argument, is enabled in the target.
    fn unit_enabled(&self, entry: &str) -> Result<Enabled, ViewError>;

    /// UUID of the LUKS volume on a device, as `cryptsetup luksUUID` prints it; `None` if this view does not ask.
    fn luks_uuid(&self, device: &str) -> Result<Option<String>, ViewError>;

    /// What a new user's home is placed under when the config does not say: `HOME` of the target's
    /// `etc/default/useradd`, else `/home`.
    fn default_home(&self) -> Result<String, ViewError>;

    /// Whether an account's password field already holds this hash (`shadow` or `gshadow`, else the public file).
    fn has_password(&self, account: Account<'_>, hash: &str) -> Result<bool, ViewError>;

    /// Block devices and mounts.
    fn devices(&self) -> &dyn Devices;

    /// What the filesystem on a device holds that is to be mounted. Most views do not look into filesystems that are not
    /// mounted.
    fn held(&self, _node: &str) -> Result<Held, ViewError> {
        Ok(Held::Nothing)
    }
}

/// What a filesystem holds that is to be mounted.
#[derive(Clone, Debug)]
pub enum Held {
    /// Nothing that this view knows of
    Nothing,
    /// What this view shows below the mount point already
    AsInRoot,
    /// This
    Tree(Rc<dyn Tree>),
}

/// What a filesystem that is not mounted holds. Paths are those of a [`View`], from the filesystem's own top.
pub trait Tree: std::fmt::Debug {
    /// The node at a path, as [`View::node`].
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError>;

    /// Names in a directory, sorted.
    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError>;

    /// Digest of a regular file.
    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError>;

    /// Bytes of a regular file, as [`View::read`].
    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError>;
}

/// Which database an account name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Account<'a> {
    /// A user: passwd and shadow
    User(&'a str),
    /// A group: group and gshadow
    Group(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing (`fuzz/targets/hash.rs`): `+f` was read as `0f`.
    #[test]
    fn a_digest_has_digits_and_no_signs() {
        let digits = "0f".repeat(64);
        assert_eq!(Digest::from_hex(&digits), Some(Digest([0x0f; 64])));
        assert_eq!(Digest::from_hex(&digits.to_uppercase()), Some(Digest([0x0f; 64])));
        for other in ["+f".repeat(64), "é".repeat(64), "0f".repeat(63), "0g".repeat(64)] {
            assert_eq!(Digest::from_hex(&other), None, "{other}");
        }
    }
}
