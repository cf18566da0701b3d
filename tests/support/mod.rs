//! What the end-to-end tests share: roots, snapshots of trees, runs of the binary, generated configs.

pub(crate) mod consoles;
pub(crate) mod disk;
pub(crate) mod generate;
pub(crate) mod pages;
pub(crate) mod private;
pub(crate) mod programs;
pub(crate) mod random;
pub(crate) mod root;
pub(crate) mod schema;
pub(crate) mod snapshot;
pub(crate) mod strace;
