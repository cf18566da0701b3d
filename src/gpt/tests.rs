//! Reading, placing and writing in memory; `tests/gpt` does it on disks, beside sgdisk.

use proptest::prelude::*;

use super::bytes::{crc32, put};
use super::*;

/// 4 MiB of 512-byte sectors.
const SECTORS: u64 = 8192;

fn geometry() -> Geometry {
    let (sector_size, sectors) = (512, SECTORS);
    Geometry { sector_size, sectors }
}

fn entry(first: u64, last: u64) -> Entry {
    Entry {
        type_guid: Guid::LINUX,
        guid: Guid([7; 16]),
        first,
        last,
        attributes: 1 << 60 | 4,
        name: Name::new("häß 😀").unwrap(),
    }
}

fn table(entries: &[(u32, u64, u64)]) -> Table {
    let mut table = Table::fresh(geometry(), Guid([1; 16]), &BootSector::blank(512)).unwrap();
    table.entries = entries
        .iter()
        .map(|(number, first, last)| (*number, entry(*first, *last)))
        .collect();
    table
}

fn image() -> Vec<u8> {
    vec![0; usize::try_from(SECTORS).unwrap() * 512]
}

fn apply(image: &mut [u8], writes: &[Write]) {
    for write in writes {
        put(image, usize::try_from(write.offset).unwrap(), &write.bytes);
    }
}

fn with(table: &Table) -> Vec<u8> {
    let mut image = image();
    let blank = scan(image.as_slice()).unwrap();
    apply(&mut image, &writes(&blank, false, Some(table)));
    image
}

fn found(image: &[u8]) -> Found {
    scan(image).unwrap().found
}

/// Changes a field of the header at this sector, and makes its checksum right again.
fn edit(image: &mut [u8], sector: usize, at: usize, bytes: &[u8]) {
    let header = &mut image[sector * 512..][..512];
    put(header, at, bytes);
    put(header, 16, &[0; 4]);
    let sum = crc32(&header[..92]);
    put(header, 16, &sum.to_le_bytes());
}

#[test]
fn what_is_written_is_read_back() {
    let table = table(&[(1, 34, 34), (2, 2048, 4095), (128, 8000, 8158)]);
    let found = found(&with(&table));
    let health = Health::Whole;
    assert_eq!(
        found,
        Found::Gpt {
            table: Box::new(table),
            health
        }
    );
}

#[test]
fn names_are_36_utf16_units() {
    assert_eq!(Name::new("").unwrap(), Name::default());
    assert_eq!(Name::new("a😀").unwrap().text(), "a😀");
    assert!(Name::new(&"x".repeat(36)).is_some());
    assert!(Name::new(&"x".repeat(37)).is_none());
    assert!(Name::new(&"😀".repeat(18)).is_some());
    assert!(Name::new(&"😀".repeat(19)).is_none());
    assert!(Name::new("a\0b").is_none());
    let mut broken = Name::new("ab").unwrap();
    broken.0[1] = 0xd800;
    assert_eq!(broken.text(), "a\u{fffd}");
}

#[test]
fn names_that_are_no_text_stay() {
    let mut table = table(&[(1, 2048, 4095)]);
    table.entries.get_mut(&1).unwrap().name.0[0] = 0xd800;
    let Found::Gpt { table: read, .. } = found(&with(&table)) else {
        panic!()
    };
    assert_eq!(*read, table);
}

#[test]
fn longer_headers_keep_what_they_have() {
    let mut table = table(&[(1, 2048, 4095)]);
    table.header_rest = vec![9; 36];
    let Found::Gpt { table: read, health } = found(&with(&table)) else {
        panic!()
    };
    assert_eq!((*read, health), (table, Health::Whole));
}

#[test]
fn small_disks() {
    let boot = BootSector::blank(512);
    let of = |sectors| {
        Table::fresh(
            Geometry {
                sector_size: 512,
                sectors,
            },
            Guid::ZERO,
            &boot,
        )
    };
    assert_eq!(
        of(67).unwrap_err(),
        TooSmall {
            needed: 68,
            sectors: 67
        }
    );
    let smallest = of(68).unwrap();
    assert_eq!((smallest.first_usable, smallest.last_usable), (34, 34));
    for size in [0, 511, 512, 1023, 1024, 1536, 34 * 512] {
        assert_eq!(
            scan(vec![0; size].as_slice()).unwrap().found,
            Found::Blank,
            "{size}"
        );
    }
}

#[test]
fn absurd_sector_sizes_are_an_error() {
    struct Odd(u32);
    impl ReadAt for Odd {
        fn size(&self) -> u64 {
            u64::MAX
        }
        fn sector_size(&self) -> u32 {
            self.0
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Ok(())
        }
    }
    for size in [0, 1, 500, 520, 1 << 17] {
        assert!(scan(&Odd(size)).is_err(), "{size}");
    }
    assert_eq!(scan(&Odd(4096)).unwrap().found, Found::Blank);
}

