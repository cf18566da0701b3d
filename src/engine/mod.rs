//! Running a stage: getting its config, planning, carrying out, and what is kept between stages.

pub mod acquire;
pub mod apply;
mod beside;
mod beyond;
pub mod cache;
pub mod cmdline;
mod deadline;
pub mod digest;
pub mod disks;
pub mod edges;
pub mod explain;
pub mod failure;
pub mod files;
pub mod image;
pub mod keys;
pub mod load;
mod log;
pub mod mounts;
pub mod neednet;
pub mod places;
pub mod plan;
pub mod post;
pub mod render;
mod rerun;
pub mod run;
pub mod stage;
pub mod state;
pub mod system;
pub mod told;
pub mod world;

use std::path::Path;

use failure::Failure;

use crate::sys::host::Host;
use crate::sys::{HostFiles as _, consoles, terminal};

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
        for other in &failure.digest.also {
            terminal::print(true, &format!("ignition: also {other}\n"));
        }
        return failure.exit_code;
    }
    let digest = &failure.digest;
    // The digest has the last lines only.
    for line in digest.tool.iter().flat_map(|tool| &tool.stderr) {
        tracing::error!("the program wrote: {line}");
    }
    for other in &digest.also {
        tracing::error!("also {other}");
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
    let in_initrd = Host.exists(Path::new(IN_INITRD)).unwrap_or_default();
    if in_initrd {
        // What is logged of it must not be the last thing on a console.
        beyond::send(failure, &text);
    }
    consoles::write_stderr(&text);
    if in_initrd {
        consoles::write(&text);
    }
    failure.exit_code
}
