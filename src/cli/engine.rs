//! Flags of the engine: `ignition -stage files …` (spec/cli.md 2), and ours for workstations (design.md 4).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Invocation, Name, PlanFormat, Say, misused, stopped, version};
use crate::flags::{Command, Flag, Parsed, Set, Style, parse_duration, text};
use crate::platform::Platform;
use crate::spelling::nearest;
use crate::stages::{Rerun, Stage};

/// One stage, and where it finds and leaves things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineArgs {
    /// The stage to run
    pub stage: Stage,
    /// Platform id; `None` only with `config`
    pub platform: Option<String>,
    /// Root of the target; the harness gives an empty one to stages that need none
    pub root: PathBuf,
    /// Where the rendered config is cached
    pub config_cache: PathBuf,
    /// Total time for fetching from the provider
    pub fetch_timeout: Duration,
    /// Flag file that asks for the network
    pub neednet: PathBuf,
    /// Where stages leave what later ones need
    pub state_file: PathBuf,
    /// Log to stdout instead of the system log
    pub log_to_stdout: bool,
    /// Use this file instead of provider and cache; state, cache and report then live in a private directory
    pub config: Option<PathBuf>,
    /// Show the plan, change nothing
    pub dry_run: bool,
    /// A dry run fetches remote resources
    pub fetch: bool,
    /// How a dry run shows the plan
    pub plan_format: PlanFormat,
    /// What is done about what an earlier run left; `None`: the kernel command line says
    pub rerun: Option<Rerun>,
}

/// What the flags say, not checked yet.
#[derive(Debug, Default)]
pub struct EngineFlags {
    platform: Option<String>,
    stage: Option<Stage>,
    root: PathBuf,
    config_cache: PathBuf,
    fetch_timeout: Duration,
    neednet: PathBuf,
    state_file: PathBuf,
    log_to_stdout: bool,
    version: bool,
    config: Option<PathBuf>,
    dry_run: bool,
    fetch: bool,
    plan_format: PlanFormat,
    rerun: Option<Rerun>,
    this_machine: bool,
}

/// A platform id, or why it is none.
pub(super) fn platform(value: &std::ffi::OsStr) -> Result<String, String> {
    let id = text(value)?;
    if id.parse::<Platform>().is_ok() {
        return Ok(id.to_owned());
    }
    // The names people try (platforms.md 0).
    let meant = match id {
        "equinixmetal" | "equinix-metal" => Some("packet"),
        "vsphere" => Some("vmware"),
        "ec2" => Some("aws"),
        "gce" => Some("gcp"),
        "pxe" => Some("metal"),
        "linode" => Some("akamai"),
        _ => nearest(id, ids()),
    };
    Err(match meant {
        Some(meant) => format!("not a platform; did you mean {meant}?"),
        None => format!(
            "not a platform; platforms are {}",
            ids().collect::<Vec<_>>().join(" ")
        ),
    })
}

fn ids() -> impl Iterator<Item = &'static str> {
    Platform::ALL.iter().map(|platform| platform.id())
}

