//! What encrypted volumes need on later boots: key files and crypttab, `cex` key files; and the files that the platform
//! provider asks for (spec/mount_files.md 8 and 9).

use std::collections::BTreeMap;

use base64::Engine as _;

use crate::config::types::{Clevis, File, Hidden, Luks, NodeOwner, Resource};
use crate::plan::{Access, Action, Change, Content, Step};
use crate::report::Pointer;
use crate::stages::PlanError;
use crate::view::{FileDigest, Node, Owner, RootPath, View};

use super::draft::{At as _, Draft, access_differs, lost, root_access};
use super::units::check_name;
use super::{Input, refuse};

const CRYPTTAB: &str = "/etc/crypttab";
const KEYS: &str = "/etc/luks";
const VOLUME_KEYS: &str = "/etc/zkey/repository";

/// Plans the luks phase. `uuids` holds what `cryptsetup luksUUID` says of each volume, by its name in the config.
///
/// # Errors
///
/// A volume without UUID, a key that the disks stage did not leave in the state file, a key file that is not this
/// run's.
pub fn plan(
    input: &Input<'_>,
    uuids: &BTreeMap<String, String>,
    view: &dyn View,
) -> Result<Vec<Step>, PlanError> {
    let mut draft = Draft::new(view);
    let storage = Pointer::root().key("storage");
    let volumes = || {
        let list = storage.key("luks");
        input
            .config
            .storage
            .luks
            .iter()
            .enumerate()
            .map(move |(index, luks)| (luks, list.index(index)))
    };
    for (luks, at) in volumes() {
        check_name(&luks.name, &at.key("name"))?;
        if !is_present(&luks.clevis) {
            write_key(&mut draft, input, luks, &at)?;
        }
    }
    for (luks, at) in volumes() {
        let Some(uuid) = uuids.get(&luks.name) else {
            return Err(refuse(
                at,
                format!("the UUID of the encrypted volume {} is not known", luks.name),
                "run the disks stage first",
            ));
        };
        add_to_crypttab(&mut draft, luks, uuid.trim(), &at)?;
    }
    for (name, url) in input.state.luks_volume_key_files {
        let at = storage.key("luks");
        check_name(name, &at)?;
        let path = RootPath::from(VOLUME_KEYS).join(name);
        let content = Content::known(decode(url, &at)?);
        draft.put_file(&path, content, root_access(0o600), &at)?;
    }
    for file in input.state.provider_files {
        write_provider_file(&mut draft, file)?;
    }
    Ok(draft.into_steps())
}

/// Whether clevis unlocks the volume, so that no key file is kept (spec/config.md 5.9).
fn is_present(clevis: &Clevis) -> bool {
    clevis.custom.pin.as_ref().is_some_and(|pin| !pin.is_empty())
        || !clevis.tang.is_empty()
        || clevis.tpm2 == Some(true)
        || clevis.threshold.is_some_and(|threshold| threshold != 0)
}

fn key_path(luks: &Luks) -> RootPath {
    RootPath::from(KEYS).join(&luks.name)
}

fn write_key(draft: &mut Draft<'_>, input: &Input<'_>, luks: &Luks, at: &Pointer) -> Result<(), PlanError> {
    let Some(url) = input.state.luks_key_files.get(&luks.name) else {
        return Err(refuse(
            at.clone(),
            format!("the state file has no key for {}", luks.name),
            "run the disks stage first, with the same state file",
        ));
    };
    let content = Content::known(decode(url, at)?);
    let directory = draft.follow(&RootPath::from(KEYS), at)?;
    draft.make_parents(&directory, at)?;
    draft.make_levels(&directory, &root_access(0o700), at)?;
    let path = draft.resolve(&key_path(luks), at)?;
    if draft.node(&path, at)?.is_some() && !is_ours(draft, input, &path, at)? {
        return Err(refuse(
            at.clone(),
            format!("{path} exists already"),
            "remove it: it is the key of another volume, and would be lost",
        ));
    }
    draft.put_file(&path, content, root_access(0o600), at)
}

