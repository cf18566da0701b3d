//! A view with predicted effects laid over it: what a planner sees of its own earlier steps, and what a dry run sees of
//! all steps before.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::rc::Rc;
use std::sync::Arc;

use super::{
    Account, DeviceOverlay, Devices, Digest, Enabled, FileDigest, Group, Held, Inode, Node, NodeKind, Owner,
    RootPath, Tree, User, View, ViewError,
};

/// What is predicted to stand at a path.
#[derive(Clone, Debug)]
struct Predicted {
    /// `None`: nothing
    node: Option<Node>,
    /// Whether what the base has below this path is gone
    hides_base: bool,
    digest: FileDigest,
    bytes: Option<Arc<[u8]>>,
}

/// Real answers below, predicted effects above.
pub struct Overlay<'a> {
    base: &'a dyn View,
    nodes: BTreeMap<RootPath, Predicted>,
    /// Filesystems that are to be mounted, and what they hold
    trees: BTreeMap<RootPath, Rc<dyn Tree>>,
    users: HashMap<String, Option<User>>,
    groups: HashMap<String, Option<Group>>,
    passwords: HashMap<(bool, String), Digest>,
    disabled: BTreeSet<String>,
    inodes: u64,
    devices: DeviceOverlay<'a>,
    /// Answers of [`Overlay::hides`], with those for everything above
    hiding: RefCell<HashMap<RootPath, bool>>,
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    /// An overlay that predicts nothing yet.
    pub fn new(base: &'a dyn View) -> Self {
        Self {
            base,
            nodes: BTreeMap::new(),
            trees: BTreeMap::new(),
            users: HashMap::new(),
            groups: HashMap::new(),
            passwords: HashMap::new(),
            disabled: BTreeSet::new(),
            inodes: 0,
            devices: DeviceOverlay::new(base.devices()),
            hiding: RefCell::default(),
        }
    }

    /// An inode number that no other predicted node has.
    pub fn new_inode(&mut self) -> Inode {
        self.inodes += 1;
        Inode {
            device: 0,
            number: self.inodes,
        }
    }

    /// Predicts that nothing stands at the path or below it.
    pub fn remove(&mut self, path: &RootPath) {
        let below: Vec<RootPath> = self.below(path).map(|(found, _)| found.clone()).collect();
        for gone in below {
            self.nodes.remove(&gone);
        }
        self.forget_hiding(path);
        self.nodes.insert(
            path.clone(),
            Predicted {
                node: None,
                hides_base: true,
                digest: FileDigest::Unknown,
                bytes: None,
            },
        );
    }

    /// Predicts a node. What the base has below the path stays visible only if a directory stays a directory.
    pub fn put(&mut self, path: &RootPath, node: Node, digest: FileDigest, bytes: Option<Arc<[u8]>>) {
        let hides_base = match self.nodes.get(path) {
            Some(before) => before.hides_base || !node.is_directory(),
            None => !node.is_directory(),
        };
        self.forget_hiding(path);
        self.nodes.insert(
            path.clone(),
            Predicted {
                node: Some(node),
                hides_base,
                digest,
                bytes,
            },
        );
    }

    /// Predicts that an empty filesystem is mounted at a directory.
    pub fn cover(&mut self, path: &RootPath) {
        self.remove(path);
        self.trees.retain(|mounted, _| !mounted.starts_with(path));
        let inode = self.new_inode();
        self.put(path, Node::directory(0o755, inode), FileDigest::Unknown, None);
    }

    /// Predicts that the filesystem on a device is mounted at a directory. It is empty if it is to be made, or if the base
    /// does not say what it holds.
    pub fn mount(&mut self, path: &RootPath, node: &str) -> Result<(), ViewError> {
        let held = if self.devices.is_predicted(node) {
            Held::Nothing
        } else {
            self.base.held(node)?
        };
        match held {
            Held::Nothing => self.cover(path),
            Held::AsInRoot => {}
            Held::Tree(tree) => {
                self.cover(path);
                self.nodes.remove(path);
                self.hiding.get_mut().clear();
                self.trees.insert(path.clone(), tree);
            }
        }
        Ok(())
    }

    /// The mounted filesystem that a path is in, and the path there.
    fn tree(&self, path: &RootPath) -> Option<(&dyn Tree, RootPath)> {
        let mut here = if self.trees.is_empty() {
            return None;
        } else {
            path.clone()
        };
        loop {
            if let Some(tree) = self.trees.get(&here) {
                let below = path.components().skip(here.depth());
                let place = below.fold(RootPath::root(), |path, name| path.join(name));
                return Some((&**tree, place));
            }
            here = here.parent()?;
        }
    }

    /// What is below the predictions.
    fn base_node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        match self.tree(path) {
            Some((tree, place)) => tree.node(&place).map_err(|error| within(error, path)),
            None => self.base.node(path),
        }
    }

    fn base_list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        match self.tree(path) {
            Some((tree, place)) => tree.list(&place).map_err(|error| within(error, path)),
            None => self.base.list(path),
        }
    }

    fn base_digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        match self.tree(path) {
            Some((tree, place)) => tree.digest(&place).map_err(|error| within(error, path)),
            None => self.base.digest(path),
        }
    }

    fn base_read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        match self.tree(path) {
            Some((tree, place)) => tree.read(&place, limit).map_err(|error| within(error, path)),
            None => self.base.read(path, limit),
        }
    }

    /// Predicts another owner or mode for what is at the path; its bytes stay.
    pub fn update(&mut self, path: &RootPath, change: impl FnOnce(&mut Node)) -> Result<(), ViewError> {
        if let Some(Predicted { node: Some(node), .. }) = self.nodes.get_mut(path) {
            change(node);
            return Ok(());
        }
        if let Some(mut node) = self.node(path)? {
            let digest = if node.is_file() {
                self.digest(path)?
            } else {
                FileDigest::Unknown
            };
            change(&mut node);
            self.put(path, node, digest, None);
        }
        Ok(())
    }

    /// Predicts a user; `None` = removed.
    pub fn put_user(&mut self, name: &str, user: Option<User>) {
        self.users.insert(name.to_owned(), user);
    }

    /// Predicts a group; `None` = removed.
    pub fn put_group(&mut self, name: &str, group: Option<Group>) {
        self.groups.insert(name.to_owned(), group);
    }

    /// Predicts a password field. Only a digest of it is kept.
    pub fn put_password(&mut self, account: Account<'_>, hash: &str) {
        self.passwords
            .insert(password_key(account), Digest::of(hash.as_bytes()));
    }

    /// Predicts that an entry is disabled.
    pub fn put_disabled(&mut self, entry: &str) {
        self.disabled.insert(entry.to_owned());
    }

    /// Predictions about devices and mounts.
    pub fn devices_mut(&mut self) -> &mut DeviceOverlay<'a> {
        &mut self.devices
    }

    /// Every path something was predicted for, with the node; `None` = removed.
    pub fn predicted(&self) -> impl Iterator<Item = (&RootPath, Option<&Node>)> {
        self.nodes
            .iter()
            .map(|(path, predicted)| (path, predicted.node.as_ref()))
    }

    /// Every user something was predicted for.
    pub fn predicted_users(&self) -> impl Iterator<Item = (&str, Option<&User>)> {
        self.users
            .iter()
            .map(|(name, user)| (name.as_str(), user.as_ref()))
    }

    /// Every group something was predicted for.
    pub fn predicted_groups(&self) -> impl Iterator<Item = (&str, Option<&Group>)> {
        self.groups
            .iter()
            .map(|(name, group)| (name.as_str(), group.as_ref()))
    }

    /// Predictions strictly below a path.
    fn below(&self, path: &RootPath) -> impl Iterator<Item = (&RootPath, &Predicted)> {
        let ancestor = path.clone();
        self.nodes
            .range(path.clone()..)
            .skip_while({
                let ancestor = ancestor.clone();
                move |(found, _)| **found == ancestor
            })
            // Between `/a` and `/a/…` the byte order has `/a!…`, `/a-…`: siblings, not descendants.
            .take_while({
                let ancestor = ancestor.clone();
                move |(found, _)| is_prefix(&ancestor, found)
            })
            .filter(move |(found, _)| found.starts_with(&ancestor))
    }

    /// Whether an ancestor's prediction hides what the base has at this path.
    fn hidden(&self, path: &RootPath) -> bool {
        let above = path.parent().filter(|_| !self.trees.contains_key(path));
        above.is_some_and(|parent| self.hides(parent))
    }

    /// Whether the prediction for a directory or one above it hides what the base has below. Many files of one directory
    /// ask for the same.
    fn hides(&self, directory: RootPath) -> bool {
        if let Some(hides) = self.hiding.borrow().get(&directory) {
            return *hides;
        }
        let mut unknown = Vec::new();
        let mut hides = false;
        let mut next = Some(directory);
        while let Some(here) = next {
            if let Some(known) = self.hiding.borrow().get(&here) {
                hides = *known;
                break;
            }
            // What is above a mounted filesystem hides nothing of it.
            next = here.parent().filter(|_| !self.trees.contains_key(&here));
            unknown.push(here);
        }
        let mut hiding = self.hiding.borrow_mut();
        for here in unknown.into_iter().rev() {
            hides |= self.nodes.get(&here).is_some_and(|predicted| {
                predicted.hides_base || !predicted.node.as_ref().is_some_and(Node::is_directory)
            });
            hiding.insert(here, hides);
        }
        hides
    }

    /// Something else is predicted for a path: what was known of it and below goes.
    fn forget_hiding(&mut self, path: &RootPath) {
        let hiding = self.hiding.get_mut();
        if hiding.contains_key(path) {
            hiding.clear();
        }
    }
}

