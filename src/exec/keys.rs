//! Where the keys of volumes are while a run lasts.

use std::io;

use crate::plan::Secret;

/// The part of the state file that holds keys (spec/disks.md 4.1). Durable on return: who finds a volume must find its key.
pub trait VolumeKeys: Sync {
    /// Keeps a volume's key, in the place of one that was there.
    fn keep(&self, volume: &str, key: &[u8]) -> io::Result<()>;

    /// A volume's key.
    fn key(&self, volume: &str) -> io::Result<Option<Secret<Vec<u8>>>>;

    /// Drops a volume's key.
    fn forget(&self, volume: &str) -> io::Result<()>;

    /// Keeps a file of a secure key, for the later boots (spec/mount_files.md 8).
    fn keep_secure_key(&self, file: &str, bytes: &[u8]) -> io::Result<()>;
}