/// Whether the file at a path was written by the unfinished run that this one goes on with.
pub(super) fn is_ours(
    draft: &Draft<'_>,
    input: &Input<'_>,
    path: &RootPath,
    at: &Pointer,
) -> Result<bool, PlanError> {
    if !draft.node(path, at)?.is_some_and(|node| node.is_file()) {
        return Ok(false);
    }
    let wrote = input.progress.wrote(path);
    Ok(match draft.view().digest(path).at(at)? {
        FileDigest::Known(digest) => wrote.contains(&digest),
        FileDigest::Unknown => false,
    })
}

fn add_to_crypttab(draft: &mut Draft<'_>, luks: &Luks, uuid: &str, at: &Pointer) -> Result<(), PlanError> {
    let clevis = &luks.clevis;
    let key = if is_present(clevis) {
        "none".to_owned()
    } else {
        key_path(luks).to_string()
    };
    let custom = clevis.custom.pin.as_ref().is_some_and(|pin| !pin.is_empty());
    let network = !clevis.tang.is_empty() || (custom && clevis.custom.needs_network == Some(true));
    let options = if network { "luks,_netdev" } else { "luks" };
    let line = format!("{} UUID={uuid} {key} {options}", luks.name);
    let what = format!("adds a line for {}", luks.name);
    let change = |exists| {
        if exists {
            Change::Modify { what }
        } else {
            Change::Create
        }
    };
    draft.append_line(&RootPath::from(CRYPTTAB), line.as_bytes(), 0o600, change, at)?;
    let path = draft.follow(&RootPath::from(CRYPTTAB), at)?;
    let Some(node) = draft.node(&path, at)? else {
        return Ok(());
    };
    let access = Access {
        user: node.user.clone(),
        group: node.group.clone(),
        mode: 0o600,
    };
    match access_differs(&node, &access) {
        None => Ok(()),
        Some(what) => draft.push(Action::SetAccess { path, access }, Change::Modify { what }, at),
    }
}

/// Provider files have no place in the config, so the root stands for it.
fn write_provider_file(draft: &mut Draft<'_>, file: &File) -> Result<(), PlanError> {
    let at = &Pointer::root();
    let bytes = match source(&file.contents) {
        None => Vec::new(),
        Some(url) => decode(url, at)?,
    };
    let mode = file.mode.map_or(Ok(0o644), u32::try_from).unwrap_or(0o600) & 0o7777;
    let access = Access {
        user: owner(&file.user),
        group: owner(&file.group),
        mode,
    };
    let path = draft.resolve(&RootPath::from(file.path.as_str()), at)?;
    if let Some(node) = draft.node(&path, at)?.filter(Node::is_directory) {
        let lost = lost(draft.view(), &path, &node).at(at)?;
        let path = path.clone();
        draft.push(Action::Remove { path }, Change::Delete { lost }, at)?;
    }
    draft.put_file(&path, Content::known(bytes), access, at)
}

fn source(resource: &Resource) -> Option<&Hidden> {
    resource
        .source
        .as_ref()
        .filter(|source| !source.reveal().is_empty())
}

/// Providers give ids or nothing.
fn owner(owner: &NodeOwner) -> Owner {
    match (&owner.name, owner.id.map(u32::try_from)) {
        (_, Some(Ok(id))) => Owner::Id(id),
        (Some(name), _) => Owner::Account(name.clone()),
        _ => Owner::ROOT,
    }
}

/// The bytes of a `data:` URL of the state file, which this program itself has written, base64 or percent-encoded.
fn decode(url: &Hidden, at: &Pointer) -> Result<Vec<u8>, PlanError> {
    let parts = url
        .reveal()
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','));
    let bytes = parts.and_then(|(header, data)| {
        if header.ends_with(";base64") {
            base64::engine::general_purpose::STANDARD.decode(data).ok()
        } else {
            unescape(data)
        }
    });
    bytes.ok_or_else(|| {
        refuse(
            at.clone(),
            "the state file holds something that is not a data: URL",
            "run the stages again from the first",
        )
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
