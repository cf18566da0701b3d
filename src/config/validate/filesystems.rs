//! Rules of `storage.filesystems` (spec/config.md 5.7).

use std::collections::HashMap;

use super::{check_path, error, given, warning};
use crate::config::types::{Disk, Filesystem, Storage};
use crate::config::version::Version;
use crate::report::{Pointer, Report};

/// A filesystem on a disk as a whole, which the disk's own entry may contradict. Literal device strings are compared.
pub(super) fn check_against_disks(storage: &Storage, at: &Pointer, report: &mut Report) {
    let disks: HashMap<&str, &Disk> = storage
        .disks
        .iter()
        .map(|disk| (disk.device.as_str(), disk))
        .collect();
    for (index, filesystem) in storage.filesystems.iter().enumerate() {
        let Some(disk) = disks.get(filesystem.device.as_str()) else {
            continue;
        };
        let at = at.key("filesystems").index(index).key("device");
        if !disk.partitions.is_empty() {
            let message = "this filesystem overwrites the partitions that the config lists for the same disk";
            warning(report, at, message);
        } else if disk.wipe_table == Some(true) && filesystem.wipe_filesystem != Some(true) {
            let message =
                "wipeTable of the same disk destroys this filesystem although wipeFilesystem is not set";
            warning(report, at, message);
        }
    }
}

pub(super) fn check(filesystem: &Filesystem, at: &Pointer, version: Version, report: &mut Report) {
    if let Some(path) = given(filesystem.path.as_ref()) {
        check_path(path, || at.key("path"), report);
    }
    check_path(&filesystem.device, || at.key("device"), report);

    let format = given(filesystem.format.as_ref());
    check_format(filesystem, format, at, version, report);
    check_label(filesystem, format, at, report);
}

fn check_format(
    filesystem: &Filesystem,
    format: Option<&str>,
    at: &Pointer,
    version: Version,
    report: &mut Report,
) {
    let at = at.key("format");
    match format {
        Some("ext4" | "btrfs" | "xfs" | "swap" | "vfat") => {}
        Some("none") if version >= Version::V3_3 => {}
        Some(_) => {
            let none = if version >= Version::V3_3 {
                ", vfat or none"
            } else {
                " or vfat"
            };
            error(
                report,
                at,
                format!("filesystem format is not supported; expected ext4, btrfs, xfs, swap{none}"),
            );
        }
        None => {
            let described = [&filesystem.path, &filesystem.label, &filesystem.uuid]
                .into_iter()
                .any(|field| given(field.as_ref()).is_some())
                || filesystem.wipe_filesystem == Some(true)
                || !filesystem.options.is_empty()
                || !filesystem.mount_options.is_empty();
            if described {
                let message = "a format is required where path, label, uuid, wipeFilesystem, options or mountOptions \
                               is given";
                error(report, at, message);
            }
        }
    }
}

fn check_label(filesystem: &Filesystem, format: Option<&str>, at: &Pointer, report: &mut Report) {
    let Some(label) = given(filesystem.label.as_ref()) else {
        return;
    };
    let at = at.key("label");
    let limit = match format {
        None => {
            error(report, at, "a label needs a format");
            return;
        }
        Some("ext4") => 16,
        Some("btrfs") => 256,
        Some("xfs") => 12,
        Some("swap") => 15,
        Some("vfat") => 11,
        Some(_) => return,
    };
    if label.len() > limit {
        let format = format.unwrap_or_default();
        error(
            report,
            at,
            format!(
                "a label of {format} can have at most {limit} bytes, this one has {}",
                label.len()
            ),
        );
    }
}
