//! The machine's own block devices.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::announce::{Announcer, block_number, has_udev};
use super::changed::Record;
use super::image::AttachedImages;
use super::mapped::{self, MappedDisk};
use super::marks::Marks;
use super::mountinfo::{self, Line};
use super::sysfs::{Facts, Sysfs, node_of};
use super::wait::{Lack, wait};
use super::{
    AnnounceError, BlockDevices, Changed, DEVICE_WAIT, DeviceMissing, TableError, UnmountError, blkid,
    unmount,
};
use crate::gpt::{Table, Write, tell};
use crate::report::chain;
use crate::sys::clock::SystemClock;
use crate::sys::runner::{Invocation, Runner as _, System};
use crate::sys::tool::Tool;
use crate::view::{
    Device, Devices, Member, Mounted, PartitionOf, Signature, Use, ViewError, Volume, size_text,
};

/// How many devices an error lists.
const LISTED: usize = 40;

/// The block devices of this machine, by sysfs, `/proc` and `blkid -p`. Looking at them needs no privileges but for what is
/// on them.
#[derive(Clone, Debug)]
pub struct RealDevices {
    runner: System,
    clock: SystemClock,
    sysfs: Sysfs,
    /// `/run`
    run: PathBuf,
    limit: Duration,
    marks: Option<Marks>,
    /// The only devices there are
    images: Option<Arc<AttachedImages>>,
    /// Nodes that were announced
    announced: Arc<Mutex<BTreeSet<String>>>,
}

impl RealDevices {
    /// Devices, asked by programs that this runner starts.
    pub fn new(runner: System) -> Self {
        Self {
            runner,
            clock: SystemClock::new(),
            sysfs: Sysfs::default(),
            run: PathBuf::from("/run"),
            limit: DEVICE_WAIT,
            marks: None,
            images: None,
            announced: Arc::default(),
        }
    }

    /// Knows of no devices but those of the images, which take no time to come.
    #[must_use]
    pub fn of_images(self, images: Arc<AttachedImages>) -> Self {
        Self {
            images: Some(images),
            ..self
        }
    }

    /// The number of the device at a path.
    fn number(&self, path: &str) -> Result<Option<u64>, ViewError> {
        match &self.images {
            Some(images) => images.number(path),
            None => Ok(block_number(path)),
        }
    }

    /// Remembers in this directory on which devices filesystems are being made. It lasts as long as the boot.
    #[must_use]
    pub fn remembering_in(self, directory: PathBuf) -> Self {
        Self {
            marks: Some(Marks::new(directory)),
            ..self
        }
    }

    /// What a device is known by within this boot: its number, and where the kernel has it the sequence number of its
    /// disk, so that another disk in its place is not taken for it.
    fn identity(&self, node: &str) -> io::Result<Option<String>> {
        let Some(number) = block_number(node) else {
            return Ok(None);
        };
        let facts = self.facts_at(number)?;
        if let (Some(images), Some(facts)) = (&self.images, &facts) {
            return Ok(images.identity(facts));
        }
        let sequence = match facts {
            Some(facts) => self.sysfs.sequence(&facts)?,
            None => None,
        };
        Ok(Some(format!(
            "{}:{}-{}",
            libc::major(number),
            libc::minor(number),
            sequence.unwrap_or_default()
        )))
    }

    /// Whether an earlier run was killed while it made a filesystem there.
    fn is_half_made(&self, node: &str) -> io::Result<bool> {
        match (&self.marks, self.identity(node)?) {
            (Some(marks), Some(identity)) => marks.has(&identity),
            _ => Ok(false),
        }
    }

    /// Waits at most this long for devices; zero: looks once.
    #[must_use]
    pub fn waiting_at_most(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn facts_at(&self, number: u64) -> io::Result<Option<Facts>> {
        let number = (libc::major(number), libc::minor(number));
        match self.sysfs.name(number)? {
            Some(name) => self.sysfs.facts(&name),
            None => Ok(None),
        }
    }

    fn announcer(&self) -> Announcer<'_> {
        Announcer {
            runner: &self.runner,
            clock: &self.clock,
            run: &self.run,
            sysfs: self.sysfs.root(),
            // Whoever does not want to wait for devices that are missing still waits for udev.
            limit: self.limit.max(DEVICE_WAIT),
            number: &block_number,
        }
    }

    /// Why a path cannot be used yet.
    fn lack(&self, path: &str) -> Option<Lack> {
        let number = block_number(path);
        let ready = match number {
            None => false,
            Some(number) => !has_udev(&self.run) || Record::read(&self.run, number).is_some(),
        };
        (!ready).then(|| Lack {
            path: path.to_owned(),
            there: number.is_some(),
        })
    }

