//! The config: from bytes to a checked [`types::Config`].

pub mod types;
pub mod version;
