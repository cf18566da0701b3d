//! The disks stage.

mod clevis;
pub mod raid;
#[cfg(test)]
mod table;
mod target;
pub mod volumes;
