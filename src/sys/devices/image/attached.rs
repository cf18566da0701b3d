//! Images that are attached to loop devices, in a `/dev` of this process's own.
//!
//! Nodes and links in that `/dev` are made here, not by udev: those of the images, and no others. The kernel is told of
//! partitions one by one, so it needs to know no partition tables.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::super::announce::block_number;
use super::super::sysfs::{Facts, Sysfs};
use super::super::{blkid, table};
use super::ImageFile;
use super::links::Links;
use crate::sys::loop_device::{self, LoopDevice};
use crate::sys::runner::{Invocation, Runner, System};
use crate::sys::tool::Tool;
use crate::view::{RootPath, ViewError, names, size_text};

/// Where nodes are made.
const DEV: &str = "/dev";

/// Arrays and mappings on top of each other, at most: more is no disk that anybody has.
const DEEPEST: usize = 16;

/// An image cannot be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried
        operation: &'static str,
        /// The image
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// Somebody else has attached it.
    #[error("the image {} is attached as /dev/{device} already; detach it first (losetup -d /dev/{device})", path.display())]
    Attached {
        /// The image
        path: PathBuf,
        /// The loop device
        device: String,
    },
    /// Something uses what an earlier run has attached.
    #[error("an earlier run has left the image {} attached as /dev/{device}, and it is in use; see lsof /dev/{device}*", path.display())]
    Left {
        /// The image
        path: PathBuf,
        /// The loop device
        device: String,
    },
    /// What is on it cannot be found out.
    #[error("cannot look at what is on the images")]
    Look(#[source] Box<ViewError>),
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AttachError {
    let path = path.to_owned();
    move |source| AttachError::Io {
        operation,
        path,
        source,
    }
}

/// Attached images.
#[derive(Debug)]
pub struct AttachedImages {
    disks: Vec<Disk>,
    sysfs: Sysfs,
    runner: System,
    links: Mutex<Links>,
}

#[derive(Debug)]
struct Disk {
    image: ImageFile,
    device: LoopDevice,
}

impl AttachedImages {
    /// Attaches images, tells the kernel of their partitions and makes nodes and links. What a killed run has left attached
    /// is detached before.
    pub fn attach(images: Vec<ImageFile>, runner: System) -> Result<Self, AttachError> {
        let mut all = Self {
            disks: Vec::new(),
            sysfs: Sysfs::default(),
            runner,
            links: Mutex::default(),
        };
        for image in images {
            all.detach_left(&image)?;
            let path = image.path().to_owned();
            let file = image.open_again().map_err(failed("open again", &path))?;
            let device = LoopDevice::attach(Path::new(DEV), &file, image.sector_size())
                .map_err(failed("attach to a loop device", &path))?;
            all.disks.push(Disk { image, device });
        }
        for disk in &all.disks {
            let path = disk.image.path();
            let node = format!("{DEV}/{}", disk.device.name());
            let scan = disk
                .image
                .scan()
                .map_err(failed("read the partition table of", path))?;
            // One that the kernel reads itself has its partitions there already.
            let known = all
                .known(disk)
                .map_err(failed("look at the partitions of", path))?;
            table::write(&node, &[], || Ok(known), scan.table()).map_err(|error| {
                failed("tell the kernel of the partitions of", path)(io::Error::other(error))
            })?;
        }
        all.refresh()
            .map_err(|error| AttachError::Look(Box::new(error)))?;
        Ok(all)
    }

    /// What the kernel knows of the partitions of a disk.
    fn known(&self, disk: &Disk) -> io::Result<Vec<crate::gpt::KernelPartition>> {
        let mut known = Vec::new();
        let facts = self.sysfs.facts(&disk.device.name())?;
        for name in facts.into_iter().flat_map(|facts| facts.partitions) {
            if let Some(part) = self.sysfs.facts(&name)?
                && let Some((_, number, start)) = part.partition
            {
                known.push(crate::gpt::KernelPartition {
                    number,
                    start,
                    size: part.size,
                });
            }
        }
        Ok(known)
    }

    /// Detaches what a run that was killed has left. The caller holds the lock of the image, so no other run is under way.
    fn detach_left(&self, image: &ImageFile) -> Result<(), AttachError> {
        let path = image.path();
        let found = loop_device::of_file(image.file()).map_err(failed("see whether somebody uses", path))?;
        for left in found {
            let device = left.name();
            let ours = left.is_ours(Path::new(DEV));
            if !ours.map_err(failed("see who has attached", path))? {
                return Err(AttachError::Attached {
                    path: path.to_owned(),
                    device,
                });
            }
            crate::log::notice(&format_args!(
                "an earlier run has left the image attached as /dev/{device}: detaching it"
            ));
            self.release(&device);
            if !left.wait().map_err(failed("detach", path))? {
                return Err(AttachError::Left {
                    path: path.to_owned(),
                    device,
                });
            }
        }
        Ok(())
    }

    /// Everything that is on the images, as the kernel knows it: disks, partitions, and what is built on those.
    fn all(&self) -> io::Result<Vec<Facts>> {
        let mut found: Vec<Facts> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next: Vec<String> = self.disks.iter().map(|disk| disk.device.name()).collect();
        for _ in 0..DEEPEST {
            let mut above = Vec::new();
            for name in std::mem::take(&mut next) {
                if !seen.insert(name.clone()) {
                    continue;
                }
                let Some(facts) = self.sysfs.facts(&name)? else {
                    continue;
                };
                above.extend(facts.partitions.iter().chain(&facts.holders).cloned());
                found.push(facts);
            }
            if above.is_empty() {
                break;
            }
            next = above;
        }
        Ok(found)
    }

    /// Makes the nodes and links of what is there now, and removes the others.
    pub(in super::super) fn refresh(&self) -> Result<(), ViewError> {
        let failed = |source| ViewError::Io {
            operation: "make the nodes of the images in",
            path: DEV.to_owned(),
            source,
        };
        let all = self.all().map_err(failed)?;
        for facts in &all {
            node(facts).map_err(failed)?;
        }
        let mut links = Links::default();
        for facts in &all {
            // One that is just being taken apart has nothing to say.
            if let Ok(found) = blkid::probe(&self.runner, &facts.node()) {
                links.add(&facts.node(), &found);
            }
        }
        // blkid sees a partition's name and GUID only where the kernel has read the table itself.
        for disk in &self.disks {
            let scan = disk.image.scan().map_err(failed)?;
            for (number, entry) in scan.table().into_iter().flat_map(|table| &table.entries) {
                let part = names::of_partition(&format!("{DEV}/{}", disk.device.name()), *number);
                let found = blkid::Found::default().in_gpt(entry.name.text(), &entry.guid.to_string());
                links.add(&part, &found);
            }
        }
        self.make_links(&all, &links).map_err(failed)?;
        *self.links() = links;
        Ok(())
    }

    fn make_links(&self, all: &[Facts], links: &Links) -> io::Result<()> {
        match fs::remove_dir_all(Path::new(DEV).join("disk")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for (link, node) in links.unique() {
            make_link(link, node)?;
        }
        for disk in &self.disks {
            let own = disk.device.name();
            for name in &disk.image.names {
                for facts in all {
                    match &facts.partition {
                        None if facts.name == own => make_link(name, &facts.node())?,
                        Some((of, number, _)) if *of == own => {
                            make_link(&names::of_partition(name, *number), &facts.node())?;
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the device that a path of the config leads to; `None` if it leads to none of the images.
    pub(in super::super) fn number(&self, path: &str) -> Result<Option<u64>, ViewError> {
        let path = RootPath::from(path).to_string();
        // Of a link that several devices have nothing was made.
        let node = self.links().node(&path)?.map(str::to_owned);
        let Some(number) = block_number(node.as_deref().unwrap_or(&path)) else {
            return Ok(None);
        };
        let wanted = (libc::major(number), libc::minor(number));
        let all = self.all().map_err(|source| ViewError::Io {
            operation: "look at",
            path,
            source,
        })?;
        let found = all.iter().find(|facts| facts.number == wanted);
        // What is built on the images has a node of its own name, too, whatever the program that opened it has made.
        let _made = found.map(self::node);
        Ok(found.map(|_| number))
    }

    /// What a part of an image is known by, also when it is attached again.
    pub(in super::super) fn identity(&self, facts: &Facts) -> Option<String> {
        let (disk, start) = match &facts.partition {
            Some((disk, _, start)) => (disk, *start),
            None => (&facts.name, 0),
        };
        let found = self.disks.iter().find(|other| other.device.name() == *disk)?;
        Some(found.image.identity_at(start))
    }

    /// What is there, for whoever looks for something else.
    pub(in super::super) fn present(&self) -> Vec<String> {
        let all = self.all().unwrap_or_default();
        let words = all.iter().map(|facts| {
            let mut parts = vec![size_text(facts.size)];
            if let Ok(found) = blkid::probe(&self.runner, &facts.node()) {
                let signature = found.signature;
                parts.extend(Some(signature.table).filter(|table| !table.is_empty()));
                parts.extend(Some(signature.kind).filter(|kind| !kind.is_empty()));
                if !signature.label.is_empty() {
                    parts.push(format!("label {}", signature.label));
                }
            }
            format!("{} ({})", self.name_of(facts), parts.join(", "))
        });
        words.collect()
    }

    /// A device as the config calls it.
    fn name_of(&self, facts: &Facts) -> String {
        let disk = facts.partition.as_ref().map_or(&facts.name, |(disk, _, _)| disk);
        let found = self.disks.iter().find(|other| other.device.name() == *disk);
        match (found, &facts.partition) {
            (None, _) => facts.node(),
            (Some(found), None) => found.image.node().to_owned(),
            (Some(found), Some((_, number, _))) => names::of_partition(found.image.node(), *number),
        }
    }

    /// Stops what is built on a disk: opened volumes, arrays. What cannot be stopped is told, and the next run tries again.
    fn release(&self, disk: &str) {
        for _ in 0..DEEPEST {
            let Ok(Some(facts)) = self.sysfs.facts(disk) else {
                return;
            };
            let parts = facts.partitions.iter().chain(std::iter::once(&facts.name));
            let tops: BTreeSet<String> = parts.filter_map(|name| self.top(name)).collect();
            if tops.is_empty() {
                return;
            }
            let mut stopped = false;
            for top in tops {
                let Ok(Some(facts)) = self.sysfs.facts(&top) else {
                    continue;
                };
                let _made = node(&facts);
                let stop = match &facts.mapper {
                    Some(name) => Invocation::new(Tool::Cryptsetup, ["close", name]),
                    None => Invocation::new(Tool::Mdadm, ["--stop", &facts.node()]),
                };
                match self.runner.run(&stop) {
                    Ok(_) => stopped = true,
                    Err(error) => tracing::warn!("cannot stop {top}: {}", crate::report::chain(&error)),
                }
            }
            if !stopped {
                return;
            }
        }
    }

    /// The last of what is built on a device; `None` if nothing is.
    fn top(&self, name: &str) -> Option<String> {
        let mut top = None;
        let mut here = name.to_owned();
        for _ in 0..DEEPEST {
            let facts = self.sysfs.facts(&here).ok().flatten()?;
            let Some(above) = facts.holders.into_iter().next() else {
                break;
            };
            top = Some(above.clone());
            here = above;
        }
        top
    }

    /// Stops what is built on the images and detaches them. Whatever fails, all of it is tried.
    pub fn detach(self) -> Result<(), AttachError> {
        for disk in &self.disks {
            self.release(&disk.device.name());
        }
        let mut done = Ok(());
        for Disk { image, device } in self.disks {
            let path = image.path().to_owned();
            let name = device.name();
            let mut ended = device.sync().map_err(failed("write out", &path));
            ended = ended.and(match device.detach(&path) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    tracing::warn!(
                        "/dev/{name} is still in use; the kernel detaches the image when it is not"
                    );
                    Ok(())
                }
                Err(error) => Err(failed("detach", &path)(error)),
            });
            ended = ended.and(image.file().sync_all().map_err(failed("write out", &path)));
            done = done.and(ended);
        }
        done
    }
}

/// Makes the node of a device, in place of one of another number.
fn node(facts: &Facts) -> io::Result<()> {
    let path = facts.node();
    let wanted = makedev(facts.number.0.into(), facts.number.1.into());
    match block_number(&path) {
        Some(number) if number == wanted => return Ok(()),
        Some(_) => fs::remove_file(&path)?,
        None => {}
    }
    match mknod(
        Path::new(&path),
        SFlag::S_IFBLK,
        Mode::from_bits_truncate(0o600),
        wanted,
    ) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn make_link(link: &str, node: &str) -> io::Result<()> {
    let place = Path::new(link);
    if link == node {
        return Ok(());
    }
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(node, place)
}
