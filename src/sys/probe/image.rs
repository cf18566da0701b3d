//! The view of images: their disks, and what the filesystems on them hold, without mounting anything.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::rc::Rc;

use super::ext4::{Filesystem, PartOfFile};
use super::{DEFAULT_HOME, default_home};
use crate::sys::accounts::{self, LIMIT};
use crate::sys::devices::image::ImageDevices;
use crate::view::{
    Account, Devices, Enabled, FileDigest, Group, Held, Inode, Node, RootPath, Tree, User, View, ViewError,
};

/// Images, and the root as it will be: what a kept filesystem holds, or nothing.
pub struct ImageView<'a> {
    devices: &'a ImageDevices,
    root: OnceCell<Rc<dyn Tree>>,
    trees: RefCell<BTreeMap<String, Rc<dyn Tree>>>,
}

impl std::fmt::Debug for ImageView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageView")
            .field("devices", self.devices)
            .finish_non_exhaustive()
    }
}

impl<'a> ImageView<'a> {
    /// With an empty root.
    pub fn new(devices: &'a ImageDevices) -> Self {
        Self {
            devices,
            root: OnceCell::new(),
            trees: RefCell::default(),
        }
    }

    /// From now on the root is what the filesystem on a device holds. Once, and before the root is asked about.
    pub fn mount_root(&self, node: &str) -> Result<(), ViewError> {
        let tree = self.tree(node)?;
        let _first = self.root.set(tree);
        Ok(())
    }

    fn tree(&self, node: &str) -> Result<Rc<dyn Tree>, ViewError> {
        if let Some(tree) = self.trees.borrow().get(node) {
            return Ok(Rc::clone(tree));
        }
        if self.devices.device(node)?.is_none() {
            // An array or a volume that a run starts or opens, and keeps.
            return Ok(Rc::new(Closed::new(node, "what a run finds there".to_owned())));
        }
        let kind = self.devices.signature(node)?.kind;
        let part = self.devices.part(node)?.filter(|_| kind == "ext4");
        let tree: Rc<dyn Tree> = match part {
            None => Rc::new(Closed::new(node, kind)),
            Some((file, start, size)) => match Filesystem::open(node, PartOfFile { file, start, size }) {
                Ok(filesystem) => Rc::new(filesystem),
                Err(error) => {
                    let kind = format!("ext4 that this program cannot read ({error})");
                    Rc::new(Closed::new(node, kind))
                }
            },
        };
        self.trees.borrow_mut().insert(node.to_owned(), Rc::clone(&tree));
        Ok(tree)
    }

    fn at_root<T>(
        &self,
        ask: impl FnOnce(&dyn Tree) -> Result<T, ViewError>,
        empty: impl FnOnce() -> T,
    ) -> Result<T, ViewError> {
        match self.root.get() {
            Some(tree) => ask(&**tree),
            None => Ok(empty()),
        }
    }

    /// An account file, links followed.
    fn database(&self, path: &RootPath) -> Result<Option<Rc<Vec<u8>>>, ViewError> {
        match crate::view::follow(self, path) {
            Ok(path) => Ok(View::read(self, &path, LIMIT)?.map(Rc::new)),
            Err(crate::view::ResolveError::View(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

impl View for ImageView<'_> {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        let top = || path.is_root().then(top);
        self.at_root(|tree| tree.node(path), top)
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        self.at_root(|tree| tree.list(path), Vec::new)
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        self.at_root(|tree| tree.digest(path), || FileDigest::Unknown)
    }

    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        self.at_root(|tree| tree.read(path, limit), || None)
    }

    fn user(&self, name: &str) -> Result<Option<User>, ViewError> {
        accounts::user(&|path| self.database(path), name)
    }

    fn group(&self, name: &str) -> Result<Option<Group>, ViewError> {
        accounts::group(&|path| self.database(path), name)
    }

    fn unit_enabled(&self, _entry: &str) -> Result<Enabled, ViewError> {
        Ok(Enabled::Unknown)
    }

    fn luks_uuid(&self, _device: &str) -> Result<Option<String>, ViewError> {
        Ok(None)
    }

    fn default_home(&self) -> Result<String, ViewError> {
        let bytes = self.database(&RootPath::from("/etc/default/useradd"))?;
        Ok(bytes
            .and_then(|bytes| default_home(&bytes))
            .unwrap_or_else(|| DEFAULT_HOME.to_owned()))
    }

    fn has_password(&self, account: Account<'_>, hash: &str) -> Result<bool, ViewError> {
        accounts::has_password(&|path| self.database(path), account, hash)
    }

    fn devices(&self) -> &dyn Devices {
        self.devices
    }

    fn held(&self, node: &str) -> Result<Held, ViewError> {
        Ok(Held::Tree(self.tree(node)?))
    }
}

/// The top of a filesystem of which nothing else is known.
fn top() -> Node {
    Node::directory(
        0o755,
        Inode {
            device: u64::MAX,
            number: 0,
        },
    )
}

/// A filesystem that only the kernel reads. As long as nobody asks what it holds, that does no harm.
#[derive(Debug)]
struct Closed {
    device: String,
    kind: String,
}

impl Closed {
    fn new(device: &str, kind: String) -> Self {
        Self {
            device: device.to_owned(),
            kind,
        }
    }

    fn closed<T>(&self, path: &RootPath) -> Result<T, ViewError> {
        Err(ViewError::NotMounted {
            path: path.to_string(),
            device: self.device.clone(),
            kind: self.kind.clone(),
        })
    }
}

impl Tree for Closed {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        if path.is_root() {
            Ok(Some(top()))
        } else {
            self.closed(path)
        }
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        self.closed(path)
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        self.closed(path)
    }

    fn read(&self, path: &RootPath, _limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        self.closed(path)
    }
}
