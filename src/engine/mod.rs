//! Running a stage: getting its config, planning, carrying out, and what is kept between stages.

pub mod acquire;
pub mod apply;
mod beside;
pub mod cache;
pub mod cmdline;
pub mod edges;
pub mod failure;
pub mod files;
pub mod load;
mod log;
pub mod neednet;
pub mod places;
pub mod plan;
pub mod render;
pub mod run;
pub mod stage;
pub mod state;
pub mod system;
pub mod world;

use edges::Edges;
use failure::Failure;

/// Whether `ignition.rerun=strict` is on the kernel command line. An unreadable command line asks for nothing.
fn is_strict(edges: &Edges) -> bool {
    edges
        .kernel_command_line()
        .is_ok_and(|line| cmdline::value(&line, "ignition.rerun").as_deref() == Some("strict"))
}

/// Says what failed, and gives the exit code. On a workstation nothing else is printed; at a boot it goes to the log too.
fn tell(failure: &Failure, quiet: bool) -> u8 {
    match (quiet, failure.stage) {
        (true, _) => {}
        // The log says the stage itself.
        (false, Some(_)) => crate::log::critical(&failure.without_stage()),
        (false, None) => crate::log::critical(failure),
    }
    crate::sys::terminal::print(true, &format!("ignition: {failure}\n"));
    failure.exit_code
}
