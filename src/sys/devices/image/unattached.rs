//! Images as a planner sees disks, with nothing attached and no privileges: the partition table is read from the file, and
//! `blkid -p --offset` looks at its parts.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::super::blkid::{self, Found, Part};
use super::super::marks::Marks;
use super::super::{DeviceMissing, luks, raid, read_at};
use super::ImageFile;
use super::links::Links;
use crate::gpt::{self, ReadAt, Scan};
use crate::sys::runner::System;
use crate::view::{
    Device, Devices, Member, Mounted, PartitionOf, RootPath, Signature, ViewError, Volume, names, size_text,
};

/// Disks that are image files.
#[derive(Debug)]
pub struct ImageDevices {
    runner: System,
    images: Vec<Image>,
    marks: Option<Marks>,
    links: OnceCell<Links>,
    /// What blkid has found, by node
    found: RefCell<BTreeMap<String, Found>>,
}

#[derive(Debug)]
struct Image {
    file: ImageFile,
    scan: Scan,
}

/// A part of an image: the whole, or a partition.
#[derive(Clone, Debug)]
struct Place<'a> {
    image: &'a Image,
    node: String,
    start: u64,
    size: u64,
    /// Number, name and GUID
    partition: Option<(u32, String, String)>,
}

impl Image {
    fn whole(&self) -> Place<'_> {
        Place {
            image: self,
            node: self.file.node().to_owned(),
            start: 0,
            size: self.file.size(),
            partition: None,
        }
    }

    /// Its partitions by number, as the kernel would have them.
    fn partitions(&self) -> impl Iterator<Item = Place<'_>> {
        let sector = u64::from(self.file.sector_size());
        let entries = self.scan.table().into_iter().flat_map(|table| &table.entries);
        entries.map(move |(number, entry)| Place {
            image: self,
            node: names::of_partition(self.file.node(), *number),
            start: entry.first.saturating_mul(sector),
            size: entry.size().saturating_mul(sector),
            partition: Some((*number, entry.name.text(), entry.guid.to_string())),
        })
    }
}

impl Place<'_> {
    fn device(&self) -> Device {
        Device {
            node: self.node.clone(),
            size: Some(self.size),
            sector_size: self.image.file.sector_size(),
            partition: self.partition.as_ref().map(|(number, _, _)| PartitionOf {
                disk: self.image.file.node().to_owned(),
                number: *number,
                start: self.start,
            }),
            mapper: None,
            uses: Vec::new(),
        }
    }

    /// Reads bytes of it.
    fn reads(&self) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> + '_ {
        let read = read_at::of_file(self.image.file.file());
        move |offset, length| {
            let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
            read(self.start.saturating_add(offset), length.min(rest))
        }
    }
}

impl ReadAt for Place<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.image.file.sector_size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = u64::try_from(buffer.len())
            .ok()
            .and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.image.file.read_at(self.start.saturating_add(offset), buffer)
    }
}

impl ImageDevices {
    /// Looks at the partition tables of images. `marks` is where runs note what they are making, to be seen by those that
    /// follow one that was killed.
    pub fn new(runner: System, files: Vec<ImageFile>, marks: PathBuf) -> Result<Self, ViewError> {
        let mut images = Vec::new();
        for file in files {
            let scan = file.scan().map_err(failed("read", &file))?;
            images.push(Image { file, scan });
        }
        Ok(Self {
            runner,
            images,
            marks: Some(Marks::new(marks)),
            links: OnceCell::new(),
            found: RefCell::default(),
        })
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.images
            .iter()
            .flat_map(|image| std::iter::once(image.whole()).chain(image.partitions()))
    }

