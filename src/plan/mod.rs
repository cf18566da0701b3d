//! Plans: what a run will do, decided to the last mode and digest before anything is touched.
//!
//! A plan is a list of closed, printable, serialisable steps. Five exhaustive matches know every action: execute
//! (`exec/`), [`predict`], [`render`], [`check`] and the report. A new action must be handled in each; none has a
//! wildcard arm.

mod accounts;
pub mod check;
pub mod device;
pub mod predict;
pub mod render;
#[cfg(test)]
pub(crate) mod samples;
mod secret;

pub use secret::Secret;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::types::Resource;
use crate::report::Pointer;
use crate::stages::{Phase, Stage};
use crate::sys::{Invocation, Tool};
use crate::view::{Digest, Owner, RootPath};

/// What one phase of a stage will do, in order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Which stage
    pub stage: Stage,
    /// Which of its phases
    pub phase: Phase,
    /// The steps, in the order of their effects
    pub steps: Vec<Step>,
}

/// One thing that is done, or deliberately left as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done
    #[serde(flatten)]
    pub action: Action,
    /// What that means for what is there now. `Keep` is not executed.
    #[serde(flatten)]
    pub change: Change,
    /// The place in the config that asks for it
    pub cause: Pointer,
}

/// What a step means for what is there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "change")]
pub enum Change {
    /// Nothing was there
    Create,
    /// It already is as the config wants it; nothing is done
    Keep {
        /// How that is known
        reason: String,
    },
    /// Part of it is changed; nothing is lost
    Modify {
        /// Which part
        what: String,
    },
    /// Something else takes its place
    Replace {
        /// What goes
        lost: Lost,
    },
    /// It goes
    Delete {
        /// What goes
        lost: Lost,
    },
    /// It depends on something that is not known now
    Unknown {
        /// On what
        why: String,
    },
}

impl Change {
    /// Whether something that was not blank is gone afterwards (design.md 2).
    pub fn destroys(&self) -> bool {
        match self {
            Self::Replace { lost } | Self::Delete { lost } => !lost.trivial,
            Self::Create | Self::Keep { .. } | Self::Modify { .. } | Self::Unknown { .. } => false,
        }
    }

    /// What is done, in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Keep { .. } => "keep",
            Self::Modify { .. } => "modify",
            Self::Replace { .. } => "replace",
            Self::Delete { .. } => "delete",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Whether the step leaves everything as it is.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep { .. })
    }
}

/// What a step takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// In words, with its size: `file of 1,204 bytes`, `directory with 12 entries`
    pub what: String,
    /// Whether it holds nothing of value: an empty directory, a link, a file of no bytes
    pub trivial: bool,
}

/// Who may do what with a node. Always complete: what the config leaves open was taken from the defaults or from the
/// node that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Owner
    pub user: Owner,
    /// Group
    pub group: Owner,
    /// 12 mode bits
    pub mode: u32,
}

/// Where bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "content")]
pub enum Content {
    /// Bytes that this plan carries: decoded from a `data:` URL and decompressed, or made by the planner
    Known {
        /// The bytes
        #[serde(skip)]
        bytes: Secret<std::sync::Arc<[u8]>>,
        /// Their number
        size: u64,
        /// Their digest; not shown, because short secrets could be guessed from it
        #[serde(skip)]
        sha512: Digest,
    },
    /// Bytes that are fetched when the step is executed
    Remote {
        /// URL fit to be shown: no user info, no query values
        url: String,
        /// `sha512-…` or `sha256-…` of the bytes after decompression, if the config gives it
        hash: Option<String>,
        /// The resource as the config has it
        #[serde(skip)]
        resource: Secret<Resource>,
    },
}

impl Content {
    /// Content that is known now.
    pub fn known(bytes: impl Into<std::sync::Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let sha512 = Digest::of(&bytes);
        Self::Known {
            bytes: Secret::new(bytes),
            size,
            sha512,
        }
    }
}

/// What a file's new bytes are laid upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// Nothing: the contents are the whole file
    Nothing,
    /// A copy of the file that is there: the contents are appended
    Existing,
    /// The first so many bytes of the file that is there: what an unfinished run with another config appended gives way
    Start(u64),
}

