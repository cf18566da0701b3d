//! A view made by hand, for tests of planners.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::rc::Rc;

use super::fake_devices::FakeDevices;
use super::{
    Account, Devices, Digest, Enabled, FileDigest, Group, Held, Inode, Node, NodeKind, Owner, RootPath, Tree,
    User, View, ViewError,
};

/// An in-memory machine. Parents are made as directories 0755 root.
#[derive(Clone, Debug, Default)]
pub struct FakeView {
    nodes: BTreeMap<RootPath, (Node, Vec<u8>)>,
    users: HashMap<String, User>,
    groups: HashMap<String, Group>,
    passwords: BTreeSet<(bool, String, String)>,
    enabled: HashMap<String, Enabled>,
    volumes: HashMap<String, String>,
    devices: FakeDevices,
    held: BTreeMap<String, Rc<dyn Tree>>,
}

impl FakeView {
    /// An empty root directory.
    pub fn new() -> Self {
        Self::default().dir("/")
    }

    /// Adds any node, and its missing parents.
    #[must_use]
    pub fn node(
        mut self,
        path: &str,
        kind: NodeKind,
        mode: u32,
        user: u32,
        group: u32,
        bytes: &[u8],
    ) -> Self {
        let path = RootPath::from(path);
        if let Some(parent) = path.parent()
            && !self.nodes.contains_key(&parent)
        {
            self = self.dir(&parent.to_string());
        }
        let inode = Inode {
            device: 1,
            number: self.nodes.len() as u64 + 1,
        };
        let node = Node {
            kind,
            mode,
            user: Owner::Id(user),
            group: Owner::Id(group),
            inode,
        };
        self.nodes.insert(path, (node, bytes.to_vec()));
        self
    }

    /// Adds a directory 0755 root.
    #[must_use]
    pub fn dir(self, path: &str) -> Self {
        self.node(path, NodeKind::Directory, 0o755, 0, 0, b"")
    }

    /// Adds a file 0644 root.
    #[must_use]
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.node(
            path,
            NodeKind::File {
                size: Some(bytes.len() as u64),
            },
            0o644,
            0,
            0,
            bytes,
        )
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.node(
            path,
            NodeKind::Symlink {
                target: target.into(),
            },
            0o777,
            0,
            0,
            b"",
        )
    }

    /// Adds a user in etc/passwd, with home `/home/NAME`.
    #[must_use]
    pub fn user(mut self, name: &str, uid: u32, gid: u32) -> Self {
        let user = User {
            name: name.into(),
            uid: Owner::Id(uid),
            gid: Owner::Id(gid),
            gecos: String::new(),
            home: format!("/home/{name}"),
            shell: "/bin/bash".into(),
            groups: Vec::new(),
            local: true,
        };
        self.users.insert(name.into(), user);
        self
    }

    /// Changes a user added before.
    ///
    /// # Panics
    ///
    /// Without such a user.
    #[must_use]
    pub fn edit_user(mut self, name: &str, edit: impl FnOnce(&mut User)) -> Self {
        edit(self.users.get_mut(name).unwrap());
        self
    }

    /// Adds a group in etc/group.
    #[must_use]
    pub fn group(mut self, name: &str, gid: u32) -> Self {
        let group = Group {
            name: name.into(),
            gid: Owner::Id(gid),
            members: Vec::new(),
            local: true,
        };
        self.groups.insert(name.into(), group);
        self
    }

    /// Changes a group added before.
    ///
    /// # Panics
    ///
    /// Without such a group.
    #[must_use]
    pub fn edit_group(mut self, name: &str, edit: impl FnOnce(&mut Group)) -> Self {
        edit(self.groups.get_mut(name).unwrap());
        self
    }

    /// Sets a user's password field.
    #[must_use]
    pub fn password(mut self, user: &str, hash: &str) -> Self {
        self.passwords.insert((true, user.into(), hash.into()));
        self
    }

    /// Adds a LUKS volume.
    #[must_use]
    pub fn volume(mut self, device: &str, uuid: &str) -> Self {
        self.volumes.insert(device.into(), uuid.into());
        self
    }

    /// Sets the block devices.
    #[must_use]
    pub fn with_devices(mut self, devices: FakeDevices) -> Self {
        self.devices = devices;
        self
    }

    /// Sets what the filesystem on a device holds.
    #[must_use]
    pub fn holding(mut self, node: &str, tree: Rc<dyn Tree>) -> Self {
        self.held.insert(node.to_owned(), tree);
        self
    }

    /// Sets what `is-enabled` says; `No` otherwise.
    #[must_use]
    pub fn enabled(mut self, entry: &str, enabled: Enabled) -> Self {
        self.enabled.insert(entry.into(), enabled);
        self
    }
}

impl View for FakeView {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        Ok(self.nodes.get(path).map(|(node, _)| node.clone()))
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        Ok(self
            .nodes
            .keys()
            .filter(|found| found.parent().as_ref() == Some(path))
            .filter_map(|found| found.name().map(OsString::from))
            .collect())
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        Ok(self.nodes.get(path).map_or(FileDigest::Unknown, |(_, bytes)| {
            FileDigest::Known(Digest::of(bytes))
        }))
    }

    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self
            .nodes
            .get(path)
            .map(|(_, bytes)| bytes.clone())
            .filter(|bytes| bytes.len() as u64 <= limit))
    }

    fn user(&self, name: &str) -> Result<Option<User>, ViewError> {
        Ok(self.users.get(name).cloned())
    }

    fn group(&self, name: &str) -> Result<Option<Group>, ViewError> {
        Ok(self.groups.get(name).cloned())
    }

    fn unit_enabled(&self, entry: &str) -> Result<Enabled, ViewError> {
        Ok(self.enabled.get(entry).copied().unwrap_or(Enabled::No))
    }

    fn luks_uuid(&self, device: &str) -> Result<Option<String>, ViewError> {
        Ok(self.volumes.get(device).cloned())
    }

    fn default_home(&self) -> Result<String, ViewError> {
        Ok("/home".into())
    }

    fn devices(&self) -> &dyn Devices {
        &self.devices
    }

    fn held(&self, node: &str) -> Result<Held, ViewError> {
        let tree = self.held.get(node).cloned();
        Ok(tree.map_or(Held::Nothing, Held::Tree))
    }

    fn has_password(&self, account: Account<'_>, hash: &str) -> Result<bool, ViewError> {
        let (user, name) = match account {
            Account::User(name) => (true, name),
            Account::Group(name) => (false, name),
        };
        Ok(self.passwords.contains(&(user, name.to_owned(), hash.to_owned())))
    }
}
