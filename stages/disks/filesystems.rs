//! The filesystems phase (spec/disks.md 5; flatcar.md 4, patch 0008).

use std::collections::BTreeMap;

use super::target::whatever;
use crate::config::types::{Config, Filesystem};
use crate::gpt::Found;
use crate::plan::device::{DeviceAction, Format, MakeFilesystem, canonical_uuid};
use crate::plan::{Action, Change, Lost, Plan, Step};
use crate::report::Pointer;
use crate::stages::files::refuse;
use crate::stages::{Phase, PlanError, Problem, Stage};
use crate::view::{Device, Devices, Signature, View, ViewError, size_text};

/// A filesystem with this label is Flatcar's OEM partition: its format has changed between releases, and configs that
/// name the old one go on working.
const OEM: &str = "OEM";

/// The place of an entry in the config.
pub(super) fn at(index: usize) -> Pointer {
    Pointer::root().key("storage").key("filesystems").index(index)
}

/// Plans the filesystems phase.
///
/// # Errors
///
/// What is on a device does not match the entry, and `wipeFilesystem` is not set; a device that would be formatted is in
/// use; two entries are about one device.
pub fn plan(config: &Config, view: &dyn View) -> Result<Plan, PlanError> {
    let mut steps = Vec::new();
    let mut taken: BTreeMap<String, Pointer> = BTreeMap::new();
    for (index, filesystem) in config.storage.filesystems.iter().enumerate() {
        let entry = Entry {
            filesystem,
            at: at(index),
        };
        let Some(format) = filesystem.format.as_deref() else {
            continue;
        };
        steps.extend(entry.plan(format, view.devices(), &mut taken)?);
    }
    Ok(Plan {
        stage: Stage::Disks,
        phase: Phase::Filesystems,
        steps,
    })
}

struct Entry<'a> {
    filesystem: &'a Filesystem,
    at: Pointer,
}

/// What is on a device.
struct There {
    signature: Signature,
    partitions: usize,
}

impl There {
    /// In words: `ext4, label "ROOT"`, `a gpt partition table with 3 partitions`.
    fn words(&self) -> String {
        let signature = &self.signature;
        let mut parts = Vec::new();
        if !signature.kind.is_empty() {
            parts.push(signature.kind.clone());
            if !signature.label.is_empty() {
                parts.push(format!("label {:?}", signature.label));
            }
        }
        if !signature.table.is_empty() || self.partitions > 0 {
            let table = if signature.table.is_empty() {
                "partition table".to_owned()
            } else {
                format!("{} partition table", signature.table)
            };
            parts.push(match self.partitions {
                0 => table,
                1 => format!("{table} with 1 partition"),
                count => format!("{table} with {count} partitions"),
            });
        }
        parts.join(", ")
    }
}

/// Whether a table that was found lists no partition: nothing is lost with it. One that cannot be read may list some.
fn is_empty_table(devices: &dyn Devices, node: &str, kind: &str) -> bool {
    match devices.scan(node).map(|scan| scan.found) {
        // A boot sector without partitions.
        Ok(Found::Blank) => kind == "dos",
        Ok(Found::Gpt { table, .. }) => table.entries.is_empty(),
        Ok(Found::Mbr { partitions }) => partitions.is_empty(),
        Ok(Found::Other { .. }) | Err(_) => false,
    }
}

