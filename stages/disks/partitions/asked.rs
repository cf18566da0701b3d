//! An entry of `partitions` in the units of a disk.

use crate::config::types::Partition;
use crate::gpt::{Entry, Geometry, Guid, Name, Table, amount};
use crate::report::Pointer;

use super::{Difference, Reason, Refusal, Request, refuse};

/// What the config asks for, in sectors.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its index in the config
    pub(super) index: usize,
    /// 0: a free one
    pub(super) number: u32,
    pub(super) should_exist: bool,
    pub(super) wipe_entry: bool,
    pub(super) resize: bool,
    /// First sector, if given; 0: where the largest free block begins
    pub(super) start: Option<u64>,
    /// Number of sectors, if given; 0: all that are free from the start
    pub(super) size: Option<u64>,
    pub(super) type_guid: Option<Guid>,
    pub(super) guid: Option<Guid>,
    pub(super) name: Option<Name>,
    label: Option<String>,
}

/// The list in the order of deciding: number 0 last, otherwise as it is.
pub(super) fn asked(request: &Request<'_>, found: Option<&Table>) -> Result<Vec<Asked>, Refusal> {
    let slots = found.map_or(128, |table| table.entry_count);
    let mut list = Vec::new();
    for (index, partition) in request.disk.partitions.iter().enumerate() {
        let read = read(partition, index, request.scan.geometry, slots);
        list.push(read.map_err(|(pointer, reason)| refuse(request, pointer, reason))?);
    }
    list.sort_by_key(|partition| partition.number == 0);
    Ok(list)
}

fn read(
    partition: &Partition,
    index: usize,
    geometry: Geometry,
    slots: u32,
) -> Result<Asked, (Pointer, Reason)> {
    let at = Pointer::root().key("partitions").index(index);
    let should_exist = partition.should_exist != Some(false);
    let number = match u32::try_from(partition.number) {
        Ok(number) if number <= slots || !should_exist => number,
        // What cannot exist does not.
        Err(_) if !should_exist => u32::MAX,
        _ => {
            let number = partition.number;
            return Err((at.key("number"), Reason::NumberTooLarge { number, slots }));
        }
    };
    let sectors = |mib: Option<i64>, key: &'static str| match mib {
        None => Ok(None),
        Some(mib) => u64::try_from(mib)
            .ok()
            .and_then(|mib| mib.checked_mul(geometry.sectors_per_mib()))
            .map(Some)
            .ok_or((at.key(key), Reason::Amount { mib })),
    };
    let guid = |text: &Option<String>, key: &'static str| match text.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|problem| (at.key(key), Reason::Guid(problem))),
    };
    let type_guid: Option<Guid> = guid(&partition.type_guid, "typeGuid")?;
    if type_guid.is_some_and(Guid::is_zero) {
        return Err((at.key("typeGuid"), Reason::UnusedType));
    }
    let name = match partition.label.as_deref() {
        None => None,
        Some(label) => Some(Name::new(label).ok_or((at.key("label"), Reason::Label))?),
    };
    Ok(Asked {
        index,
        number,
        should_exist,
        wipe_entry: partition.wipe_partition_entry == Some(true),
        resize: partition.resize == Some(true),
        start: sectors(partition.start_mib, "startMiB")?,
        size: sectors(partition.size_mib, "sizeMiB")?,
        type_guid,
        guid: guid(&partition.guid, "guid")?,
        name,
        label: partition.label.clone(),
    })
}

impl Asked {
    /// A place in the config, relative to the disk.
    pub(super) fn pointer(&self, key: &'static str) -> Pointer {
        Pointer::root().key("partitions").index(self.index).key(key)
    }

    /// In what a partition that is there differs from what is asked for. What is not given does not count.
    pub(super) fn differences(&self, entry: &Entry, geometry: Geometry) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |key, same: bool, wanted: String, there: String| {
            if !same {
                differences.push(Difference { key, wanted, there });
            }
        };
        let mib = |sectors| amount(sectors, geometry.sectors_per_mib(), geometry.sector_size);
        let exact = |sectors| format!("{} ({sectors} sectors)", mib(sectors));
        if let Some(start) = self.start {
            compare("startMiB", start == entry.first, exact(start), exact(entry.first));
        }
        if let Some(size) = self.size {
            compare("sizeMiB", size == entry.size(), exact(size), exact(entry.size()));
        }
        if let Some(guid) = self.guid {
            compare(
                "guid",
                guid == entry.guid,
                guid.to_string(),
                entry.guid.to_string(),
            );
        }
        if let Some(kind) = self.type_guid {
            let there = entry.type_guid;
            compare("typeGuid", kind == there, kind.to_string(), there.to_string());
        }
        if let Some(label) = &self.label {
            let there = entry.name.text();
            compare(
                "label",
                *label == there,
                format!("{label:?}"),
                format!("{there:?}"),
            );
        }
        differences
    }
}
