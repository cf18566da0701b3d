//! What encrypted volumes need on later boots: key files and crypttab, `cex` key files; and the files that the platform
//! provider asks for (spec/mount_files.md 8 and 9).

use std::collections::BTreeMap;

use crate::config::grammar::data_url;
use crate::config::types::{Clevis, File, Hidden, Luks, NodeOwner, Resource};
use crate::plan::{Access, Change, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError};
use crate::view::{FileDigest, Node, Owner, RootPath, View};

use super::contents::Contents;
use super::place::{At as _, root_access};
use super::planner::Planner;
use super::units::check_name;
use super::{Input, refuse};

const CRYPTTAB: &str = "/etc/crypttab";
const KEYS: &str = "/etc/luks";
const VOLUME_KEYS: &str = "/etc/zkey/repository";

/// As large as cryptsetup reads a key file at most.
const KEY_MAX: u64 = 8 << 20;

/// A crypttab beyond this is none.
const CRYPTTAB_MAX: u64 = 1 << 20;

/// Plans the luks phase.
///
/// # Errors
///
/// A volume without UUID, a key that the disks stage did not leave in the state file, a key file that is not this
/// run's.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(view, input);
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
            let planned = write_key(&mut planner, input, luks, &at);
            planner.entry(planned)?;
        }
    }
    let mut lines = BTreeMap::new();
    for (luks, at) in volumes() {
        let device = luks.device.as_deref().unwrap_or_default();
        let uuid = view.luks_uuid(device).at(&at.key("device"))?;
        lines.insert(luks.name.as_str(), uuid.map(|uuid| line(luks, &uuid)));
    }
    drop_old_lines(&mut planner, &lines, &storage.key("luks"))?;
    for (luks, at) in volumes() {
        let known = lines.get(luks.name.as_str()).and_then(Option::as_deref);
        let planned = add_to_crypttab(&mut planner, luks, known, &at);
        planner.entry(planned)?;
    }
    for (name, url) in input.state.luks_volume_key_files {
        let at = storage.key("luks");
        check_name(name, &at)?;
        let path = RootPath::from(VOLUME_KEYS).join(name);
        planner.put_file(&path, decode(url, &at)?, root_access(0o600), &at)?;
    }
    for (index, file) in input.state.provider_files.iter().enumerate() {
        let at = Pointer::root().key("providerOutputFiles").index(index);
        write_provider_file(&mut planner, file, &at)?;
    }
    planner.finish(Phase::Luks)
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

fn write_key(
    planner: &mut Planner<'_>,
    input: &Input<'_>,
    luks: &Luks,
    at: &Pointer,
) -> Result<(), PlanError> {
    let state = &input.state;
    let contents = match (
        state.luks_key_files.get(&luks.name),
        state.planned_keys.get(&luks.name),
    ) {
        (Some(url), _) => Contents::known(decode(url, at)?),
        (None, Some(planned)) => Contents(vec![planned.clone()]),
        (None, None) => {
            return Err(refuse(
                at.clone(),
                format!("the state file has no key for {}", luks.name),
                "run the disks stage first, with the same state file",
            ));
        }
    };
    let directory = planner.follow(&RootPath::from(KEYS), at)?;
    planner.make_parents(&directory, at)?;
    planner.make_levels(&directory, &root_access(0o700), at)?;
    let path = planner.resolve(&key_path(luks), at)?;
    let there = planner.node(&path, at)?;
    let wanted = contents.sha512();
    let same =
        matches!(planner.view().digest(&path).at(at)?, FileDigest::Known(found) if Some(found) == wanted);
    if !same && there.is_some() && !planner.progress().intends(&path) {
        keep_old_key(planner, luks, &path, at)?;
    }
    if there.as_ref().is_some_and(Node::is_directory) {
        return planner.put_file(&path, Vec::new(), root_access(0o600), at);
    }
    planner.write_file(&path, there.as_ref(), contents, root_access(0o600), at)
}