    /// Where a partition of the device mapper begins is in its table alone.
    fn with_start(&self, mut facts: Facts) -> Result<Facts, ViewError> {
        if let (Some((_, _, start)), Some(name)) = (&mut facts.partition, &facts.mapper) {
            let asked = mapped::start(&self.runner, name).map_err(|error| ViewError::Program {
                program: "dmsetup",
                problem: chain(&error),
            })?;
            *start = asked.unwrap_or(0);
        }
        Ok(facts)
    }

    /// Writes the table of a device-mapper disk and sees to it that each partition has its device. Where udev has a rule
    /// for that (multipath), it has its turn first.
    fn write_mapped(&self, node: &str, writes: &[Write], table: Option<&Table>) -> Result<(), TableError> {
        let failed = |error: io::Error| TableError::new("look at the partitions of", node, error);
        drop(super::table::written(node, writes)?);
        if has_udev(&self.run) {
            let settle = Invocation::new(Tool::Udevadm, ["trigger", "--settle", node]);
            self.runner
                .run(&settle)
                .map_err(|error| TableError::new("announce", node, io::Error::other(error)))?;
        }
        let number = block_number(node).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let facts = self.facts_at(number).map_err(failed)?;
        let Some((facts, Some(name))) = facts.map(|facts| (facts.clone(), facts.mapper)) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let disk = MappedDisk {
            node: node.to_owned(),
            name,
            uuid: facts.mapper_uuid,
            number: facts.number,
        };
        let known = self
            .partitions(node)
            .map_err(|error| failed(io::Error::other(error)))?;
        let names: Vec<(u32, String)> = known
            .iter()
            .filter_map(|device| Some((device.partition.as_ref()?.number, device.mapper.clone()?)))
            .collect();
        let kernel = super::table::kernel_partitions(&known);
        let news = tell(&kernel, table);
        for one in &news {
            mapped::tell(&self.runner, &disk, &names, *one)?;
        }
        if !news.is_empty() && !has_udev(&self.run) {
            // The library leaves the nodes to udev even where there is none.
            let nodes = Invocation::new(Tool::Dmsetup, ["mknodes"]);
            self.runner.run(&nodes).map_err(|error| {
                TableError::new("make nodes of partitions of", node, io::Error::other(error))
            })?;
        }
        Ok(())
    }

    /// The devices that are there, for whoever looks for another one: name, size, type, labels.
    fn present(&self) -> Vec<String> {
        let mut list = Vec::new();
        let mut more: usize = 0;
        for name in self.sysfs.names().unwrap_or_default() {
            let Ok(Some(facts)) = self.sysfs.facts(&name) else {
                continue;
            };
            // Loop devices without a file and drives without a disk.
            if facts.size == 0 {
                continue;
            }
            if list.len() == LISTED {
                more += 1;
                continue;
            }
            let mut parts = vec![size_text(facts.size)];
            if let Ok(found) = blkid::probe(&self.runner, &facts.node()) {
                let signature = found.signature;
                parts.extend(Some(signature.table).filter(|table| !table.is_empty()));
                parts.extend(Some(signature.kind).filter(|kind| !kind.is_empty()));
                if !signature.label.is_empty() {
                    parts.push(format!("label {}", signature.label));
                }
            }
            parts.extend(facts.label.map(|label| format!("partlabel {label}")));
            list.push(format!("{} ({})", node_of(&name), parts.join(", ")));
        }
        if more > 0 {
            list.push(format!("{more} more"));
        }
        list
    }
}

fn mount_lines() -> Result<Vec<Line>, ViewError> {
    let bytes = read("/proc/self/mountinfo")?.unwrap_or_default();
    Ok(mountinfo::parse(&bytes))
}

/// What is in use on this machine, looked up once for a question.
fn usage(sysfs: &Sysfs) -> Result<Usage, ViewError> {
    let swaps = mountinfo::swaps(&read("/proc/swaps")?.unwrap_or_default());
    Ok(Usage {
        mounts: mount_lines()?,
        pools: sysfs
            .pools()
            .map_err(failed("look at the filesystems of", "btrfs"))?,
        swaps: swaps.iter().filter_map(|path| block_number(path)).collect(),
    })
}

/// What uses devices.
struct Usage {
    mounts: Vec<Line>,
    /// Kernel names of the devices of each filesystem that has several; a mount names one of them
    pools: Vec<Vec<String>>,
    /// Device numbers
    swaps: Vec<u64>,
}

