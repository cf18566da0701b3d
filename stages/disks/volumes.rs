//! LUKS volumes (spec/disks.md 4).
//!
//! A volume that this config's own run has made and not finished is known by the subsystem label of its header, and is
//! made anew (design.md 3). What else is there is overwritten only with `wipeVolume`.

use std::io;

use super::clevis::{Binding, binding};
use super::target::{Steps, at, check_name, contents, device, in_use, overwritten, uses};
use crate::config::types::{Config, Luks};
use crate::plan::device::{
    ALLOW_DISCARDS, BindVolume, CloseVolume, DeviceAction, FinishVolume, FormatVolume, Key, OpenVolume,
    ReachServer, SaveKey, VolumeAction, VolumeOf, mapper_path, marker,
};
use crate::plan::{Change, Content, Plan, Secret};
use crate::report::Pointer;
use crate::stages::files::{contents as resource, refuse};
use crate::stages::{Phase, PlanError};
use crate::view::{Device, Devices, Digest, Use, View, Volume};

/// Random bytes of a generated key; it has twice as many hexadecimal digits (spec/disks.md 4.1).
const KEY_BYTES: usize = 4096;

/// What the planner is given beside the view.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The merged config
    pub config: &'a Config,
    /// Its digest, by which an unfinished run is known again
    pub digest: Digest,
    /// Where random bytes come from
    pub random: &'a dyn Fn(&mut [u8]) -> io::Result<()>,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("config", self.config)
            .finish_non_exhaustive()
    }
}

/// The devices that the phase is about, with their places in the config.
pub fn wanted(config: &Config) -> Vec<(String, Pointer)> {
    let device = |(luks, at): (&Luks, Pointer)| (path(luks).to_owned(), at.key("device"));
    volumes(config).map(device).collect()
}

fn volumes(config: &Config) -> impl Iterator<Item = (&Luks, Pointer)> {
    let list = Pointer::root().key("storage").key("luks");
    let luks = config.storage.luks.iter().enumerate();
    luks.map(move |(index, luks)| (luks, list.index(index)))
}

fn path(luks: &Luks) -> &str {
    luks.device.as_deref().unwrap_or_default()
}

/// What can be refused without looking at the machine, so that it is before anything is written.
pub fn check_config(config: &Config) -> Result<(), PlanError> {
    for (luks, at) in volumes(config) {
        check_name(&luks.name, &at.key("name"))?;
        binding(&luks.clevis, &at.key("clevis"))?;
        given_key(luks, &at)?;
        if let Some(uuid) = given(luks.uuid.as_ref()).filter(|uuid| !is_uuid(uuid)) {
            return Err(refuse(
                at.key("uuid"),
                format!("{uuid:?} is no UUID"),
                "write it as 01234567-89ab-cdef-0123-456789abcdef, or leave it out",
            ));
        }
    }
    Ok(())
}

/// A field that is there and not empty.
fn given(field: Option<&String>) -> Option<&String> {
    field.filter(|text| !text.is_empty())
}

fn is_uuid(text: &str) -> bool {
    let is_group = |(group, length): (&str, usize)| {
        group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    text.split('-').count() == 5 && text.split('-').zip([8, 4, 4, 4, 12]).all(is_group)
}

/// Whether `keyFile` has a source.
fn has_key_file(luks: &Luks) -> bool {
    let source = luks.key_file.source.as_ref();
    source.is_some_and(|source| !source.reveal().is_empty())
}

/// The key that the config gives; `None` if it gives none.
fn given_key(luks: &Luks, at: &Pointer) -> Result<Option<Content>, PlanError> {
    if !has_key_file(luks) {
        return Ok(None);
    }
    let place = at.key("keyFile");
    let content = resource::of(&luks.key_file, &place)?;
    if let Some(Content::Known { size: 0, .. }) = content {
        return Err(refuse(
            place,
            "the key has no bytes, so anybody could open the volume",
            "give one that has contents, or leave it out to have one generated",
        ));
    }
    Ok(content)
}

/// Plans the phase: first all keys are had and all servers reached, then the volumes are made and opened.
///
/// # Errors
///
/// A volume that must be kept and cannot be; a device that holds something else, and nobody asked to wipe it; a device
/// that is missing or in use.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    check_config(input.config)?;
    let mut steps = Steps::new(view);
    for (luks, at) in volumes(input.config) {
        plan_key(&mut steps, input, luks, &at)?;
    }
    for (luks, at) in volumes(input.config) {
        plan_volume(&mut steps, input, luks, &at)?;
    }
    Ok(steps.finish(Phase::Volumes))
}

