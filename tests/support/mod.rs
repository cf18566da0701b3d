//! What the end-to-end tests share: roots, snapshots of trees, runs of the binary, generated configs.

pub mod generate;
pub mod programs;
pub mod random;
pub mod root;
pub mod snapshot;
pub mod strace;