#[test]
fn tables_that_are_not_worked_on() {
    let sound = with(&table(&[(1, 2048, 4095)]));
    let cases: [(usize, &[u8], &str); 8] = [
        (84, &256_u32.to_le_bytes(), "entries of 256 bytes"),
        (80, &(MAX_ENTRIES + 1).to_le_bytes(), "16385 entries"),
        (80, &u32::MAX.to_le_bytes(), "4294967295 entries"),
        (80, &0_u32.to_le_bytes(), "of 0 entries"),
        (48, &SECTORS.to_le_bytes(), "of a larger disk"),
        (40, &33_u64.to_le_bytes(), "contradicts itself"),
        (40, &8159_u64.to_le_bytes(), "contradicts itself"),
        (48, &8160_u64.to_le_bytes(), "sectors of its backup"),
    ];
    for (at, bytes, expected) in cases {
        let mut image = sound.clone();
        edit(&mut image, 1, at, bytes);
        let Found::Other { what } = found(&image) else {
            panic!("{expected}: {:?}", found(&image))
        };
        assert!(what.contains(expected), "{what}");
    }
}

#[test]
fn a_backup_whose_array_is_elsewhere() {
    // Found by the fuzzer: writing the primary array would have damaged the only whole copy.
    let sound = table(&[(1, 2048, 4095)]);
    let mut image = with(&sound);
    edit(&mut image, 8191, 72, &2_u64.to_le_bytes());
    let Found::Gpt { table: read, health } = found(&image) else {
        panic!()
    };
    assert_eq!((*read, health), (sound, Health::BackupDamaged));
    image[512..1024].fill(0);
    assert!(matches!(found(&image), Found::Other { what } if what.contains("contradicts itself")));
}

#[test]
fn a_wipe_of_a_table_for_three_sectors() {
    // Found by the fuzzer: the backup stands where the new primary array goes.
    let mut tiny = table(&[(1, 3, 5)]);
    (tiny.entry_count, tiny.first_usable, tiny.last_usable) = (4, 3, 5);
    (tiny.backup_entries, tiny.backup_header) = (6, 7);
    let mut image = with(&tiny);
    image[1024] ^= 1;
    let old = scan(image.as_slice()).unwrap();
    assert!(
        matches!(
            &old.found,
            Found::Gpt {
                health: Health::PrimaryDamaged,
                ..
            }
        ),
        "{old:?}"
    );
    let new = table(&[(1, 2048, 4095)]);
    let list = writes(&old, true, Some(&new));
    for write in &list {
        apply(&mut image, std::slice::from_ref(write));
        match found(&image) {
            Found::Blank => {}
            Found::Gpt { table, .. } => assert!(*table == new || table.entries == tiny.entries, "{table:?}"),
            other => panic!("{other:?}"),
        }
    }
    let health = Health::Whole;
    assert_eq!(
        found(&image),
        Found::Gpt {
            table: Box::new(new),
            health
        }
    );
}

#[test]
fn the_first_sector_tells_tables_apart() {
    let mbr = |kinds: [u8; 4]| {
        let mut image = image();
        for (index, kind) in kinds.into_iter().enumerate() {
            let start = u8::try_from(index + 1).unwrap();
            put(
                &mut image,
                446 + 16 * index,
                &[0, 0, 0, 0, kind, 0, 0, 0, 0, start, 0, 0, 1, 0, 0, 0],
            );
        }
        put(&mut image, 510, &[0x55, 0xaa]);
        image
    };
    let linux = MbrPartition {
        number: 2,
        kind: 0x83,
        start: 512,
        size: 1,
    };
    assert_eq!(
        found(&mbr([0, 0x83, 0, 0])),
        Found::Mbr {
            partitions: vec![linux]
        }
    );
    assert!(matches!(found(&mbr([0; 4])), Found::Other { .. }));
    // Protects a GPT that is gone.
    assert_eq!(found(&mbr([0xee, 0, 0, 0])), Found::Blank);
    assert_eq!(found(&mbr([0xee, 0x83, 0, 0])), Found::Blank);

    let gpt = with(&table(&[(1, 2048, 4095)]));
    for (kinds, is_gpt) in [
        ([0x83, 0, 0, 0], false),
        ([0xee, 0x83, 0, 0], true),
        ([0x83, 0xee, 0, 0], true),
        ([0; 4], true),
    ] {
        let mut image = gpt.clone();
        image[..512].copy_from_slice(&mbr(kinds)[..512]);
        assert_eq!(matches!(found(&image), Found::Gpt { .. }), is_gpt, "{kinds:?}");
    }
}

#[test]
fn other_systems_tables() {
    for (at, bytes, expected) in [
        (512, &[0x57, 0x45, 0x56, 0x82][..], "BSD"),
        (64, &[0x57, 0x45, 0x56, 0x82], "BSD"),
        (508, &[0xda, 0xbe], "Sun"),
        (0, &[0x0b, 0xe5, 0xa9, 0x41], "SGI"),
    ] {
        let mut image = image();
        put(&mut image, at, bytes);
        assert!(
            matches!(found(&image), Found::Other { what } if what.contains(expected)),
            "{expected}"
        );
    }
    let mut apple = image();
    put(&mut apple, 0, b"ER");
    assert_eq!(found(&apple), Found::Blank);
    put(&mut apple, 512, b"PM");
    assert!(matches!(found(&apple), Found::Other { what } if what.contains("Apple")));
}

