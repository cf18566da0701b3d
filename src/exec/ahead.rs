//! Fetching ahead: contents of the steps to come are fetched side by side, while the steps have their effects in order.
//!
//! A file with remote contents is composed under a temporary name beside its place, or, where earlier steps of the plan
//! still make the directory, in the nearest one above that they leave alone; its own step then moves it to its place.
//! So a fetch that fails does so in its own step, and until a step is executed nothing of it is to be seen. Temporary
//! names are looked for by a re-run where the progress record has a path, and each of those directories is the parent of one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::files::{self, Composed, NewFile};
use super::{ExecError, acts};
use crate::fetch::Fetcher;
use crate::fetch::stop::{LOOK_EVERY, Stop};
use crate::plan::{Action, Base, Content, Plan};
use crate::sys::sysroot::Sysroot;
use crate::view::RootPath;

/// How many files are fetched at a time.
const AT_ONCE: usize = 4;

/// How many files may be on their way or wait for their step: each keeps two descriptors open.
const AHEAD: usize = 32;

/// The files of a plan with contents that have to be fetched.
pub(super) struct Ahead<'a> {
    root: &'a Sysroot,
    fetcher: &'a dyn Fetcher,
    jobs: BTreeMap<usize, Job<'a>>,
    /// Those that can be begun before their turn, in the order of the plan
    early: Vec<usize>,
    stop: Stop,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

/// A file to be composed.
struct Job<'a> {
    file: NewFile<'a>,
    /// Where it is until its turn; `None` = beside its place
    directory: Option<RootPath>,
}

#[derive(Default)]
struct State<'a> {
    /// Threads that fetch
    workers: usize,
    /// Position in `early` of the next one to begin
    next: usize,
    /// What is to be begun before that: its turn has come
    late: Option<usize>,
    /// Begun and not yet handed over
    open: usize,
    /// By index of the step
    done: BTreeMap<usize, Result<Composed<'a>, ExecError>>,
}

impl<'a> Ahead<'a> {
    /// Looks for what there is to fetch in a plan.
    pub(super) fn new(plan: &'a Plan, root: &'a Sysroot, fetcher: &'a dyn Fetcher) -> Self {
        let mut jobs = BTreeMap::new();
        let mut early = Vec::new();
        let mut rearranged = BTreeSet::new();
        let steps = || plan.steps.iter().enumerate().filter(|(_, step)| acts(step));
        let any = steps().any(|(_, step)| remote(&step.action).is_some());
        for (index, step) in steps().filter(|_| any) {
            if let Some(file) = remote(&step.action) {
                let mut job = Job {
                    file,
                    directory: None,
                };
                match rearranged_above(file.path, &rearranged) {
                    _ if file.base != Base::Nothing && touches(&rearranged, file.path) => {
                        // What it is appended to may be another file by then.
                    }
                    Some(above) => {
                        job.directory = above.parent();
                        early.push(index);
                    }
                    None => early.push(index),
                }
                jobs.insert(index, job);
            }
            rearranged.extend(place_of(&step.action));
        }
        Self {
            root,
            fetcher,
            jobs,
            early,
            stop: Stop::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Does the work of a plan with fetches running beside it. When it is over, so are they.
    pub(super) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            let _end = End(self);
            for _ in 0..AT_ONCE.min(self.jobs.len()) {
                let span = tracing::Span::current();
                let worker = move || span.in_scope(|| self.work());
                // Fewer will do, and none, too.
                if thread::Builder::new().spawn_scoped(scope, worker).is_ok() {
                    self.state().workers += 1;
                }
            }
            work()
        })
    }

    /// The file of a step whose turn has come, when it is whole; `None` for a step that has nothing to fetch. `asked` says
    /// whether to stop instead (SIGTERM).
    pub(super) fn take(
        &self,
        index: usize,
        asked: &dyn Fn() -> bool,
    ) -> Option<Result<Composed<'a>, ExecError>> {
        self.jobs.get(&index)?;
        let alone = self.state().workers == 0;
        if !alone && self.early.binary_search(&index).is_ok() {
            match self.wait(index, asked) {
                // Steps before this one may have made room since, or removed an obstacle.
                Err(ExecError::Root(_) | ExecError::Write { .. }) => {}
                done => return Some(done),
            }
        }
        if alone {
            self.compose(index, false);
        } else {
            self.state().late = Some(index);
            self.changed.notify_all();
        }
        Some(self.wait(index, asked))
    }

    fn wait(&self, index: usize, asked: &dyn Fn() -> bool) -> Result<Composed<'a>, ExecError> {
        let mut state = self.state();
        loop {
            if let Some(composed) = state.done.remove(&index) {
                state.open = state.open.saturating_sub(1);
                self.changed.notify_all();
                return composed;
            }
            if asked() {
                return Err(ExecError::Stopped);
            }
            (state, _) = self
                .changed
                .wait_timeout(state, LOOK_EVERY)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Composes files until the plan's work is over.
    fn work(&self) {
        while let Some((index, early)) = self.next() {
            self.compose(index, early);
        }
    }

    /// What to compose next, and whether that is before its turn.
    fn next(&self) -> Option<(usize, bool)> {
        let mut state = self.state();
        loop {
            if self.stop.is_asked() {
                return None;
            }
            let next = match state.late.take() {
                Some(index) => Some((index, false)),
                None => match self.early.get(state.next) {
                    Some(index) if state.open < AHEAD => {
                        state.next = state.next.saturating_add(1);
                        Some((*index, true))
                    }
                    _ => None,
                },
            };
            if next.is_some() {
                state.open = state.open.saturating_add(1);
                return next;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn compose(&self, index: usize, early: bool) {
        let Some(job) = self.jobs.get(&index) else { return };
        let directory = job.directory.as_ref().filter(|_| early);
        let composed = files::compose(self.root, self.fetcher, &job.file, directory, &self.stop);
        self.state().done.insert(index, composed);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends all fetches when the plan's work is over, well or not.
struct End<'x, 'a>(&'x Ahead<'a>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        let state = self.0.state();
        self.0.stop.ask();
        drop(state);
        self.0.changed.notify_all();
    }
}

/// The file that an action writes, if something of it has to be fetched.
fn remote(action: &Action) -> Option<NewFile<'_>> {
    match action {
        Action::WriteFile {
            path,
            base,
            contents,
            access: _,
        } if contents.iter().any(|part| matches!(part, Content::Remote { .. })) => Some(NewFile {
            path,
            base: *base,
            contents,
        }),
        _ => None,
    }
}

/// The path at which another node is after an action than before.
fn place_of(action: &Action) -> Option<&RootPath> {
    action
        .path()
        .filter(|_| !matches!(action, Action::SetAccess { .. }))
}

/// The highest directory above a path at which earlier steps change something.
fn rearranged_above<'p>(path: &RootPath, rearranged: &BTreeSet<&'p RootPath>) -> Option<&'p RootPath> {
    let mut highest = None;
    let mut above = path.parent();
    while let Some(directory) = above {
        highest = rearranged.get(&directory).copied().or(highest);
        above = directory.parent();
    }
    highest
}

/// Whether earlier steps change something at a path or above it.
fn touches(rearranged: &BTreeSet<&RootPath>, path: &RootPath) -> bool {
    rearranged.contains(path) || rearranged_above(path, rearranged).is_some()
}

#[cfg(test)]
mod tests;
