//! LUKS volumes (spec/disks.md 4).
//!
//! A volume takes several steps, so that a plan shows them and an interrupted run is told by where it stopped. None of them
//! carries the key but the first: it is kept in the state file before anything is written to the device, and later
//! steps take it from there. Programs read it from a file in memory; [`VolumeAction::commands`] names that `KEYFILE`.

mod commands;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::super::{Change, Content, Secret};
use crate::config::types::Resource;
use crate::sys::{Invocation, Tool};
use crate::view::{Device, DeviceOverlay, Devices, Digest, Use, ViewError, Volume, names};

pub use commands::{CEX_KEY, CEX_REPOSITORY, secure_key};

/// An action on a LUKS volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum VolumeAction {
    /// Get the key, and keep it in the state file
    SaveKey(SaveKey),
    /// Fetch what a Tang server advertises, to know that it is reached
    ReachServer(ReachServer),
    /// `cryptsetup luksClose`: what an earlier attempt of this run left open
    CloseVolume(CloseVolume),
    /// `cryptsetup luksFormat`
    FormatVolume(FormatVolume),
    /// `cryptsetup luksOpen`
    OpenVolume(OpenVolume),
    /// `clevis luks bind`
    BindVolume(BindVolume),
    /// Close the volume and let clevis open it
    ProveUnlock(VolumeOf),
    /// Remove the generated key, from the volume and from the state file
    RemoveKey(VolumeOf),
    /// Take off the mark of the unfinished run
    FinishVolume(FinishVolume),
}

/// A volume and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeOf {
    /// `name`
    pub name: String,
    /// The device as the config names it
    pub device: String,
    /// Its node
    pub node: String,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "from")]
pub enum Key {
    /// Made by the planner
    Generated {
        /// The key
        #[serde(skip)]
        bytes: Secret<Vec<u8>>,
    },
    /// `keyFile`
    File(Content),
    /// The initrd's own, for secure keys of IBM Z
    Cex,
}

/// Keeps a volume's key in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SaveKey {
    /// The volume's name
    pub name: String,
    /// The key
    pub key: Key,
}

/// Fetches what a Tang server advertises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReachServer {
    /// The volume's name
    pub name: String,
    /// URL fit to be shown
    pub url: String,
    /// What is fetched
    #[serde(skip)]
    pub resource: Secret<Resource>,
}

/// Closes a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseVolume {
    /// Which
    #[serde(flatten)]
    pub volume: VolumeOf,
    /// The node of its mapping
    pub mapping: String,
}

/// Makes a LUKS2 volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FormatVolume {
    /// Which
    #[serde(flatten)]
    pub volume: VolumeOf,
    /// `wipeVolume`: `wipefs -a` comes first
    pub wipe: bool,
    /// `label`, if not empty
    pub label: Option<String>,
    /// `uuid`, if not empty
    pub uuid: Option<String>,
    /// The config's own arguments of luksFormat
    pub options: Vec<String>,
    /// What marks it as made by this run until the run has succeeded ([`marker`])
    pub marker: Option<String>,
    /// `cex.enabled`
    pub cex: bool,
}

/// Opens a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenVolume {
    /// Which
    #[serde(flatten)]
    pub volume: VolumeOf,
    /// `discard`
    pub discard: bool,
    /// `openOptions`
    pub options: Vec<String>,
    /// Whether it was there before, so that its key may be another one
    pub kept: bool,
}

/// Binds a volume with clevis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindVolume {
    /// Which
    #[serde(flatten)]
    pub volume: VolumeOf,
    /// Pin: `sss`, `tang`, `tpm2`, or another
    pub pin: String,
    /// The pin's configuration, JSON. clevis takes it as an argument and in no other way
    #[serde(skip)]
    pub config: Secret<String>,
    /// What it is bound to, in words
    pub to: String,
}

/// Takes the mark of an unfinished run off a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FinishVolume {
    /// Which
    #[serde(flatten)]
    pub volume: VolumeOf,
    /// Its label, which stays: cryptsetup sets both labels at once
    pub label: String,
}

/// Where an open volume is found.
pub fn mapper_path(name: &str) -> String {
    format!("/dev/mapper/{name}")
}

/// What marks a volume as made by a run of this config that has not succeeded yet: its subsystem label, of which LUKS2
/// has 47 bytes.
pub fn marker(config: &Digest) -> String {
    let mut text = config.to_string();
    text.truncate(32);
    format!("ignition-{text}")
}

