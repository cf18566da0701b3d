//! RAID arrays (spec/disks.md 3).

use serde::Serialize;

use super::super::Change;
use crate::sys::{Invocation, Tool};
use crate::view::{Device, DeviceOverlay, Devices, Member, Use, ViewError};

/// An action on a RAID array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum ArrayAction {
    /// `mdadm --create`
    CreateArray(CreateArray),
    /// `mdadm --assemble`
    AssembleArray(AssembleArray),
}

/// Makes an array of devices; what they hold is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateArray {
    /// `name`: a path below `/dev`, or a name
    pub name: String,
    /// `level`, as the config has it
    pub level: String,
    /// `devices`, as the config names them
    pub devices: Vec<String>,
    /// Their nodes, in the same order
    pub nodes: Vec<String>,
    /// How many of them are spares
    pub spares: usize,
    /// The config's own arguments of mdadm
    pub options: Vec<String>,
}

/// Starts an array that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssembleArray {
    /// `name`: a path below `/dev`, or a name
    pub name: String,
    /// Nodes of its members
    pub nodes: Vec<String>,
    /// Node under which it runs already and that is not the one its name asks for: it is stopped first
    pub stop: Option<String>,
}

/// Where an array of the config is found (spec/disks.md 3).
pub fn array_path(name: &str) -> String {
    if name.starts_with("/dev") {
        name.to_owned()
    } else {
        format!("/dev/md/{name}")
    }
}

/// The name that mdadm writes into the superblock of an array that it makes under this name: the last component of its
/// path; of `/dev/md0` the number, of `/dev/md_x` what follows (mdadm(8), "DEVICE NAMES").
pub fn array_name(name: &str) -> &str {
    let Some(node) = name.strip_prefix("/dev/").filter(|node| !node.contains('/')) else {
        return name.rsplit('/').next().unwrap_or(name);
    };
    let number = |rest: &&str| rest.starts_with(|first: char| first.is_ascii_digit());
    node.strip_prefix("md_")
        .filter(|rest| !rest.is_empty())
        .or_else(|| node.strip_prefix("md").filter(number))
        .unwrap_or(node)
}

impl ArrayAction {
    fn name(&self) -> &str {
        match self {
            Self::CreateArray(action) => &action.name,
            Self::AssembleArray(action) => &action.name,
        }
    }

    fn nodes(&self) -> &[String] {
        match self {
            Self::CreateArray(action) => &action.nodes,
            Self::AssembleArray(action) => &action.nodes,
        }
    }

    /// Where the array is found afterwards.
    pub fn path(&self) -> String {
        array_path(self.name())
    }

    pub(super) fn commands(&self) -> Vec<Invocation> {
        match self {
            Self::CreateArray(action) => vec![action.command()],
            Self::AssembleArray(action) => action.commands(),
        }
    }

    pub(super) fn subject(&self) -> String {
        self.path()
    }

    pub(super) fn details(&self) -> String {
        match self {
            Self::CreateArray(action) => action.details(),
            Self::AssembleArray(action) => {
                let stopped = action.stop.as_ref();
                let before = stopped.map_or_else(String::new, |node| format!("stop it as {node}, "));
                format!("{before}assemble {}", action.nodes.join(" "))
            }
        }
    }

    pub(super) fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        let path = self.path();
        let node = path.rsplit('/').next().unwrap_or(&path).to_owned();
        if let Self::AssembleArray(AssembleArray { stop: Some(stop), .. }) = self {
            overlay.remove_device(stop);
        }
        let mut sector_size = 512;
        for member in self.nodes() {
            sector_size = overlay
                .device(member)?
                .map_or(sector_size, |device| device.sector_size.max(sector_size));
            if let Self::CreateArray(action) = self {
                super::forget_partitions(member, overlay)?;
                overlay.put_member(member, action.member());
            }
            overlay.put_uses(member, vec![Use::Held(node.clone())]);
        }
        match self {
            Self::CreateArray(_) => overlay.put_device(device(path, sector_size)),
            Self::AssembleArray(_) => overlay.put_unseen(device(path, sector_size)),
        }
        Ok(())
    }

    pub(super) fn predict_unknown(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        let path = self.path();
        if overlay.device(&path)?.is_none() {
            overlay.put_unseen(device(path, 512));
        }
        Ok(())
    }

    pub(super) fn check(
        &self,
        change: &Change,
        devices: &dyn Devices,
    ) -> Result<Result<(), String>, ViewError> {
        let nodes = self.nodes();
        let words = std::iter::once(self.name()).chain(nodes.iter().map(String::as_str));
        let level = match self {
            Self::CreateArray(action) => Some(action.level.as_str()),
            Self::AssembleArray(_) => None,
        };
        if let Err(problem) = super::check_words(Tool::Mdadm, words.chain(level)) {
            return Ok(Err(problem));
        }
        for (index, node) in nodes.iter().enumerate() {
            if nodes.iter().take(index).any(|other| other == node) {
                return Ok(Err(format!("{node} would be a member twice")));
            }
            let stopped = matches!(self, Self::AssembleArray(AssembleArray { stop: Some(_), .. }));
            if !stopped && let Err(problem) = super::check_unused(node, devices)? {
                return Ok(Err(problem));
            }
            match self {
                Self::CreateArray(_) => {
                    if let Err(problem) = super::check_said(node, change, devices)? {
                        return Ok(Err(problem));
                    }
                }
                Self::AssembleArray(_) if devices.member(node)?.is_none() => {
                    return Ok(Err(format!("{node} is no member of an array")));
                }
                Self::AssembleArray(_) => {}
            }
        }
        let Self::CreateArray(action) = self else {
            return Ok(Ok(()));
        };
        Ok(if action.spares < nodes.len() {
            Ok(())
        } else {
            Err(format!("{} spares of {} devices", action.spares, nodes.len()))
        })
    }
}