/// The command `ignition`.
pub static ENGINE: Command<EngineFlags> = Command {
    name: "ignition",
    section: 8,
    summary: "run one stage of first-boot provisioning",
    synopsis: "-platform ID -stage STAGE [flags]",
    description: &[
        "The initrd calls this once per stage, in the order fetch-offline, fetch, kargs, disks, mount, files, and umount \
         when it leaves. The fetch stages get the config and cache it; the others read the cache.",
        "A stage that fails exits with a code that is not 0, names the place in the config, and leaves the first-boot \
         flag. A stage that was interrupted can be run again.",
        "Each stage appends what it does to /run/ignition/report.jsonl; ignition-rs-report(1) shows it. With \
         ignition.report.url=URL on the kernel command line, the stage files posts to that URL that the machine is \
         provisioned, and a stage that fails posts why, in at most 2 s.",
        "On a workstation, -dry-run shows the plan of a stage and changes nothing. With -config and without -dry-run, -root \
         must be given and must not be the running root; stages that touch disks and mounts also ask for -this-machine.",
    ],
    style: Style::Go,
    flags: &[
        Flag {
            name: "config",
            value: "FILE",
            default: None,
            help: "use this config instead of provider and cache",
            more: "State, cache and report then live in a private temporary directory, and -platform may be left out.",
            set: Set::Value(|args, value| {
                args.config = Some(value.into());
                Ok(())
            }),
        },
        Flag {
            name: "config-cache",
            value: "FILE",
            default: Some("/run/ignition.json"),
            help: "where to cache the config",
            more: "",
            set: Set::Value(|args, value| {
                args.config_cache = value.into();
                Ok(())
            }),
        },
        Flag {
            name: "dry-run",
            value: "",
            default: None,
            help: "show the plan of the stage and change nothing",
            more: "Nothing is written anywhere, no device is opened for writing, and nothing is fetched unless -fetch is given.",
            set: Set::Switch(|args, value| args.dry_run = value),
        },
        Flag {
            name: "fetch",
            value: "",
            default: None,
            help: "let a dry run fetch remote resources",
            more: "Without it the plan names them by URL and hash.",
            set: Set::Switch(|args, value| args.fetch = value),
        },
        Flag {
            name: "fetch-timeout",
            value: "DURATION",
            default: Some("2m0s"),
            help: "total time for fetching the config from the provider",
            more: "A Go duration: 2m0s, 1.5h, 300ms.",
            set: Set::Value(|args, value| {
                args.fetch_timeout = parse_duration(text(value)?).map_err(|error| error.to_string())?;
                Ok(())
            }),
        },
        Flag {
            name: "log-to-stdout",
            value: "",
            default: None,
            help: "log to stdout instead of the system log",
            more: "",
            set: Set::Switch(|args, value| args.log_to_stdout = value),
        },
        Flag {
            name: "neednet",
            value: "FILE",
            default: Some("/run/ignition/neednet"),
            help: "flag file that fetch-offline writes when the network is needed",
            more: "",
            set: Set::Value(|args, value| {
                args.neednet = value.into();
                Ok(())
            }),
        },
        Flag {
            name: "plan-format",
            value: "text|json",
            default: Some("text"),
            help: "how a dry run shows the plan",
            more: "",
            set: Set::Value(|args, value| {
                args.plan_format = PlanFormat::from_flag(value)?;
                Ok(())
            }),
        },
        Flag {
            name: "platform",
            value: "ID",
            default: None,
            help: "the platform this machine runs on",
            more: "Ids are upstream's: akamai, aws, azure, file, gcp, metal, openstack, qemu, vmware and so on. An unknown one \
                   is refused with the list.",
            set: Set::Value(|args, value| {
                args.platform = Some(platform(value)?);
                Ok(())
            }),
        },
        Flag {
            name: "rerun",
            value: "converge|strict",
            default: None,
            help: "what is done about what an earlier run left",
            more: "As ignition.rerun= on the kernel command line, which counts where this is not given. By default what Ignition refuses is refused; converge replaces files, links and empty directories that are in the way; strict also stops on an unfinished run with another config.",
            set: Set::Value(|args, value| {
                args.rerun = Some(
                    text(value)?
                        .parse()
                        .map_err(|error: crate::stages::UnknownRerun| error.to_string())?,
                );
                Ok(())
            }),
        },
        Flag {
            name: "root",
            value: "DIR",
            default: Some("/"),
            help: "root of the target's filesystem",
            more: "",
            set: Set::Value(|args, value| {
                args.root = value.into();
                Ok(())
            }),
        },
        Flag {
            name: "stage",
            value: "STAGE",
            default: None,
            help: "fetch-offline, fetch, kargs, disks, mount, files or umount",
            more: "",
            set: Set::Value(|args, value| {
                args.stage = Some(
                    text(value)?
                        .parse()
                        .map_err(|error: crate::stages::UnknownStage| error.to_string())?,
                );
                Ok(())
            }),
        },
        Flag {
            name: "state-file",
            value: "FILE",
            default: Some("/run/ignition/state"),
            help: "where stages leave what later ones need",
            more: "",
            set: Set::Value(|args, value| {
                args.state_file = value.into();
                Ok(())
            }),
        },
        Flag {
            name: "this-machine",
            value: "",
            default: None,
            help: "with -config: let a stage touch the disks and mounts of this machine",
            more: "",
            set: Set::Switch(|args, value| args.this_machine = value),
        },
        Flag {
            name: "version",
            value: "",
            default: None,
            help: "print the version and exit",
            more: "",
            set: Set::Switch(|args, value| args.version = value),
        },
    ],
    exit: &[
        (
            "0",
            "success; also fetch-offline that found out that it needs the network",
        ),
        ("1", "the stage failed, or its state could not be saved"),
        ("2", "the command line is wrong"),
        (
            "3",
            "the platform could not be set up, or the state file cannot be read",
        ),
    ],
    files: &[
        ("/run/ignition.json", "the cached config"),
        ("/run/ignition/neednet", "exists when the network is needed"),
        ("/run/ignition/state", "what stages leave to later ones"),
        ("/run/ignition/digest", "what the stage that failed last said"),
        (
            "/run/ignition/report.jsonl",
            "what the stages did, a line each; ignition-rs-report(1) shows it",
        ),
        (
            "/etc/.ignition-result.json",
            "in the target: what was provisioned, and when",
        ),
        (
            "/.ignition-progress",
            "in the target: what the stage files has done; gone when the initrd has been left",
        ),
    ],
    environment: &[
        (
            "IGNITION_CONFIG_FILE",
            "the config of the platform file; default config.ign in the current directory",
        ),
        (
            "IGNITION_SYSTEM_CONFIG_DIR",
            "where user.ign and base.d are; default /usr/lib/ignition",
        ),
        (
            "IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT",
            "whether SSH keys go to authorized_keys.d; default true",
        ),
        ("TMPDIR", "where temporary files go"),
        ("SSL_CERT_FILE, SSL_CERT_DIR", "certificates to trust"),
    ],
    examples: &[(
        "ignition-rs -stage files -dry-run -config my.ign -root /tmp/root",
        "show what the files stage would do to /tmp/root",
    )],
    see_also: &[
        "ignition-rs(1)",
        "ignition-validate(1)",
        "ignition-apply(8)",
        "ignition-rmcfg(8)",
    ],
};

