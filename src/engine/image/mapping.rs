//! Which disk of the config an image stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::failure::Failure;
use crate::cli::{ImageArgs, Map};
use crate::config::types::Config;
use crate::plan::device::{array_path, mapper_path};
use crate::report::Pointer;
use crate::stages::disks::wanted;
use crate::stages::{Phase, Stage};
use crate::view::{RootPath, names};

/// The name of a disk that the config does not name.
const UNNAMED: &str = "/dev/image";

/// Links that lead to what is on the images, whatever the disks are called.
const BY_CONTENTS: [&str; 4] = [
    "/dev/disk/by-label/",
    "/dev/disk/by-uuid/",
    "/dev/disk/by-partlabel/",
    "/dev/disk/by-partuuid/",
];

/// Drivers whose disks have names that end in a number.
const NUMBERED: [&str; 6] = ["nvme", "mmcblk", "loop", "nbd", "md", "zram"];

/// An image and the names of its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The image
    pub file: PathBuf,
    /// Names that the config has for it, the first first
    pub names: Vec<String>,
}

/// All devices that a config names, in the order of the stage, each with its place.
fn devices(config: &Config) -> impl Iterator<Item = (String, Pointer)> {
    [Phase::Partitions, Phase::Raid, Phase::Volumes, Phase::Filesystems]
        .into_iter()
        .flat_map(|phase| wanted(phase, config))
        .map(|(path, place)| (RootPath::from(path.as_str()).to_string(), place))
}

/// Decides which image is which disk.
pub fn mapping(args: &ImageArgs, config: &Config) -> Result<Vec<Mapped>, Failure> {
    let mut names = Vec::new();
    let mut others: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for Map { device, file } in &args.map {
        let device = RootPath::from(device.as_str()).to_string();
        match file {
            None => names.push(device),
            Some(file) if *file == args.image => names.push(device),
            Some(file) => others.entry(file.clone()).or_default().push(device),
        }
    }
    if names.is_empty() {
        let taken: BTreeSet<&String> = others.values().flatten().collect();
        let mut named = disks(config);
        named.retain(|name| !taken.contains(name));
        names = match named.len() {
            0 => vec![UNNAMED.to_owned()],
            1 => named.into_iter().collect(),
            _ => return Err(ambiguous(&named)),
        };
    }
    let first = Mapped {
        file: args.image.clone(),
        names,
    };
    let others = others.into_iter().map(|(file, names)| Mapped { file, names });
    let mapped: Vec<Mapped> = std::iter::once(first).chain(others).collect();
    let mut seen = BTreeSet::new();
    for name in mapped.iter().flat_map(|mapped| &mapped.names) {
        if !seen.insert(name) {
            return Err(Failure::text(
                None,
                format!("--map names {name} twice"),
                "give each disk one image",
            ));
        }
    }
    Ok(mapped)
}

fn ambiguous(named: &BTreeSet<String>) -> Failure {
    let list: Vec<&str> = named.iter().map(String::as_str).collect();
    let (first, other) = (
        list.first().copied().unwrap_or_default(),
        list.get(1).copied().unwrap_or_default(),
    );
    Failure::text(
        None,
        format!("the config names several disks: {}", list.join(", ")),
        format!(
            "say which one the image is (--map {first}), and give images for the others (--map {other}=FILE)"
        ),
    )
}

/// The disks that a config names by their own names: those with an entry, or if there are none, those of which it names
/// partitions.
fn disks(config: &Config) -> BTreeSet<String> {
    let own = |path: &String| !path.starts_with("/dev/disk/");
    let made = made(config);
    let entries: BTreeSet<String> = wanted(Phase::Partitions, config)
        .into_iter()
        .map(|(path, _)| RootPath::from(path.as_str()).to_string())
        .filter(|path| own(path) && !made.contains(path))
        .collect();
    if !entries.is_empty() {
        return entries;
    }
    devices(config)
        .map(|(path, _)| path)
        .filter(|path| own(path) && !made.contains(path))
        .map(|path| disk_of(&path).to_owned())
        .collect()
}

/// The disk of a partition, by its name.
fn disk_of(path: &str) -> &str {
    let stem = path.trim_end_matches(|last: char| last.is_ascii_digit());
    let name = path.rsplit('/').next().unwrap_or_default();
    if stem.len() == path.len() || stem.ends_with('/') {
        return path;
    }
    if !NUMBERED.iter().any(|driver| name.starts_with(driver)) {
        return stem;
    }
    match stem.strip_suffix('p') {
        Some(disk) if disk.ends_with(|last: char| last.is_ascii_digit()) => disk,
        _ => path,
    }
}

/// Devices that the config itself makes: arrays and opened volumes.
fn made(config: &Config) -> BTreeSet<String> {
    let arrays = config.storage.raid.iter().map(|raid| array_path(&raid.name));
    let volumes = config.storage.luks.iter().map(|luks| mapper_path(&luks.name));
    arrays.chain(volumes).collect()
}