impl Usage {
    fn of(&self, facts: &Facts) -> Vec<Use> {
        let number = libc::makedev(facts.number.0, facts.number.1);
        let mut uses = Vec::new();
        let pool = self.pools.iter().find(|pool| pool.contains(&facts.name));
        let others: Vec<u64> = pool
            .into_iter()
            .flatten()
            .filter_map(|name| block_number(&node_of(name)))
            .collect();
        for mount in &self.mounts {
            let of = mount_number(mount);
            if of.is_some_and(|of| of == number || others.contains(&of)) {
                uses.push(Use::Mounted(mount.target.clone()));
            }
        }
        if self.swaps.contains(&number) {
            uses.push(Use::Swap);
        }
        uses.extend(facts.holders.iter().cloned().map(Use::Held));
        uses
    }
}

/// The device of a mount: its number, or of filesystems with numbers of their own (btrfs) that of their source.
fn mount_number(mount: &Line) -> Option<u64> {
    match mount.number {
        (0, _) if mount.source.starts_with("/dev/") => block_number(&mount.source),
        (0, _) => None,
        (major, minor) => Some(libc::makedev(major, minor)),
    }
}

fn device(facts: Facts, node: String, usage: &Usage) -> Device {
    Device {
        node,
        size: Some(facts.size),
        sector_size: facts.sector_size,
        uses: usage.of(&facts),
        partition: facts.partition.map(|(disk, number, start)| PartitionOf {
            disk: node_of(&disk),
            number,
            start,
        }),
        mapper: facts.mapper,
    }
}

fn read(path: &str) -> Result<Option<Vec<u8>>, ViewError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path)(source)),
    }
}

fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> ViewError {
    let path = path.to_owned();
    move |source| ViewError::Io {
        operation,
        path,
        source,
    }
}

impl Devices for RealDevices {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        let Some(number) = self.number(path)? else {
            return Ok(None);
        };
        let facts = self.facts_at(number).map_err(failed("look at", path))?;
        let Some(facts) = facts else { return Ok(None) };
        // The kernel's own node, so that one device has one name, however it was reached.
        let mut node = facts.node();
        if block_number(&node) != Some(number) {
            let real = fs::canonicalize(path).map_err(failed("look at", path))?;
            node = real.to_string_lossy().into_owned();
        }
        Ok(Some(device(self.with_start(facts)?, node, &usage(&self.sysfs)?)))
    }

    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
        let Some(number) = block_number(node) else {
            return Ok(Vec::new());
        };
        let look = || -> io::Result<Vec<Facts>> {
            let mut found = Vec::new();
            if let Some(disk) = self.facts_at(number)? {
                for name in &disk.partitions {
                    found.extend(self.sysfs.facts(name)?);
                }
            }
            Ok(found)
        };
        let mut found = look().map_err(failed("look at the partitions of", node))?;
        found.sort_by_key(|facts| facts.partition.as_ref().map(|(_, number, _)| *number));
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let usage = usage(&self.sysfs)?;
        found
            .into_iter()
            .map(|facts| {
                let node = facts.node();
                Ok(device(self.with_start(facts)?, node, &usage))
            })
            .collect()
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        let found = blkid::probe(&self.runner, node)?.signature;
        if self.is_half_made(node).map_err(failed("look at", node))? {
            crate::log::notice(&format_args!(
                "an earlier run was stopped while it made a filesystem on {node}: what is there counts as nothing"
            ));
            return Ok(Signature::default());
        }
        Ok(found)
    }

    fn scan(&self, node: &str) -> Result<crate::gpt::Scan, ViewError> {
        super::table::scan(node).map_err(failed("read the partition table of", node))
    }

    fn noted_table(&self, node: &str) -> Result<Option<String>, ViewError> {
        let look = || match (&self.marks, self.identity(node)?) {
            (Some(marks), Some(identity)) => marks.read(&format!("table-{identity}")),
            _ => Ok(None),
        };
        look().map_err(failed("look at", node))
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        super::luks::of_device(node).map_err(failed("read the header of", node))
    }

    fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
        super::raid::of_device(node).map_err(failed("read the superblock of", node))
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        let mounts = mount_lines()?.into_iter().map(|line| {
            let device = mount_number(&line).and_then(|number| self.facts_at(number).ok().flatten());
            Mounted {
                source: device.map_or(line.source, |facts| facts.node()),
                target: line.target,
                kind: line.kind,
                options: line.options,
                root: line.root,
            }
        });
        Ok(mounts.collect())
    }
}

impl BlockDevices for RealDevices {
    fn devices(&self) -> &dyn Devices {
        self
    }

