//! Running a stage: getting its config, planning, carrying out, and what is kept between stages.

pub mod acquire;
pub mod apply;
mod beside;
pub mod cache;
pub mod cmdline;
mod deadline;
pub mod digest;
pub mod disks;
pub mod edges;
pub mod failure;
pub mod files;
pub mod keys;
pub mod load;
mod log;
pub mod mounts;
pub mod neednet;
pub mod places;
pub mod plan;
pub mod post;
pub mod render;
pub mod run;
pub mod stage;
pub mod state;
pub mod system;
pub mod told;
pub mod world;

use std::path::Path;

use edges::Edges;
use failure::Failure;

use crate::sys::host::Host;
use crate::sys::{HostFiles as _, consoles, terminal};

/// Whether `ignition.rerun=strict` is on the kernel command line. An unreadable command line asks for nothing.
fn is_strict(edges: &Edges) -> bool {
    edges
        .kernel_command_line()
        .is_ok_and(|line| cmdline::value(&line, "ignition.rerun").as_deref() == Some("strict"))
}

/// Who is told about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Who asked what would be done, at a terminal: one line
    Terminal,
    /// Who has to find out why a machine did not come up: the log, and the digest on stderr and, in an initrd, on the
    /// consoles
    Boot,
}

/// Where systemd tells an initrd from a machine that is up.
const IN_INITRD: &str = "/etc/initrd-release";

/// Name of the file beside the state file that has the digest of the stage that failed last.
const DIGEST: &str = "digest";

/// Says what failed, and gives the exit code. The digest is also left in the file `kept`, from which it is shown once more when
/// the emergency shell is there.
fn tell(failure: &Failure, audience: Audience, kept: Option<&Path>) -> u8 {
    if audience == Audience::Terminal {
        terminal::print(true, &format!("ignition: {failure}\n"));
        return failure.exit_code;
    }
    let digest = &failure.digest;
    // The digest has the last lines only.
    for line in digest.tool.iter().flat_map(|tool| &tool.stderr) {
        tracing::error!("the program wrote: {line}");
    }
    match digest.stage {
        // The log says the stage itself.
        Some(_) => crate::log::critical(&failure.without_stage()),
        None => crate::log::critical(failure),
    }
    let context = digest::Context {
        log: crate::log::place(),
    };
    let text = digest::render(digest, &context);
    if let Some(kept) = kept
        && let Err(error) = Host.write_atomic(kept, text.as_bytes(), 0o600)
    {
        tracing::debug!("cannot write {}: {error}", kept.display());
    }
    consoles::write_stderr(&text);
    if Host.exists(Path::new(IN_INITRD)).unwrap_or_default() {
        consoles::write(&text);
    }
    failure.exit_code
}
