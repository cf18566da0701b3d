//! The machine a plan is carried out on: the real one, or one that is only predicted. Both sit behind the same
//! planners; nothing below `main` knows which it is.

use std::path::{Path, PathBuf};

use crate::exec::progress::Record;
use crate::exec::{Machine, StepError, execute};
use crate::plan::check::{Violation, check};
use crate::plan::predict::predict;
use crate::plan::{Action, Change, Plan, Step};
use crate::report::Pointer;
use crate::sys::devices::image::ImageDevices;
use crate::sys::devices::{DeviceMissing, alias};
use crate::sys::probe::Probe;
use crate::view::{Overlay, RootPath, View, ViewError};

/// Why a plan was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The plan itself is unsound.
    #[error(transparent)]
    Unsound(#[from] Violation),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A device that a phase is about did not come.
    #[error("waiting for devices")]
    Missing {
        /// The first place in the config that names one
        cause: Pointer,
        /// Which, and what is there
        #[source]
        source: DeviceMissing,
    },
    /// The alias of a device could not be made.
    #[error("cannot make a link to {device} in {directory}")]
    Alias {
        /// The place in the config that names the device
        cause: Pointer,
        /// Its path there
        device: String,
        /// Where aliases are
        directory: String,
        /// What the system said
        #[source]
        source: std::io::Error,
    },
    /// A device cannot be looked at.
    #[error("cannot tell which device {device} is")]
    Look {
        /// The place in the config that names the device
        cause: Pointer,
        /// Its path there
        device: String,
        /// What the view said
        #[source]
        source: ViewError,
    },
    /// A device is not known well enough to be changed.
    #[error("{why}")]
    Unknown {
        /// The place in the config that asks for the step
        cause: Pointer,
        /// What is not known
        why: String,
    },
    /// A prediction needs an answer that the view could not give.
    #[error("cannot predict what the step does")]
    Predict {
        /// The place in the config that asks for the step
        cause: Pointer,
        /// What the view said
        #[source]
        source: ViewError,
    },
}

/// Something that plans can be carried out on.
pub trait World {
    /// How it looks now.
    fn view(&self) -> &dyn View;

    /// Waits for the devices that the next phase is about; each with the place in the config that names it. A predicted
    /// machine has those that it has.
    fn await_devices(&mut self, wanted: &[(String, Pointer)]) -> Result<(), AdvanceError>;

    /// Checks a plan and carries it out.
    fn advance(&mut self, plan: Plan) -> Result<(), AdvanceError>;

    /// Carries out a plan that a rehearsal has checked over what is this world's view still.
    fn advance_checked(&mut self, plan: Plan) -> Result<(), AdvanceError>;

    /// Takes steps for done that are not, to see what would follow from them. Whether that is possible: the real machine does
    /// not pretend, and a prediction that fails shows nothing.
    fn suppose(&mut self, steps: &[Step]) -> bool;

    /// Tells whoever listens on this machine that a user's SSH keys are at a path.
    fn keys_written(&self, user: &str, path: &RootPath);
}

/// The real machine.
#[derive(Debug)]
pub struct Real<'a> {
    probe: &'a Probe<'a>,
    machine: &'a Machine<'a>,
    record: Record<'a>,
    /// Where links to the devices of the config are kept for later stages
    aliases: Option<PathBuf>,
}

impl<'a> Real<'a> {
    /// A machine, how it is seen, and where it is recorded what is done to it.
    pub fn new(probe: &'a Probe<'a>, machine: &'a Machine<'a>, record: Record<'a>) -> Self {
        Self {
            probe,
            machine,
            record,
            aliases: None,
        }
    }

    /// Keeps links to the devices that were waited for in this directory ([`alias`]).
    #[must_use]
    pub fn with_aliases(self, directory: PathBuf) -> Self {
        Self {
            aliases: Some(directory),
            ..self
        }
    }

    fn make_aliases(&self, directory: &Path, wanted: &[(String, Pointer)]) -> Result<(), AdvanceError> {
        for (path, cause) in wanted {
            let made = match self.probe.devices().device(path) {
                Ok(Some(device)) => alias::make(directory, path, &device.node),
                // It is gone again; the planner says so.
                Ok(None) => Ok(()),
                Err(error) => Err(std::io::Error::other(error)),
            };
            made.map_err(|source| AdvanceError::Alias {
                cause: cause.clone(),
                device: path.clone(),
                directory: directory.display().to_string(),
                source,
            })?;
        }
        Ok(())
    }

    /// Waits until systemd knows of all devices that were changed: whoever mounts by label after this finds them.
    pub fn await_units(&self) {
        self.machine.devices.await_units();
    }

    /// The record of what was done.
    pub fn into_record(self) -> Record<'a> {
        self.record
    }
}

