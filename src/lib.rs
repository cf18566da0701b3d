//! `ignition-rs`: provisions a machine once, at first boot, from the initrd.
//!
//! Three functions, never mixed: **parse** bytes into a checked [`config`], **plan** it against a [`view`] of the
//! machine into a [`plan`], **execute** that plan. See `docs/architecture.md`.

pub mod cli;
pub mod config;
pub mod engine;
pub mod events;
pub mod exec;
pub mod fetch;
pub mod flags;
pub mod gpt;
pub mod json;
pub mod log;
pub mod plan;
pub mod platform;
pub mod report;
pub mod spelling;
pub mod sys;
pub mod view;

#[path = "../stages/mod.rs"]
pub mod stages;

#[cfg(test)]
#[path = "../tests/support/schema.rs"]
pub(crate) mod checker;

/// This program's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Go Ignition that this program stands in for.
pub const UPSTREAM_VERSION: &str = "2.26.0";

/// The progress record on ROOT: there only while a run is unfinished (design.md 3).
pub const PROGRESS_PATH: &str = "/.ignition-progress";