/// An array that will be there. Its size is known when it is.
fn device(node: String, sector_size: u32) -> Device {
    Device {
        node,
        size: None,
        sector_size,
        partition: None,
        mapper: None,
        uses: Vec::new(),
    }
}

impl CreateArray {
    fn active(&self) -> usize {
        self.nodes.len().saturating_sub(self.spares)
    }

    /// As upstream calls it; `--run` answers its questions, so what is lost must be said before.
    fn command(&self) -> Invocation {
        let active = self.active().to_string();
        let mut args: Vec<String> = ["--create", &self.name, "--force", "--run", "--homehost", "any"]
            .map(str::to_owned)
            .into();
        args.extend(["--level", &self.level, "--raid-devices", &active].map(str::to_owned));
        if self.spares > 0 {
            args.extend(["--spare-devices".to_owned(), self.spares.to_string()]);
        }
        args.extend(self.options.iter().chain(&self.nodes).cloned());
        Invocation::new(Tool::Mdadm, args)
    }

    fn member(&self) -> Member {
        Member {
            // Known once it is made.
            array: String::new(),
            name: array_name(&self.name).to_owned(),
            level: level_name(&self.level).to_owned(),
            devices: u32::try_from(self.active()).unwrap_or(u32::MAX),
        }
    }

    fn details(&self) -> String {
        let spares = match self.spares {
            0 => String::new(),
            1 => ", 1 of them a spare".to_owned(),
            some => format!(", {some} of them spares"),
        };
        format!("{} of {}{spares}", level_name(&self.level), self.nodes.join(" "))
    }
}

/// A level as the superblock has it (spec/config.md 5.6).
pub(crate) fn level_name(level: &str) -> &str {
    match level {
        "0" | "stripe" => "raid0",
        "1" | "mirror" => "raid1",
        "4" => "raid4",
        "5" => "raid5",
        "6" => "raid6",
        "10" => "raid10",
        other => other,
    }
}

impl AssembleArray {
    /// Its members are named, so that no other array gets into it; `--run` starts one that lacks some, too.
    fn commands(&self) -> Vec<Invocation> {
        let stop = |node: &String| Invocation::new(Tool::Mdadm, ["--stop", node]);
        let mut args: Vec<&str> = vec!["--assemble", &self.name, "--run"];
        args.extend(self.nodes.iter().map(String::as_str));
        let assemble = Invocation::new(Tool::Mdadm, args);
        self.stop.iter().map(stop).chain([assemble]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(spares: usize, options: &[&str]) -> CreateArray {
        CreateArray {
            name: "data".to_owned(),
            level: "mirror".to_owned(),
            devices: vec!["/dev/disk/by-partlabel/a".to_owned(); 3],
            nodes: ["/dev/vda1", "/dev/vdb1", "/dev/vdc1"].map(str::to_owned).into(),
            spares,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    fn shown(action: &ArrayAction) -> Vec<String> {
        action.commands().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn command_lines() {
        let plain = ArrayAction::CreateArray(create(0, &[]));
        assert_eq!(
            shown(&plain),
            [
                "mdadm --create data --force --run --homehost any --level mirror --raid-devices 3 /dev/vda1 /dev/vdb1 /dev/vdc1"
            ]
        );
        assert_eq!(plain.details(), "raid1 of /dev/vda1 /dev/vdb1 /dev/vdc1");
        let spare = ArrayAction::CreateArray(create(1, &["--metadata=1.0", "--assume-clean"]));
        assert_eq!(
            shown(&spare),
            [
                "mdadm --create data --force --run --homehost any --level mirror --raid-devices 2 --spare-devices 1 \
              --metadata=1.0 --assume-clean /dev/vda1 /dev/vdb1 /dev/vdc1"
            ]
        );
        let mut assemble = AssembleArray {
            name: "/dev/md/data".to_owned(),
            nodes: vec!["/dev/vda1".to_owned(), "/dev/vdb1".to_owned()],
            stop: None,
        };
        let line = "mdadm --assemble /dev/md/data --run /dev/vda1 /dev/vdb1";
        assert_eq!(shown(&ArrayAction::AssembleArray(assemble.clone())), [line]);
        assemble.stop = Some("/dev/md127".to_owned());
        let action = ArrayAction::AssembleArray(assemble);
        assert_eq!(shown(&action), ["mdadm --stop /dev/md127", line]);
        assert_eq!(
            action.details(),
            "stop it as /dev/md127, assemble /dev/vda1 /dev/vdb1"
        );
    }

    #[test]
    fn names() {
        for (given, path, name) in [
            ("data", "/dev/md/data", "data"),
            ("md0", "/dev/md/md0", "md0"),
            ("/dev/md/data", "/dev/md/data", "data"),
            ("/dev/md/0", "/dev/md/0", "0"),
            ("/dev/md0", "/dev/md0", "0"),
            ("/dev/md127", "/dev/md127", "127"),
            ("/dev/md_d0", "/dev/md_d0", "d0"),
            ("/dev/mdata", "/dev/mdata", "mdata"),
        ] {
            assert_eq!(
                (array_path(given).as_str(), array_name(given)),
                (path, name),
                "{given}"
            );
        }
    }
}
