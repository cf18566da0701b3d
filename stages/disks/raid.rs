//! RAID arrays (spec/disks.md 3; design.md 3: arrays that match are kept).
//!
//! Upstream makes every array anew, whatever its members hold. Here an array of which name, level, number of devices and all
//! members are those of the config is kept, and started if it does not run: it is what the config asks for, and an
//! interrupted run has made it, or it holds data.

use super::target::{Steps, at, check_name, contents, device, in_use, overwritten, uses};
use crate::config::types::{Config, Raid};
use crate::plan::device::{
    ArrayAction, AssembleArray, CreateArray, DeviceAction, array_name, array_path, level_name,
};
use crate::plan::{Change, Plan};
use crate::report::Pointer;
use crate::stages::files::refuse;
use crate::stages::{Phase, PlanError};
use crate::view::{Device, Devices, Member, Use, View};

/// The devices that the phase is about, with their places in the config.
pub fn wanted(config: &Config) -> Vec<(String, Pointer)> {
    let members = arrays(config).flat_map(|(raid, at)| {
        let list = at.key("devices");
        let name = move |(index, path): (usize, &String)| (path.clone(), list.index(index));
        raid.devices.iter().enumerate().map(name)
    });
    members.collect()
}

fn arrays(config: &Config) -> impl Iterator<Item = (&Raid, Pointer)> {
    let list = Pointer::root().key("storage").key("raid");
    let raids = config.storage.raid.iter().enumerate();
    raids.map(move |(index, raid)| (raid, list.index(index)))
}

/// What can be refused without looking at the machine, so that it is before anything is written.
pub fn check_config(config: &Config) -> Result<(), PlanError> {
    for (raid, at) in arrays(config) {
        check_name(&raid.name, &at.key("name"))?;
        if !is_array_name(&raid.name) {
            return Err(refuse(
                at.key("name"),
                format!("mdadm takes no array named {:?}", raid.name),
                "give it a name without slashes, /dev/md/NAME or /dev/mdNUMBER",
            ));
        }
        spares(raid, &at)?;
    }
    Ok(())
}

/// What mdadm takes for the name of a new array (mdadm(8), "DEVICE NAMES").
fn is_array_name(name: &str) -> bool {
    let Some(path) = name.strip_prefix('/') else {
        return !name.contains('/');
    };
    let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let plain = |name: &str| !name.is_empty() && !name.contains('/');
    path.strip_prefix("dev/md/").is_some_and(plain)
        || path.strip_prefix("dev/md_d").is_some_and(number)
        || path.strip_prefix("dev/md").is_some_and(number)
}

fn spares(raid: &Raid, at: &Pointer) -> Result<usize, PlanError> {
    let spares = usize::try_from(raid.spares.unwrap_or_default());
    spares
        .ok()
        .filter(|spares| *spares < raid.devices.len())
        .ok_or_else(|| {
            refuse(
                at.key("spares"),
                format!(
                    "{} spares of {} devices leave no array",
                    raid.spares.unwrap_or_default(),
                    raid.devices.len()
                ),
                "give more devices, or fewer spares",
            )
        })
}

/// Plans the phase.
///
/// # Errors
///
/// A member that is missing, named twice or in use by something else than the array.
pub fn plan(config: &Config, view: &dyn View) -> Result<Plan, PlanError> {
    check_config(config)?;
    let mut steps = Steps::new(view);
    for (raid, at) in arrays(config) {
        plan_array(&mut steps, raid, &at)?;
    }
    Ok(steps.finish(Phase::Raid))
}

fn plan_array(steps: &mut Steps<'_>, raid: &Raid, place: &Pointer) -> Result<(), PlanError> {
    let spares = spares(raid, place)?;
    let mut members: Vec<Device> = Vec::new();
    for (index, path) in raid.devices.iter().enumerate() {
        let cause = place.key("devices").index(index);
        let found = device(steps.devices(), path, &cause)?;
        if let Some(first) = members.iter().position(|member| member.node == found.node) {
            return Err(refuse(
                cause,
                format!("{path} is {} as devices[{first}] is", found.node),
                "name each device once",
            ));
        }
        members.push(found);
    }
    let nodes: Vec<String> = members.iter().map(|member| member.node.clone()).collect();
    let create = CreateArray {
        name: raid.name.clone(),
        level: raid.level.clone().unwrap_or_default(),
        devices: raid.devices.clone(),
        nodes: nodes.clone(),
        spares,
        options: raid.options.clone(),
    };
    match is_there(steps.devices(), &create, &members, place)? {
        There::Same => return start(steps, raid, nodes, &members, place),
        There::Unseen { why } => {
            let create = DeviceAction::Array(ArrayAction::CreateArray(create));
            return steps.push(create, Change::Unknown { why }, place);
        }
        There::Other => {}
    }
    let mut lost = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let cause = place.key("devices").index(index);
        if let Some(uses) = uses(steps.devices(), member, &cause)? {
            return Err(in_use(&uses, &cause));
        }
        lost.extend(contents(steps.devices(), member, &cause)?);
    }
    let path = array_path(&raid.name);
    if steps.devices().device(&path).map_err(at(place))?.is_some() {
        return Err(refuse(
            place.key("name"),
            format!("there is a {path} already, of other devices"),
            format!("stop it (mdadm --stop {path}), or give the array another name"),
        ));
    }
    let lost = (!lost.is_empty()).then(|| lost.join("; "));
    let create = DeviceAction::Array(ArrayAction::CreateArray(create));
    steps.push(create, overwritten(lost, false), place)
}