    fn await_paths(&self, paths: &[&str]) -> Result<(), DeviceMissing> {
        if let Some(images) = &self.images {
            let look = || -> Vec<String> {
                // What cannot be told of a device is told when it is asked about.
                let lacks = |path: &&&str| matches!(images.number(path), Ok(None));
                paths
                    .iter()
                    .filter(lacks)
                    .map(|path| (*path).to_owned())
                    .collect()
            };
            let mut missing = look();
            if !missing.is_empty() && images.refresh().is_ok() {
                missing = look();
            }
            if missing.is_empty() {
                return Ok(());
            }
            return Err(DeviceMissing {
                missing,
                waited: Duration::ZERO,
                stopped: false,
                present: images.present(),
            });
        }
        let mut look = || paths.iter().filter_map(|path| self.lack(path)).collect();
        wait(&self.clock, self.limit, &mut look).map_err(|ended| DeviceMissing {
            missing: ended.missing,
            waited: ended.waited,
            stopped: ended.stopped,
            present: self.present(),
        })
    }

    fn announce(&self, changed: &[Changed]) -> Result<(), AnnounceError> {
        if let Some(images) = &self.images {
            return images.refresh().map_err(|error| AnnounceError {
                problem: crate::report::chain(&error),
            });
        }
        self.announcer().announce(changed)?;
        let nodes = changed.iter().map(|device| device.node.clone());
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(nodes);
        Ok(())
    }

    fn await_units(&self) {
        let nodes = std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner));
        self.announcer().await_units(&nodes);
    }

    fn write_table(
        &self,
        node: &str,
        writes: &[Write],
        table: Option<&Table>,
    ) -> Result<Vec<u32>, TableError> {
        let failed =
            |error: ViewError| TableError::new("look at the partitions of", node, io::Error::other(error));
        let disk = self.device(node).map_err(failed)?;
        match disk.and_then(|disk| disk.mapper) {
            // Whoever makes devices of partitions there announces them.
            Some(_) => self.write_mapped(node, writes, table).map(|()| Vec::new()),
            None => super::table::write(
                node,
                writes,
                || {
                    Ok(super::table::kernel_partitions(
                        &self.partitions(node).map_err(failed)?,
                    ))
                },
                table,
            ),
        }
    }

    fn begin(&self, node: &str) -> io::Result<()> {
        match (&self.marks, self.identity(node)?) {
            (Some(marks), Some(identity)) => marks.set(&identity),
            _ => Ok(()),
        }
    }

    fn end(&self, node: &str) -> io::Result<()> {
        match (&self.marks, self.identity(node)?) {
            (Some(marks), Some(identity)) => marks.clear(&identity),
            _ => Ok(()),
        }
    }

    fn note_table(&self, node: &str, note: &str) -> io::Result<()> {
        match (&self.marks, self.identity(node)?) {
            (Some(marks), Some(identity)) => marks.write(&format!("table-{identity}"), note),
            _ => Ok(()),
        }
    }

    fn unmount(&self, target: &str) -> Result<(), UnmountError> {
        unmount::unmount(target, &self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> RealDevices {
        RealDevices::new(System::new(None)).waiting_at_most(Duration::ZERO)
    }

    #[test]
    fn the_root_of_this_machine_is_in_use() {
        let mounts = real().mounts().unwrap();
        let root = mounts.iter().find(|mount| mount.target == "/").unwrap();
        let Some(device) = real().device(&root.source).unwrap() else {
            eprintln!("skipped: the root of this machine is on no block device");
            return;
        };
        assert_eq!(device.node, root.source);
        assert!(device.uses.contains(&Use::Mounted("/".to_owned())), "{device:?}");
        assert!(device.size > Some(0));
    }

    #[test]
    fn what_is_no_block_device_is_none() {
        for path in ["/dev/null", "/dev/no-such-device", "/etc", ""] {
            assert_eq!(real().device(path).unwrap(), None, "{path}");
            assert_eq!(real().partitions(path).unwrap(), [], "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_there() {
        let error = real()
            .await_paths(&["/dev/null", "/dev/no-such-device"])
            .unwrap_err();
        assert_eq!(error.missing, ["/dev/null", "/dev/no-such-device"]);
        let mounts = real().mounts().unwrap();
        let root = mounts.iter().find(|mount| mount.target == "/").unwrap();
        if root.source.starts_with("/dev/") {
            let listed = error.present.iter().any(|line| line.starts_with(&root.source));
            assert!(listed, "{error}");
        }
        real().await_paths(&[]).unwrap();
    }
}
