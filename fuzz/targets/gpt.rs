//! Partition tables: whatever is on a disk is described; what is planned and written reads back equal, and at every cut there is the
//! old or the new table.
#![no_main]

use std::collections::BTreeMap;
use std::io;

use ignition_rs::config::types::{Disk as Config, Partition};
use ignition_rs::gpt::{
    BootSector, Entry, Found, Geometry, Guid, Health, MbrPartition, Name, ReadAt, Scan, Table, Write, scan,
    tell, writes,
};
use ignition_rs::stages::disks::partitions::{Request, plan};
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

/// An image in memory.
struct Image {
    sector_size: u32,
    bytes: Vec<u8>,
}

impl ReadAt for Image {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.bytes.as_slice().read_at(offset, buffer)
    }
}

impl Image {
    /// Writes of a plan are within the disk.
    fn apply(&mut self, write: &Write, sectors: usize) {
        let start = usize::try_from(write.offset).unwrap();
        let length = sectors
            .saturating_mul(self.sector_size as usize)
            .min(write.bytes.len());
        self.bytes[start..start + length].copy_from_slice(&write.bytes[..length]);
    }

    /// Damage goes where it fits.
    fn damage(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    fn scan(&self) -> Scan {
        scan(self).expect("an image can be read")
    }
}

/// The input, field by field; beyond its end are zeros.
struct Input<'d>(&'d [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u64 {
        u64::from(self.byte()) | u64::from(self.byte()) << 8
    }

    /// Mostly small, sometimes any.
    fn sector(&mut self) -> u64 {
        match self.byte() {
            0xff => (0..8).fold(0, |sum, _| sum << 8 | u64::from(self.byte())),
            0xfe => u64::MAX - self.short(),
            _ => self.short(),
        }
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() & 1 == 1).then(|| value(self))
    }
}

/// A disk of 0 to 4096 sectors with a table of the input's making: its checksums are right, and nothing else needs to be.
fn image(input: &mut Input) -> Image {
    let shape = input.byte();
    let sector_size: u32 = if shape & 1 == 0 { 512 } else { 4096 };
    let sectors = input.short() % (if sector_size == 512 { 6144 } else { 700 });
    let mut image = Image {
        sector_size,
        bytes: vec![0; sectors as usize * sector_size as usize],
    };
    if shape & 2 == 0 {
        return image;
    }
    let geometry = Geometry { sector_size, sectors };
    let boot = BootSector::blank(sector_size);
    let guid = Guid([input.byte(); 16]);
    let Ok(mut table) = Table::fresh(geometry, guid, &boot) else {
        return image;
    };
    if shape & 4 != 0 {
        table.entry_count = 1 + u32::from(input.byte());
        let array = table.array_sectors();
        table.first_usable = 2 + array + u64::from(input.byte() & 7);
        table.primary_entries = 2 + u64::from(input.byte() & 7);
        table.backup_entries = table.backup_header.saturating_sub(array);
        table.last_usable = table
            .backup_entries
            .saturating_sub(1 + u64::from(input.byte() & 7));
    }
    if shape & 8 != 0 {
        table.first_usable = input.sector();
        table.last_usable = input.sector();
    }
    if shape & 16 != 0 {
        // The disk has grown.
        let array = table.array_sectors();
        table.backup_header = table.backup_header.saturating_sub(1 + input.short() % 300);
        table.backup_entries = table.backup_header.saturating_sub(array);
        table.last_usable = table.backup_entries.saturating_sub(1);
    }
    for _ in 0..input.byte() % 12 {
        let number = 1 + u32::from(input.byte()) % table.entry_count;
        let first = input.sector();
        let last = if input.byte() & 3 == 0 {
            input.sector()
        } else {
            first.saturating_add(input.short())
        };
        let entry = Entry {
            type_guid: Guid([input.byte().max(1); 16]),
            guid: Guid([input.byte(); 16]),
            first,
            last,
            attributes: input.sector(),
            name: Name([u16::from(input.byte()) << 8; Name::UNITS]),
        };
        table.entries.insert(number, entry);
    }
    let blank = image.scan();
    for write in writes(&blank, false, Some(&table)) {
        let fits = write.offset + write.bytes.len() as u64 <= image.bytes.len() as u64;
        if fits && (shape & 32 == 0 || input.byte() != 0) {
            image.apply(&write, usize::MAX);
        }
    }
    image
}