/// Starts an array that is there, if it does not run under its name.
fn start(
    steps: &mut Steps<'_>,
    raid: &Raid,
    nodes: Vec<String>,
    members: &[Device],
    place: &Pointer,
) -> Result<(), PlanError> {
    let (stop, change) = match running(steps.devices(), &raid.name, members, place)? {
        Running::AsNamed => {
            let reason = "it has this name, this level and these members, and runs".to_owned();
            (None, Change::Keep { reason })
        }
        Running::Not => (None, modify("starts it: name, level and members are these")),
        Running::As(node) => (Some(node), modify("starts it under its name")),
    };
    let assemble = ArrayAction::AssembleArray(AssembleArray {
        name: raid.name.clone(),
        nodes,
        stop,
    });
    steps.push(DeviceAction::Array(assemble), change, place)
}

fn modify(what: &str) -> Change {
    Change::Modify {
        what: what.to_owned(),
    }
}

/// What the members of an array hold.
enum There {
    /// One array, as the config has it
    Same,
    /// Anything else
    Other,
    /// Only a real run sees it: a member is an array or a volume that is kept
    Unseen { why: String },
}

/// Whether the devices are the members of one array that is as the config has it.
fn is_there(
    devices: &dyn Devices,
    wanted: &CreateArray,
    members: &[Device],
    place: &Pointer,
) -> Result<There, PlanError> {
    let mut found: Vec<Member> = Vec::new();
    for device in members {
        match devices.member(&device.node) {
            Ok(Some(member)) => found.push(member),
            Ok(None) => return Ok(There::Other),
            Err(error) if error.is_unseen() => {
                let why = error.to_string();
                return Ok(There::Unseen { why });
            }
            Err(error) => return Err(at(place)(error)),
        }
    }
    let active = wanted.nodes.len().saturating_sub(wanted.spares);
    let is_same = found.iter().all(|member| {
        found.first().is_some_and(|first| first.array == member.array)
            && member.name == array_name(&wanted.name)
            && member.level == level_name(&wanted.level)
            && usize::try_from(member.devices) == Ok(active)
    });
    Ok(if is_same { There::Same } else { There::Other })
}

enum Running {
    /// Under the name of the config
    AsNamed,
    /// It does not run
    Not,
    /// As this node, which nothing uses
    As(String),
}

/// How an array of these members runs.
fn running(
    devices: &dyn Devices,
    name: &str,
    members: &[Device],
    place: &Pointer,
) -> Result<Running, PlanError> {
    let node = devices
        .device(&array_path(name))
        .map_err(at(place))?
        .map(|device| device.node);
    let mut holders: Vec<&str> = Vec::new();
    for (index, member) in members.iter().enumerate() {
        match member.uses.as_slice() {
            [] => {}
            [Use::Held(holder)] => holders.push(holder),
            _ => {
                let cause = place.key("devices").index(index);
                let uses = uses(devices, member, &cause)?.unwrap_or_default();
                return Err(in_use(&uses, &cause));
            }
        }
    }
    holders.sort_unstable();
    holders.dedup();
    let other = match (holders.as_slice(), &node) {
        ([], None) => return Ok(Running::Not),
        // A member that failed is not held by it.
        ([holder], Some(node)) if node.rsplit('/').next() == Some(holder) => return Ok(Running::AsNamed),
        ([holder], None) => format!("/dev/{holder}"),
        _ => {
            return Err(refuse(
                place.key("name"),
                format!(
                    "its members are used by {}, and {} is something else",
                    if holders.is_empty() {
                        "nothing".to_owned()
                    } else {
                        holders.join(" and ")
                    },
                    array_path(name)
                ),
                "stop what runs under its name or on its members (mdadm --stop), or give it another name",
            ));
        }
    };
    let device = device(devices, &other, place)?;
    match uses(devices, &device, place)? {
        None => Ok(Running::As(device.node)),
        Some(uses) => Err(in_use(&uses, place)),
    }
}

#[cfg(test)]
mod tests;
