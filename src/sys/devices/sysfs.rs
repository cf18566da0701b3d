//! What sysfs knows of block devices.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::mountinfo;

/// Sizes and starts in sysfs count these, whatever the disk's own sectors are.
const UNIT: u64 = 512;

/// sysfs, at the place where it is mounted.
#[derive(Clone, Debug)]
pub(super) struct Sysfs {
    root: PathBuf,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The kernel's name: `vda9`; of some drivers with a `!`, which stands for a slash
    pub(super) name: String,
    /// Major and minor
    pub(super) number: (u32, u32),
    /// Bytes
    pub(super) size: u64,
    /// Bytes of a logical sector
    pub(super) sector_size: u32,
    /// Disk, number and start in bytes, if it is a partition. The start of a device mapper's partition is not in sysfs and
    /// said to be 0
    pub(super) partition: Option<(String, u32, u64)>,
    /// The device mapper's name
    pub(super) mapper: Option<String>,
    /// Its UUID with the device mapper; empty: none
    pub(super) mapper_uuid: String,
    /// Devices that are built on it, its partitions aside
    pub(super) holders: Vec<String>,
    /// Its partitions
    pub(super) partitions: Vec<String>,
    /// What a GPT calls the partition
    pub(super) label: Option<String>,
}

impl Facts {
    /// Its node in a `/dev` as the kernel makes it.
    pub(super) fn node(&self) -> String {
        node_of(&self.name)
    }
}

/// The node of a kernel name.
pub(super) fn node_of(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::new(Path::new("/sys"))
    }
}

impl Sysfs {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where it is mounted.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Names of all block devices, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        names_in(&self.root.join("class/block"))
    }

    /// The devices of each btrfs that is mounted.
    pub(super) fn pools(&self) -> io::Result<Vec<Vec<String>>> {
        let directory = self.root.join("fs/btrfs");
        let mut pools = Vec::new();
        for name in names_or_none(&directory)? {
            let devices = names_or_none(&directory.join(name).join("devices"))?;
            if devices.len() > 1 {
                pools.push(devices);
            }
        }
        Ok(pools)
    }

    /// The name of a device number.
    pub(super) fn name(&self, (major, minor): (u32, u32)) -> io::Result<Option<String>> {
        let link = self.root.join(format!("dev/block/{major}:{minor}"));
        match fs::read_link(link) {
            Ok(target) => Ok(target.file_name().map(|name| name.to_string_lossy().into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A device by name; `None` if it is gone, be it while it is looked at: udev has the kernel read a table again when somebody
    /// closes the disk, which takes all partitions away for a moment.
    pub(super) fn facts(&self, name: &str) -> io::Result<Option<Facts>> {
        match self.look_at(name) {
            Err(error) if is_gone(&error) => Ok(None),
            looked => looked,
        }
    }

    fn look_at(&self, name: &str) -> io::Result<Option<Facts>> {
        let Some(number) = self.number(name)? else {
            return Ok(None);
        };
        let directory = self.directory(name);
        let partition = self.partition(name)?;
        // A partition's queue is its disk's.
        let disk = match &partition {
            Some((disk, _, _)) => self.directory(disk),
            None => directory.clone(),
        };
        let read = |file: &str| read(&directory.join(file));
        let (parts, holders): (Vec<String>, Vec<String>) = names_or_none(&directory.join("holders"))?
            .into_iter()
            .partition(|holder| self.mapped_partition(holder).is_some());
        let mut partitions = parts;
        for entry in names_or_none(&directory)? {
            if entry.starts_with(name) && self.directory(&entry).join("partition").is_file() {
                partitions.push(entry);
            }
        }
        Ok(Some(Facts {
            name: name.to_owned(),
            number,
            size: number_in::<u64>(read("size")?).unwrap_or(0).saturating_mul(UNIT),
            sector_size: number_in(self::read(&disk.join("queue/logical_block_size"))?).unwrap_or(512),
            partition,
            mapper: read("dm/name")?,
            mapper_uuid: read("dm/uuid")?.unwrap_or_default(),
            holders,
            partitions,
            label: read("uevent")?.and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix("PARTNAME=").map(str::to_owned))
            }),
        }))
    }

    /// The number that tells the disk of a device from all others of this boot; `None` before Linux 5.15.
    pub(super) fn sequence(&self, device: &Facts) -> io::Result<Option<String>> {
        let disk = device
            .partition
            .as_ref()
            .map_or(device.name.as_str(), |(disk, _, _)| disk.as_str());
        read(&self.directory(disk).join("diskseq"))
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.root.join("class/block").join(name)
    }

    fn number(&self, name: &str) -> io::Result<Option<(u32, u32)>> {
        let text = read(&self.directory(name).join("dev"))?;
        Ok(text.and_then(|text| mountinfo::number(text.as_bytes())))
    }

    fn partition(&self, name: &str) -> io::Result<Option<(String, u32, u64)>> {
        let directory = self.directory(name);
        if let Some(number) = number_in(read(&directory.join("partition"))?) {
            // `/sys/class/block/vda9` leads to `…/block/vda/vda9`.
            let real = fs::canonicalize(&directory)?;
            let disk = real
                .parent()
                .and_then(Path::file_name)
                .map(|disk| disk.to_string_lossy().into_owned())
                .unwrap_or_default();
            let start = number_in::<u64>(read(&directory.join("start"))?).unwrap_or(0);
            return Ok(Some((disk, number, start.saturating_mul(UNIT))));
        }
        let Some(number) = self.mapped_partition(name) else {
            return Ok(None);
        };
        let below = names_or_none(&directory.join("slaves"))?;
        Ok(below.into_iter().next().map(|disk| (disk, number, 0)))
    }

    /// The number of a partition that the device mapper makes (kpartx): its UUID is `part3-` and that of its disk.
    fn mapped_partition(&self, name: &str) -> Option<u32> {
        let uuid = read(&self.directory(name).join("dm/uuid")).ok().flatten()?;
        let (number, _disk) = uuid.strip_prefix("part")?.split_once('-')?;
        number.parse().ok()
    }
}

