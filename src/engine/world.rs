//! The machine a plan is carried out on: the real one, or one that is only predicted. Both sit behind the same
//! planners; nothing below `main` knows which it is.

use crate::exec::progress::Record;
use crate::exec::{Machine, StepError, execute};
use crate::plan::Plan;
use crate::plan::check::{Violation, check};
use crate::plan::predict::predict;
use crate::report::Pointer;
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

    /// Checks a plan and carries it out.
    fn advance(&mut self, plan: Plan) -> Result<(), AdvanceError>;

    /// Carries out a plan that a rehearsal has checked over what is this world's view still.
    fn advance_checked(&mut self, plan: Plan) -> Result<(), AdvanceError>;

    /// Tells whoever listens on this machine that a user's SSH keys are at a path.
    fn keys_written(&self, user: &str, path: &RootPath);
}

/// The real machine.
#[derive(Debug)]
pub struct Real<'a> {
    probe: &'a Probe<'a>,
    machine: &'a Machine<'a>,
    record: Record<'a>,
}

impl<'a> Real<'a> {
    /// A machine, how it is seen, and where it is recorded what is done to it.
    pub fn new(probe: &'a Probe<'a>, machine: &'a Machine<'a>, record: Record<'a>) -> Self {
        Self {
            probe,
            machine,
            record,
        }
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

    fn advance(&mut self, plan: Plan) -> Result<(), AdvanceError> {
        check(&plan, self.probe)?;
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

    fn keys_written(&self, user: &str, path: &RootPath) {
        crate::log::journal_ssh_keys(user, &path.to_string());
    }
}

/// A machine as it would be.
#[derive(Debug)]
pub struct DryRun<'a> {
    overlay: Overlay<'a>,
    plans: Vec<Plan>,
}

impl<'a> DryRun<'a> {
    /// Predictions start over this view.
    pub fn new(view: &'a dyn View) -> Self {
        Self {
            overlay: Overlay::new(view),
            plans: Vec::new(),
        }
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

    fn keys_written(&self, _user: &str, _path: &RootPath) {}
}
