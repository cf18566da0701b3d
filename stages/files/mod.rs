//! The files stage: accounts, SSH keys, directories, files, links, units, presets, LUKS artefacts, the result file
//! (spec/mount_files.md 4-9).
//!
//! Each file here plans one phase. A planner asks a [`View`](crate::view::View) and returns steps; it sees the
//! effects of its own earlier steps through an [`Overlay`](crate::view::Overlay).

pub mod accounts;
pub mod keys;
pub mod luks;
mod place;
pub mod presets;
pub mod result;
#[cfg(test)]
mod scene;
pub mod units;

use std::collections::BTreeMap;

pub(super) mod contents;
pub mod nodes;
mod planner;

use super::{PlanError, Progress, Rerun};
use crate::config::types::{Config, File, Hidden};
use crate::plan::Content;

/// What the planners of this stage are given beside the view.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The merged config
    pub config: &'a Config,
    /// What earlier stages left in the state file
    pub state: StateFacts<'a>,
    /// What is true of this run and this machine
    pub run: &'a RunFacts,
    /// What an unfinished earlier run recorded
    pub progress: &'a Progress,
    /// What happens to what is in the way
    pub rerun: Rerun,
}

/// What the state file says, as far as this stage needs it.
#[derive(Clone, Copy, Debug)]
pub struct StateFacts<'a> {
    /// Directories that the mount stage created, as they stand in the config
    pub notated_directories: &'a [String],
    /// LUKS volume name -> key file as a `data:` URL
    pub luks_key_files: &'a BTreeMap<String, Hidden>,
    /// LUKS volume name -> key that the same dry run has planned to keep; empty in a real run
    pub planned_keys: &'a BTreeMap<String, Content>,
    /// File name -> volume key file (cex) as a `data:` URL
    pub luks_volume_key_files: &'a BTreeMap<String, Hidden>,
    /// Files that the platform provider asks for
    pub provider_files: &'a [File],
}

/// What is true of this run: comes in as data, so that plans are pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFacts {
    /// `/proc/sys/kernel/random/boot_id`, trimmed
    pub boot_id: String,
    /// Now, RFC 3339 with seconds and the local offset
    pub date: String,
    /// Whether a user config was fetched (spec/mount_files.md 9)
    pub user_config_provided: bool,
    /// Whether `is-live-image` succeeds
    pub live_image: bool,
    /// Whether SSH keys go to `authorized_keys.d/ignition` instead of `authorized_keys`
    pub key_fragments: bool,
}

/// Makes a refusal: what is wrong at this place of the config, and what to do about it.
pub(crate) fn refuse(
    pointer: crate::report::Pointer,
    what: impl Into<String>,
    advice: impl Into<String>,
) -> PlanError {
    let problem = super::Problem::Refused {
        what: what.into(),
        advice: advice.into(),
    };
    problem.at(pointer)
}
