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
    /// Paths that it was about to write, with the digests it recorded for that config just before each file took its place,
    /// in order
    pub files: BTreeMap<RootPath, Vec<Digest>>,
    /// Digests that runs with other configs recorded, each with that config's
    pub earlier: BTreeMap<RootPath, Vec<(Digest, Digest)>>,
    /// Of files that any of them appended to: the digest with it, and how many bytes were there before
    pub appended: BTreeMap<RootPath, Vec<(Digest, u64)>>,
    /// Directories that it was about to make
    pub directories: BTreeSet<RootPath>,
    /// Entries of a config that it was about to make where nothing was
    pub made: BTreeSet<RootPath>,
    /// Directories that the mount stage made, this boot or before; there without an unfinished run, too
    pub mount_directories: BTreeSet<RootPath>,
    /// Users whose creation was begun and not recorded as done
    pub users_begun: BTreeSet<String>,
    /// Groups likewise
    pub groups_begun: BTreeSet<String>,
    /// Whether all was done, and only its boot did not go on into the system
    pub finished: bool,
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

    /// Whether an unfinished run with whatever config recorded this digest for this path.
    pub fn ever_wrote(&self, path: &RootPath, digest: Digest) -> bool {
        let mut earlier = self.earlier.get(path).into_iter().flatten();
        self.wrote(path).contains(&digest) || earlier.any(|(_, found)| *found == digest)
    }

    /// How many bytes a file with this digest had before unfinished runs appended to it.
    pub fn kept_before(&self, path: &RootPath, digest: Digest) -> Option<u64> {
        let recorded = self.appended.get(path)?;
        let own = recorded.iter().filter(|(found, _)| *found == digest);
        own.map(|(_, kept)| *kept).min()
    }

    /// Whether an unfinished run was about to make this where nothing was: none of it is older.
    pub fn made(&self, path: &RootPath) -> bool {
        self.made.contains(path)
    }

    /// What it means to a run with this config: what was recorded for another says nothing about what this one wants.
    #[must_use]
    pub fn seen_by(mut self, config: Digest) -> Self {
        if self.config.is_none_or(|before| before == config) {
            return self;
        }
        self.set_aside();
        for (path, digests) in &mut self.earlier {
            let own = digests.extract_if(.., |(by, _)| *by == config);
            let own = own.map(|(_, digest)| digest);
            self.files.entry(path.clone()).or_default().extend(own);
        }
        self
    }

    /// The digests so far are those of another config than the next ones.
    pub fn set_aside(&mut self) {
        let Some(config) = self.config else { return };
        for (path, digests) in self.files.iter_mut().filter(|(_, digests)| !digests.is_empty()) {
            let aside = digests.drain(..).map(|digest| (config, digest));
            self.earlier.entry(path.clone()).or_default().extend(aside);
        }
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
