//! What a config gives up for lost: nothing that should outlive the run may be kept there.

use crate::config::types::Config;
use crate::view::Device;

/// Something that a run with a config makes anew, by the path that the config has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wiped {
    /// A whole device
    Device(String),
    /// Partitions of a disk: all, or these numbers
    Partitions {
        /// The disk
        disk: String,
        /// `None` for all of them
        numbers: Option<Vec<u32>>,
    },
}

/// All that a config makes anew. What it only may make anew counts, too.
pub fn wiped(config: &Config) -> Vec<Wiped> {
    let storage = &config.storage;
    let filesystems = storage
        .filesystems
        .iter()
        .filter(|filesystem| filesystem.wipe_filesystem == Some(true))
        .map(|filesystem| filesystem.device.clone());
    let members = storage.raid.iter().flat_map(|raid| raid.devices.iter().cloned());
    let volumes = storage.luks.iter().filter_map(|luks| luks.device.clone());
    let disks = storage.disks.iter().filter_map(|disk| {
        let touched: Vec<u32> = disk
            .partitions
            .iter()
            .filter(|partition| {
                [partition.wipe_partition_entry, partition.resize].contains(&Some(true))
                    || partition.should_exist == Some(false)
            })
            // Which one a number of 0 stands for is known to the planner alone.
            .map(|partition| u32::try_from(partition.number).unwrap_or_default())
            .collect();
        let all = disk.wipe_table == Some(true) || touched.contains(&0);
        (all || !touched.is_empty()).then(|| Wiped::Partitions {
            disk: disk.device.clone(),
            numbers: (!all).then_some(touched),
        })
    });
    let devices = filesystems.chain(members).chain(volumes).map(Wiped::Device);
    devices.chain(disks).collect()
}

impl Wiped {
    /// The path in the config.
    pub fn path(&self) -> &str {
        match self {
            Self::Device(path) | Self::Partitions { disk: path, .. } => path,
        }
    }

    /// Whether it concerns a device, given to which node its path leads; one that is not there concerns nothing.
    pub fn concerns(&self, found: Option<&Device>, device: &Device) -> bool {
        let Some(found) = found else { return false };
        let (mine, theirs) = (device.partition.as_ref(), found.partition.as_ref());
        match self {
            Self::Device(_) => {
                found.node == device.node
                    || mine.is_some_and(|mine| mine.disk == found.node)
                    || theirs.is_some_and(|theirs| theirs.disk == device.node)
            }
            Self::Partitions { numbers, .. } => {
                found.node == device.node
                    || mine.is_some_and(|mine| {
                        mine.disk == found.node
                            && numbers
                                .as_ref()
                                .is_none_or(|numbers| numbers.contains(&mine.number))
                    })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::PartitionOf;

    fn device(node: &str, partition: Option<(&str, u32)>) -> Device {
        Device {
            node: node.to_owned(),
            size: None,
            sector_size: 512,
            partition: partition.map(|(disk, number)| PartitionOf {
                disk: disk.to_owned(),
                number,
                start: 0,
            }),
            mapper: None,
            uses: Vec::new(),
        }
    }

    #[test]
    fn what_a_config_makes_anew() {
        let concerned = |storage: &str| {
            let config: Config = serde_json::from_str(&format!("{{\"storage\": {storage}}}")).unwrap();
            let oem = device("/dev/vda6", Some(("/dev/vda", 6)));
            wiped(&config).iter().any(|wiped| {
                let found = match wiped.path() {
                    "/dev/disk/by-label/OEM" | "/dev/vda6" => Some(oem.clone()),
                    "/dev/vda" => Some(device("/dev/vda", None)),
                    "/dev/vda9" => Some(device("/dev/vda9", Some(("/dev/vda", 9)))),
                    _ => None,
                };
                wiped.concerns(found.as_ref(), &oem)
            })
        };
        for (storage, expected) in [
            ("{}", false),
            (
                r#"{"filesystems": [{"device": "/dev/disk/by-label/OEM", "format": "btrfs"}]}"#,
                false,
            ),
            (
                r#"{"filesystems": [{"device": "/dev/disk/by-label/OEM", "format": "btrfs", "wipeFilesystem": true}]}"#,
                true,
            ),
            (
                r#"{"filesystems": [{"device": "/dev/vda9", "format": "ext4", "wipeFilesystem": true}]}"#,
                false,
            ),
            (
                r#"{"filesystems": [{"device": "/dev/vda", "format": "ext4", "wipeFilesystem": true}]}"#,
                true,
            ),
            (
                r#"{"filesystems": [{"device": "/dev/gone", "format": "ext4", "wipeFilesystem": true}]}"#,
                false,
            ),
            (r#"{"disks": [{"device": "/dev/vda", "wipeTable": true}]}"#, true),
            (
                r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 6}]}]}"#,
                false,
            ),
            (
                r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 9, "resize": true}]}]}"#,
                false,
            ),
            (
                r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 6, "wipePartitionEntry": true}]}]}"#,
                true,
            ),
            (
                r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 6, "shouldExist": false}]}]}"#,
                true,
            ),
            (
                r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 0, "label": "x", "wipePartitionEntry": true}]}]}"#,
                true,
            ),
            (r#"{"luks": [{"name": "x", "device": "/dev/vda6"}]}"#, true),
            (
                r#"{"raid": [{"name": "x", "devices": ["/dev/vda9", "/dev/vda6"]}]}"#,
                true,
            ),
        ] {
            assert_eq!(concerned(storage), expected, "{storage}");
        }
    }
}
