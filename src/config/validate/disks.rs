//! Rules of `storage.disks` (spec/config.md 5.5).

use std::collections::HashSet;

use super::{check_path, error, given};
use crate::config::grammar::guid::is_guid;
use crate::config::types::{Disk, Partition};
use crate::report::{Pointer, Report};

/// GPT has room for 36 UTF-16 units; upstream counts bytes.
const LABEL_MAX: usize = 36;

pub(super) fn check(disk: &Disk, at: &Pointer, report: &mut Report) {
    let list = at.key("partitions");
    if disk.device.is_empty() {
        error(
            report,
            at.key("device"),
            "a device is required: give the path of the disk",
        );
    } else {
        check_path(&disk.device, || at.key("device"), report);
        if let Some(index) = second_with_number(&disk.partitions) {
            error(
                report,
                list.index(index),
                "another partition of this disk has the same number",
            );
        }
        if let Some((index, other)) = overlap(&disk.partitions) {
            error(
                report,
                list.index(index),
                format!("this partition and partitions[{other}] overlap"),
            );
        }
        if number_unknown_beside_removal(&disk.partitions) {
            let message = "a partition with shouldExist false is listed beside one with number 0; number all of them, \
                           or the new one may take the place of the removed one";
            error(report, list.clone(), message);
        }
        if let Some(index) = second_with_label(&disk.partitions) {
            error(
                report,
                list.index(index),
                "another partition of this disk has the same label",
            );
        }
    }
    for (index, partition) in disk.partitions.iter().enumerate() {
        check_partition(partition, &list.index(index), report);
    }
}

fn second_with_number(partitions: &[Partition]) -> Option<usize> {
    let mut seen = HashSet::new();
    partitions
        .iter()
        .position(|partition| partition.number != 0 && !seen.insert(partition.number))
}

fn second_with_label(partitions: &[Partition]) -> Option<usize> {
    let mut seen = HashSet::new();
    partitions
        .iter()
        .position(|partition| partition.label.as_ref().is_some_and(|label| !seen.insert(label)))
}

fn number_unknown_beside_removal(partitions: &[Partition]) -> bool {
    partitions
        .iter()
        .any(|partition| partition.should_exist == Some(false))
        && partitions.iter().any(|partition| partition.number == 0)
}

/// First and last MiB, where the config fixes both. A size of 0 (as large as possible) counts as the first MiB only; a
/// start of 0 (largest free block) cannot be judged here.
fn extent(partition: &Partition) -> Option<(i64, i64)> {
    let (start, size) = (partition.start_mib?, partition.size_mib?);
    let end = if size == 0 {
        start
    } else {
        // Negative and huge numbers are not refused by any rule; Go's integers wrap.
        start.wrapping_add(size).wrapping_sub(1)
    };
    (start != 0).then_some((start, end))
}

/// The first two partitions that overlap: the index that is reported, and the one that it was compared with.
fn overlap(partitions: &[Partition]) -> Option<(usize, usize)> {
    for (index, partition) in partitions.iter().enumerate() {
        let Some((start, end)) = extent(partition) else {
            continue;
        };
        for (other_index, other) in partitions.iter().enumerate() {
            let Some((other_start, other_end)) = extent(other) else {
                continue;
            };
            let within = |point: i64| point >= other_start && point <= other_end;
            let around = start < other_start && end > other_end;
            if index != other_index && (within(start) || within(end) || around) {
                return Some((other_index, index));
            }
        }
    }
    None
}

fn check_partition(partition: &Partition, at: &Pointer, report: &mut Report) {
    let described = partition.label.is_some()
        || given(partition.type_guid.as_ref()).is_some()
        || given(partition.guid.as_ref()).is_some()
        || partition.start_mib.is_some()
        || partition.size_mib.is_some();
    if partition.should_exist == Some(false) && described {
        let message = "a partition with shouldExist false can only have a number: remove label, typeGuid, guid, \
                       startMiB and sizeMiB";
        error(report, at.clone(), message);
    }
    if partition.number == 0 && partition.label.is_none() {
        error(
            report,
            at.clone(),
            "a partition needs a number above 0 or a label to be recognised by",
        );
    }
    if let Some(label) = &partition.label {
        if label.len() > LABEL_MAX {
            error(
                report,
                at.key("label"),
                format!("a partition label can have at most {LABEL_MAX} bytes"),
            );
        } else if label.contains(':') {
            error(
                report,
                at.key("label"),
                "a partition label must not contain a colon",
            );
        }
    }
    for (guid, key) in [(&partition.guid, "guid"), (&partition.type_guid, "typeGuid")] {
        if given(guid.as_ref()).is_some_and(|guid| !is_guid(guid)) {
            let message = "a GUID has the form 01234567-89AB-CDEF-EDCB-A98765432101";
            error(report, at.key(key), message);
        }
    }
}