#[test]
fn flaws_are_named() {
    let table = table(&[
        (1, 2048, 4095),
        (2, 4095, 5000),
        (3, 20, 40),
        (4, 6000, 5999),
        (5, 8000, 8159),
        (6, 2050, 2060),
    ]);
    assert_eq!(
        table.flaws(),
        [
            Flaw::Outside(3),
            Flaw::Backwards(4),
            Flaw::Outside(5),
            Flaw::Overlap(1, 6),
            Flaw::Overlap(1, 2)
        ]
    );
    assert_eq!(super::tests::table(&[(1, 34, 2047), (2, 2048, 8158)]).flaws(), []);
}

#[test]
fn tables_are_shown() {
    let mut table = table(&[(9, 6144, 8000), (1, 2048, 4095)]);
    table.entries.get_mut(&1).unwrap().type_guid = Guid([0x11; 16]);
    table.entries.get_mut(&1).unwrap().name = Name::new("a\u{1b}[2J").unwrap();
    insta::assert_snapshot!(render(&table, &|number| (number == 9).then(|| "mounted at /".to_owned())), @r"
    number  label       first sector  last sector      size  type
         1  a\u{1b}[2J          2048         4095     1 MiB  11111111-1111-1111-1111-111111111111
         -                      4096         6143     1 MiB  free
         9  häß 😀               6144         8000  950784 B  Linux filesystem  <- mounted at /
    ");
}

/// sgdisk's arithmetic as sgdisk does it: sector after sector.
mod model {
    use super::{Extent, Table};

    fn is_free(table: &Table, sector: u64) -> bool {
        let taken = |first: u64, last: u64| sector >= first && sector <= last;
        let usable = taken(table.first_usable, table.last_usable);
        usable && !table.entries.values().any(|entry| taken(entry.first, entry.last))
    }

    fn align(table: &Table, sector: u64, to: u64) -> u64 {
        if sector.is_multiple_of(to) {
            return sector;
        }
        let (earlier, later) = (sector / to * to, sector / to * to + to);
        if (earlier..sector).all(|sector| is_free(table, sector)) {
            earlier
        } else if (sector + 1..=later).all(|sector| is_free(table, sector)) {
            later
        } else {
            sector
        }
    }

    pub(super) fn place(table: &Table, to: u64, start: u64, size: u64) -> Option<Extent> {
        let mut largest = (0, 0);
        let mut sector = table.first_usable;
        while sector <= table.last_usable {
            let count = (sector..=table.last_usable)
                .take_while(|sector| is_free(table, *sector))
                .count() as u64;
            if count > largest.1 {
                largest = (sector, count);
            }
            sector += count.max(1);
        }
        let wanted = if start != 0 {
            start
        } else if largest.1 > 0 {
            align(table, largest.0, to)
        } else {
            return None;
        };
        let first = align(table, wanted, to);
        let free = (first..=table.last_usable)
            .take_while(|sector| is_free(table, *sector))
            .count() as u64;
        let last = if size == 0 {
            first + free.max(1) - 1
        } else {
            wanted + size - 1
        };
        (first <= last && last < first + free).then_some(Extent { first, last })
    }
}

proptest! {
    #[test]
    fn places_are_those_of_the_model(
        parts in prop::collection::vec((1_u32..9, 20_u64..400, 0_u64..90), 0..6),
        grain in prop::sample::select(vec![1_u64, 2, 8, 16, 64]),
        start in prop_oneof![Just(0_u64), 0_u64..450],
        size in prop_oneof![Just(0_u64), 1_u64..200],
    ) {
        let small = Geometry { sector_size: 8192, sectors: 400 };
        let mut table = Table::fresh(small, Guid::ZERO, &BootSector::blank(8192)).unwrap();
        for (number, first, length) in parts {
            let first = first / grain * grain;
            let candidate = entry(first, first + length);
            let mut with = table.clone();
            with.entries.insert(number, candidate);
            if with.flaws().is_empty() {
                table = with;
            }
        }
        let room = Room::on(&table);
        let placed = room.place(&table, start, size);
        prop_assert_eq!(placed.ok(), model::place(&table, room.alignment(), start, size), "{:?}", placed);
    }

    #[test]
    fn any_table_reads_back(
        parts in prop::collection::vec((1_u32..=128, 34_u64..8158, 0_u64..300, any::<[u8; 16]>(), any::<u64>(), any::<[u8; 36]>()), 0..10),
    ) {
        let mut table = table(&[]);
        for (number, first, length, guid, attributes, name) in parts {
            let type_guid = if guid == [0; 16] { Guid::LINUX } else { Guid(guid) };
            let name = Name(name.map(|byte| u16::from(byte) << 7));
            let last = first + length;
            table.entries.insert(number, Entry { type_guid, guid: Guid(guid), first, last, attributes, name });
        }
        let Found::Gpt { table: read, health } = found(&with(&table)) else { panic!() };
        prop_assert_eq!((*read, health), (table, Health::Whole));
    }
}