/// Names the path in the root of what was asked about in a filesystem of its own.
fn within(error: ViewError, path: &RootPath) -> ViewError {
    match error {
        ViewError::NotMounted { device, kind, .. } => ViewError::NotMounted {
            path: path.to_string(),
            device,
            kind,
        },
        other => other,
    }
}

fn is_prefix(ancestor: &RootPath, path: &RootPath) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str()
        .as_bytes()
        .starts_with(ancestor.as_os_str().as_bytes())
}

fn password_key(account: Account<'_>) -> (bool, String) {
    match account {
        Account::User(name) => (true, name.to_owned()),
        Account::Group(name) => (false, name.to_owned()),
    }
}

impl View for Overlay<'_> {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        if let Some(predicted) = self.nodes.get(path) {
            return Ok(predicted.node.clone());
        }
        if self.hidden(path) {
            Ok(None)
        } else {
            self.base_node(path)
        }
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        let mut names: BTreeSet<OsString> = BTreeSet::new();
        let hides_base = self.nodes.get(path).is_some_and(|predicted| predicted.hides_base);
        if !hides_base && !self.hidden(path) && self.base_node(path)?.is_some_and(|node| node.is_directory())
        {
            names.extend(self.base_list(path)?);
        }
        let depth = path.depth() + 1;
        for (found, predicted) in self.below(path).filter(|(found, _)| found.depth() == depth) {
            let Some(name) = found.name() else { continue };
            if predicted.node.is_some() {
                names.insert(name.to_owned());
            } else {
                names.remove(name);
            }
        }
        Ok(names.into_iter().collect())
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        match self.nodes.get(path) {
            Some(predicted) => Ok(predicted.digest),
            None => self.base_digest(path),
        }
    }

    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        match self.nodes.get(path) {
            Some(Predicted { node: None, .. }) => Ok(None),
            Some(Predicted {
                bytes: Some(bytes), ..
            }) => {
                let fits = u64::try_from(bytes.len()).is_ok_and(|size| size <= limit);
                Ok(fits.then(|| bytes.to_vec()))
            }
            // Same bytes as below if only the owner or mode was predicted.
            Some(Predicted {
                digest: FileDigest::Known(predicted),
                ..
            }) => {
                let below = self.base_read(path, limit)?;
                Ok(below.filter(|bytes| Digest::of(bytes) == *predicted))
            }
            Some(Predicted {
                digest: FileDigest::Unknown,
                ..
            }) => Ok(None),
            None if self.hidden(path) => Ok(None),
            None => self.base_read(path, limit),
        }
    }

    fn user(&self, name: &str) -> Result<Option<User>, ViewError> {
        self.users
            .get(name)
            .map_or_else(|| self.base.user(name), |user| Ok(user.clone()))
    }

    fn group(&self, name: &str) -> Result<Option<Group>, ViewError> {
        self.groups
            .get(name)
            .map_or_else(|| self.base.group(name), |group| Ok(group.clone()))
    }

    fn unit_enabled(&self, entry: &str) -> Result<Enabled, ViewError> {
        if self.disabled.contains(entry) {
            Ok(Enabled::No)
        } else {
            self.base.unit_enabled(entry)
        }
    }

    fn luks_uuid(&self, device: &str) -> Result<Option<String>, ViewError> {
        self.base.luks_uuid(device)
    }

    fn default_home(&self) -> Result<String, ViewError> {
        self.base.default_home()
    }

    fn devices(&self) -> &dyn Devices {
        &self.devices
    }

    fn held(&self, node: &str) -> Result<Held, ViewError> {
        self.base.held(node)
    }

    fn has_password(&self, account: Account<'_>, hash: &str) -> Result<bool, ViewError> {
        match self.passwords.get(&password_key(account)) {
            Some(digest) => Ok(*digest == Digest::of(hash.as_bytes())),
            None => self.base.has_password(account, hash),
        }
    }
}

