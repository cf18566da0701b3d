//! A linter over plans: their invariants, checked independent of the planners' code, before every execution and in
//! every test.

use std::collections::HashSet;

use super::predict::predict;
use super::{Action, Base, Change, GroupChange, PasswordOf, Plan, Step, UserChange};
use crate::report::Pointer;
use crate::view::{Node, NodeKind, Overlay, RootPath, View, ViewError};

/// A plan that must not be executed. This is a defect of the program, not of the config.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// An invariant does not hold.
    #[error(
        "the plan is not sound at step {number} ({cause}): {problem}; nothing was done, please report this"
    )]
    Unsound {
        /// Step, from 1
        number: usize,
        /// What asked for it
        cause: Pointer,
        /// Which invariant
        problem: String,
    },
    /// The view could not answer.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Checks that a plan
/// - creates only where nothing is, and only in directories that are there by then,
/// - replaces, changes or removes only what is there, and never the root directory,
/// - writes each place once, save what it adds to a file,
/// - never stages its own record or temp names,
/// - hands no name to a program that could be read as an option or break a database line,
/// - names a place in the config for everything it destroys.
pub fn check(plan: &Plan, view: &dyn View) -> Result<(), Violation> {
    let mut overlay = Overlay::new(view);
    let mut written: HashSet<RootPath> = HashSet::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let unsound = |problem: String| Violation::Unsound {
            number: index + 1,
            cause: step.cause.clone(),
            problem,
        };
        if step.change.destroys() && step.cause.0.is_empty() {
            return Err(unsound(
                "something is destroyed that no part of the config asks for".to_owned(),
            ));
        }
        if !matches!(step.change, Change::Keep { .. } | Change::Unknown { .. }) {
            check_step(step, &overlay, &mut written)?.map_err(unsound)?;
        }
        predict(step, &mut overlay)?;
    }
    Ok(())
}

/// The outer result is about asking, the inner one about the step.
fn check_step(
    step: &Step,
    view: &dyn View,
    written: &mut HashSet<RootPath>,
) -> Result<Result<(), String>, ViewError> {
    match &step.action {
        Action::FetchConfig { .. } | Action::WriteHostFile { .. } => Ok(Ok(())),
        Action::CreateGroup(group) | Action::ModifyGroup(group) => Ok(group_argv(group)),
        Action::DeleteGroup { name } | Action::AdoptGroup { name } | Action::AdoptUser { name } => {
            Ok(account_name(name))
        }
        Action::CreateUser(user) | Action::ModifyUser(user) => Ok(user_argv(user)),
        Action::DeleteUser { name, remove_home: _ } => Ok(account_name(name)),
        Action::SetPassword { account, hash } => {
            let (PasswordOf::User(name) | PasswordOf::Group(name)) = account;
            let broken = hash.reveal().contains([':', '\n', '\r', '\0']);
            Ok(account_name(name).and_then(|()| {
                if broken {
                    Err("a password field would break the line it stands in".to_owned())
                } else {
                    Ok(())
                }
            }))
        }
        Action::Remove { path } => {
            let node = view.node(path)?;
            Ok(not_root(path)
                .and_then(|()| own_names(path))
                .and_then(|()| match node {
                    Some(_) => Ok(()),
                    None => Err(format!("nothing is at {path} to be removed")),
                }))
        }
        Action::MakeDirectory { path, access } => {
            let place = Place::of(view, path)?;
            Ok(place
                .is_free(path)
                .and_then(|()| mode(access.mode))
                .and_then(|()| once(path, written)))
        }
        Action::WriteFile {
            path,
            base,
            contents: _,
            access,
        } => {
            let place = Place::of(view, path)?;
            let fits = match (&place.node, base) {
                (None, Base::Nothing | Base::Existing) => place.is_free(path),
                (None, Base::Start(_)) => Err(format!("nothing is at {path} that could be kept in part")),
                (Some(node), Base::Existing | Base::Start(_)) if !node.is_file() => {
                    Err(format!("{path} is no regular file that could be appended to"))
                }
                (Some(node), Base::Nothing) if node.is_directory() => {
                    Err(format!("{path} is a directory, and a file would take its place"))
                }
                (Some(_), Base::Existing | Base::Start(_)) => Ok(()),
                (Some(node), Base::Nothing) => match step.change {
                    Change::Replace { .. } | Change::Modify { .. } => Ok(()),
                    _ if matches!(node.kind, NodeKind::Symlink { .. }) => Ok(()),
                    _ => Err(format!(
                        "{path} is there already, and the step says that it creates it"
                    )),
                },
            };
            // Lines may be added one after the other.
            let once = |written| {
                if *base == Base::Existing {
                    Ok(())
                } else {
                    once(path, written)
                }
            };
            Ok(fits.and_then(|()| mode(access.mode)).and_then(|()| once(written)))
        }
        Action::SetAccess { path, access } => {
            let node = view.node(path)?;
            Ok(mode(access.mode).and_then(|()| match node {
                Some(node) if matches!(node.kind, NodeKind::Symlink { .. }) => {
                    Err(format!("{path} is a link, and links have no mode"))
                }
                Some(_) => Ok(()),
                None => Err(format!("nothing is at {path}")),
            }))
        }
        Action::MakeSymlink {
            path,
            target,
            user: _,
            group: _,
        } => {
            let place = Place::of(view, path)?;
            let target = if target.is_empty() {
                Err(format!("the link {path} has no target"))
            } else {
                Ok(())
            };
            Ok(place.is_free(path).and(target).and_then(|()| once(path, written)))
        }
        Action::MakeHardLink { path, target } => {
            let place = Place::of(view, path)?;
            let inode = view.node(target)?;
            Ok(place
                .is_free(path)
                .and_then(|()| once(path, written))
                .and_then(|()| match inode {
                    Some(node) if !node.is_directory() => Ok(()),
                    Some(_) => Err(format!("{target} is a directory")),
                    None => Err(format!("nothing is at {target}")),
                }))
        }
        Action::DisableUnit { entry } => Ok(if entry.starts_with('-') || entry.is_empty() {
            Err("a unit name could be read as an option".to_owned())
        } else {
            Ok(())
        }),
        Action::Device(action) => action.check(&step.change, view.devices()),
    }
}