/// The steps that take the marks of this run off, when it has succeeded. A volume that keeps its mark would be made anew
/// by the next first boot with the same config.
pub fn finish(config: &Config, digest: Digest, view: &dyn View) -> Result<Plan, PlanError> {
    let mut steps = Steps::new(view);
    for (luks, place) in volumes(config) {
        let cause = place.key("device");
        let found = view.devices().device(path(luks)).map_err(at(&cause))?;
        let Some(found) = found else {
            continue;
        };
        let header = match view.devices().volume(&found.node) {
            Err(error) if error.is_unseen() => continue,
            found => found.map_err(at(&cause))?,
        };
        if let Some(header) = header.filter(|header| header.subsystem == marker(&digest)) {
            let action = VolumeAction::FinishVolume(FinishVolume {
                volume: volume_of(luks, &found),
                label: header.label,
            });
            let what = "the run has succeeded".to_owned();
            steps.push(DeviceAction::Volume(action), Change::Modify { what }, &place)?;
        }
    }
    Ok(steps.finish(Phase::Volumes))
}

fn volume_of(luks: &Luks, device: &Device) -> VolumeOf {
    VolumeOf {
        name: luks.name.clone(),
        device: path(luks).to_owned(),
        node: device.node.clone(),
    }
}

fn plan_key(steps: &mut Steps<'_>, input: &Input<'_>, luks: &Luks, place: &Pointer) -> Result<(), PlanError> {
    let (key, cause) = if luks.cex.enabled == Some(true) {
        (Key::Cex, place.key("cex"))
    } else if let Some(content) = given_key(luks, place)? {
        (Key::File(content), place.key("keyFile"))
    } else {
        (generate(input, place)?, place.clone())
    };
    let name = luks.name.clone();
    let save = VolumeAction::SaveKey(SaveKey { name, key });
    steps.push(DeviceAction::Volume(save), Change::Create, &cause)?;
    let bound = binding(&luks.clevis, &place.key("clevis"))?;
    for (url, resource, place) in bound.into_iter().flat_map(|binding| binding.servers) {
        let reach = VolumeAction::ReachServer(ReachServer {
            name: luks.name.clone(),
            url,
            resource: Secret::new(resource),
        });
        steps.push(DeviceAction::Volume(reach), Change::Create, &place)?;
    }
    Ok(())
}

fn generate(input: &Input<'_>, place: &Pointer) -> Result<Key, PlanError> {
    let mut bytes = vec![0; KEY_BYTES];
    (input.random)(&mut bytes).map_err(|error| {
        refuse(
            place.clone(),
            format!("no random bytes for a key: {error}"),
            "give one in keyFile",
        )
    })?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    Ok(Key::Generated {
        bytes: Secret::new(digits.collect::<String>().into_bytes()),
    })
}

