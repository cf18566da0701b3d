//! Running a stage: getting its config, planning, executing, and what is kept between stages.

pub mod acquire;
pub mod cache;
pub mod cmdline;
mod log;
pub mod neednet;
pub mod render;
pub mod state;
pub mod system;
