//! How the steps of a stage are grouped.

use std::collections::BTreeMap;

use super::super::device::{DeviceAction, VolumeAction};
use super::super::{Action, Plan};
use crate::report::{Element, Pointer};
use crate::stages::Phase;
use crate::view::RootPath;

/// The groups of a stage, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Configs,
    Arguments,
    Tables,
    Arrays,
    Volumes,
    Filesystems,
    Mounts,
    Accounts,
    Keys,
    Directories,
    Files,
    Links,
    Units,
    Luks,
    Records,
}

impl Kind {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Configs => "configs",
            Self::Arguments => "kernel arguments",
            Self::Tables => "partition tables",
            Self::Arrays => "RAID",
            Self::Volumes => "encrypted volumes",
            Self::Filesystems => "filesystems",
            Self::Mounts => "mounts",
            Self::Accounts => "accounts",
            Self::Keys => "homes and SSH keys",
            Self::Directories => "directories",
            Self::Files => "files",
            Self::Links => "links",
            Self::Units => "units and presets",
            Self::Luks => "LUKS and provider files",
            Self::Records => "program files",
        }
    }

    /// `None`: the action alone does not say; see [`kinds_of`].
    pub(super) fn of(phase: Phase, action: &Action) -> Option<Self> {
        match action {
            Action::FetchConfig { .. } => Some(Self::Configs),
            Action::WriteHostFile { .. } | Action::Device(DeviceAction::Volume(VolumeAction::SaveKey(_))) => {
                Some(Self::Records)
            }
            Action::CreateGroup(_)
            | Action::ModifyGroup(_)
            | Action::DeleteGroup { .. }
            | Action::AdoptGroup { .. }
            | Action::AdoptUser { .. }
            | Action::CreateUser(_)
            | Action::ModifyUser(_)
            | Action::DeleteUser { .. }
            | Action::SetPassword { .. } => Some(Self::Accounts),
            Action::DisableUnit { .. } => Some(Self::Units),
            Action::MakeDirectory { .. } => Self::of_phase(phase, Some(Self::Directories)),
            Action::WriteFile { .. } => Self::of_phase(phase, Some(Self::Files)),
            Action::MakeSymlink { .. } | Action::MakeHardLink { .. } => {
                Self::of_phase(phase, Some(Self::Links))
            }
            Action::Remove { .. } | Action::SetAccess { .. } | Action::Device(_) => {
                Self::of_phase(phase, None)
            }
        }
    }

    /// The group of what a phase does to the root; the phase of the config's own nodes has one for each kind of them.
    fn of_phase(phase: Phase, node: Option<Self>) -> Option<Self> {
        match phase {
            Phase::Config | Phase::Result => Some(Self::Records),
            Phase::Arguments => Some(Self::Arguments),
            Phase::Partitions => Some(Self::Tables),
            Phase::Raid => Some(Self::Arrays),
            Phase::Volumes => Some(Self::Volumes),
            Phase::Filesystems => Some(Self::Filesystems),
            Phase::Mounts | Phase::Unmounts => Some(Self::Mounts),
            Phase::Accounts => Some(Self::Accounts),
            Phase::Keys => Some(Self::Keys),
            Phase::Nodes => node,
            Phase::Units | Phase::Presets => Some(Self::Units),
            Phase::Luks => Some(Self::Luks),
        }
    }
}

/// The kind of each step. What is removed, or only gets an owner and mode, stands with what is made at the same path
/// afterwards, else with what the config says that it is.
pub(super) fn kinds_of(plan: &Plan) -> Vec<Kind> {
    let mut later: BTreeMap<&RootPath, Kind> = BTreeMap::new();
    let mut kinds: Vec<_> = plan
        .steps
        .iter()
        .rev()
        .map(|step| {
            let path = step.action.path();
            let kind = Kind::of(plan.phase, &step.action)
                .or_else(|| later.get(path?).copied())
                .unwrap_or_else(|| kind_of_cause(&step.cause));
            if let Some(path) = path {
                later.insert(path, kind);
            }
            kind
        })
        .collect();
    kinds.reverse();
    kinds
}

fn kind_of_cause(cause: &Pointer) -> Kind {
    match cause.0.get(1) {
        Some(Element::Key(key)) if key == "directories" => Kind::Directories,
        Some(Element::Key(key)) if key == "links" => Kind::Links,
        _ => Kind::Files,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Access, Change, Step};
    use super::Kind::{Directories, Files, Keys, Links};
    use super::*;
    use crate::stages::Stage;
    use crate::view::Owner;

    #[test]
    fn what_is_removed_stands_with_what_takes_its_place() {
        let access = || Access {
            user: Owner::Id(0),
            group: Owner::Id(0),
            mode: 0o755,
        };
        let step = |action, list| Step {
            action,
            change: Change::Create,
            cause: Pointer::root().key("storage").key(list).index(0),
        };
        let remove = |path: &str, list| step(Action::Remove { path: path.into() }, list);
        let set = |path: &str, list| {
            let path = path.into();
            step(
                Action::SetAccess {
                    path,
                    access: access(),
                },
                list,
            )
        };
        let make = Action::MakeDirectory {
            path: "/a".into(),
            access: access(),
        };
        let mut plan = Plan {
            stage: Stage::Files,
            phase: Phase::Nodes,
            steps: vec![
                remove("/a", "files"),
                step(make, "files"),
                remove("/b", "links"),
                remove("/c", "directories"),
                set("/c", "directories"),
                set("/a", "files"),
            ],
        };
        let kinds = [Directories, Directories, Links, Directories, Directories, Files];
        assert!(kinds_of(&plan) == kinds);
        plan.phase = Phase::Keys;
        assert!(kinds_of(&plan) == [Keys; 6]);
    }
}