    /// The part that a node stands for.
    fn at(&self, node: &str) -> Option<Place<'_>> {
        self.places().find(|place| place.node == node)
    }

    /// The part that a path of the config leads to.
    fn lead(&self, path: &str) -> Result<Option<Place<'_>>, ViewError> {
        let path = RootPath::from(path).to_string();
        for image in &self.images {
            for name in &image.file.names {
                if *name == path {
                    return Ok(Some(image.whole()));
                }
                let is_named = |place: &Place<'_>| {
                    let number = place.partition.as_ref().map(|(number, _, _)| *number);
                    number.is_some_and(|number| names::of_partition(name, number) == path)
                };
                if let Some(place) = image.partitions().find(is_named) {
                    return Ok(Some(place));
                }
            }
        }
        if !path.starts_with("/dev/disk/") {
            return Ok(None);
        }
        Ok(self.links()?.node(&path)?.and_then(|node| self.at(node)))
    }

    fn links(&self) -> Result<&Links, ViewError> {
        if let Some(links) = self.links.get() {
            return Ok(links);
        }
        let mut links = Links::default();
        for place in self.places() {
            links.add(&place.node, &self.probe(&place)?);
        }
        Ok(self.links.get_or_init(|| links))
    }

    fn probe(&self, place: &Place<'_>) -> Result<Found, ViewError> {
        if let Some(found) = self.found.borrow().get(&place.node) {
            return Ok(found.clone());
        }
        let part = Part {
            start: place.start,
            size: place.size,
        };
        let path = place.image.file.path().to_string_lossy();
        let mut found = blkid::probe_part(&self.runner, &path, Some(part))?;
        if let Some((_, name, guid)) = &place.partition {
            found = found.in_gpt(name.clone(), guid);
        }
        self.found.borrow_mut().insert(place.node.clone(), found.clone());
        Ok(found)
    }

    /// The file that a device is a part of, where the part begins and how many bytes it has.
    pub fn part(&self, node: &str) -> Result<Option<(File, u64, u64)>, ViewError> {
        let Some(place) = self.at(node) else {
            return Ok(None);
        };
        let file = place.image.file.file().try_clone();
        let file = file.map_err(failed("open again", &place.image.file))?;
        Ok(Some((file, place.start, place.size)))
    }

    /// What to say of paths that are not on the images.
    pub fn missing(&self, missing: Vec<String>) -> DeviceMissing {
        let present = self.places().map(|place| {
            let mut parts = vec![size_text(place.size)];
            if let Ok(found) = self.probe(&place) {
                let signature = found.signature;
                parts.extend(Some(signature.table).filter(|table| !table.is_empty()));
                parts.extend(Some(signature.kind).filter(|kind| !kind.is_empty()));
                if !signature.label.is_empty() {
                    parts.push(format!("label {}", signature.label));
                }
            }
            if let Some((_, name, _)) = &place.partition {
                parts.push(format!("partlabel {name}"));
            }
            format!("{} ({})", place.node, parts.join(", "))
        });
        DeviceMissing {
            missing,
            waited: std::time::Duration::ZERO,
            stopped: false,
            present: present.collect(),
        }
    }
}

fn failed(operation: &'static str, file: &ImageFile) -> impl FnOnce(io::Error) -> ViewError {
    let path = file.path().display().to_string();
    move |source| ViewError::Io {
        operation,
        path,
        source,
    }
}

impl Devices for ImageDevices {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        Ok(self.lead(path)?.map(|place| place.device()))
    }

    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
        let image = self.images.iter().find(|image| image.file.node() == node);
        let parts = image.into_iter().flat_map(Image::partitions);
        Ok(parts.map(|place| place.device()).collect())
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        let Some(place) = self.at(node) else {
            return Ok(Signature::default());
        };
        if let Some(marks) = &self.marks
            && marks
                .has(&place.image.file.identity_at(place.start))
                .map_err(failed("look at the marks of", &place.image.file))?
        {
            return Ok(Signature::default());
        }
        Ok(self.probe(&place)?.signature)
    }

    fn scan(&self, node: &str) -> Result<Scan, ViewError> {
        match self.at(node) {
            Some(Place {
                image,
                partition: None,
                ..
            }) => Ok(image.scan.clone()),
            Some(place) => gpt::scan(&place).map_err(failed("read", &place.image.file)),
            None => Err(ViewError::Io {
                operation: "read the partition table of",
                path: node.to_owned(),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        let Some(place) = self.at(node) else {
            return Ok(None);
        };
        luks::read(&place.reads()).map_err(failed("read the header on", &place.image.file))
    }

    fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
        let Some(place) = self.at(node) else {
            return Ok(None);
        };
        raid::read(&place.reads(), place.size).map_err(failed("read the superblock on", &place.image.file))
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        Ok(Vec::new())
    }
}
