//! What an unfinished earlier run recorded on ROOT, as planners see it (design.md 3).
//!
//! Only under this record do the shortcuts apply that upstream does not have: a file that this run wrote is kept, an
//! append already made is not repeated, an account left half-made is made anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::view::{Digest, RootPath};

/// Steps that an unfinished run began, and the digests of the files it made. Empty if there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// SHA-512 of the config of that run; `None` if there was no unfinished run
    pub config: Option<Digest>,
    /// Paths that it was about to write, with the digests it recorded just before each file took its place, in order
    pub files: BTreeMap<RootPath, Vec<Digest>>,
    /// Directories that it was about to make
    pub directories: BTreeSet<RootPath>,
    /// Users whose creation was begun and not recorded as done
    pub users_begun: BTreeSet<String>,
    /// Groups likewise
    pub groups_begun: BTreeSet<String>,
}

impl Progress {
    /// Whether an unfinished run left a record.
    pub fn is_some(&self) -> bool {
        self.config.is_some()
    }

    /// Whether the unfinished run was about to write this path: what stands there is its own.
    pub fn intends(&self, path: &RootPath) -> bool {
        self.files.contains_key(path)
    }

    /// Digests that the unfinished run recorded for this path, oldest first.
    pub fn wrote(&self, path: &RootPath) -> &[Digest] {
        self.files.get(path).map_or(&[], Vec::as_slice)
    }

    /// Directories in which the unfinished run may have left something under a temporary name.
    pub fn places(&self) -> BTreeSet<RootPath> {
        self.files
            .keys()
            .chain(&self.directories)
            .filter_map(RootPath::parent)
            .collect()
    }

    /// Whether the creation of this user was begun and not finished.
    pub fn begun_user(&self, name: &str) -> bool {
        self.users_begun.contains(name)
    }
}
