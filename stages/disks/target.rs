//! What the planners of this stage share: the device that an entry is about, what uses it, what it holds.

use crate::plan::device::DeviceAction;
use crate::plan::predict::predict;
use crate::plan::{Action, Change, Lost, Plan, Step};
use crate::report::Pointer;
use crate::stages::files::refuse;
use crate::stages::{Phase, PlanError, Problem, Stage};
use crate::view::{Device, Devices, Overlay, View, ViewError};

/// Collects steps; each sees the effects of those before it.
pub(super) struct Steps<'a> {
    overlay: Overlay<'a>,
    steps: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(view: &'a dyn View) -> Self {
        Self {
            overlay: Overlay::new(view),
            steps: Vec::new(),
        }
    }

    pub(super) fn finish(self, phase: Phase) -> Plan {
        Plan {
            stage: Stage::Disks,
            phase,
            steps: self.steps,
        }
    }

    /// The devices with the effects of the steps so far.
    pub(super) fn devices(&self) -> &dyn Devices {
        self.overlay.devices()
    }

    pub(super) fn push(
        &mut self,
        action: DeviceAction,
        change: Change,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let step = Step {
            action: Action::Device(action),
            change,
            cause: cause.clone(),
        };
        predict(&step, &mut self.overlay).map_err(at(cause))?;
        self.steps.push(step);
        Ok(())
    }
}

/// Puts what the view could not answer at a place in the config.
pub(super) fn at(cause: &Pointer) -> impl Fn(ViewError) -> PlanError {
    move |error| Problem::from(error).at(cause.clone())
}

/// The device at a path.
pub(super) fn device(devices: &dyn Devices, path: &str, cause: &Pointer) -> Result<Device, PlanError> {
    let found = devices.device(path).map_err(at(cause))?;
    found.ok_or_else(|| {
        refuse(
            cause.clone(),
            format!("{path} is no block device"),
            "correct the path, or attach the device",
        )
    })
}

/// What uses a device or one of its partitions, in words.
pub(super) fn uses(
    devices: &dyn Devices,
    device: &Device,
    cause: &Pointer,
) -> Result<Option<String>, PlanError> {
    let parts = devices.partitions(&device.node).map_err(at(cause))?;
    let words: Vec<String> = std::iter::once(device)
        .chain(&parts)
        .flat_map(|device| device.uses.iter().map(|by| format!("{} is {by}", device.node)))
        .collect();
    Ok((!words.is_empty()).then(|| words.join(", ")))
}

/// The refusal of a device that is in use.
pub(super) fn in_use(uses: &str, cause: &Pointer) -> PlanError {
    refuse(
        cause.clone(),
        format!("it cannot be changed: {uses}"),
        "unmount it, stop what is built on it, or name another device",
    )
}

/// What a device holds, in words with its size; `None` if it is blank.
pub(super) fn contents(
    devices: &dyn Devices,
    device: &Device,
    cause: &Pointer,
) -> Result<Option<String>, PlanError> {
    let found = match devices.signature(&device.node) {
        Err(error) if error.is_unseen() => return Ok(Some(whatever(device))),
        found => found.map_err(at(cause))?,
    };
    let parts = devices.partitions(&device.node).map_err(at(cause))?;
    let size = match device.size {
        Some(bytes) => format!(" of {} MiB", bytes >> 20),
        None => String::new(),
    };
    Ok(match (found.is_blank(), parts.len()) {
        (true, 0) => None,
        (true, count) => Some(format!("table with {count} partitions on {}{size}", device.node)),
        (false, _) => {
            let label = match found.label.as_str() {
                "" => String::new(),
                label => format!(" {label:?}"),
            };
            Some(format!("{}{label} on {}{size}", found.kind, device.node))
        }
    })
}

/// What a device holds that only a real run sees.
pub(super) fn whatever(device: &Device) -> String {
    format!("whatever {} holds", device.node)
}

/// The change of a step that overwrites a device with these contents.
pub(super) fn overwritten(contents: Option<String>, trivial: bool) -> Change {
    match contents {
        None => Change::Create,
        Some(what) => Change::Replace {
            lost: Lost { what, trivial },
        },
    }
}

/// A name that programs are given must be no option, and no path.
pub(super) fn check_name(name: &str, cause: &Pointer) -> Result<(), PlanError> {
    if name.is_empty() || name.starts_with('-') || matches!(name, "." | "..") {
        return Err(refuse(
            cause.clone(),
            format!("{name:?} cannot be a name: a program would take it for something else"),
            "give it another name",
        ));
    }
    Ok(())
}