impl World for Real<'_> {
    fn view(&self) -> &dyn View {
        self.probe
    }

    fn await_devices(&mut self, wanted: &[(String, Pointer)]) -> Result<(), AdvanceError> {
        let paths: Vec<&str> = wanted.iter().map(|(path, _)| path.as_str()).collect();
        let found = self.machine.devices.await_paths(&paths);
        self.probe.forget();
        found.map_err(|source| {
            let named = |(path, _): &&(String, Pointer)| source.missing.contains(path);
            let cause = wanted.iter().find(named).map(|(_, pointer)| pointer.clone());
            AdvanceError::Missing {
                cause: cause.unwrap_or_else(Pointer::root),
                source,
            }
        })?;
        match &self.aliases {
            Some(directory) => self.make_aliases(directory, wanted),
            None => Ok(()),
        }
    }

    fn advance(&mut self, plan: Plan) -> Result<(), AdvanceError> {
        check(&plan, self.probe)?;
        refuse_unknown(&plan)?;
        self.advance_checked(plan)
    }

    fn advance_checked(&mut self, plan: Plan) -> Result<(), AdvanceError> {
        let done = execute(&plan, self.machine, &mut self.record);
        // Also after a failure: the steps before it are done.
        if !plan.steps.is_empty() {
            self.probe.forget();
        }
        Ok(done?)
    }

    fn suppose(&mut self, _steps: &[Step]) -> bool {
        false
    }

    fn keys_written(&self, user: &str, path: &RootPath) {
        crate::log::journal_ssh_keys(user, &path.to_string());
    }
}

/// On the real machine, devices that a plan is about were waited for. One that is not known all the same must not be
/// passed over in silence, as a dry run does.
fn refuse_unknown(plan: &Plan) -> Result<(), AdvanceError> {
    for step in &plan.steps {
        if let (Action::Device(_), Change::Unknown { why }) = (&step.action, &step.change) {
            return Err(AdvanceError::Unknown {
                cause: step.cause.clone(),
                why: why.clone(),
            });
        }
    }
    Ok(())
}

/// A machine as it would be.
#[derive(Debug)]
pub struct DryRun<'a> {
    overlay: Overlay<'a>,
    plans: Vec<Plan>,
    /// Images: what is not on them will not come, either
    images: Option<&'a ImageDevices>,
}

impl<'a> DryRun<'a> {
    /// Predictions start over this view.
    pub fn new(view: &'a dyn View) -> Self {
        Self {
            overlay: Overlay::new(view),
            plans: Vec::new(),
            images: None,
        }
    }

    /// What would be done so far.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// Devices that are not on these images are missing.
    #[must_use]
    pub fn on_images(self, images: &'a ImageDevices) -> Self {
        Self {
            images: Some(images),
            ..self
        }
    }

    /// How the machine is predicted to be.
    pub fn overlay(&mut self) -> &mut Overlay<'a> {
        &mut self.overlay
    }

    /// What would be done, and how the machine would be then.
    pub fn into_parts(self) -> (Vec<Plan>, Overlay<'a>) {
        (self.plans, self.overlay)
    }
}

impl World for DryRun<'_> {
    fn view(&self) -> &dyn View {
        &self.overlay
    }

    fn await_devices(&mut self, wanted: &[(String, Pointer)]) -> Result<(), AdvanceError> {
        let Some(images) = self.images else {
            return Ok(());
        };
        for (path, cause) in wanted {
            let found = self.overlay.devices().device(path);
            let found = found.map_err(|source| AdvanceError::Look {
                cause: cause.clone(),
                device: path.clone(),
                source,
            })?;
            // A link may lead to what is on an array or in a volume that only a run looks at.
            let may_come = path.starts_with("/dev/disk/") && self.overlay.devices_mut().has_unseen();
            if found.is_none() && !may_come {
                return Err(AdvanceError::Missing {
                    cause: cause.clone(),
                    source: images.missing(vec![path.clone()]),
                });
            }
        }
        Ok(())
    }

    fn advance(&mut self, plan: Plan) -> Result<(), AdvanceError> {
        check(&plan, &self.overlay)?;
        self.advance_checked(plan)
    }

    fn advance_checked(&mut self, plan: Plan) -> Result<(), AdvanceError> {
        for step in &plan.steps {
            predict(step, &mut self.overlay).map_err(|source| AdvanceError::Predict {
                cause: step.cause.clone(),
                source,
            })?;
        }
        self.plans.push(plan);
        Ok(())
    }

    fn suppose(&mut self, steps: &[Step]) -> bool {
        steps.iter().all(|step| predict(step, &mut self.overlay).is_ok())
    }

    fn keys_written(&self, _user: &str, _path: &RootPath) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::device::{DeviceAction, KernelArguments};
    use crate::stages::{Phase, Stage};

    #[test]
    fn what_is_not_known_stops_a_real_run() {
        let plan = |change| Plan {
            stage: Stage::Disks,
            phase: Phase::Filesystems,
            steps: vec![Step {
                action: Action::Device(DeviceAction::ChangeKernelArguments(KernelArguments {
                    should_exist: Vec::new(),
                    should_not_exist: Vec::new(),
                })),
                change,
                cause: Pointer::root().key("storage"),
            }],
        };
        refuse_unknown(&plan(Change::Create)).unwrap();
        let error = refuse_unknown(&plan(Change::Unknown {
            why: "it is gone".to_owned(),
        }))
        .unwrap_err();
        assert_eq!(error.to_string(), "it is gone");
    }
}
