//! The only code that changes the machine: one match over the actions of a plan.

mod ahead;
mod devices;
mod files;
mod keys;
mod pipeline;
pub mod progress;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::time::Duration;

use crate::events::{Done, Event, Events, Outcome, line};
use crate::fetch::{FetchError, Fetcher};
use crate::plan::render::subject;
use crate::plan::{Action, Change, HostFile, PasswordOf, Plan, Step};
use crate::report::{Pointer, chain};
use crate::sys::Clock;
use crate::sys::accounts::{self as accounts_file, AccountsError};
use crate::sys::devices::BlockDevices;
use crate::sys::host::HostFiles;
use crate::sys::runner::{RunError, Runner};
use crate::sys::sysroot::{Sysroot, SysrootError};
use crate::view::{Account, Owner};
use ahead::Ahead;
use files::NewFile;
use progress::Record;

pub use devices::VolumeError;
pub use keys::VolumeKeys;

/// What an execution acts on.
pub struct Machine<'a> {
    /// The new root
    pub root: &'a Sysroot,
    /// Block devices
    pub devices: &'a dyn BlockDevices,
    /// Keys of volumes
    pub keys: &'a dyn VolumeKeys,
    /// Starts programs
    pub runner: &'a dyn Runner,
    /// The program's own files outside the root
    pub host: &'a dyn HostFiles,
    /// Gets remote contents
    pub fetcher: &'a dyn Fetcher,
    /// Who is told what was done
    pub events: &'a dyn Events,
    /// How long it took
    pub clock: &'a dyn Clock,
    /// Whether a stop was asked for (SIGTERM)
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("root", &self.root.path())
            .finish_non_exhaustive()
    }
}

