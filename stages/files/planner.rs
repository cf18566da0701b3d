//! What the planners of this stage share: the list of steps, seen through an overlay.

use super::contents::Contents;
use super::place::At as _;
use super::{Input, refuse};
use crate::plan::predict::predict;
use crate::plan::{Access, Action, Base, Change, Lost, Plan, Step};
use crate::report::Pointer;
use crate::stages::{Further, Phase, PlanError, Problem, Progress, Rerun, Stage};
use crate::view::{FileDigest, Group, Node, NodeKind, Overlay, Owner, RootPath, User, View, resolve};

/// The set-group-id bit of a mode.
const SET_GROUP_ID: u32 = 0o2000;

/// Collects steps; each sees the effects of those before it.
pub(super) struct Planner<'a> {
    overlay: Overlay<'a>,
    progress: &'a Progress,
    rerun: Rerun,
    steps: Vec<Step>,
    refused: Vec<PlanError>,
}

impl<'a> Planner<'a> {
    /// Starts with no steps.
    pub(super) fn new(view: &'a dyn View, input: &Input<'a>) -> Self {
        Self {
            overlay: Overlay::new(view),
            progress: input.progress,
            rerun: input.rerun,
            steps: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The steps as a plan, unless an entry was refused.
    pub(super) fn finish(self, phase: Phase) -> Result<Plan, PlanError> {
        let rest = Plan {
            stage: Stage::Files,
            phase,
            steps: self.steps,
        };
        let mut refused = self.refused.into_iter();
        match refused.next() {
            None => Ok(rest),
            Some(mut first) => {
                let others = refused.collect();
                first.further = Some(Box::new(Further { others, rest }));
                Err(first)
            }
        }
    }

    /// Takes up how the planning of one entry went. One that is refused is remembered, so that all of them are told at
    /// once; what cannot be found out ends the planning.
    pub(super) fn entry(&mut self, planned: Result<(), PlanError>) -> Result<(), PlanError> {
        match planned {
            Err(error) if matches!(error.problem, Problem::Refused { .. } | Problem::Resolve(_)) => {
                self.refused.push(error);
                Ok(())
            }
            planned => planned,
        }
    }

    /// Whether what stands at the path gives way to an entry that does not say "overwrite": it is of the unfinished run
    /// that this one continues, or the policy is to converge and it is a file, a link or an empty directory.
    pub(super) fn gives_way(&self, path: &RootPath, node: &Node, cause: &Pointer) -> Result<bool, PlanError> {
        let converge = self.rerun == Rerun::Converge;
        Ok(match node.kind {
            NodeKind::File { .. } | NodeKind::Symlink { .. } => converge || self.progress.intends(path),
            NodeKind::Other => self.progress.intends(path),
            NodeKind::Directory if path.is_root() => false,
            NodeKind::Directory => {
                (converge && self.is_empty(path, cause)?) || self.is_made_with_all_in_it(path, cause)?
            }
        })
    }

    /// Whether the policy is to converge.
    pub(super) fn converges(&self) -> bool {
        self.rerun == Rerun::Converge
    }

    /// Whether what the config says about a thing takes the place of what an earlier run said about it: there was one.
    pub(super) fn renews(&self, cause: &Pointer) -> Result<bool, PlanError> {
        Ok(self.rerun == Rerun::Converge || self.progress.is_some() || self.is_provisioned(cause)?)
    }

    /// Whether a finished run has left its report here.
    pub(super) fn is_provisioned(&self, cause: &Pointer) -> Result<bool, PlanError> {
        let result = RootPath::from(super::result::RESULT);
        Ok(!self.progress.is_some() && self.node(&self.resolve(&result, cause)?, cause)?.is_some())
    }

    /// Whether an unfinished run made this directory and everything in it.
    fn is_made_with_all_in_it(&self, path: &RootPath, cause: &Pointer) -> Result<bool, PlanError> {
        let mut left = vec![path.clone()];
        while let Some(here) = left.pop() {
            if !self.progress.made(&here) {
                return Ok(false);
            }
            if self.node(&here, cause)?.is_some_and(|node| node.is_directory()) {
                let names = self.overlay.list(&here).at(cause)?;
                left.extend(names.iter().map(|name| here.join(name)));
            }
        }
        Ok(true)
    }

    /// What an unfinished run recorded.
    pub(super) fn progress(&self) -> &'a Progress {
        self.progress
    }

    /// The view with the effects of the steps so far.
    pub(super) fn view(&self) -> &dyn View {
        &self.overlay
    }

    /// Adds a step.
    pub(super) fn push(&mut self, action: Action, change: Change, cause: &Pointer) -> Result<(), PlanError> {
        let step = Step {
            action,
            change,
            cause: cause.clone(),
        };
        predict(&step, &mut self.overlay).at(cause)?;
        self.steps.push(step);
        Ok(())
    }

    /// The node at a resolved path.
    pub(super) fn node(&self, path: &RootPath, cause: &Pointer) -> Result<Option<Node>, PlanError> {
        self.overlay.node(path).at(cause)
    }

    /// Resolves a path; its last component is not followed.
    pub(super) fn resolve(&self, path: &RootPath, cause: &Pointer) -> Result<RootPath, PlanError> {
        resolve(&self.overlay, path).at(cause)
    }

    /// A user that must exist.
    pub(super) fn user(&self, name: &str, cause: &Pointer) -> Result<User, PlanError> {
        let found = self.overlay.user(name).at(cause)?;
        found.ok_or_else(|| {
            refuse(
                cause.clone(),
                format!("user {name:?} is neither in the target nor in this config"),
                "define it under passwd.users, or give an id",
            )
        })
    }

    /// A group that must exist.
    pub(super) fn group(&self, name: &str, cause: &Pointer) -> Result<Group, PlanError> {
        let found = self.overlay.group(name).at(cause)?;
        found.ok_or_else(|| {
            refuse(
                cause.clone(),
                format!("group {name:?} is neither in the target nor in this config"),
                "define it under passwd.groups, or give an id",
            )
        })
    }

    /// Whether a directory has no entries.
    pub(super) fn is_empty(&self, path: &RootPath, cause: &Pointer) -> Result<bool, PlanError> {
        self.overlay.list(path).map(|names| names.is_empty()).at(cause)
    }

    /// Adds the removal of what is at the path, recursively.
    pub(super) fn remove(&mut self, path: &RootPath, node: &Node, cause: &Pointer) -> Result<(), PlanError> {
        if path.is_root() {
            return Err(refuse(
                cause.key("overwrite"),
                "the root directory itself would be removed with everything in it",
                "leave out \"overwrite\"; to start from nothing, wipe the filesystem in storage.filesystems",
            ));
        }
        let mut lost = self.lost(path, node, cause)?;
        if self.progress.intends(path) {
            lost.trivial = true;
        }
        self.push(
            Action::Remove { path: path.clone() },
            Change::Delete { lost },
            cause,
        )
    }

    /// Adds the missing parents of a path: 0755, root.
    pub(super) fn make_parents(&mut self, path: &RootPath, cause: &Pointer) -> Result<(), PlanError> {
        let mut missing = Vec::new();
        let mut ancestor = path.parent();
        while let Some(here) = ancestor {
            match self.node(&here, cause)? {
                Some(node) if node.is_directory() => break,
                Some(node) => {
                    return Err(refuse(
                        cause.key("path"),
                        format!("{} is at {here}, so {path} cannot be below it", describe(&node)),
                        "choose another path, or replace what is there with a directory",
                    ));
                }
                None => {
                    ancestor = here.parent();
                    missing.push(here);
                }
            }
        }
        for here in missing.into_iter().rev() {
            let (group, bit) = self.inherited(&here, cause)?;
            let access = Access {
                user: Owner::ROOT,
                group,
                mode: 0o755 | bit,
            };
            self.push(
                Action::MakeDirectory { path: here, access },
                Change::Create,
                cause,
            )?;
        }
        Ok(())
    }

    /// Group of a new node at the path, and the mode bit of a new directory: those that the kernel gives in a directory with
    /// the set-group-id bit, else root's and none (inode(7)). Its parent must be planned by then.
    pub(super) fn inherited(&self, path: &RootPath, cause: &Pointer) -> Result<(Owner, u32), PlanError> {
        let parent = match path.parent() {
            Some(parent) => self.node(&parent, cause)?,
            None => None,
        };
        Ok(match parent {
            Some(parent) if parent.mode & SET_GROUP_ID != 0 => (parent.group, SET_GROUP_ID),
            _ => (Owner::ROOT, 0),
        })
    }

    /// Whether the file at the path has bytes that an unfinished run recorded for it.
    pub(super) fn was_written(&self, path: &RootPath, cause: &Pointer) -> Result<bool, PlanError> {
        let recorded = self.progress.wrote(path);
        if recorded.is_empty() {
            return Ok(false);
        }
        let digest = self.overlay.digest(path).at(cause)?;
        Ok(matches!(digest, FileDigest::Known(digest) if recorded.contains(&digest)))
    }

    /// Whether the file at the path has bytes that an unfinished run with whatever config recorded for it.
    pub(super) fn ever_wrote(&self, path: &RootPath, cause: &Pointer) -> Result<bool, PlanError> {
        let digest = self.overlay.digest(path).at(cause)?;
        Ok(matches!(digest, FileDigest::Known(digest) if self.progress.ever_wrote(path, digest)))
    }

    /// How many bytes the file at the path had before an unfinished run appended to it, if it is as that left it.
    pub(super) fn kept_before(&self, path: &RootPath, cause: &Pointer) -> Result<Option<u64>, PlanError> {
        if !self.progress.appended.contains_key(path) {
            return Ok(None);
        }
        let digest = self.overlay.digest(path).at(cause)?;
        Ok(match digest {
            FileDigest::Known(digest) => self.progress.kept_before(path, digest),
            FileDigest::Unknown => None,
        })
    }

    /// Adds owner and mode of a node that stays, as a step even if nothing differs.
    pub(super) fn set_access(
        &mut self,
        path: &RootPath,
        node: &Node,
        access: Access,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let change = match difference(node, &access) {
            Some(what) => Change::Modify { what },
            None => Change::Keep {
                reason: "is there with this owner and mode".to_owned(),
            },
        };
        self.push(
            Action::SetAccess {
                path: path.clone(),
                access,
            },
            change,
            cause,
        )
    }

    /// Adds owner and mode of a node that stays, if they differ.
    pub(super) fn set_access_if_needed(
        &mut self,
        path: &RootPath,
        node: &Node,
        access: Access,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        if difference(node, &access).is_none() {
            Ok(())
        } else {
            self.set_access(path, node, access, cause)
        }
    }

    /// Adds a file whose bytes stay.
    pub(super) fn keep_file(
        &mut self,
        path: &RootPath,
        access: &Access,
        reason: &str,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let action = Action::WriteFile {
            path: path.clone(),
            base: Base::Existing,
            contents: Vec::new(),
            access: access.clone(),
        };
        self.push(
            action,
            Change::Keep {
                reason: reason.to_owned(),
            },
            cause,
        )
    }

    /// Adds a file that is written as a whole, or kept if it has these bytes already. `present` is what is there: a
    /// regular file or a link, which the new file takes the place of; a directory must have been removed before.
    pub(super) fn write_file(
        &mut self,
        path: &RootPath,
        present: Option<&Node>,
        contents: Contents,
        access: Access,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let Some(node) = present else {
            self.make_parents(path, cause)?;
            let action = Action::WriteFile {
                path: path.clone(),
                base: Base::Nothing,
                contents: contents.0,
                access,
            };
            return self.push(action, Change::Create, cause);
        };
        if node.is_file() {
            let same = match (contents.sha512(), self.overlay.digest(path)) {
                (_, Err(error)) => return Err(Problem::from(error).at(cause.clone())),
                (Some(wanted), Ok(FileDigest::Known(found))) => wanted == found,
                _ => false,
            };
            if same || (contents.sha512().is_none() && self.was_written(path, cause)?) {
                let reason = if same {
                    "has these bytes already"
                } else {
                    "written by the run that this one continues"
                };
                self.keep_file(path, &access, reason, cause)?;
                return self.set_access_if_needed(path, node, access, cause);
            }
        }
        let mut lost = self.lost(path, node, cause)?;
        if self.progress.intends(path) {
            lost.trivial = true;
        }
        let action = Action::WriteFile {
            path: path.clone(),
            base: Base::Nothing,
            contents: contents.0,
            access,
        };
        self.push(action, Change::Replace { lost }, cause)
    }

    /// What goes when the node goes.
    pub(super) fn lost(&self, path: &RootPath, node: &Node, cause: &Pointer) -> Result<Lost, PlanError> {
        let trivial = match &node.kind {
            NodeKind::File { size } => *size == Some(0),
            NodeKind::Symlink { .. } => true,
            NodeKind::Other => false,
            NodeKind::Directory => {
                let names = self.overlay.list(path).at(cause)?;
                let count = names.len();
                let entries = if count == 1 { "entry" } else { "entries" };
                return Ok(Lost {
                    what: format!("directory with {count} {entries}"),
                    trivial: count == 0,
                });
            }
        };
        Ok(Lost {
            what: describe(node),
            trivial,
        })
    }
}

/// A node in words: `a file of 12 bytes`.
pub(super) fn describe(node: &Node) -> String {
    match &node.kind {
        NodeKind::File { size: Some(size) } => format!("file of {size} bytes"),
        NodeKind::File { size: None } => "file".to_owned(),
        NodeKind::Directory => "directory".to_owned(),
        NodeKind::Symlink { target } => format!("link to {}", target.to_string_lossy().escape_debug()),
        NodeKind::Other => "device, socket or pipe".to_owned(),
    }
}

/// In which of owner, group and mode a node differs from what is wanted; `None` if in none.
pub(super) fn difference(node: &Node, access: &Access) -> Option<String> {
    let mut parts = Vec::new();
    if node.user != access.user {
        parts.push(format!("owner {} to {}", node.user, access.user));
    }
    if node.group != access.group {
        parts.push(format!("group {} to {}", node.group, access.group));
    }
    if node.mode != access.mode {
        parts.push(format!("mode {:04o} to {:04o}", node.mode, access.mode));
    }
    if parts.is_empty() {
        None
    } else {
        Some(parts.join(", "))
    }
}