/// Arguments of `useradd` and `usermod`, without any secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserChange {
    /// Login name
    pub name: String,
    /// `--uid`
    pub uid: Option<u32>,
    /// `--comment`
    pub gecos: Option<String>,
    /// `--home-dir`, or `--home` with `--move-home`
    pub home: Option<String>,
    /// `--gid`
    pub primary_group: Option<String>,
    /// `--groups`; empty means "not given"
    pub groups: Vec<String>,
    /// `--shell`
    pub shell: Option<String>,
    /// `--create-home` or `--no-create-home`; creation only
    pub create_home: bool,
    /// `--no-user-group`; creation only
    pub no_user_group: bool,
    /// `--system`; creation only
    pub system: bool,
    /// `--no-log-init`; creation only
    pub no_log_init: bool,
}

/// Arguments of `groupadd` and `groupmod`, without any secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupChange {
    /// Name
    pub name: String,
    /// `--gid`
    pub gid: Option<u32>,
    /// `--system`; creation only
    pub system: bool,
}

/// Which password field a step sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PasswordOf {
    /// `shadow`
    User(String),
    /// `gshadow`
    Group(String),
}

/// Which of the program's own files outside the root a step writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HostFile {
    /// The rendered config, `-config-cache`
    Cache,
    /// The flag that asks for the network, `-neednet`
    NeedNet,
    /// Which config, line and column each part of the rendered config comes from, beside the state file
    Origins,
}

/// Serialises as text what need not be UTF-8, as [`RootPath`] does: what is not becomes U+FFFD. Serde's own forms are
/// an error (paths) and a list of numbers (`OsString`).
fn as_text<S: serde::Serializer>(text: &impl AsRef<OsStr>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text.as_ref().to_string_lossy())
}

/// Everything that a run can do to the machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "action")]
pub enum Action {
    /// Fetch a config that another one refers to; only in dry runs, where it stands for what is not known
    FetchConfig {
        /// URL fit to be shown
        url: String,
        /// Its hash, if given
        hash: Option<String>,
    },
    /// Write one of the program's own files outside the root
    WriteHostFile {
        /// Which
        file: HostFile,
        /// Where
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        /// Its bytes
        #[serde(skip)]
        bytes: Secret<Vec<u8>>,
        /// Its mode if it is new
        mode: u32,
    },
    /// `groupadd`
    CreateGroup(GroupChange),
    /// `groupmod`
    ModifyGroup(GroupChange),
    /// `groupdel`
    DeleteGroup {
        /// Name
        name: String,
    },
    /// Copy a group from the image's own database into `etc/group`, where the shadow tools see it
    AdoptGroup {
        /// Name
        name: String,
    },
    /// Copy a user from the image's own database into `etc/passwd`, likewise
    AdoptUser {
        /// Name
        name: String,
    },
    /// `useradd`
    CreateUser(UserChange),
    /// `usermod`
    ModifyUser(UserChange),
    /// `userdel --remove`, or without it
    DeleteUser {
        /// Name
        name: String,
        /// Whether the home goes too
        remove_home: bool,
    },
    /// Set a password field by editing the shadow file under its lock
    SetPassword {
        /// Whose
        account: PasswordOf,
        /// `*` locks the account
        #[serde(skip)]
        hash: Secret<String>,
    },
    /// Remove whatever is at the path, recursively, not following it
    Remove {
        /// Resolved path
        path: RootPath,
    },
    /// Create one directory; its parent exists by then
    MakeDirectory {
        /// Resolved path
        path: RootPath,
        /// Owner and mode
        access: Access,
    },
    /// Write a file beside its place and move it there
    WriteFile {
        /// Resolved path
        path: RootPath,
        /// What the contents are laid upon
        base: Base,
        /// The contents, in order; none = an empty file
        contents: Vec<Content>,
        /// Owner and mode
        access: Access,
    },
    /// Change owner and mode of a file or directory that stays
    SetAccess {
        /// Resolved path
        path: RootPath,
        /// Owner and mode
        access: Access,
    },
    /// Create a symbolic link
    MakeSymlink {
        /// Resolved path
        path: RootPath,
        /// Target, verbatim
        #[serde(serialize_with = "as_text")]
        target: OsString,
        /// Owner
        user: Owner,
        /// Group
        group: Owner,
    },
    /// Create a hard link
    MakeHardLink {
        /// Resolved path
        path: RootPath,
        /// Resolved path of the inode
        target: RootPath,
    },
    /// `systemctl --root ROOT disable ENTRY`, so that the preset line is the only word on it
    DisableUnit {
        /// Unit, or template with its instances, as one argument
        entry: String,
    },
    /// Do something to a block device, a mount or the boot loader
    #[serde(untagged)]
    Device(device::DeviceAction),
}

