//! The real [`View`]: asks the root and the tools, remembers the answers, and hands them over as a [`Recording`].

mod devices;
mod ext4;
mod image;
mod recording;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

pub use image::ImageView;
pub use recording::Recording;

use super::accounts::{self, AccountsError};
use super::runner::{Invocation, RunError, Runner};
use super::sysroot::{Sysroot, SysrootError};
use super::tool::Tool;
use crate::plan::Secret;
use crate::view::{
    Account, Devices, Enabled, FileDigest, Group, Held, NoDevices, Node, RootPath, User, View, ViewError,
};

/// Where a new user's home is placed when nobody says.
const DEFAULT_HOME: &str = "/home";

/// The machine itself, as far as it has been asked.
///
/// For a dry run it works without privileges. What may not be read then is answered so that the plan does too much
/// rather than too little: contents are unknown, and a password counts as one that has to be set; [`Probe::unread`] names the files.
pub struct Probe<'a> {
    sysroot: &'a Sysroot,
    runner: Option<&'a dyn Runner>,
    /// Whether the root is that of the running system, whose name service then counts, too
    running: bool,
    known: RefCell<Recording>,
    /// Account files, each read once
    databases: RefCell<BTreeMap<RootPath, Option<Rc<Vec<u8>>>>>,
    unread: RefCell<BTreeSet<RootPath>>,
    devices: &'a dyn Devices,
    /// Where the aliases of devices are
    aliases: Option<PathBuf>,
    /// Whether the root has all filesystems mounted that the machine will have
    whole: bool,
}

impl std::fmt::Debug for Probe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("sysroot", self.sysroot)
            .finish_non_exhaustive()
    }
}

impl<'a> Probe<'a> {
    /// Without a runner, as in a dry run, no program is started and no unit's state is known.
    pub fn new(sysroot: &'a Sysroot, runner: Option<&'a dyn Runner>) -> Self {
        Self {
            sysroot,
            runner,
            running: super::terminal::is_running_root(sysroot.path()),
            known: RefCell::default(),
            databases: RefCell::default(),
            unread: RefCell::default(),
            devices: &NoDevices,
            aliases: None,
            whole: false,
        }
    }

    /// Of a root that has all filesystems mounted, although the devices do not say so.
    #[must_use]
    pub fn with_all_mounted(self) -> Self {
        Self { whole: true, ..self }
    }

    /// With the machine's devices; without them it knows of none.
    #[must_use]
    pub fn with_devices(self, devices: &'a dyn Devices) -> Self {
        Self { devices, ..self }
    }

    /// With the links that an earlier stage has made for the paths of devices ([`super::devices::alias`]).
    #[must_use]
    pub fn with_aliases(self, directory: PathBuf) -> Self {
        Self {
            aliases: Some(directory),
            ..self
        }
    }

    /// Drops all answers: the machine has changed.
    pub fn forget(&self) {
        *self.known.borrow_mut() = Recording::default();
        self.databases.borrow_mut().clear();
    }

    /// The answers given since the last [`Probe::forget`].
    pub fn recording(&self) -> Recording {
        self.known.borrow().clone()
    }

    /// Files that this user may not read, so that answers about them were guessed.
    pub fn unread(&self) -> Vec<RootPath> {
        self.unread.borrow().iter().cloned().collect()
    }

    /// An account file. Denied is an error here; only passwords can do without.
    fn database(&self, path: &RootPath) -> Result<Option<Rc<Vec<u8>>>, ViewError> {
        if let Some(bytes) = self.databases.borrow().get(path) {
            return Ok(bytes.clone());
        }
        let bytes = match accounts::read(self.sysroot, path) {
            Ok(bytes) => bytes.map(Rc::new),
            Err(AccountsError::Sysroot(error)) => return Err(error.into()),
            Err(error) => {
                return Err(ViewError::Io {
                    operation: "read",
                    path: path.to_string(),
                    source: io::Error::other(error),
                });
            }
        };
        self.databases.borrow_mut().insert(path.clone(), bytes.clone());
        Ok(bytes)
    }