/// A step that could not be done. The steps before it are.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct StepError {
    /// The place in the config that asks for the step
    pub cause: Pointer,
    /// The step: `create /etc/motd`. Fit for a terminal
    pub operation: String,
    /// What happened
    #[source]
    pub problem: Box<ExecError>,
}

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// A file operation in the root
    #[error(transparent)]
    Root(#[from] SysrootError),
    /// A program
    #[error(transparent)]
    Run(#[from] RunError),
    /// An account file
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// A remote resource
    #[error("cannot fetch {url}")]
    Fetch {
        /// Fit to be shown
        url: String,
        /// What happened
        #[source]
        source: FetchError,
    },
    /// Reading a remote resource, its decompression or its hash; or writing it down
    #[error("cannot copy the contents of {url} to {path}")]
    Copy {
        /// Fit to be shown
        url: String,
        /// Inside the root
        path: String,
        /// What happened
        #[source]
        source: std::io::Error,
    },
    /// Writing contents that the config carries
    #[error("cannot write {path}")]
    Write {
        /// Where
        path: String,
        /// What happened
        #[source]
        source: std::io::Error,
    },
    /// A step names an account that has no id although the accounts phase is over
    #[error("account {0:?} has no id yet; please report this")]
    NoId(String),
    /// A partition table
    #[error(transparent)]
    Table(#[from] crate::sys::devices::TableError),
    /// Unmounting
    #[error(transparent)]
    Unmount(#[from] crate::sys::devices::UnmountError),
    /// A device that a step has made
    #[error(transparent)]
    Missing(#[from] crate::sys::devices::DeviceMissing),
    /// A key of a volume
    #[error(transparent)]
    VolumeKey(#[from] VolumeError),
    /// Telling udev and systemd
    #[error(transparent)]
    Announce(#[from] crate::sys::devices::AnnounceError),
    /// Which devices a step has made
    #[error(transparent)]
    Look(#[from] crate::view::ViewError),
    /// Remembering that a device is being changed
    #[error("cannot note what is done to {node}")]
    Mark {
        /// The device
        node: String,
        /// What the system said
        #[source]
        source: std::io::Error,
    },
    /// Several of the steps that are done side by side
    #[error("{}; {} also failed: {}", chain(first.as_ref()), if others.len() == 1 { "another step" } else { "other steps" }, others.join("; "))]
    Several {
        /// The first of them
        first: Box<ExecError>,
        /// The others: place in the config and what happened
        others: Vec<String>,
    },
    /// SIGTERM
    #[error("stopped on request before this step; run again to continue where it left off")]
    Stopped,
}

/// Executes a plan, step after step, and records each in `record` first where a re-run must know of it.
///
/// Nothing is durable before the stage says so: see [`Sysroot::sync_touched`].
pub fn execute(plan: &Plan, machine: &Machine<'_>, record: &mut Record<'_>) -> Result<(), StepError> {
    if let Some(first) = plan.steps.iter().find(|step| acts(step)) {
        record.begin(plan).map_err(|error| StepError {
            cause: first.cause.clone(),
            operation: "write down that a run has begun".to_owned(),
            problem: Box::new(error.into()),
        })?;
    }
    // Programs may have run since the last plan.
    machine.root.forget_directories();
    let ahead = Ahead::new(plan, machine.root, machine.fetcher);
    ahead.run(|| execute_steps(plan, machine, record, &ahead))
}

fn execute_steps(
    plan: &Plan,
    machine: &Machine<'_>,
    record: &mut Record<'_>,
    ahead: &Ahead<'_>,
) -> Result<(), StepError> {
    // Results of filesystems that were made side by side, until their turn to be told comes.
    let mut made = VecDeque::new();
    let mut failed: Option<StepError> = None;
    for (index, step) in plan.steps.iter().enumerate() {
        let tell = |outcome, took, done| {
            machine.events.tell(&Event::Step {
                stage: plan.stage,
                phase: plan.phase,
                step,
                outcome,
                took,
                done,
            });
        };
        if !acts(step) {
            if let Err(problem) = devices::confirm(step, machine) {
                tell(Outcome::Failed(&chain(&problem)), Duration::ZERO, Done::default());
                return Err(join(failed, step, problem));
            }
            tell(Outcome::Kept, Duration::ZERO, Done::default());
            continue;
        }
        tracing::info!("{} {}", step.change.word(), subject(&step.action));
        if made.is_empty() && devices::filesystem(step).is_some() {
            made = devices::make_side_by_side(plan.steps.get(index..).unwrap_or_default(), machine);
        }
        let (result, took) = if let Some((result, took)) = made.pop_front() {
            (result.map(|()| Done::default()), took)
        } else {
            let begun = machine.clock.monotonic();
            let result = if (machine.stop)() {
                Err(ExecError::Stopped)
            } else {
                if line::may_take_long(&step.action) {
                    machine.events.tell(&Event::StepBegins {
                        stage: plan.stage,
                        phase: plan.phase,
                        step,
                    });
                }
                run_step(step, index, machine, record, ahead)
            };
            (result, machine.clock.monotonic().saturating_sub(begun))
        };
        match result {
            Ok(done) => tell(Outcome::Done, took, done),
            Err(problem) => {
                let done = Done {
                    attempts: match &problem {
                        ExecError::Fetch { source, .. } => source.attempts(),
                        _ => None,
                    },
                    ..Done::default()
                };
                tell(Outcome::Failed(&chain(&problem)), took, done);
                failed = Some(join(failed, step, problem));
            }
        }
        // What was done side by side with a step that failed is still told.
        if made.is_empty()
            && let Some(failed) = failed.take()
        {
            return Err(failed);
        }
    }
    Ok(())
}

/// Adds a failure to those before it.
fn join(before: Option<StepError>, step: &Step, problem: ExecError) -> StepError {
    let Some(StepError {
        cause,
        operation,
        problem: of_first,
    }) = before
    else {
        return StepError {
            cause: step.cause.clone(),
            operation: format!("{} {}", step.change.word(), subject(&step.action)),
            problem: Box::new(problem),
        };
    };
    let other = format!("{}: {}", step.cause, chain(&problem));
    let problem = match *of_first {
        // Once is enough.
        stopped @ ExecError::Stopped if matches!(problem, ExecError::Stopped) => stopped,
        ExecError::Several { first, mut others } => {
            others.push(other);
            ExecError::Several { first, others }
        }
        only => ExecError::Several {
            first: Box::new(only),
            others: vec![other],
        },
    };
    StepError {
        cause,
        operation,
        problem: Box::new(problem),
    }
}

/// Whether a step is executed at all.
fn acts(step: &Step) -> bool {
    match step.change {
        Change::Keep { .. } | Change::Unknown { .. } => false,
        Change::Create | Change::Modify { .. } | Change::Replace { .. } | Change::Delete { .. } => true,
    }
}

fn run_step(
    step: &Step,
    index: usize,
    machine: &Machine<'_>,
    record: &mut Record<'_>,
    ahead: &Ahead<'_>,
) -> Result<Done, ExecError> {
    let root = machine.root;
    let done = match &step.action {
        // Stands in dry runs for what is not known; a real run has fetched it before it plans.
        Action::FetchConfig { .. } => Ok(()),
        Action::WriteHostFile {
            file,
            path,
            bytes,
            mode,
        } => {
            let written = match file {
                HostFile::NeedNet => machine.host.create_empty(path),
                HostFile::Cache | HostFile::Origins => machine.host.write_atomic(path, bytes.reveal(), *mode),
            };
            return written
                .map(|()| Done {
                    bytes: Some(u64::try_from(bytes.reveal().len()).unwrap_or(u64::MAX)),
                    ..Done::default()
                })
                .map_err(|source| ExecError::Write {
                    path: path.display().to_string(),
                    source,
                });
        }
        Action::CreateGroup(group) => {
            start(machine, &step.action)?;
            Ok(record.group_done(&group.name)?)
        }
        Action::ModifyGroup(_)
        | Action::DeleteGroup { .. }
        | Action::ModifyUser(_)
        | Action::DeleteUser { .. }
        | Action::DisableUnit { .. } => start(machine, &step.action),
        Action::AdoptGroup { name } => Ok(accounts_file::adopt(root, Account::Group(name)).map(drop)?),
        Action::AdoptUser { name } => Ok(accounts_file::adopt(root, Account::User(name)).map(drop)?),
        Action::CreateUser(user) => {
            start(machine, &step.action)?;
            Ok(record.user_done(&user.name)?)
        }
        Action::SetPassword { account, hash } => {
            let account = match account {
                PasswordOf::User(name) => Account::User(name),
                PasswordOf::Group(name) => Account::Group(name),
            };
            Ok(accounts_file::set_password(root, account, hash).map(drop)?)
        }
        Action::Remove { path } => Ok(root.remove_tree(path)?),
        Action::MakeDirectory { path, access } => {
            Ok(root.make_directory(path, id(&access.user)?, id(&access.group)?, access.mode)?)
        }
        Action::WriteFile {
            path,
            base,
            contents,
            access,
        } => {
            let file = NewFile {
                path,
                base: *base,
                contents,
            };
            return match ahead.take(index, machine.stop) {
                None => files::write(machine, record, &file, access),
                Some(composed) => files::place(composed?, record, &file, access),
            };
        }
        Action::SetAccess { path, access } => {
            Ok(root.set_access(path, id(&access.user)?, id(&access.group)?, access.mode)?)
        }
        Action::MakeSymlink {
            path,
            target,
            user,
            group,
        } => Ok(root.symlink(path, target, id(user)?, id(group)?)?),
        Action::MakeHardLink { path, target } => Ok(root.hard_link(path, target)?),
        Action::Device(action) => devices::execute(action, machine),
    };
    done.map(|()| Done::default())
}

/// The id of an owner; names have become ids by the phase that uses them.
fn id(owner: &Owner) -> Result<u32, ExecError> {
    match owner {
        Owner::Id(id) => Ok(*id),
        Owner::Account(name) => Err(ExecError::NoId(name.clone())),
    }
}

/// Starts the programs of an action on the root.
fn start(machine: &Machine<'_>, action: &Action) -> Result<(), ExecError> {
    let root: [OsString; 2] = ["--root".into(), machine.root.path().into()];
    for mut command in action.commands() {
        command.args.splice(0..0, root.clone());
        let ran = machine.runner.run(&command);
        // It may have removed a home, or made one.
        machine.root.forget_directories();
        ran?;
    }
    Ok(())
}
