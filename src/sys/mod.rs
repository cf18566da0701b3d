//! The edges: the only place that touches files, programs, the environment and the clock, and the only one with
//! `unsafe`. Each edge is a small trait or type with a hand-written fake beside the real thing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the place that the lint sends everybody to"
)]

pub mod accounts;
pub mod append;
pub mod blkpg;
pub mod clock;
pub mod consoles;
pub mod devices;
pub mod environment;
pub mod host;
pub mod journal;
pub mod key_file;
pub mod leave;
pub mod lock;
pub mod loop_device;
pub mod netlink;
pub mod own_node;
mod patience;
pub mod pid1;
pub mod ports;
pub mod private;
pub mod probe;
pub mod random;
pub mod reach;
pub mod runner;
pub mod signals;
pub mod sysroot;
pub mod terminal;
pub mod tool;

pub use clock::Clock;
pub use environment::Environment;
pub use host::HostFiles;
pub use probe::Probe;
pub use reach::Reachability;
pub use runner::{Invocation, Output, RunError, Runner};
pub use sysroot::{Resolver, StagedFile, Sysroot, SysrootError};
pub use tool::Tool;

/// Sets the umask to 022, once, at the start of the program: what the shadow tools and `mkdir` make must not depend on
/// who started it.
pub fn set_umask() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
}