impl VolumeAction {
    /// Which volume; those that keep a key or fetch are about none yet.
    pub fn volume(&self) -> Option<&VolumeOf> {
        match self {
            Self::SaveKey(_) | Self::ReachServer(_) => None,
            Self::CloseVolume(action) => Some(&action.volume),
            Self::FormatVolume(action) => Some(&action.volume),
            Self::OpenVolume(action) => Some(&action.volume),
            Self::BindVolume(action) => Some(&action.volume),
            Self::FinishVolume(action) => Some(&action.volume),
            Self::ProveUnlock(volume) | Self::RemoveKey(volume) => Some(volume),
        }
    }

    /// The programs that carry it out, with a placeholder for the key file.
    pub(super) fn commands(&self) -> Vec<Invocation> {
        self.commands_with("KEYFILE")
    }

    pub(super) fn subject(&self) -> String {
        match self {
            Self::SaveKey(action) => format!("key of {}", action.name),
            Self::ReachServer(action) => action.url.clone(),
            Self::CloseVolume(_)
            | Self::FormatVolume(_)
            | Self::OpenVolume(_)
            | Self::BindVolume(_)
            | Self::ProveUnlock(_)
            | Self::RemoveKey(_)
            | Self::FinishVolume(_) => self
                .volume()
                .map(|volume| volume.device.clone())
                .unwrap_or_default(),
        }
    }

    pub(super) fn details(&self) -> String {
        match self {
            Self::SaveKey(action) => match &action.key {
                Key::Generated { .. } => "generate it".to_owned(),
                Key::File(Content::Known { size, .. }) => format!("from the config, {size} bytes"),
                Key::File(Content::Remote { url, .. }) => format!("fetch {url}"),
                Key::Cex => format!("from {CEX_KEY}"),
            },
            Self::ReachServer(action) => format!("reach the server of {}", action.name),
            Self::CloseVolume(action) => format!("close {}", action.volume.name),
            Self::FormatVolume(action) => action.details(),
            Self::OpenVolume(action) => {
                let discard = if action.discard { ", with discard" } else { "" };
                format!("open as {}{discard}", action.volume.name)
            }
            Self::BindVolume(action) => format!("bind to {}", action.to),
            Self::ProveUnlock(volume) => format!("open {} by clevis, to prove that it can", volume.name),
            Self::RemoveKey(_) => "remove the generated key".to_owned(),
            Self::FinishVolume(_) => "take off the mark of the unfinished run".to_owned(),
        }
    }

    pub(super) fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        match self {
            // A volume that clevis has opened is there as before.
            Self::SaveKey(_)
            | Self::ReachServer(_)
            | Self::BindVolume(_)
            | Self::ProveUnlock(_)
            | Self::RemoveKey(_) => {}
            Self::CloseVolume(action) => action.predict(overlay)?,
            Self::FormatVolume(action) => action.predict(overlay)?,
            Self::OpenVolume(action) => action.predict(overlay)?,
            Self::FinishVolume(action) => {
                let node = &action.volume.node;
                if let Some(found) = overlay.volume(node)? {
                    let subsystem = String::new();
                    overlay.put_volume(node, Volume { subsystem, ..found });
                }
            }
        }
        Ok(())
    }

    pub(super) fn predict_unknown(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        let Self::OpenVolume(action) = self else {
            return Ok(());
        };
        if overlay.device(&mapper_path(&action.volume.name))?.is_none() {
            overlay.put_unseen(action.opened(overlay)?);
        }
        Ok(())
    }

    pub(super) fn check(
        &self,
        change: &Change,
        devices: &dyn Devices,
    ) -> Result<Result<(), String>, ViewError> {
        let Some(volume) = self.volume() else {
            return Ok(Ok(()));
        };
        let mut words = vec![volume.name.as_str(), volume.node.as_str()];
        if let Self::BindVolume(action) = self {
            words.push(&action.pin);
        }
        if let Err(problem) = super::check_words(Tool::Cryptsetup, words) {
            return Ok(Err(problem));
        }
        match self {
            Self::SaveKey(_) | Self::ReachServer(_) => Ok(Ok(())),
            Self::CloseVolume(action) => super::check_unused(&action.mapping, devices),
            Self::FormatVolume(action) => action.check(change, devices),
            Self::OpenVolume(_) => {
                let mapped = devices.device(&mapper_path(&volume.name))?.is_some();
                let ready = is_second(devices, &volume.node)?;
                Ok(if mapped {
                    Err(format!("there is a mapping {} already", volume.name))
                } else {
                    ready
                })
            }
            Self::BindVolume(_) | Self::ProveUnlock(_) | Self::RemoveKey(_) | Self::FinishVolume(_) => {
                is_second(devices, &volume.node)
            }
        }
    }
}

