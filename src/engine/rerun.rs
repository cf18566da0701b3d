//! `ignition.rerun=` on the kernel command line: what a run does about what an earlier one left.

use super::cmdline;
use super::edges::Edges;
use crate::stages::Rerun;

/// The kernel parameter.
const RERUN: &str = "ignition.rerun";

/// The policy that the kernel command line asks for. What is none is warned about and asks for nothing, as does a command
/// line that cannot be read.
pub(super) fn of(edges: &Edges) -> Rerun {
    let line = edges.kernel_command_line().unwrap_or_default();
    let Some(text) = cmdline::value(&line, RERUN).filter(|text| !text.is_empty()) else {
        return Rerun::default();
    };
    text.parse().unwrap_or_else(|problem| {
        tracing::warn!("{RERUN}={text} on the kernel command line is ignored: {problem}");
        Rerun::default()
    })
}
