//! The disks stage.

pub mod partitions;
