//! The mount stage: the filesystems of the config below the root (spec/mount_files.md 2).
//!
//! One plan for each filesystem, parents first: what a mounted filesystem holds decides about the mount points in it.

use super::files::refuse;
use super::{Phase, PlanError, Problem, Stage};
use crate::config::types::{Config, Filesystem};
use crate::plan::device::{DeviceAction, Mount};
use crate::plan::{Access, Action, Change, Plan, Step};
use crate::report::Pointer;
use crate::view::{Mounted, NodeKind, Owner, RootPath, View};

/// A filesystem of the config that is mounted.
#[derive(Clone, Debug)]
pub struct Wanted<'c> {
    /// Its entry
    pub filesystem: &'c Filesystem,
    /// Where, below the root
    pub path: RootPath,
    /// Its place in the config
    pub cause: Pointer,
}

impl Wanted<'_> {
    /// Where, in the running system.
    pub fn target(&self, root: &str) -> String {
        target(root, &self.path)
    }
}

/// Flatcar's OEM filesystem, and where old configs and new systems have it (flatcar.md 4, patch 0016).
const OEM: (&str, &str, &str) = ("/dev/disk/by-label/OEM", "/usr/share/oem", "/oem");

/// The filesystems that are mounted, parents before what is below them; otherwise in the config's order.
pub fn wanted(config: &Config) -> Vec<Wanted<'_>> {
    let mut wanted: Vec<Wanted<'_>> = config
        .storage
        .filesystems
        .iter()
        .enumerate()
        .filter(|(_, filesystem)| is_mounted(filesystem))
        .map(|(index, filesystem)| {
            let path = filesystem.path.as_deref().unwrap_or_default();
            let path = if (filesystem.device.as_str(), path) == (OEM.0, OEM.1) {
                OEM.2
            } else {
                path
            };
            Wanted {
                filesystem,
                path: RootPath::clean(path),
                cause: Pointer::root().key("storage").key("filesystems").index(index),
            }
        })
        .collect();
    wanted.sort_by_key(|wanted| wanted.path.depth());
    wanted
}

fn is_mounted(filesystem: &Filesystem) -> bool {
    let format = filesystem.format.as_deref().unwrap_or_default();
    let path = filesystem.path.as_deref().unwrap_or_default();
    !path.is_empty() && !matches!(format, "" | "swap" | "none")
}

/// A path below the root as the running system sees it. Joined as text, as upstream does: the mount stage accepts no links.
pub fn target(root: &str, path: &RootPath) -> String {
    let root = root.trim_end_matches('/');
    match (root.is_empty(), path.is_root()) {
        (true, _) => path.to_string(),
        (false, true) => root.to_owned(),
        (false, false) => format!("{root}{path}"),
    }
}

/// Plans the mount of one filesystem over what the root looks like once its parents are mounted.
pub fn plan(wanted: &Wanted<'_>, root: &str, view: &dyn View) -> Result<Plan, PlanError> {
    let Wanted {
        filesystem,
        path,
        cause,
    } = wanted;
    let target = wanted.target(root);
    let mut steps = Vec::new();
    for here in missing(path, view, cause)? {
        let access = Access {
            user: Owner::ROOT,
            group: Owner::ROOT,
            mode: 0o755,
        };
        steps.push(Step {
            action: Action::MakeDirectory { path: here, access },
            change: Change::Create,
            cause: cause.key("path"),
        });
    }
    let action = Action::Device(DeviceAction::Mount(Mount {
        device: filesystem.device.clone(),
        path: path.clone(),
        target: target.clone(),
        kind: filesystem.format.clone().unwrap_or_default(),
        options: filesystem.mount_options.clone(),
        remount: false,
    }));
    steps.push(match present(filesystem, &target, view, cause)? {
        None => Step {
            action,
            change: Change::Create,
            cause: cause.clone(),
        },
        Some(mounted) => already(action, &mounted, filesystem, cause)?,
    });
    Ok(Plan {
        stage: Stage::Mount,
        phase: Phase::Mounts,
        steps,
    })
}

/// Directories that are missing on the way to a mount point, the first first. Nothing on the way may be anything but a
/// directory: a link would lead the mount somewhere else.
fn missing(path: &RootPath, view: &dyn View, cause: &Pointer) -> Result<Vec<RootPath>, PlanError> {
    let mut missing = Vec::new();
    let mut here = RootPath::root();
    for name in path.components() {
        here = here.join(name);
        if !missing.is_empty() {
            missing.push(here.clone());
            continue;
        }
        let node = view
            .node(&here)
            .map_err(|error| Problem::View(error).at(cause.key("path")))?;
        let what = match node.map(|node| node.kind) {
            None => {
                missing.push(here.clone());
                continue;
            }
            Some(NodeKind::Directory) => continue,
            Some(NodeKind::Symlink { target }) => format!("a link to {}", target.display()),
            Some(NodeKind::File { .. }) => "a file".to_owned(),
            Some(NodeKind::Other) => "neither a directory nor a file".to_owned(),
        };
        return Err(refuse(
            cause.key("path"),
            format!("{here} is {what}, so nothing can be mounted at {path}"),
            "name the directory itself: links are not followed on the way to a mount point",
        ));
    }
    Ok(missing)
}

/// What is mounted at the target, if it is this very filesystem. Anything else is mounted over, as mount(8) does.
fn present(
    filesystem: &Filesystem,
    target: &str,
    view: &dyn View,
    cause: &Pointer,
) -> Result<Option<Mounted>, PlanError> {
    let devices = view.devices();
    let asked = |error| Problem::View(error).at(cause.clone());
    let mounts = devices.mounts().map_err(asked)?;
    let Some(top) = mounts.into_iter().rfind(|mounted| mounted.target == target) else {
        return Ok(None);
    };
    let node = devices
        .device(&filesystem.device)
        .map_err(asked)?
        .map(|device| device.node);
    Ok(Some(top).filter(|top| Some(&top.source) == node.as_ref()))
}

/// The step for a filesystem that is mounted where it should be (flatcar/Flatcar#1612: ROOT is mounted by systemd).
fn already(
    action: Action,
    mounted: &Mounted,
    filesystem: &Filesystem,
    cause: &Pointer,
) -> Result<Step, PlanError> {
    let kind = filesystem.format.as_deref().unwrap_or_default();
    if mounted.kind != kind {
        return Err(refuse(
            cause.key("format"),
            format!(
                "{} is mounted at {} already, as {}",
                filesystem.device, mounted.target, mounted.kind
            ),
            "let the format be what the filesystem is, or have it made anew with wipeFilesystem",
        ));
    }
    let lacking: Vec<&str> = filesystem
        .mount_options
        .iter()
        .flat_map(|option| option.split(','))
        .filter(|option| {
            !option.is_empty() && *option != "defaults" && !mounted.options.iter().any(|has| has == option)
        })
        .collect();
    let (action, change) = match action {
        Action::Device(DeviceAction::Mount(mount)) if !lacking.is_empty() => {
            let what = format!("mounted there already, without {}", lacking.join(","));
            let mount = Mount {
                remount: true,
                ..mount
            };
            (
                Action::Device(DeviceAction::Mount(mount)),
                Change::Modify { what },
            )
        }
        action => (
            action,
            Change::Keep {
                reason: "it is mounted there already".to_owned(),
            },
        ),
    };
    Ok(Step {
        action,
        change,
        cause: cause.clone(),
    })
}

#[cfg(test)]
mod tests;
