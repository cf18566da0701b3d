//! Rules of `storage.raid` (spec/config.md 5.6).

use super::{check_path, error};
use crate::config::types::Raid;
use crate::report::{Pointer, Report};

const LEVELS: &str = "linear, raid0, raid1, raid4, raid5, raid6 or raid10";

pub(super) fn check(raid: &Raid, at: &Pointer, report: &mut Report) {
    // An absent level is refused in all versions: before 3.3 as one that is not known.
    match raid.level.as_deref() {
        None | Some("") => error(
            report,
            at.key("level"),
            format!("a raid level is required: {LEVELS}"),
        ),
        Some("linear" | "raid0" | "0" | "stripe") => {
            if raid.spares.is_some_and(|spares| spares != 0) {
                error(
                    report,
                    at.key("level"),
                    "this raid level cannot have spares; remove them or change the level",
                );
            }
        }
        Some("raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5" | "raid6" | "6" | "raid10" | "10") => {}
        Some(_) => error(
            report,
            at.key("level"),
            format!("raid level is not known; expected {LEVELS}"),
        ),
    }
    let list = at.key("devices");
    if raid.devices.is_empty() {
        error(report, list.clone(), "a raid needs devices to be made of");
    }
    for (index, device) in raid.devices.iter().enumerate() {
        check_path(device, || list.index(index), report);
    }
}