/// A path and what is around it.
struct Place {
    node: Option<Node>,
    parent: Option<Node>,
}

impl Place {
    fn of(view: &dyn View, path: &RootPath) -> Result<Self, ViewError> {
        let parent = path
            .parent()
            .map(|parent| view.node(&parent))
            .transpose()?
            .flatten();
        Ok(Self {
            node: view.node(path)?,
            parent,
        })
    }

    fn is_free(&self, path: &RootPath) -> Result<(), String> {
        not_root(path)?;
        own_names(path)?;
        if self.node.is_some() {
            return Err(format!("{path} is there already"));
        }
        match &self.parent {
            Some(parent) if parent.is_directory() => Ok(()),
            Some(_) => Err(format!("the parent of {path} is no directory")),
            None => Err(format!("the parent of {path} is not there")),
        }
    }
}

fn not_root(path: &RootPath) -> Result<(), String> {
    if path.is_root() {
        Err("the step is about the root directory itself".to_owned())
    } else {
        Ok(())
    }
}

/// The progress record decides what a re-run may do: no config writes it.
fn own_names(path: &RootPath) -> Result<(), String> {
    if path == &RootPath::from(crate::PROGRESS_PATH) {
        return Err(format!("{path} is this program's own"));
    }
    Ok(())
}

fn once(path: &RootPath, written: &mut HashSet<RootPath>) -> Result<(), String> {
    if written.insert(path.clone()) {
        Ok(())
    } else {
        Err(format!("{path} is written twice"))
    }
}

fn mode(mode: u32) -> Result<(), String> {
    if mode <= 0o7777 {
        Ok(())
    } else {
        Err(format!("{mode:o} is no file mode"))
    }
}

fn account_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.starts_with('-') || name.contains([':', ',', '/', '\n', '\r', '\0']) {
        return Err(format!("{name:?} cannot be an account name"));
    }
    Ok(())
}

/// Values after an option cannot be taken for one (getopt), but must not break a database line.
fn field(value: &str) -> Result<(), String> {
    if value.contains([':', '\n', '\r', '\0']) {
        return Err(format!("{value:?} would break the line it stands in"));
    }
    Ok(())
}

