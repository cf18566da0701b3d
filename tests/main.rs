//! The integration tests: one binary, one module per area. Tests that need something this machine lacks say on stderr
//! that they were skipped, and why.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::pedantic,
    clippy::type_complexity,
    missing_docs,
    reason = "tests look at the machine from outside"
)]

mod ahead;
mod beyond;
mod boot;
mod canary;
mod cli;
mod corpus;
mod digest;
mod disks;
mod dracut;
mod escapes;
mod explain;
mod fetch;
mod gpt;
mod images;
mod journal;
mod kill;
mod peer;
mod predict;
mod refusals;
mod report;
mod rerun;
mod strace;
mod support;
mod sysroot;
