//! The edges of the program: the only place that touches files, programs, the environment and the kernel directly.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the place that those lints send everyone to"
)]

pub mod journal;
pub mod terminal;
