//! What a plan was made from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;

use serde::Serialize;

use super::devices::DeviceAnswers;
use crate::plan::Secret;
use crate::view::{Account, Devices, Enabled, FileDigest, Group, Node, RootPath, User, View, ViewError};

/// Answers of a view, from which the same plan can be made again. It is a view itself; what was not asked is an error
/// (`NotFound`). Contents and hashes are held, and never shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recording {
    /// Nodes
    pub nodes: BTreeMap<RootPath, Option<Node>>,
    /// Directories
    pub lists: BTreeMap<RootPath, Vec<OsString>>,
    /// Digests of files
    pub digests: BTreeMap<RootPath, FileDigest>,
    /// Contents of files, by the limit they were read with
    #[serde(skip)]
    pub contents: BTreeMap<(RootPath, u64), Secret<Option<Vec<u8>>>>,
    /// Users
    pub users: BTreeMap<String, Option<User>>,
    /// Groups
    pub groups: BTreeMap<String, Option<Group>>,
    /// Units and template entries
    pub units: BTreeMap<String, Enabled>,
    /// UUIDs of LUKS volumes, by device
    pub volumes: BTreeMap<String, Option<String>>,
    /// Block devices and mounts
    pub devices: DeviceAnswers,
    /// Where homes are placed
    pub default_home: Option<String>,
    #[serde(skip)]
    passwords: Vec<Password>,
}

#[derive(Clone, Debug)]
struct Password {
    user: bool,
    name: String,
    hash: Secret<String>,
    has: bool,
}

impl Recording {
    pub(super) fn password(&self, account: Account<'_>, hash: &str) -> Option<bool> {
        let (user, name) = parts(account);
        let same = |password: &&Password| {
            password.user == user && password.name == name && password.hash.reveal() == hash
        };
        self.passwords.iter().find(same).map(|password| password.has)
    }

    pub(super) fn remember_password(&mut self, account: Account<'_>, hash: &str, has: bool) {
        let (user, name) = parts(account);
        self.passwords.push(Password {
            user,
            name: name.to_owned(),
            hash: Secret::new(hash.to_owned()),
            has,
        });
    }
}

fn parts(account: Account<'_>) -> (bool, &str) {
    match account {
        Account::User(name) => (true, name),
        Account::Group(name) => (false, name),
    }
}

pub(super) fn missing(operation: &'static str, what: &impl ToString) -> ViewError {
    ViewError::Io {
        operation,
        path: what.to_string(),
        source: io::Error::new(io::ErrorKind::NotFound, "not in the recording"),
    }
}

impl View for Recording {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        self.nodes
            .get(path)
            .cloned()
            .ok_or_else(|| missing("look at", path))
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        self.lists
            .get(path)
            .cloned()
            .ok_or_else(|| missing("read the directory", path))
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        self.digests
            .get(path)
            .copied()
            .ok_or_else(|| missing("read", path))
    }

    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        let bytes = self.contents.get(&(path.clone(), limit));
        bytes
            .map(|bytes| bytes.reveal().clone())
            .ok_or_else(|| missing("read", path))
    }

    fn user(&self, name: &str) -> Result<Option<User>, ViewError> {
        self.users
            .get(name)
            .cloned()
            .ok_or_else(|| missing("look up the user", &name))
    }

    fn group(&self, name: &str) -> Result<Option<Group>, ViewError> {
        self.groups
            .get(name)
            .cloned()
            .ok_or_else(|| missing("look up the group", &name))
    }

    fn unit_enabled(&self, entry: &str) -> Result<Enabled, ViewError> {
        self.units
            .get(entry)
            .copied()
            .ok_or_else(|| missing("ask about the unit", &entry))
    }

    fn luks_uuid(&self, device: &str) -> Result<Option<String>, ViewError> {
        self.volumes
            .get(device)
            .cloned()
            .ok_or_else(|| missing("ask for the UUID of", &device))
    }

    fn default_home(&self) -> Result<String, ViewError> {
        self.default_home
            .clone()
            .ok_or_else(|| missing("read", &"etc/default/useradd"))
    }

    fn devices(&self) -> &dyn Devices {
        &self.devices
    }

    fn has_password(&self, account: Account<'_>, hash: &str) -> Result<bool, ViewError> {
        self.password(account, hash)
            .ok_or_else(|| missing("look up the password of", &parts(account).1))
    }
}