fn number_in<T: std::str::FromStr>(text: Option<String>) -> Option<T> {
    text.and_then(|text| text.parse().ok())
}

/// A file of sysfs without its line end; `None` if there is none, or the device is just going away.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn names_or_none(directory: &Path) -> io::Result<Vec<String>> {
    match names_in(directory) {
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        names => names,
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    ) || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(tree.0.path().join("class/block")).unwrap();
            fs::create_dir_all(tree.0.path().join("dev/block")).unwrap();
            tree
        }

        /// Adds a device: its directory below `devices`, its number, its files.
        fn add(&self, place: &str, number: &str, files: &[(&str, &str)]) -> &Self {
            let root = self.0.path();
            let directory = root.join("devices").join(place);
            let name = Path::new(place).file_name().unwrap();
            for (file, text) in files.iter().copied().chain([("dev", number)]) {
                let file = directory.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, format!("{text}\n")).unwrap();
            }
            symlink(&directory, root.join("class/block").join(name)).unwrap();
            symlink(&directory, root.join("dev/block").join(number)).unwrap();
            self
        }

        fn sysfs(&self) -> Sysfs {
            Sysfs::new(self.0.path())
        }
    }

    #[test]
    fn a_filesystem_of_several_devices() {
        let directory = tempfile::tempdir().unwrap();
        let sysfs = Sysfs::new(directory.path());
        assert!(sysfs.pools().unwrap().is_empty(), "no btrfs here");
        for path in [
            "features",
            "one/devices/vda1",
            "two/devices/vdb",
            "two/devices/vdc",
        ] {
            fs::create_dir_all(directory.path().join("fs/btrfs").join(path)).unwrap();
        }
        assert_eq!(sysfs.pools().unwrap(), [["vdb".to_owned(), "vdc".to_owned()]]);
    }

    #[test]
    fn disks_and_partitions() {
        let tree = Tree::new();
        let held = ("holders/dm-0", "");
        tree.add(
            "pci/block/vda",
            "254:0",
            &[("size", "2048"), ("queue/logical_block_size", "4096")],
        );
        tree.add(
            "pci/block/vda/vda1",
            "254:1",
            &[
                ("size", "8"),
                ("partition", "1"),
                ("start", "16"),
                ("uevent", "DEVTYPE=partition\nPARTNAME=ROOT"),
                held,
            ],
        );
        let disk = tree.sysfs().facts("vda").unwrap().unwrap();
        assert_eq!(disk.size, 1 << 20);
        assert_eq!(disk.partitions, ["vda1"]);
        assert_eq!(disk.holders, Vec::<String>::new());
        let part = tree.sysfs().facts("vda1").unwrap().unwrap();
        assert_eq!(part.partition, Some(("vda".to_owned(), 1, 16 * 512)));
        assert_eq!(part.sector_size, 4096, "the disk's");
        assert_eq!(part.holders, ["dm-0"]);
        assert_eq!(part.label.as_deref(), Some("ROOT"));
        assert_eq!(tree.sysfs().name((254, 1)).unwrap().as_deref(), Some("vda1"));
        assert_eq!(tree.sysfs().name((9, 9)).unwrap(), None);
        assert_eq!(tree.sysfs().facts("vdz").unwrap(), None);
        assert_eq!(tree.sysfs().names().unwrap(), ["vda", "vda1"]);
        assert_eq!(node_of("cciss!c0d0p1"), "/dev/cciss/c0d0p1");
    }

    /// A multipath device, as kpartx divides it: its partitions hold it, and are not what keeps it from being changed.
    #[test]
    fn partitions_of_the_device_mapper() {
        let tree = Tree::new();
        tree.add(
            "virtual/block/dm-0",
            "253:0",
            &[
                ("size", "2048"),
                ("dm/name", "mpatha"),
                ("dm/uuid", "mpath-3600"),
                ("holders/dm-1", ""),
                ("holders/dm-2", ""),
            ],
        );
        tree.add(
            "virtual/block/dm-1",
            "253:1",
            &[
                ("dm/name", "mpatha3"),
                ("dm/uuid", "part3-mpath-3600"),
                ("slaves/dm-0", ""),
            ],
        );
        tree.add(
            "virtual/block/dm-2",
            "253:2",
            &[
                ("dm/name", "secret"),
                ("dm/uuid", "CRYPT-LUKS2-x"),
                ("slaves/dm-0", ""),
            ],
        );
        let disk = tree.sysfs().facts("dm-0").unwrap().unwrap();
        assert_eq!(disk.mapper.as_deref(), Some("mpatha"));
        assert_eq!(disk.partitions, ["dm-1"]);
        assert_eq!(disk.holders, ["dm-2"]);
        let part = tree.sysfs().facts("dm-1").unwrap().unwrap();
        assert_eq!(part.partition, Some(("dm-0".to_owned(), 3, 0)));
        assert_eq!(tree.sysfs().facts("dm-2").unwrap().unwrap().partition, None);
    }
}
