//! `ignition-rs`: reads its name and arguments, does what they ask for, and returns the exit code. Nothing else.

use std::ffi::OsString;
use std::process::ExitCode;

use ignition_rs::cli::{self, ApplyArgs, EngineArgs, Invocation, PlanArgs, RmcfgArgs};
use ignition_rs::log::{self, Destination};
use ignition_rs::sys::terminal;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("ignition"));
    let code = match cli::parse(&name, arguments, &terminal::is_running_root) {
        Invocation::Say(say) => {
            terminal::print(say.to_stderr, &say.text);
            say.code
        }
        Invocation::Engine(args) => engine(&args),
        Invocation::Plan(args) => plan(&args),
        Invocation::Apply(args) => apply(&args),
        Invocation::Rmcfg(args) => rmcfg(&args),
        Invocation::Validate(_) => not_built("validate"),
    };
    ExitCode::from(code)
}

// LEAD: engine::run(&EngineArgs, ...). A dry run prints its plan and logs nothing.
fn engine(args: &EngineArgs) -> u8 {
    if !args.dry_run {
        log::start(if args.log_to_stdout {
            Destination::Stdout
        } else {
            Destination::System
        });
    }
    not_built("the engine")
}

// LEAD: engine::plan(&PlanArgs, ...). 0 nothing to do, 1 error, 2 changes, 3 something is destroyed.
fn plan(_args: &PlanArgs) -> u8 {
    not_built("plan")
}

// LEAD: engine::apply(&ApplyArgs, ...). It always logs to stdout.
fn apply(_args: &ApplyArgs) -> u8 {
    log::start(Destination::Stdout);
    not_built("apply")
}

// The only platforms that can delete a config are virtualbox and vmware; both come with the platforms issue.
fn rmcfg(args: &RmcfgArgs) -> u8 {
    log::start(if args.log_to_stdout {
        Destination::Stdout
    } else {
        Destination::System
    });
    log::critical(&format_args!(
        "deleting the config on platform {} is not built yet",
        args.platform
    ));
    1
}

fn not_built(what: &str) -> u8 {
    terminal::print(true, &format!("ignition-rs: {what}: not built yet\n"));
    1
}