/// The key of a volume that had this name before. A converging run keeps it under the UUID of that volume, which crypttab
/// has; who knows what else it opens.
fn keep_old_key(
    planner: &mut Planner<'_>,
    luks: &Luks,
    path: &RootPath,
    at: &Pointer,
) -> Result<(), PlanError> {
    let refused = |why: &str| {
        let advice = "remove it: it is the key of another volume, and would be lost";
        Err(refuse(at.clone(), format!("{path} exists already{why}"), advice))
    };
    if !planner.converges() {
        return refused("");
    }
    let Some(uuid) = uuid_before(planner, luks, at)? else {
        return refused(", and /etc/crypttab does not tell of which volume");
    };
    let Some(key) = planner.view().read(path, KEY_MAX).at(at)? else {
        return refused(", and is too large for a key");
    };
    let aside = RootPath::from(KEYS).join(format!("{}.{uuid}", luks.name));
    let aside = planner.resolve(&aside, at)?;
    if planner.node(&aside, at)?.is_some() {
        return refused(&format!(", and so does {aside}"));
    }
    planner.put_file(&aside, key, root_access(0o600), at)
}

/// The UUID of the volume that has this name in crypttab.
fn uuid_before(planner: &Planner<'_>, luks: &Luks, at: &Pointer) -> Result<Option<String>, PlanError> {
    let path = planner.follow(&RootPath::from(CRYPTTAB), at)?;
    let text = planner
        .view()
        .read(&path, CRYPTTAB_MAX)
        .at(at)?
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    Ok(lines.find_map(|words| match words.as_slice() {
        [name, device, ..] if *name == luks.name => device
            .strip_prefix("UUID=")
            .filter(|uuid| uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
            .map(str::to_owned),
        _ => None,
    }))
}

/// Takes out what crypttab has for these names otherwise: of two lines with one name systemd goes by the first, and waits
/// at each boot for a volume that is not there any more.
fn drop_old_lines(
    planner: &mut Planner<'_>,
    lines: &BTreeMap<&str, Option<String>>,
    at: &Pointer,
) -> Result<(), PlanError> {
    let is_stale = |found: &str| {
        let name = found.split_ascii_whitespace().next().unwrap_or_default();
        let wanted = lines.get(name).and_then(Option::as_deref);
        wanted.is_some_and(|wanted| wanted != found)
    };
    let planned = planner.drop_lines(&RootPath::from(CRYPTTAB), is_stale, at);
    planner.entry(planned)
}

fn add_to_crypttab(
    planner: &mut Planner<'_>,
    luks: &Luks,
    known: Option<&str>,
    at: &Pointer,
) -> Result<(), PlanError> {
    let line = known.map_or_else(|| line(luks, "?"), str::to_owned);
    let what = format!("adds a line for {}", luks.name);
    let change = |exists| match (known, exists) {
        (None, _) => Change::Unknown {
            why: "the volume's UUID is known when it exists".to_owned(),
        },
        (Some(_), true) => Change::Modify { what },
        (Some(_), false) => Change::Create,
    };
    planner.append_line(&RootPath::from(CRYPTTAB), line.as_bytes(), 0o600, change, at)?;
    let path = planner.follow(&RootPath::from(CRYPTTAB), at)?;
    let Some(node) = planner.node(&path, at)? else {
        return Ok(());
    };
    let access = Access {
        user: node.user.clone(),
        group: node.group.clone(),
        mode: 0o600,
    };
    planner.set_access_if_needed(&path, &node, access, at)
}

/// The line of a volume in crypttab.
fn line(luks: &Luks, uuid: &str) -> String {
    let clevis = &luks.clevis;
    let key = if is_present(clevis) {
        "none".to_owned()
    } else {
        key_path(luks).to_string()
    };
    let custom = clevis.custom.pin.as_ref().is_some_and(|pin| !pin.is_empty());
    let network = !clevis.tang.is_empty() || (custom && clevis.custom.needs_network == Some(true));
    let options = if network { "luks,_netdev" } else { "luks" };
    format!("{} UUID={uuid} {key} {options}", luks.name)
}

/// Provider files have no place in the config; the state file's stands for it.
fn write_provider_file(planner: &mut Planner<'_>, file: &File, at: &Pointer) -> Result<(), PlanError> {
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
    let path = planner.resolve(&RootPath::from(file.path.as_str()), at)?;
    if let Some(node) = planner.node(&path, at)?.filter(Node::is_directory) {
        planner.remove(&path, &node, at)?;
    }
    planner.put_file(&path, bytes, access, at)
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

/// The bytes of a `data:` URL of the state file, which this program itself has written.
fn decode(url: &Hidden, at: &Pointer) -> Result<Vec<u8>, PlanError> {
    data_url::decode(url.reveal()).map_err(|_| {
        refuse(
            at.clone(),
            "the state file holds something that is not a data: URL",
            "run the stages again from the first",
        )
    })
}

#[cfg(test)]
mod tests;
