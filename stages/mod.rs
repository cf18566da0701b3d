//! The stages: what each must know and what it decides. Pure planners: `(&Config, &View) -> Plan`.
//!
//! A phase exists where later decisions need earlier effects; only between phases is the view asked again.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::plan::Plan;
use crate::report::Pointer;
use crate::view::{ResolveError, ViewError};

pub mod disks;
pub mod fetch;
pub mod files;
pub mod kargs;
pub mod mount;
mod progress;
mod rerun;
pub mod umount;

pub use progress::Progress;
pub use rerun::{Rerun, UnknownRerun};

/// The stages, in boot order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Get the config without the network
    FetchOffline,
    /// Get the config
    Fetch,
    /// Kernel arguments
    Kargs,
    /// Partitions, RAID, LUKS, filesystems
    Disks,
    /// Mount the filesystems under the root
    Mount,
    /// Accounts, files, units
    Files,
    /// Unmount what mount mounted
    Umount,
}

impl Stage {
    /// All of them, in boot order.
    pub const ALL: [Self; 7] = [
        Self::FetchOffline,
        Self::Fetch,
        Self::Kargs,
        Self::Disks,
        Self::Mount,
        Self::Files,
        Self::Umount,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchOffline => "fetch-offline",
            Self::Fetch => "fetch",
            Self::Kargs => "kargs",
            Self::Disks => "disks",
            Self::Mount => "mount",
            Self::Files => "files",
            Self::Umount => "umount",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a stage.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a stage; stages are fetch-offline, fetch, kargs, disks, mount, files, umount")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(name: &str) -> Result<Self, UnknownStage> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.name() == name)
            .ok_or_else(|| UnknownStage(name.to_owned()))
    }
}

/// The phases of all stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// fetch: the config is there, cache and flag are written
    Config,
    /// kargs: the kernel's arguments
    Arguments,
    /// disks: partition tables
    Partitions,
    /// disks: RAID arrays
    Raid,
    /// disks: encrypted volumes
    Volumes,
    /// disks: filesystems
    Filesystems,
    /// mount: mount points and mounts
    Mounts,
    /// umount: what mount mounted
    Unmounts,
    /// files: groups, users, passwords
    Accounts,
    /// files: home permissions and SSH keys; needs the accounts' ids and homes
    Keys,
    /// files: directories, files, links
    Nodes,
    /// files: units, drop-ins, masks
    Units,
    /// files: presets; a disabled unit's line depends on the units that are there now
    Presets,
    /// files: crypttab, LUKS key files, provider output files
    Luks,
    /// files: the result file
    Result,
}

impl Phase {
    /// Its name in logs and plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Arguments => "arguments",
            Self::Partitions => "partitions",
            Self::Raid => "raid",
            Self::Volumes => "volumes",
            Self::Filesystems => "filesystems",
            Self::Mounts => "mounts",
            Self::Unmounts => "unmounts",
            Self::Accounts => "accounts",
            Self::Keys => "keys",
            Self::Nodes => "nodes",
            Self::Units => "units",
            Self::Presets => "presets",
            Self::Luks => "luks",
            Self::Result => "result",
        }
    }
}

/// Why a phase cannot be planned: nothing of it has been done.
#[derive(Debug, thiserror::Error)]
#[error("{pointer}")]
pub struct PlanError {
    /// The place in the config
    pub pointer: Pointer,
    /// What is wrong there
    #[source]
    pub problem: Problem,
    /// What else is refused in the same phase
    pub further: Option<Box<Further>>,
}

/// What a planner found beside the first thing that it refuses.
#[derive(Debug)]
pub struct Further {
    /// The other refusals, in the order in which they were found
    pub others: Vec<PlanError>,
    /// The plan without the entries that are refused: only to see what later phases would refuse
    pub rest: Plan,
}

/// What stands in the way of a plan.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The config cannot be carried out on this root.
    #[error("{what}; {advice}")]
    Refused {
        /// What is wrong
        what: String,
        /// What to do about it
        advice: String,
    },
    /// A path cannot be resolved inside the root.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The root could not be asked.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Problem {
    /// Puts a problem at a place in the config.
    pub fn at(self, pointer: Pointer) -> PlanError {
        PlanError {
            pointer,
            problem: self,
            further: None,
        }
    }
}
