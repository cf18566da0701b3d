//! The disks stage: partitions, RAID, encrypted volumes, filesystems (spec/disks.md).

mod clevis;
pub mod filesystems;
pub mod partitions;
pub mod raid;
#[cfg(test)]
mod table;
pub mod tables;
mod target;
pub mod volumes;
mod wiped;

pub use wiped::{Wiped, wiped};

use crate::config::types::Config;
use crate::report::Pointer;
use crate::stages::Phase;

/// The devices that a phase is about, each with the place in the config that names it; empty for a phase that has nothing
/// to do. They are waited for before it is planned (spec/disks.md 1.1).
pub fn wanted(phase: Phase, config: &Config) -> Vec<(String, Pointer)> {
    let storage = &config.storage;
    match phase {
        Phase::Filesystems => storage
            .filesystems
            .iter()
            .enumerate()
            .map(|(index, filesystem)| (filesystem.device.clone(), filesystems::at(index).key("device")))
            .collect(),
        // Phases of the stage that are not built yet, and those of others.
        Phase::Raid => raid::wanted(config),
        Phase::Volumes => volumes::wanted(config),
        Phase::Partitions => tables::wanted(config),
        Phase::Config
        | Phase::Arguments
        | Phase::Mounts
        | Phase::Unmounts
        | Phase::Accounts
        | Phase::Keys
        | Phase::Nodes
        | Phase::Units
        | Phase::Presets
        | Phase::Luks
        | Phase::Result => Vec::new(),
    }
}