/// Refuses devices that cannot be on the images: everything else belongs to this machine, and is none of our business.
pub fn refuse_foreign(config: &Config, mapped: &[Mapped]) -> Result<(), Failure> {
    let names: Vec<&str> = mapped
        .iter()
        .flat_map(|mapped| mapped.names.iter().map(String::as_str))
        .collect();
    let made = made(config);
    for (path, place) in devices(config) {
        let is_made = made.iter().any(|made| {
            path.strip_prefix(made.as_str())
                .is_some_and(|rest| is_partition(rest) || rest.is_empty())
        });
        let on_images = BY_CONTENTS
            .iter()
            .any(|links| path.strip_prefix(links).is_some_and(|name| !name.is_empty()))
            || names
                .iter()
                .any(|name| *name == path || is_partition_of(name, &path));
        if !is_made && !on_images {
            return Err(Failure::text(
                Some(Stage::Disks),
                format!("{path} is not on the image, which is {}", names.join(" and ")),
                format!("name what is on it, or give the disk an image of its own (--map {path}=FILE)"),
            )
            .at(&place));
        }
    }
    Ok(())
}

/// What follows the name of a disk in that of its partition.
fn is_partition(rest: &str) -> bool {
    let digits = rest.strip_prefix('p').unwrap_or(rest);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_partition_of(disk: &str, path: &str) -> bool {
    let digits = path.trim_end_matches(|last: char| last.is_ascii_digit());
    let number = path.get(digits.len()..).and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| number > 0 && names::of_partition(disk, number) == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(devices: &[&str], filesystems: &[&str]) -> Config {
        let entry = |path: &&str| serde_json::json!({"device": path});
        serde_json::from_value(serde_json::json!({"storage": {
            "disks": devices.iter().map(entry).collect::<Vec<_>>(),
            "luks": [{"name": "secret", "device": "/dev/disk/by-partlabel/secret"}],
            "filesystems": filesystems.iter().map(entry).collect::<Vec<_>>(),
        }}))
        .unwrap()
    }

    fn args(map: &[(&str, Option<&str>)]) -> ImageArgs {
        ImageArgs {
            image: "disk.img".into(),
            map: map
                .iter()
                .map(|(device, file)| Map {
                    device: (*device).to_owned(),
                    file: file.map(PathBuf::from),
                })
                .collect(),
            root_label: "ROOT".to_owned(),
            sector_size: None,
        }
    }

    fn names(map: &[(&str, Option<&str>)], config: &Config) -> String {
        match mapping(&args(map), config) {
            Ok(mapped) => mapped
                .iter()
                .map(|mapped| format!("{}={}", mapped.names.join(","), mapped.file.display()))
                .collect::<Vec<_>>()
                .join(" "),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn the_only_disk_is_the_image() {
        let label = "/dev/disk/by-label/ROOT";
        for (devices, filesystems, expected) in [
            (&["/dev/vda"][..], &[label, "/dev/vda9"][..], "/dev/vda=disk.img"),
            (&["/dev//vda/"], &["/dev/mapper/secret"], "/dev/vda=disk.img"),
            (&[], &["/dev/vda9", "/dev/vda1"], "/dev/vda=disk.img"),
            (&[], &["/dev/nvme0n1p3"], "/dev/nvme0n1=disk.img"),
            (&[], &["/dev/nvme0n1"], "/dev/nvme0n1=disk.img"),
            (&[], &["/dev/sdb"], "/dev/sdb=disk.img"),
            (&[], &[label], "/dev/image=disk.img"),
            (&["/dev/disk/by-id/ata-x"], &[], "/dev/image=disk.img"),
        ] {
            assert_eq!(names(&[], &config(devices, filesystems)), expected);
        }
        let two = config(&["/dev/vda", "/dev/vdb"], &[]);
        let refused = names(&[], &two);
        assert!(refused.contains("/dev/vda, /dev/vdb"), "{refused}");
        assert_eq!(names(&[("/dev/vdb", None)], &two), "/dev/vdb=disk.img");
        assert_eq!(
            names(&[("/dev/vdb", Some("b.img"))], &two),
            "/dev/vda=disk.img /dev/vdb=b.img"
        );
        assert!(names(&[("/dev/vda", None), ("/dev/vda", Some("b.img"))], &two).contains("twice"));
    }

    #[test]
    fn what_is_not_on_the_image_is_refused() {
        let refusal = |devices: &[&str], filesystems: &[&str], map: &[(&str, Option<&str>)]| {
            let config = config(devices, filesystems);
            let mapped = mapping(&args(map), &config).unwrap();
            refuse_foreign(&config, &mapped)
                .err()
                .map(|error| error.to_string())
        };
        for fine in [
            "/dev/vda",
            "/dev/vda12",
            "/dev/mapper/secret",
            "/dev/disk/by-uuid/x",
        ] {
            assert_eq!(refusal(&["/dev/vda"], &[fine], &[]), None, "{fine}");
        }
        for foreign in [
            "/dev/vdb",
            "/dev/vdap1",
            "/dev/vda0",
            "/dev/loop0",
            "/dev/mapper/other",
            "/dev/disk/by-id/x",
            "/dev/disk/by-label/",
            "/dev/disk/by-label/../../sda",
            "/tmp/node",
        ] {
            let refused = refusal(&["/dev/vda"], &[foreign], &[]).unwrap();
            assert!(
                refused.contains("storage.filesystems[0].device") && refused.contains("/dev/vda"),
                "{refused}"
            );
        }
        let by_id = "/dev/disk/by-id/ata-x";
        assert!(
            refusal(&[by_id], &[], &[])
                .unwrap()
                .contains("storage.disks[0].device")
        );
        let map = [(by_id, None)];
        assert_eq!(refusal(&[by_id], &["/dev/disk/by-id/ata-x-part1"], &map), None);
        assert!(refusal(&[by_id], &["/dev/disk/by-id/ata-x1"], &map).is_some());
    }
}