fn is_second(devices: &dyn Devices, node: &str) -> Result<Result<(), String>, ViewError> {
    let volume = devices.volume(node)?;
    Ok(match volume.map(|volume| volume.version) {
        Some(2) => Ok(()),
        Some(other) => Err(format!("{node} is a LUKS{other} volume")),
        None => Err(format!("{node} is no LUKS volume")),
    })
}

impl CloseVolume {
    fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        overlay.remove_device(&self.mapping);
        overlay.put_path(&mapper_path(&self.volume.name), None);
        let kernel = self.mapping.rsplit('/').next().unwrap_or_default();
        if let Some(mut device) = overlay.device(&self.volume.node)? {
            device
                .uses
                .retain(|by| !matches!(by, Use::Held(name) if name == kernel));
            overlay.put_uses(&device.node, device.uses);
        }
        Ok(())
    }
}

impl FormatVolume {
    fn details(&self) -> String {
        let mut parts = vec![format!("LUKS2 for {}", self.volume.name)];
        parts.extend(self.label.as_ref().map(|label| format!("label {label:?}")));
        parts.extend(self.uuid.as_ref().map(|uuid| format!("uuid {uuid}")));
        parts.extend(self.cex.then(|| "with a secure key".to_owned()));
        if self.volume.node != self.volume.device {
            parts.push(format!("on {}", self.volume.node));
        }
        parts.join(", ")
    }

    fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        super::forget_partitions(&self.volume.node, overlay)?;
        let uuid = self.uuid.clone().unwrap_or_default();
        let label = self.label.as_deref().unwrap_or_default();
        for link in [names::by_uuid(&uuid), names::by_label(label)]
            .into_iter()
            .flatten()
        {
            overlay.put_path(&link, Some(&self.volume.node));
        }
        let made = Volume {
            version: 2,
            // One that nobody asked for is known once it is made.
            uuid,
            label: self.label.clone().unwrap_or_default(),
            subsystem: self.marker.clone().unwrap_or_default(),
            flags: Vec::new(),
        };
        overlay.put_volume(&self.volume.node, made);
        Ok(())
    }

    fn check(&self, change: &Change, devices: &dyn Devices) -> Result<Result<(), String>, ViewError> {
        let node = &self.volume.node;
        for checked in [
            super::check_unused(node, devices)?,
            super::check_said(node, change, devices)?,
        ] {
            if checked.is_err() {
                return Ok(checked);
            }
        }
        if self.wipe {
            return Ok(Ok(()));
        }
        // What is there is only ever overwritten when the config says so, or when this run has made it itself.
        let own = devices
            .volume(node)?
            .is_some_and(|found| self.marker.as_ref() == Some(&found.subsystem));
        Ok(if own || devices.signature(node)?.is_blank() {
            Ok(())
        } else {
            Err(format!("{node} is not blank, and nobody asked to wipe it"))
        })
    }
}

impl OpenVolume {
    /// Its mapping, which will be there. Its size is known when it is.
    fn opened(&self, devices: &dyn Devices) -> Result<Device, ViewError> {
        let VolumeOf { name, node, .. } = &self.volume;
        let below = devices.device(node)?;
        Ok(Device {
            node: mapper_path(name),
            size: None,
            sector_size: below.map_or(512, |device| device.sector_size),
            partition: None,
            mapper: Some(name.clone()),
            uses: Vec::new(),
        })
    }

    fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        let VolumeOf { name, node, .. } = &self.volume;
        let mut uuid = String::new();
        if let Some(mut found) = overlay.volume(node)? {
            uuid.clone_from(&found.uuid);
            found.flags.retain(|flag| flag != ALLOW_DISCARDS);
            found
                .flags
                .extend(self.discard.then(|| ALLOW_DISCARDS.to_owned()));
            overlay.put_volume(node, found);
        }
        let mapping = mapper_path(name);
        let opened = self.opened(overlay)?;
        overlay.put_uses(node, vec![Use::Held(name.clone())]);
        if self.kept {
            overlay.put_unseen(opened);
        } else {
            overlay.put_device(opened);
        }
        overlay.put_path(&format!("/dev/disk/by-id/dm-name-{name}"), Some(&mapping));
        if !uuid.is_empty() {
            let id = format!(
                "/dev/disk/by-id/dm-uuid-CRYPT-LUKS2-{}-{name}",
                uuid.replace('-', "")
            );
            overlay.put_path(&id, Some(&mapping));
        }
        Ok(())
    }
}

/// The persistent flag that `discard` sets.
pub(crate) const ALLOW_DISCARDS: &str = "allow-discards";
