//! `ignition-rs provision`.

use std::ffi::OsString;

use super::image::{ImageArgs, ImageFlags, help};
use super::{Input, Invocation, Say, exactly_one, misused, stopped};
use crate::flags::{Command, Flag, Set, Style};

/// Which image is provisioned, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionArgs {
    /// The config
    pub config: Input,
    /// The images
    pub image: ImageArgs,
    /// Leave out what cannot be done to an image, instead of failing
    pub ignore_unsupported: bool,
}

/// What the flags say.
#[derive(Debug, Default)]
pub struct ProvisionFlags {
    image: ImageFlags,
    ignore_unsupported: bool,
}

/// The verb `provision`.
pub static PROVISION: Command<ProvisionFlags> = Command {
    name: "ignition-rs provision",
    section: 1,
    summary: "provision a disk image",
    synopsis: "--image FILE [flags] CONFIG",
    description: &[
        "Does to a disk image what a first boot would do to the disk: fetches what CONFIG refers to, makes partitions, RAID, \
         LUKS and filesystems, mounts them, writes accounts, files and units, and leaves the result file. CONFIG is a \
         file, or - for stdin. An image is a file with the bytes of a whole disk; a blank one is made with \
         truncate -s 8G FILE.",
        "It needs root, and a kernel with loop devices, 5.8 or later. The image is attached to a loop device, in a mount \
         namespace and a /dev of its own: there are no devices but those of the image, so none of this machine can be \
         touched, and nothing stays mounted or attached, however the run ends. A device of the config that is not on the \
         image is an error. Names below /dev/disk lead to what is on the image.",
        "The root is the filesystem with the path / in the config, else that with the label ROOT.",
        "The base configs of this machine (ignition(8), base.d) do not count. Kernel arguments cannot be changed in an image: a \
         config that asks for that is refused, unless --ignore-unsupported is given.",
    ],
    style: Style::Gnu,
    flags: &[
        Flag {
            name: "ignore-unsupported",
            value: "",
            default: None,
            help: "skip what cannot be done to an image, instead of failing",
            more: "That is kernel arguments.",
            set: Set::Switch(|args, value| args.ignore_unsupported = value),
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
        ("0", "the image is as the config says"),
        (
            "1",
            "any error, bad usage included; the image may be half done, and can be provisioned again",
        ),
    ],
    files: &[
        (
            "/dev/ignition",
            "where the run has its state and mounts the root, in its own /dev; nobody else sees it",
        ),
        (
            "/run/ignition-images/making",
            "notes of filesystems that are being made; if a run is killed, the next one makes them anew",
        ),
    ],
    environment: &[("PATH", "where mkfs and the other programs are looked for")],
    examples: &[
        (
            "truncate -s 8G disk.img && ignition-rs provision --image disk.img my.ign",
            "a new disk",
        ),
        (
            "ignition-rs plan --image disk.img my.ign",
            "what that would do, or do again",
        ),
        (
            "ignition-rs provision --image a.img --map /dev/sda --map /dev/sdb=b.img my.ign",
            "a machine with two disks",
        ),
    ],
    see_also: &[
        "ignition-rs(1)",
        "ignition-rs-plan(1)",
        "ignition(8)",
        "losetup(8)",
    ],
};

/// Parses the arguments after the verb.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let parsed = PROVISION
        .parse(arguments)
        .map_err(|stop| stopped(&PROVISION, stop, 1, false))?;
    let ProvisionFlags {
        image,
        ignore_unsupported,
    } = parsed.args;
    let Some(image) = image.into_args() else {
        let problem = "which image? Name one with --image; a boot provisions its machine by itself";
        return Err(misused(PROVISION.name, problem, 1));
    };
    let config = exactly_one(PROVISION.name, parsed.rest, 1)?;
    Ok(Invocation::Provision(ProvisionArgs {
        config,
        image,
        ignore_unsupported,
    }))
}
