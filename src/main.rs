//! `ignition-rs`: reads its name and arguments, does what they ask for, and returns the exit code. Nothing else.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use ignition_rs::cli::validate::run;
use ignition_rs::cli::{
    self, ApplyArgs, EngineArgs, Input, Invocation, ProvisionArgs, ReportArgs, RmcfgArgs, ValidateArgs,
};
use ignition_rs::engine;
use ignition_rs::events;
use ignition_rs::log::{self, Destination};
use ignition_rs::sys::host::Host;
use ignition_rs::sys::{Environment, HostFiles as _, Probe, Sysroot, terminal};
use ignition_rs::view::View;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("ignition"));
    let code = match cli::parse(&name, arguments, &terminal::is_running_root) {
        Invocation::Say(say) => {
            terminal::print(say.to_stderr, &say.text);
            say.code
        }
        Invocation::Engine(args) => engine(&args),
        Invocation::Plan(args) => engine::plan::plan(&args),
        Invocation::Explain(args) => engine::explain::explain(&args),
        Invocation::Provision(args) => provision(&args),
        Invocation::Report(args) => report(&args),
        Invocation::Apply(args) => apply(&args),
        Invocation::Rmcfg(args) => rmcfg(&args),
        Invocation::Validate(args) => validate(&args),
    };
    ExitCode::from(code)
}

// A dry run prints its plan and logs nothing.
fn engine(args: &EngineArgs) -> u8 {
    if !args.dry_run {
        log::start(if args.log_to_stdout {
            Destination::Stdout
        } else {
            Destination::System
        });
    }
    engine::run::run(args)
}

// It always logs to stdout.
fn apply(args: &ApplyArgs) -> u8 {
    log::start(Destination::Stdout);
    engine::apply::apply(args)
}

// Whoever started it watches.
fn provision(args: &ProvisionArgs) -> u8 {
    log::start(Destination::Stdout);
    engine::image::provision::provision(args)
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

/// The largest report that is read: that of some million steps.
const LARGEST_REPORT: u64 = 1 << 30;

fn report(args: &ReportArgs) -> u8 {
    let bytes = match read(&args.report, LARGEST_REPORT) {
        Ok(bytes) => bytes,
        Err(error) => {
            terminal::print(
                true,
                &format!("ignition-rs report: cannot read {}: {error}\n", args.report),
            );
            return 1;
        }
    };
    let report = events::read::Report::parse(&bytes);
    let mut table = String::new();
    events::table::write(&mut table, &report, args.all);
    if report.runs.is_empty() {
        terminal::print(
            true,
            &format!("ignition-rs report: {} has no report in it\n{table}", args.report),
        );
        return 1;
    }
    u8::from(!terminal::print(false, &table))
}

/// The largest config that is read; a megabyte of JSON is already much.
const LARGEST_CONFIG: u64 = 256 << 20;

fn validate(args: &ValidateArgs) -> u8 {
    let sysroot = match args.root.as_deref().map(Sysroot::open).transpose() {
        Ok(sysroot) => sysroot,
        Err(error) => {
            terminal::print(
                true,
                &format!(
                    "ignition-rs validate: --root: {}\n",
                    ignition_rs::report::chain(&error)
                ),
            );
            return 1;
        }
    };
    let probe = sysroot.as_ref().map(|sysroot| Probe::new(sysroot, None));
    let view = probe.as_ref().map(|probe| -> &dyn View { probe });
    let colour = terminal::wants_colour(&Environment::read());
    let outcome = run::run(args, colour, &mut read_config, view);
    terminal::print(true, &outcome.stderr);
    // A verdict that nobody could read is none.
    if terminal::print(false, &outcome.stdout) {
        outcome.code
    } else {
        1
    }
}

fn read_config(input: &Input) -> io::Result<Vec<u8>> {
    read(input, LARGEST_CONFIG)
}

fn read(input: &Input, most: u64) -> io::Result<Vec<u8>> {
    match input {
        Input::Stdin => terminal::read_stdin(most),
        Input::File(path) => Host
            .read(path, most)?
            .ok_or_else(|| io::ErrorKind::NotFound.into()),
    }
}