impl Owner {
    /// root
    pub const ROOT: Self = Self::Id(0);
}

impl Node {
    /// A directory with this mode, owned by root.
    pub fn directory(mode: u32, inode: Inode) -> Self {
        Self {
            kind: NodeKind::Directory,
            mode,
            user: Owner::ROOT,
            group: Owner::ROOT,
            inode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeView;
    use super::super::fake_devices::FakeDevices;
    use super::*;

    /// A filesystem with one file.
    #[derive(Debug)]
    struct OneFile(FakeView);

    impl Tree for OneFile {
        fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
            View::node(&self.0, path)
        }
        fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
            self.0.list(path)
        }
        fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
            self.0.digest(path)
        }
        fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
            self.0.read(path, limit)
        }
    }

    #[test]
    fn mounted_filesystems_hold_what_they_hold() {
        let devices = FakeDevices::new().disk("/dev/a", 1 << 30).disk("/dev/b", 1 << 30);
        let tree: Rc<dyn Tree> = Rc::new(OneFile(FakeView::new().dir("/lib").file("/lib/x", b"1")));
        let fake = FakeView::new()
            .dir("/var")
            .file("/var/below", b"2")
            .with_devices(devices)
            .holding("/dev/a", tree);
        let mut overlay = Overlay::new(&fake);
        // A root that is made anew, and a filesystem in it that stays.
        overlay.cover(&RootPath::root());
        assert_eq!(overlay.node(&"/var/below".into()).unwrap(), None);
        overlay.mount(&"/var".into(), "/dev/a").unwrap();
        assert!(overlay.node(&"/var".into()).unwrap().unwrap().is_directory());
        assert_eq!(names(&overlay, "/var"), ["lib"]);
        assert_eq!(overlay.read(&"/var/lib/x".into(), 9).unwrap().unwrap(), b"1");
        assert_eq!(
            overlay.node(&"/var/below".into()).unwrap(),
            None,
            "it is mounted over"
        );
        overlay.remove(&"/var/lib".into());
        assert_eq!(overlay.node(&"/var/lib/x".into()).unwrap(), None);
        overlay.mount(&"/var".into(), "/dev/b").unwrap();
        assert_eq!(names(&overlay, "/var"), Vec::<String>::new());
        // One that is made anew meanwhile.
        overlay
            .devices_mut()
            .put_signature("/dev/a", crate::view::Signature::default());
        overlay.mount(&"/var".into(), "/dev/a").unwrap();
        assert_eq!(names(&overlay, "/var"), Vec::<String>::new());
    }

    fn names(view: &dyn View, path: &str) -> Vec<String> {
        view.list(&path.into())
            .unwrap()
            .into_iter()
            .map(|name| name.into_string().unwrap())
            .collect()
    }

    #[test]
    fn removal_hides_everything_below_and_siblings_stay() {
        let fake = FakeView::new()
            .dir("/a")
            .file("/a/x", b"1")
            .file("/a-b", b"2")
            .dir("/c");
        let mut overlay = Overlay::new(&fake);
        overlay.remove(&"/a".into());
        assert_eq!(overlay.node(&"/a".into()).unwrap(), None);
        assert_eq!(overlay.node(&"/a/x".into()).unwrap(), None);
        assert_eq!(names(&overlay, "/"), ["a-b", "c"]);
        let inode = overlay.new_inode();
        overlay.put(
            &"/a".into(),
            Node::directory(0o755, inode),
            FileDigest::Unknown,
            None,
        );
        assert_eq!(names(&overlay, "/"), ["a", "a-b", "c"]);
        assert_eq!(
            names(&overlay, "/a"),
            Vec::<String>::new(),
            "the new directory is empty"
        );
    }

    #[test]
    fn a_directory_that_stays_keeps_its_entries() {
        let fake = FakeView::new().dir("/a").file("/a/x", b"1");
        let mut overlay = Overlay::new(&fake);
        overlay.update(&"/a".into(), |node| node.mode = 0o700).unwrap();
        assert_eq!(overlay.node(&"/a".into()).unwrap().unwrap().mode, 0o700);
        assert_eq!(names(&overlay, "/a"), ["x"]);
        assert_eq!(overlay.read(&"/a/x".into(), 10).unwrap().unwrap(), b"1");
        overlay.update(&"/a/x".into(), |node| node.mode = 0o600).unwrap();
        assert_eq!(
            overlay.read(&"/a/x".into(), 10).unwrap().unwrap(),
            b"1",
            "only the mode changed"
        );
    }
}