    /// `None` for what may not be read in a dry run, and remembers that. A real run must be allowed to read everything.
    fn unless_denied<T>(
        &self,
        path: &RootPath,
        result: Result<T, SysrootError>,
    ) -> Result<Option<T>, ViewError> {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_denied() && self.runner.is_none() => {
                self.unread.borrow_mut().insert(path.clone());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl View for Probe<'_> {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        if let Some(node) = self.known.borrow().nodes.get(path) {
            return Ok(node.clone());
        }
        // Nothing is below what is not there, and a planner has mostly asked for the parent before.
        let parent = path.parent();
        let orphan =
            parent.is_some_and(|parent| matches!(self.known.borrow().nodes.get(&parent), Some(None)));
        let node = if orphan {
            None
        } else {
            self.unless_denied(path, self.sysroot.node(path))?.flatten()
        };
        self.known.borrow_mut().nodes.insert(path.clone(), node.clone());
        Ok(node)
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        if let Some(names) = self.known.borrow().lists.get(path) {
            return Ok(names.clone());
        }
        let names = self
            .unless_denied(path, self.sysroot.list(path))?
            .unwrap_or_default();
        self.known.borrow_mut().lists.insert(path.clone(), names.clone());
        Ok(names)
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        if let Some(digest) = self.known.borrow().digests.get(path) {
            return Ok(*digest);
        }
        let digest = self.unless_denied(path, self.sysroot.digest(path))?;
        let digest = digest.map_or(FileDigest::Unknown, FileDigest::Known);
        self.known.borrow_mut().digests.insert(path.clone(), digest);
        Ok(digest)
    }

    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        let key = (path.clone(), limit);
        if let Some(bytes) = self.known.borrow().contents.get(&key) {
            return Ok(bytes.reveal().clone());
        }
        let bytes = self
            .unless_denied(path, self.sysroot.read(path, limit))?
            .flatten();
        self.known
            .borrow_mut()
            .contents
            .insert(key, Secret::new(bytes.clone()));
        Ok(bytes)
    }

    fn user(&self, name: &str) -> Result<Option<User>, ViewError> {
        if let Some(user) = self.known.borrow().users.get(name) {
            return Ok(user.clone());
        }
        let user = accounts::user(&|path| self.database(path), name)?
            .or_else(|| self.running.then(|| accounts::running::user(name)).flatten());
        self.known
            .borrow_mut()
            .users
            .insert(name.to_owned(), user.clone());
        Ok(user)
    }

    fn group(&self, name: &str) -> Result<Option<Group>, ViewError> {
        if let Some(group) = self.known.borrow().groups.get(name) {
            return Ok(group.clone());
        }
        let group = accounts::group(&|path| self.database(path), name)?
            .or_else(|| self.running.then(|| accounts::running::group(name)).flatten());
        self.known
            .borrow_mut()
            .groups
            .insert(name.to_owned(), group.clone());
        Ok(group)
    }

    /// A `systemctl` that is not installed counts as "not enabled", as upstream has it; the log says so.
    fn unit_enabled(&self, entry: &str) -> Result<Enabled, ViewError> {
        if let Some(enabled) = self.known.borrow().units.get(entry) {
            return Ok(*enabled);
        }
        let enabled = match self.runner {
            None => Enabled::Unknown,
            Some(runner) => is_enabled(runner, self.sysroot, entry)?,
        };
        self.known.borrow_mut().units.insert(entry.to_owned(), enabled);
        Ok(enabled)
    }

    fn luks_uuid(&self, device: &str) -> Result<Option<String>, ViewError> {
        if let Some(uuid) = self.known.borrow().volumes.get(device) {
            return Ok(uuid.clone());
        }
        let alias = self
            .aliases
            .as_ref()
            .and_then(|directory| super::devices::alias::find(directory, device));
        let path = alias.as_deref().unwrap_or(device);
        let uuid = self.runner.map(|runner| luks_uuid(runner, path)).transpose()?;
        self.known
            .borrow_mut()
            .volumes
            .insert(device.to_owned(), uuid.clone());
        Ok(uuid)
    }

    fn default_home(&self) -> Result<String, ViewError> {
        if let Some(home) = &self.known.borrow().default_home {
            return Ok(home.clone());
        }
        let bytes = self.database(&RootPath::from("/etc/default/useradd"))?;
        let home = bytes
            .and_then(|bytes| default_home(&bytes))
            .unwrap_or_else(|| DEFAULT_HOME.to_owned());
        self.known.borrow_mut().default_home = Some(home.clone());
        Ok(home)
    }

    fn devices(&self) -> &dyn Devices {
        self
    }

    fn held(&self, _node: &str) -> Result<Held, ViewError> {
        Ok(if self.whole { Held::AsInRoot } else { Held::Nothing })
    }

    fn has_password(&self, account: Account<'_>, hash: &str) -> Result<bool, ViewError> {
        if let Some(has) = self.known.borrow().password(account, hash) {
            return Ok(has);
        }
        let read = |path: &RootPath| self.database(path);
        let has = match accounts::has_password(&read, account, hash) {
            Err(ViewError::Io { path, source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                self.unread.borrow_mut().insert(RootPath::clean(path));
                false
            }
            answer => answer?,
        };
        self.known.borrow_mut().remember_password(account, hash, has);
        Ok(has)
    }
}

/// `systemctl --root ROOT is-enabled ENTRY`.
fn is_enabled(runner: &dyn Runner, sysroot: &Sysroot, entry: &str) -> Result<Enabled, ViewError> {
    let args: [OsString; 4] = [
        "--root".into(),
        sysroot.path().into(),
        "is-enabled".into(),
        entry.into(),
    ];
    match runner.run(&Invocation::new(Tool::Systemctl, args)) {
        Ok(_) => Ok(Enabled::Yes),
        Err(RunError::Failed { .. }) => Ok(Enabled::No),
        Err(RunError::DryRun { .. }) => Ok(Enabled::Unknown),
        Err(error @ RunError::NotFound { .. }) => {
            tracing::warn!(%error, "taking the unit for one that is not enabled");
            Ok(Enabled::No)
        }
        Err(RunError::Start { source, .. }) => Err(ViewError::Program {
            program: Tool::Systemctl.name(),
            problem: source.to_string(),
        }),
    }
}

/// `cryptsetup luksUUID DEVICE`.
fn luks_uuid(runner: &dyn Runner, device: &str) -> Result<String, ViewError> {
    let args: [OsString; 3] = ["luksUUID".into(), "--".into(), device.into()];
    let output = runner
        .run(&Invocation::new(Tool::Cryptsetup, args))
        .map_err(|error| ViewError::Program {
            program: Tool::Cryptsetup.name(),
            problem: error.to_string(),
        })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `HOME` of useradd's defaults: the last line counts, as in shadow's own reader.
fn default_home(bytes: &[u8]) -> Option<String> {
    let mut values = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"HOME="));
    let value = values.next_back()?.trim_ascii();
    let text = String::from_utf8(value.to_vec()).ok()?;
    text.starts_with('/').then_some(text)
}

#[cfg(test)]
mod tests;