impl Entry<'_> {
    fn plan(
        &self,
        format: &str,
        devices: &dyn Devices,
        taken: &mut BTreeMap<String, Pointer>,
    ) -> Result<Option<Step>, PlanError> {
        let path = self.filesystem.device.as_str();
        let device = devices
            .device(path)
            .map_err(|error| self.cannot_see(error, "device"))?;
        let Some(device) = device else {
            let why = format!("{path} is not there now; what is on it is known when it is");
            return self.unknown(format, path, why);
        };
        if let Some(other) = taken.insert(device.node.clone(), self.at.clone()) {
            return Err(refuse(
                self.at.key("device"),
                format!("{path} is {}, as is the device of {other}", device.node),
                "take one of the two entries out",
            ));
        }
        let signature = match devices.signature(&device.node) {
            Ok(signature) => signature,
            Err(error) if error.is_denied() => {
                let why = format!("this user may not read {}; root sees what is on it", device.node);
                return self.unknown(format, &device.node, why);
            }
            Err(error) if error.is_unseen() => return self.unseen(format, &device, error.to_string()),
            Err(error) => return Err(self.cannot_see(error, "device")),
        };
        let partitions = devices
            .partitions(&device.node)
            .map_err(|error| self.cannot_see(error, "device"))?;
        let mut there = There {
            signature,
            partitions: partitions.len(),
        };
        if there.signature.is_blank()
            && partitions.is_empty()
            && is_empty_table(devices, &device.node, &there.signature.table)
        {
            there.signature.table.clear();
        }
        let wipe = self.filesystem.wipe_filesystem == Some(true);
        let keep = if wipe {
            // There is nothing to be made anew.
            (format == "none" && there.words().is_empty()).then(|| "it is blank".to_owned())
        } else {
            self.keep(format, &device, &there)?
        };
        // An empty format asks for nothing that could be made: what is not kept was refused.
        let Some(action) = self.action(format, &device.node)? else {
            return Ok(None);
        };
        let change = if let Some(reason) = keep {
            Change::Keep { reason }
        } else {
            self.refuse_used(&device, &partitions)?;
            change(&device, &there)
        };
        Ok(Some(self.step(action, change)))
    }

    /// Why what is there stays; `None`: the filesystem is made. Only without `wipeFilesystem`.
    fn keep(&self, format: &str, device: &Device, there: &There) -> Result<Option<String>, PlanError> {
        let found = &there.signature;
        let (kind, label, uuid) = (wanted_kind(format), &self.filesystem.label, &self.filesystem.uuid);
        if found.is_blank() && !there.words().is_empty() {
            // Partitions that the kernel does not know of are as good as others.
            return Err(self.occupied("device", device, there, "it is not blank"));
        }
        let oem = found.label == OEM;
        if !oem && found.kind != kind {
            return if found.is_blank() {
                Ok(None)
            } else {
                Err(self.occupied(
                    "format",
                    device,
                    there,
                    &format!("the config asks for {format:?}"),
                ))
            };
        }
        let same_uuid = |wanted: &str| {
            // The form depends on what is compared; an unknown format has none of its own.
            let form = format.parse().unwrap_or(Format::None);
            canonical_uuid(form, wanted) == canonical_uuid(form, &found.uuid)
        };
        let differs = if label.as_ref().is_some_and(|label| *label != found.label) {
            Some(("label", "it has another label"))
        } else if uuid.as_deref().is_some_and(|uuid| !same_uuid(uuid)) {
            Some(("uuid", "it has another UUID"))
        } else {
            None
        };
        match differs {
            None if kind.is_empty() && !oem => Ok(Some("it is blank".to_owned())),
            None if found.kind != kind => Ok(Some(format!(
                "it is the OEM filesystem, which may be {} instead of {format:?}",
                found.kind
            ))),
            None => Ok(Some(self.matches(&found.kind))),
            // A blank device has neither label nor UUID.
            Some(_) if found.is_blank() => Ok(None),
            Some((field, why)) => Err(self.occupied(field, device, there, why)),
        }
    }

    fn matches(&self, kind: &str) -> String {
        let mut words = format!("it is {kind} already");
        let with = [
            self.filesystem.label.is_some().then_some("label"),
            self.filesystem.uuid.is_some().then_some("UUID"),
        ];
        let with: Vec<&str> = with.into_iter().flatten().collect();
        if !with.is_empty() {
            words.push_str(", with this ");
            words.push_str(&with.join(" and "));
        }
        words
    }

    /// Nothing that is in use is formatted, nor a disk with a partition in use. Upstream does not check that.
    fn refuse_used(&self, device: &Device, partitions: &[Device]) -> Result<(), PlanError> {
        let mut uses = Vec::new();
        for used in std::iter::once(device).chain(partitions) {
            uses.extend(used.uses.iter().map(|by| format!("{} is {by}", used.node)));
        }
        if uses.is_empty() {
            return Ok(());
        }
        Err(refuse(
            self.at.key("device"),
            format!(
                "{} would be formatted, and is in use: {}",
                self.filesystem.device,
                uses.join(", ")
            ),
            "end that first, or name another device",
        ))
    }

    fn occupied(&self, field: &'static str, device: &Device, there: &There, why: &str) -> PlanError {
        let size = device
            .size
            .map_or_else(String::new, |size| format!(" ({})", size_text(size)));
        let mut parts = vec![format!("{} holds {}{size}", device.node, there.words())];
        parts.extend(device.uses.iter().map(ToString::to_string));
        refuse(
            self.at.key(field),
            format!("{}, and {why}", parts.join(", ")),
            "set wipeFilesystem to true if that may be lost, or ask for what is there",
        )
    }

    /// On an array that is kept and started, or a volume that is kept and opened.
    fn unseen(&self, format: &str, device: &Device, why: String) -> Result<Option<Step>, PlanError> {
        if self.filesystem.wipe_filesystem != Some(true) {
            return self.unknown(format, &device.node, why);
        }
        let lost = Lost {
            what: whatever(device),
            trivial: false,
        };
        let action = self.action(format, &device.node)?;
        Ok(action.map(|action| self.step(action, Change::Replace { lost })))
    }

    fn unknown(&self, format: &str, node: &str, why: String) -> Result<Option<Step>, PlanError> {
        let action = self.action(format, node)?;
        Ok(action.map(|action| self.step(action, Change::Unknown { why })))
    }

    /// `None` for the empty format.
    fn action(&self, format: &str, node: &str) -> Result<Option<MakeFilesystem>, PlanError> {
        if format.is_empty() {
            return Ok(None);
        }
        let format: Format = format.parse().map_err(|error| {
            // The config's rules let none through.
            refuse(self.at.key("format"), format!("{error}"), "correct it")
        })?;
        let filesystem = self.filesystem;
        Ok(Some(MakeFilesystem {
            device: filesystem.device.clone(),
            node: node.to_owned(),
            format,
            label: filesystem.label.clone(),
            uuid: filesystem
                .uuid
                .as_deref()
                .map(|uuid| canonical_uuid(format, uuid)),
            options: filesystem.options.clone(),
        }))
    }

    fn step(&self, action: MakeFilesystem, change: Change) -> Step {
        Step {
            action: Action::Device(DeviceAction::MakeFilesystem(action)),
            change,
            cause: self.at.clone(),
        }
    }

    fn cannot_see(&self, error: ViewError, field: &'static str) -> PlanError {
        Problem::View(error).at(self.at.key(field))
    }
}

/// The type that a format is compared with: `none` is no type.
fn wanted_kind(format: &str) -> &str {
    if format == "none" { "" } else { format }
}

/// What making a filesystem means for what is there.
fn change(device: &Device, there: &There) -> Change {
    let words = there.words();
    if words.is_empty() {
        return Change::Create;
    }
    let size = device
        .size
        .map_or_else(String::new, |size| format!(", {}", size_text(size)));
    Change::Replace {
        lost: Lost {
            what: format!("{words}{size}"),
            trivial: false,
        },
    }
}

#[cfg(test)]
mod tests;