fn config(input: &mut Input) -> Config {
    let mut disk = Config {
        device: "/dev/vda".into(),
        wipe_table: input.maybe(|input| input.byte() & 1 == 1),
        partitions: Vec::new(),
    };
    for _ in 0..input.byte() % 8 {
        let mib = |input: &mut Input| match input.byte() {
            0xff => i64::MAX - input.short() as i64,
            0xfe => -1,
            small => i64::from(small % 5),
        };
        let guid = |input: &mut Input| Guid([input.byte(); 16]).to_string();
        disk.partitions.push(Partition {
            number: if input.byte() == 0xff {
                input.short() as i64 - 10
            } else {
                i64::from(input.byte() % 14)
            },
            label: input.maybe(|input| {
                char::from(input.byte())
                    .to_string()
                    .repeat(usize::from(input.byte() % 40))
            }),
            guid: input.maybe(guid),
            type_guid: input.maybe(guid),
            start_mib: input.maybe(mib),
            size_mib: input.maybe(mib),
            resize: input.maybe(|input| input.byte() & 1 == 1),
            should_exist: input.maybe(|input| input.byte() & 3 != 1),
            wipe_partition_entry: input.maybe(|input| input.byte() & 1 == 1),
        });
    }
    disk
}

/// What counts of a finding.
#[derive(Debug, PartialEq)]
enum Essence {
    Gpt(Guid, BTreeMap<u32, Entry>),
    Blank,
    Mbr(Vec<MbrPartition>),
    Other,
}

fn essence(scan: Scan) -> Essence {
    match scan.found {
        Found::Gpt { table, .. } => Essence::Gpt(table.disk_guid, table.entries),
        Found::Blank => Essence::Blank,
        Found::Mbr { partitions } => Essence::Mbr(partitions),
        Found::Other { .. } => Essence::Other,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for shape in [0, 2, 3, 6, 7, 18, 34, 22, 54, 63] {
        for filler in [0x01, 0x03, 0x11, 0x41] {
            let mut seed = vec![shape, 0x00, 0x15];
            seed.extend((0..200_u16).map(|place| (place * 7 % 64) as u8 ^ filler));
            seeds.push(seed);
        }
    }
    seeds
}

fuzz_target!(init: plant(&seeds(), &["EFI PART", "\u{55}", "\0\0\0\0\0\0\0\u{1}"]), |data: &[u8]| {
    let mut input = Input(data);
    let mut image = image(&mut input);
    for _ in 0..input.byte() % 4 {
        // Damage at the start, or at the end.
        let from_end = input.byte() & 1 == 1;
        let place = input.short() as usize % (40 * image.sector_size as usize);
        let at = if from_end { image.bytes.len().saturating_sub(place + 1) } else { place };
        let count = usize::from(input.byte() % 20);
        let bytes: Vec<u8> = (0..count).map(|_| input.byte()).collect();
        image.damage(at, &bytes);
    }
    let wanted = config(&mut input);
    let old = image.scan();
    if let Some(table) = old.table() {
        let _ = ignition_rs::gpt::render(table, &|number| (number == 3).then(|| "note".into()));
        let _ = table.flaws();
        let _ = tell(&[], Some(table));
    }

    let in_use: BTreeMap<u32, String> = input.maybe(|input| (u32::from(input.byte() % 14), "mounted".into())).into_iter().collect();
    let request = Request { disk: &wanted, scan: &old, in_use: &in_use };
    let mut count = 0;
    let mut random = || {
        count += 1;
        [count; 16]
    };
    let done = match plan(&request, &mut random) {
        Ok(done) => done,
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            return;
        }
    };
    let list = done.writes(&old);
    // Writes are applied in place, sector by sector: (which, how far) and what was found then.
    let mut states: Vec<(usize, bool, Essence)> = Vec::new();
    for (position, write) in list.iter().enumerate() {
        assert_eq!(write.offset % u64::from(image.sector_size), 0);
        for torn in [1, 2, 5, usize::MAX] {
            image.apply(write, torn);
            states.push((position, torn == usize::MAX, essence(image.scan())));
        }
    }
    let found = image.scan();
    match &done.table {
        Some(table) => {
            assert_eq!(table.flaws(), []);
            let Found::Gpt { table: read, health } = &found.found else { panic!("{found:?}") };
            assert_eq!(**read, *table);
            assert_eq!(*health, Health::Whole);
            // Partitions that are not listed are untouched; so are those in use.
            if let (false, Some(before)) = (done.wipe, old.table()) {
                for (number, entry) in &before.entries {
                    if !wanted.partitions.iter().any(|asked| asked.number == i64::from(*number)) || in_use.contains_key(number) {
                        assert_eq!(table.entries.get(number), Some(entry));
                    }
                }
            }
        }
        None if done.wipe => assert_eq!(found.found, Found::Blank),
        None => assert!(list.is_empty()),
    }

    let (before, after) = (essence(old.clone()), essence(found));
    // Where the new table has to stand on the old one, that is erased before.
    let is_erased = |write: &Write| write.offset == 0 && write.bytes.iter().all(|byte| *byte == 0);
    let erased = done.wipe && list.iter().any(is_erased);
    let mut turned = false;
    for (position, complete, state) in states {
        let between = erased && state == Essence::Blank;
        assert!(state == before || state == after || between, "write {position} of {list:?}: {state:?}\nold {old:?}\nnew {after:?}");
        assert!(!turned || state == after, "write {position} of {list:?} goes back");
        turned |= complete && state == after && before != after;
    }
});
