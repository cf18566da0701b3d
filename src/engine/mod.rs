//! Runs stages: gets the config, plans, carries out, leaves what later stages need.

pub mod cache;
pub mod cmdline;
pub mod failure;
pub mod neednet;
pub mod state;
pub mod world;
