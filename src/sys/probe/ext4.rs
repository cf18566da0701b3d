//! What an ext4 filesystem in an image holds, read without mounting it; what its journal still has to say counts.

use std::ffi::OsString;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Metadata, Path};
use sha2::Digest as _;

use crate::view::{Digest, FileDigest, Inode, Node, NodeKind, Owner, RootPath, Tree, ViewError};

/// A part of a file.
#[derive(Debug)]
pub(super) struct PartOfFile {
    /// The file
    pub(super) file: File,
    /// Where the part begins, in bytes
    pub(super) start: u64,
    /// How many bytes it has
    pub(super) size: u64,
}

impl Ext4Read for PartOfFile {
    fn read(
        &mut self,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        let end = u64::try_from(buffer.len())
            .ok()
            .and_then(|length| start.checked_add(length));
        if end.is_none_or(|end| end > self.size) {
            return Err("the filesystem is larger than its partition".into());
        }
        Ok(self
            .file
            .read_exact_at(buffer, self.start.saturating_add(start))?)
    }
}

/// A filesystem that can be read.
#[derive(Debug)]
pub(super) struct Filesystem {
    device: String,
    inner: Ext4,
}

impl Filesystem {
    /// Opens the filesystem on a device. It may have features that are not known here, or be damaged.
    pub(super) fn open(device: &str, part: PartOfFile) -> Result<Self, Ext4Error> {
        Ok(Self {
            device: device.to_owned(),
            inner: Ext4::load(Box::new(part))?,
        })
    }

    fn metadata(&self, path: &RootPath) -> Result<Option<Metadata>, ViewError> {
        let Ok(place) = Path::try_from(path.as_os_str().as_bytes()) else {
            // A name that is too long for any filesystem.
            return Ok(None);
        };
        match self.inner.symlink_metadata(place) {
            Ok(found) => Ok(Some(found)),
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => Ok(None),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    fn failed(&self, path: &RootPath, error: &Ext4Error) -> ViewError {
        ViewError::NotMounted {
            path: path.to_string(),
            device: self.device.clone(),
            kind: format!("ext4 that this program cannot read ({error})"),
        }
    }

    fn bytes<T>(
        &self,
        path: &RootPath,
        read: impl FnOnce(&mut ext4_view::File) -> Result<T, Ext4Error>,
    ) -> Result<T, ViewError> {
        let failed = |error| self.failed(path, &error);
        let place =
            Path::try_from(path.as_os_str().as_bytes()).map_err(|_| failed(Ext4Error::MalformedPath))?;
        let mut file = self.inner.open(place).map_err(failed)?;
        read(&mut file).map_err(failed)
    }
}

/// Stands for the number of an inode, which the crate does not tell: names of one inode have all of this in common, and
/// other inodes hardly ever do.
fn inode(metadata: &Metadata) -> Inode {
    let mut hasher = DefaultHasher::new();
    metadata.hash(&mut hasher);
    Inode {
        device: u64::MAX,
        number: hasher.finish(),
    }
}

impl Tree for Filesystem {
    fn node(&self, path: &RootPath) -> Result<Option<Node>, ViewError> {
        let Some(found) = self.metadata(path)? else {
            return Ok(None);
        };
        let kind = match found.file_type() {
            FileType::Directory => NodeKind::Directory,
            FileType::Regular => NodeKind::File {
                size: Some(found.len()),
            },
            FileType::Symlink => {
                let place = Path::try_from(path.as_os_str().as_bytes());
                let place = place.map_err(|_| self.failed(path, &Ext4Error::MalformedPath))?;
                let target = self.inner.read_link(place);
                let target = target.map_err(|error| self.failed(path, &error))?;
                NodeKind::Symlink {
                    target: OsString::from_vec(target.as_ref().to_vec()),
                }
            }
            FileType::BlockDevice | FileType::CharacterDevice | FileType::Fifo | FileType::Socket => {
                NodeKind::Other
            }
        };
        Ok(Some(Node {
            kind,
            mode: u32::from(found.mode()),
            user: Owner::Id(found.uid()),
            group: Owner::Id(found.gid()),
            inode: inode(&found),
        }))
    }

    fn list(&self, path: &RootPath) -> Result<Vec<OsString>, ViewError> {
        let failed = |error| self.failed(path, &error);
        let place =
            Path::try_from(path.as_os_str().as_bytes()).map_err(|_| failed(Ext4Error::MalformedPath))?;
        let mut names = Vec::new();
        for entry in self.inner.read_dir(place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name: &[u8] = name.as_ref();
            if !matches!(name, b"." | b"..") {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn digest(&self, path: &RootPath) -> Result<FileDigest, ViewError> {
        let digest = self.bytes(path, |file| {
            let mut hash = sha2::Sha512::new();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = file.read_bytes(&mut buffer)?;
                if count == 0 {
                    return Ok(Digest(hash.finalize().into()));
                }
                hash.update(buffer.get(..count).unwrap_or_default());
            }
        })?;
        Ok(FileDigest::Known(digest))
    }

    fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        let fits = self
            .metadata(path)?
            .filter(|found| found.file_type().is_regular_file() && found.len() <= limit);
        let Some(found) = fits else { return Ok(None) };
        let size = usize::try_from(found.len()).unwrap_or(usize::MAX);
        self.bytes(path, |file| {
            let mut bytes = Vec::new();
            let mut buffer = vec![0; size.clamp(1, 64 << 10)];
            loop {
                let count = file.read_bytes(&mut buffer)?;
                if count == 0 {
                    return Ok(Some(bytes));
                }
                bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
        })
    }
}