fn group_argv(group: &GroupChange) -> Result<(), String> {
    account_name(&group.name)
}

fn user_argv(user: &UserChange) -> Result<(), String> {
    account_name(&user.name)?;
    user.groups.iter().try_for_each(|group| account_name(group))?;
    [&user.gecos, &user.home, &user.shell, &user.primary_group]
        .into_iter()
        .flatten()
        .try_for_each(|text| field(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Access, Content, Lost};
    use crate::stages::{Phase, Stage};
    use crate::view::Owner;
    use crate::view::fake::FakeView;

    const ROOT_0644: Access = Access {
        user: Owner::ROOT,
        group: Owner::ROOT,
        mode: 0o644,
    };

    fn problem(action: Action, change: Change) -> Option<String> {
        let view = FakeView::new()
            .dir("/etc")
            .file("/etc/there", b"x")
            .link("/etc/link", "there");
        let cause = Pointer::root().key("storage");
        let plan = Plan {
            stage: Stage::Files,
            phase: Phase::Nodes,
            steps: vec![Step {
                action,
                change,
                cause,
            }],
        };
        match check(&plan, &view) {
            Ok(()) => None,
            Err(Violation::Unsound { problem, .. }) => Some(problem),
            Err(other) => Some(other.to_string()),
        }
    }

    fn file(path: &str, base: Base) -> Action {
        let contents = vec![Content::known(b"hi".to_vec())];
        Action::WriteFile {
            path: path.into(),
            base,
            contents,
            access: ROOT_0644,
        }
    }

    #[test]
    fn each_invariant_is_seen() {
        let lost = || Lost {
            what: "file".into(),
            trivial: false,
        };
        assert_eq!(problem(file("/etc/new", Base::Nothing), Change::Create), None);
        assert_eq!(
            problem(
                file("/etc/there", Base::Nothing),
                Change::Replace { lost: lost() }
            ),
            None
        );
        for (action, change, expected) in [
            (file("/etc/there", Base::Nothing), Change::Create, "creates it"),
            (
                file("/no/parent", Base::Nothing),
                Change::Create,
                "parent of /no/parent is not there",
            ),
            (
                file("/etc", Base::Nothing),
                Change::Replace { lost: lost() },
                "is a directory",
            ),
            (
                file("/etc/link", Base::Existing),
                Change::Create,
                "no regular file",
            ),
            (
                file("/.ignition-progress", Base::Nothing),
                Change::Create,
                "program's own",
            ),
            (
                Action::Remove { path: "/".into() },
                Change::Delete { lost: lost() },
                "root directory itself",
            ),
            (
                Action::Remove {
                    path: "/nothing".into(),
                },
                Change::Delete { lost: lost() },
                "nothing is at",
            ),
            (
                Action::SetAccess {
                    path: "/etc/link".into(),
                    access: ROOT_0644,
                },
                Change::Modify { what: String::new() },
                "links have no mode",
            ),
            (
                Action::CreateGroup(GroupChange {
                    name: "-x".into(),
                    ..GroupChange::default()
                }),
                Change::Create,
                "account name",
            ),
            (
                Action::CreateUser(UserChange {
                    name: "a".into(),
                    gecos: Some("a:b".into()),
                    ..UserChange::default()
                }),
                Change::Create,
                "break the line",
            ),
            (
                Action::MakeHardLink {
                    path: "/etc/h".into(),
                    target: "/etc".into(),
                },
                Change::Create,
                "is a directory",
            ),
        ] {
            let found = problem(action, change).expect(expected);
            assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        }
    }

    #[test]
    fn a_place_is_written_once() {
        let view = FakeView::new();
        let make = || Step {
            action: Action::MakeSymlink {
                path: "/l".into(),
                target: "x".into(),
                user: Owner::ROOT,
                group: Owner::ROOT,
            },
            change: Change::Create,
            cause: Pointer::root().key("storage"),
        };
        let plan = Plan {
            stage: Stage::Files,
            phase: Phase::Nodes,
            steps: vec![make(), make()],
        };
        assert!(check(&plan, &view).is_err());
    }
}