fn plan_volume(
    steps: &mut Steps<'_>,
    input: &Input<'_>,
    luks: &Luks,
    place: &Pointer,
) -> Result<(), PlanError> {
    let cause = place.key("device");
    let found = device(steps.devices(), path(luks), &cause)?;
    let own = marker(&input.digest);
    let wipe = luks.wipe_volume == Some(true);
    let (header, kind) = match there(steps.devices(), &found, &cause)? {
        Ok(there) => there,
        Err(_) if wipe => (None, String::new()),
        Err(why) => return unknown(steps, luks, &found, &own, &why, place),
    };
    let unfinished = header.as_ref().is_some_and(|header| header.subsystem == own);
    if !wipe && !unfinished {
        if let Some(header) = header {
            reusable(luks, &header, &found, place)?;
            return open_again(steps, luks, &found, place);
        }
        if !kind.is_empty() {
            return Err(refuse(
                cause,
                format!("{} holds {kind} and no LUKS volume", found.node),
                "set wipeVolume if it may be lost, or name another device",
            ));
        }
    }
    close(steps, luks, &found, unfinished, place)?;
    let found = device(steps.devices(), path(luks), &cause)?;
    if let Some(uses) = uses(steps.devices(), &found, &cause)? {
        return Err(in_use(&uses, &cause));
    }
    is_free(steps.devices(), luks, place)?;
    let volume = volume_of(luks, &found);
    let lost = match contents(steps.devices(), &found, &cause)? {
        Some(what) if unfinished => Some(format!("{what}, which this run has made and not finished")),
        other => other,
    };
    let format = format(luks, volume.clone(), own);
    let cause = if wipe {
        place.key("wipeVolume")
    } else {
        place.clone()
    };
    let mut push = |action, change, cause: &Pointer| steps.push(DeviceAction::Volume(action), change, cause);
    push(
        VolumeAction::FormatVolume(format),
        overwritten(lost, unfinished),
        &cause,
    )?;
    push(open(luks, volume.clone(), false), Change::Create, place)?;
    let clevis = place.key("clevis");
    let Some(Binding {
        pin,
        config,
        to,
        proves,
        ..
    }) = binding(&luks.clevis, &clevis)?
    else {
        return Ok(());
    };
    let bind = BindVolume {
        volume: volume.clone(),
        pin,
        config,
        to,
    };
    push(VolumeAction::BindVolume(bind), Change::Create, &clevis)?;
    if proves {
        push(VolumeAction::ProveUnlock(volume.clone()), Change::Create, &clevis)?;
    }
    if !has_key_file(luks) && luks.cex.enabled != Some(true) {
        let what = "clevis opens it".to_owned();
        push(VolumeAction::RemoveKey(volume), Change::Modify { what }, &clevis)?;
    }
    Ok(())
}

/// The header of a volume that a device holds, and the type of what it holds; the inner error says why only a real run sees that.
fn there(
    devices: &dyn Devices,
    device: &Device,
    cause: &Pointer,
) -> Result<Result<(Option<Volume>, String), String>, PlanError> {
    let kind = match devices.signature(&device.node) {
        Err(error) if error.is_unseen() => return Ok(Err(error.to_string())),
        found => found.map_err(at(cause))?.kind,
    };
    let header = devices.volume(&device.node).map_err(at(cause))?;
    // What is left of a header below something else is no volume.
    let header = header.filter(|_| kind.is_empty() || kind == "crypto_LUKS");
    Ok(Ok((header, kind)))
}

/// A volume on a device of which only a real run sees what it holds: made or kept, it is open then.
fn unknown(
    steps: &mut Steps<'_>,
    luks: &Luks,
    device: &Device,
    own: &str,
    why: &str,
    place: &Pointer,
) -> Result<(), PlanError> {
    let volume = volume_of(luks, device);
    let format = VolumeAction::FormatVolume(format(luks, volume.clone(), own.to_owned()));
    for action in [format, open(luks, volume, false)] {
        let why = why.to_owned();
        steps.push(DeviceAction::Volume(action), Change::Unknown { why }, place)?;
    }
    Ok(())
}

fn format(luks: &Luks, volume: VolumeOf, marker: String) -> FormatVolume {
    FormatVolume {
        volume,
        wipe: luks.wipe_volume == Some(true),
        label: given(luks.label.as_ref()).cloned(),
        uuid: given(luks.uuid.as_ref()).cloned(),
        options: luks.options.clone(),
        marker: (!has_own_subsystem(&luks.options)).then_some(marker),
        cex: luks.cex.enabled == Some(true),
    }
}

/// Whether the config's own arguments set a subsystem label: then there is no room for a mark.
fn has_own_subsystem(options: &[String]) -> bool {
    options
        .iter()
        .any(|option| option == "--subsystem" || option.starts_with("--subsystem="))
}

fn open(luks: &Luks, volume: VolumeOf, kept: bool) -> VolumeAction {
    VolumeAction::OpenVolume(OpenVolume {
        volume,
        discard: luks.discard == Some(true),
        options: luks.open_options.clone(),
        kept,
    })
}

