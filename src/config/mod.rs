//! The config: from bytes to a checked [`types::Config`].

pub mod grammar;
pub mod types;
pub mod version;