/// Parses the engine's command line.
pub(super) fn parse(
    name: Name,
    arguments: impl IntoIterator<Item = OsString>,
    is_running_root: &dyn Fn(&Path) -> bool,
) -> Result<Invocation, Say> {
    let parsed = ENGINE
        .parse(arguments)
        .map_err(|stop| stopped(&ENGINE, stop, 2, name != Name::Own))?;
    if parsed.args.version {
        return Err(version(name));
    }
    let args = check(parsed, is_running_root).map_err(|problem| misused(name.text(), &problem, 2))?;
    Ok(Invocation::Engine(args))
}

fn check(parsed: Parsed<EngineFlags>, is_running_root: &dyn Fn(&Path) -> bool) -> Result<EngineArgs, String> {
    let root_was_given = parsed.was_given("root");
    let plan_format_was_given = parsed.was_given("plan-format");
    let flags = parsed.args;
    if flags.platform.is_none() && flags.config.is_none() {
        return Err("'-platform' must be provided".to_owned());
    }
    let stage = flags.stage.ok_or("'-stage' must be provided")?;
    if !flags.dry_run {
        if flags.fetch {
            return Err("-fetch belongs to -dry-run; a real run always fetches".to_owned());
        }
        if plan_format_was_given {
            return Err("-plan-format belongs to -dry-run".to_owned());
        }
    }
    if flags.config.is_some() && !flags.dry_run {
        if !root_was_given {
            return Err(
                "-config without -dry-run changes files: say where with -root DIR, or add -dry-run"
                    .to_owned(),
            );
        }
        if flags.root.as_os_str().is_empty() || is_running_root(&flags.root) {
            return Err(format!(
                "-root '{}' is the running system; -config without -dry-run needs another directory",
                flags.root.display()
            ));
        }
        if touches_the_machine(stage) && !flags.this_machine {
            return Err(format!(
                "stage {stage} changes disks, mounts or the boot loader of this machine, whatever -root says: add \
                 -dry-run to see how, or -this-machine if that is meant"
            ));
        }
    }
    Ok(EngineArgs {
        stage,
        platform: flags.platform,
        root: flags.root,
        config_cache: flags.config_cache,
        fetch_timeout: flags.fetch_timeout,
        neednet: flags.neednet,
        state_file: flags.state_file,
        log_to_stdout: flags.log_to_stdout,
        config: flags.config,
        dry_run: flags.dry_run,
        fetch: flags.fetch,
        plan_format: flags.plan_format,
        rerun: flags.rerun,
    })
}

fn touches_the_machine(stage: Stage) -> bool {
    match stage {
        Stage::Kargs | Stage::Disks | Stage::Mount | Stage::Umount => true,
        Stage::FetchOffline | Stage::Fetch | Stage::Files => false,
    }
}
