//! `ignition-rs plan`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::image::{ImageArgs, ImageFlags, help};
use super::{Input, Invocation, PlanFormat, Say, engine, exactly_one, misused, stopped};
use crate::flags::{Command, Flag, Set, Style, text};
use crate::stages::Rerun;

/// What to plan, and against what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanArgs {
    /// The config
    pub config: Input,
    /// Root of the target; of an image `None`: what is on it
    pub root: Option<PathBuf>,
    /// Disk images
    pub image: Option<ImageArgs>,
    /// Platform id; some resources and files depend on it
    pub platform: Option<String>,
    /// Fetch remote resources
    pub fetch: bool,
    /// How the plan is printed
    pub format: PlanFormat,
    /// What is done about what an earlier run left
    pub rerun: Rerun,
}

/// What the flags say.
#[derive(Debug, Default)]
pub struct PlanFlags {
    root: PathBuf,
    image: ImageFlags,
    platform: Option<String>,
    fetch: bool,
    format: PlanFormat,
    rerun: Rerun,
}

/// The verb `plan`.
pub static PLAN: Command<PlanFlags> = Command {
    name: "ignition-rs plan",
    section: 1,
    summary: "show what a config would do, and change nothing",
    synopsis: "[flags] CONFIG",
    description: &[
        "Runs all stages over predicted facts and prints what each would do: create, keep, modify, replace, delete, each \
         with its reason and with what is lost. CONFIG is a file, or - for stdin.",
        "Nothing is written anywhere and no device is opened for writing. The root needs no special rights as long as its \
         files can be read.",
        "With --image the plan is about a disk image, as ignition-rs-provision(1) would provision it: nothing is attached or \
         mounted, and no device of this machine counts. What an ext4 filesystem holds that stays is read from the image. Of \
         other filesystems that stay nothing is known; when the plan depends on their files, they must be mounted, \
         and named with --root.",
    ],
    style: Style::Gnu,
    flags: &[
        Flag {
            name: "fetch",
            value: "",
            default: None,
            help: "fetch remote resources, so that their contents are compared too",
            more: "Without it the plan names them by URL and hash.",
            set: Set::Switch(|args, value| args.fetch = value),
        },
        Flag {
            name: "format",
            value: "text|json",
            default: Some("text"),
            help: "for people or for programs",
            more: "",
            set: Set::Value(|args, value| {
                args.format = PlanFormat::from_flag(value)?;
                Ok(())
            }),
        },
        Flag {
            name: "image",
            value: "FILE",
            default: None,
            help: help::IMAGE,
            more: "",
            set: Set::Value(|args, value| {
                args.image.image = Some(value.into());
                Ok(())
            }),
        },
        Flag {
            name: "map",
            value: "DEV[=FILE]",
            default: None,
            help: help::MAP,
            more: help::MAP_MORE,
            set: Set::Value(|args, value| args.image.set_map(value)),
        },
        Flag {
            name: "platform",
            value: "ID",
            default: None,
            help: "plan as on this platform",
            more: "",
            set: Set::Value(|args, value| {
                args.platform = Some(engine::platform(value)?);
                Ok(())
            }),
        },
        Flag {
            name: "rerun",
            value: "converge|strict",
            default: None,
            help: "what is done about what an earlier run left",
            more: "By default what Ignition refuses is refused; converge replaces files, links and empty directories that are in the way; strict also stops on an unfinished run with another config. A boot takes it from ignition.rerun= on the kernel command line.",
            set: Set::Value(|args, value| {
                args.rerun = text(value)?
                    .parse()
                    .map_err(|error: crate::stages::UnknownRerun| error.to_string())?;
                Ok(())
            }),
        },
        Flag {
            name: "root",
            value: "DIR",
            default: Some("/"),
            help: "root of the target's filesystem",
            more: "An empty directory shows what a config does to a new machine. With --image it is where the filesystems of \
                   the image are mounted; without it their files are read from the image.",
            set: Set::Value(|args, value| {
                args.root = value.into();
                Ok(())
            }),
        },
        Flag {
            name: "root-label",
            value: "LABEL",
            default: Some("ROOT"),
            help: help::ROOT_LABEL,
            more: help::ROOT_LABEL_MORE,
            set: Set::Value(|args, value| args.image.set_root_label(value)),
        },
        Flag {
            name: "sector-size",
            value: "BYTES",
            default: None,
            help: help::SECTOR_SIZE,
            more: help::SECTOR_SIZE_MORE,
            set: Set::Value(|args, value| args.image.set_sector_size(value)),
        },
    ],
    exit: &[
        ("0", "nothing to do"),
        (
            "1",
            "an error: bad usage, bad config, or something could not be read",
        ),
        ("2", "something would change"),
        ("3", "something would be destroyed"),
    ],
    files: &[],
    environment: &[("NO_COLOR", "if set and not empty, no colours on a terminal")],
    examples: &[
        (
            "ignition-rs plan --root /mnt/root my.ign",
            "what my.ign would do to the system under /mnt/root",
        ),
        (
            "ignition-rs plan --image disk.img my.ign",
            "what my.ign would do to a disk image",
        ),
        (
            "butane my.bu | ignition-rs plan --format json -",
            "the same from stdin, for a program",
        ),
    ],
    see_also: &[
        "ignition-rs(1)",
        "ignition-rs-provision(1)",
        "ignition-rs-validate(1)",
        "ignition(8)",
    ],
};

/// Parses the arguments after the verb.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let parsed = PLAN
        .parse(arguments)
        .map_err(|stop| stopped(&PLAN, stop, 1, false))?;
    let given = |name| parsed.was_given(name);
    if !given("image")
        && let Some(other) = ["map", "root-label", "sector-size"]
            .into_iter()
            .find(|name| given(name))
    {
        let problem = format!("--{other} says something about an image, and there is no --image");
        return Err(misused(PLAN.name, &problem, 1));
    }
    if given("image") && given("platform") {
        let problem = "--platform brings this machine's base configs in, which an image does not have";
        return Err(misused(PLAN.name, problem, 1));
    }
    let names_root = given("root") || !given("image");
    let config = exactly_one(PLAN.name, parsed.rest, 1)?;
    let PlanFlags {
        root,
        image,
        platform,
        fetch,
        format,
        rerun,
    } = parsed.args;
    Ok(Invocation::Plan(PlanArgs {
        config,
        root: names_root.then_some(root),
        image: image.into_args(),
        platform,
        fetch,
        format,
        rerun,
    }))
}