impl Action {
    /// The path that it is about, if it is about one inside the root.
    pub fn path(&self) -> Option<&RootPath> {
        match self {
            Self::Remove { path }
            | Self::MakeDirectory { path, .. }
            | Self::WriteFile { path, .. }
            | Self::SetAccess { path, .. }
            | Self::MakeSymlink { path, .. }
            | Self::MakeHardLink { path, .. } => Some(path),
            Self::FetchConfig { .. }
            | Self::WriteHostFile { .. }
            | Self::CreateGroup(_)
            | Self::ModifyGroup(_)
            | Self::DeleteGroup { .. }
            | Self::AdoptGroup { .. }
            | Self::AdoptUser { .. }
            | Self::CreateUser(_)
            | Self::ModifyUser(_)
            | Self::DeleteUser { .. }
            | Self::SetPassword { .. }
            | Self::DisableUnit { .. }
            | Self::Device(_) => None,
        }
    }

    /// The programs that carry it out, in order; what is done without a program is not among them. Those of accounts and
    /// units work on the root: `--root` and its path stand before their arguments when they are run.
    pub fn commands(&self) -> Vec<Invocation> {
        let one = |tool, args: Vec<OsString>| vec![Invocation::new(tool, args)];
        match self {
            Self::CreateGroup(group) => one(Tool::Groupadd, accounts::groupadd(group)),
            Self::ModifyGroup(group) => one(Tool::Groupmod, accounts::groupmod(group)),
            Self::DeleteGroup { name } => one(Tool::Groupdel, vec![name.into()]),
            Self::CreateUser(user) => one(Tool::Useradd, accounts::useradd(user)),
            Self::ModifyUser(user) => one(Tool::Usermod, accounts::usermod(user)),
            Self::DeleteUser { name, remove_home } => {
                one(Tool::Userdel, accounts::userdel(name, *remove_home))
            }
            Self::DisableUnit { entry } => one(Tool::Systemctl, vec!["disable".into(), entry.into()]),
            Self::Device(action) => action.commands(),
            Self::FetchConfig { .. }
            | Self::WriteHostFile { .. }
            | Self::AdoptGroup { .. }
            | Self::AdoptUser { .. }
            | Self::SetPassword { .. }
            | Self::Remove { .. }
            | Self::MakeDirectory { .. }
            | Self::WriteFile { .. }
            | Self::SetAccess { .. }
            | Self::MakeSymlink { .. }
            | Self::MakeHardLink { .. } => Vec::new(),
        }
    }

    /// Its name in plans and reports, as it is serialised.
    pub fn word(&self) -> &'static str {
        match self {
            Self::FetchConfig { .. } => "fetchConfig",
            Self::WriteHostFile { .. } => "writeHostFile",
            Self::CreateGroup(_) => "createGroup",
            Self::ModifyGroup(_) => "modifyGroup",
            Self::DeleteGroup { .. } => "deleteGroup",
            Self::AdoptGroup { .. } => "adoptGroup",
            Self::AdoptUser { .. } => "adoptUser",
            Self::CreateUser(_) => "createUser",
            Self::ModifyUser(_) => "modifyUser",
            Self::DeleteUser { .. } => "deleteUser",
            Self::SetPassword { .. } => "setPassword",
            Self::Remove { .. } => "remove",
            Self::MakeDirectory { .. } => "makeDirectory",
            Self::WriteFile { .. } => "writeFile",
            Self::SetAccess { .. } => "setAccess",
            Self::MakeSymlink { .. } => "makeSymlink",
            Self::MakeHardLink { .. } => "makeHardLink",
            Self::DisableUnit { .. } => "disableUnit",
            Self::Device(action) => action.word(),
        }
    }
}
