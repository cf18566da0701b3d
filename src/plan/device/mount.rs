//! Mounting and unmounting (spec/mount_files.md 2, 3).

use serde::Serialize;

use crate::sys::{Invocation, Tool};
use crate::view::{Devices, Mounted, Overlay, RootPath, View as _, ViewError};

/// Mounts a filesystem of the config below the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The device as the config names it
    pub device: String,
    /// Where, in the running system: root and path joined
    pub target: String,
    /// Where, inside the root
    #[serde(skip)]
    pub path: RootPath,
    /// `format`
    pub kind: String,
    /// `mountOptions`
    pub options: Vec<String>,
    /// Whether it is mounted there already, and only gets these options
    pub remount: bool,
}

impl Mount {
    /// `mount`; `-o` is there without options, too, as upstream has it.
    pub fn command(&self) -> Invocation {
        let options = self.options.join(",");
        if self.remount {
            return Invocation::new(Tool::Mount, ["-o", &format!("remount,{options}"), &self.target]);
        }
        Invocation::new(
            Tool::Mount,
            ["-o", &options, "-t", &self.kind, &self.device, &self.target],
        )
    }

    pub(super) fn predict(&self, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
        let node = overlay.devices().device(&self.device)?.map(|device| device.node);
        if self.remount {
            return Ok(());
        }
        // The root itself stays what it is: who plans for a root that ROOT is mounted on later shows how it will be then.
        if !self.path.is_root() {
            overlay.mount(&self.path, node.as_deref().unwrap_or(&self.device))?;
        }
        overlay.devices_mut().put_mount(Mounted {
            source: node.unwrap_or_else(|| self.device.clone()),
            target: self.target.clone(),
            kind: self.kind.clone(),
            options: self.options.clone(),
            root: "/".to_owned(),
        });
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let words = [&self.device, &self.target, &self.kind];
        match words.iter().find(|word| word.starts_with('-') || word.is_empty()) {
            Some(word) => Err(format!("mount would take {word:?} for an option")),
            None => Ok(()),
        }
    }

    /// Device, type and options in words.
    pub fn details(&self) -> String {
        let mut words = format!("{} {}", self.kind, self.device);
        if !self.options.is_empty() {
            words.push_str(" (");
            words.push_str(&self.options.join(","));
            words.push(')');
        }
        words
    }
}

/// Unmounts what [`Mount`] mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unmount {
    /// Where, in the running system
    pub target: String,
}

impl Unmount {
    pub(super) fn check(&self, devices: &dyn Devices) -> Result<Result<(), String>, ViewError> {
        let mounts = devices.mounts()?;
        Ok(if mounts.iter().any(|mounted| mounted.target == self.target) {
            Ok(())
        } else {
            Err(format!("nothing is mounted at {}", self.target))
        })
    }
}