/// Whether a volume that is there is the one that the config asks for (spec/disks.md 4.3).
fn reusable(luks: &Luks, header: &Volume, device: &Device, place: &Pointer) -> Result<(), PlanError> {
    let node = &device.node;
    if header.version != 2 {
        return Err(refuse(
            place.key("device"),
            format!(
                "{node} holds a LUKS{} volume, which is never kept",
                header.version
            ),
            "set wipeVolume if it may be lost, or name another device",
        ));
    }
    let discard = luks.discard == Some(true);
    let flagged = header.flags.iter().any(|flag| flag == ALLOW_DISCARDS);
    let differs = |field: &Option<String>, found: &str| field.as_ref().is_some_and(|wanted| wanted != found);
    let (field, reason) = if binding(&luks.clevis, &place.key("clevis"))?.is_some() {
        ("clevis", "one that clevis opens is never kept".to_owned())
    } else if !has_key_file(luks) {
        ("keyFile", "the config has no key for it".to_owned())
    } else if differs(&luks.label, &header.label) {
        ("label", format!("its label is {:?}", header.label))
    } else if differs(&luks.uuid, &header.uuid) {
        ("uuid", format!("its UUID is {}", header.uuid))
    } else if discard != flagged {
        let what = if flagged { "allows" } else { "does not allow" };
        ("discard", format!("it {what} discards"))
    } else {
        return Ok(());
    };
    let reason = if header.subsystem.starts_with("ignition-") {
        format!("{reason}, and a run of another config that did not finish has made it")
    } else {
        reason
    };
    Err(refuse(
        place.key(field),
        format!("{node} holds a LUKS volume that cannot be kept: {reason}"),
        "correct this, or set wipeVolume if the volume may be lost",
    ))
}

/// Opens a volume that is kept, if it is not open.
fn open_again(steps: &mut Steps<'_>, luks: &Luks, device: &Device, place: &Pointer) -> Result<(), PlanError> {
    let volume = volume_of(luks, device);
    let change = if mapping_of(steps.devices(), luks, device, place)?.is_some() {
        Change::Keep {
            reason: "it has this label, UUID and discard setting, and is open".to_owned(),
        }
    } else {
        let cause = place.key("device");
        if let Some(uses) = uses(steps.devices(), device, &cause)? {
            return Err(in_use(&uses, &cause));
        }
        is_free(steps.devices(), luks, place)?;
        Change::Modify {
            what: "opens it: label, UUID and discard setting are these".to_owned(),
        }
    };
    steps.push(DeviceAction::Volume(open(luks, volume, true)), change, place)
}

/// The mapping of the volume's name, if it is the device's and nothing else holds that.
fn mapping_of(
    devices: &dyn Devices,
    luks: &Luks,
    device: &Device,
    place: &Pointer,
) -> Result<Option<Device>, PlanError> {
    let mapping = devices
        .device(&mapper_path(&luks.name))
        .map_err(at(&place.key("name")))?;
    let [Use::Held(holder)] = device.uses.as_slice() else {
        return Ok(None);
    };
    Ok(mapping.filter(|mapping| mapping.node.rsplit('/').next() == Some(holder)))
}

/// Closes what an earlier attempt of this run has left open.
fn close(
    steps: &mut Steps<'_>,
    luks: &Luks,
    device: &Device,
    unfinished: bool,
    place: &Pointer,
) -> Result<(), PlanError> {
    let Some(mapping) = mapping_of(steps.devices(), luks, device, place)?.filter(|_| unfinished) else {
        return Ok(());
    };
    if let Some(uses) = uses(steps.devices(), &mapping, place)? {
        return Err(in_use(&uses, place));
    }
    let action = VolumeAction::CloseVolume(CloseVolume {
        volume: volume_of(luks, device),
        mapping: mapping.node,
    });
    let what = "an earlier attempt of this run has left it open".to_owned();
    steps.push(DeviceAction::Volume(action), Change::Modify { what }, place)
}

fn is_free(devices: &dyn Devices, luks: &Luks, place: &Pointer) -> Result<(), PlanError> {
    let path = mapper_path(&luks.name);
    match devices.device(&path).map_err(at(&place.key("name")))? {
        None => Ok(()),
        Some(_) => Err(refuse(
            place.key("name"),
            format!("there is a {path} already, of another device"),
            format!(
                "close it (cryptsetup close {}), or give the volume another name",
                luks.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
