//! What a partition table on a disk's image says, read here by a few lines of our own: neither the product's reader nor a program
//! whose opinion is one of those compared.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::{Doing as _, Result};

/// One copy of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID, upper case
    pub guid: String,
    /// First and last sector that partitions may use
    pub usable: (u64, u64),
    /// The sector with the other copy's header
    pub alternate: u64,
    /// The size of the array, in entries
    pub slots: u32,
    /// The entries in use, by number
    pub partitions: Vec<Partition>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 1
    pub number: u32,
    /// First and last sector
    pub sectors: (u64, u64),
    /// Type, upper case
    pub type_guid: String,
    /// Its own GUID, upper case
    pub guid: String,
    /// Its name
    pub label: String,
    /// Attribute bits
    pub attributes: u64,
}

/// What the first and the last sectors of a disk say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The copy at the start, if it is sound: signature, place and both sums
    pub primary: Option<Table>,
    /// The copy at the end, if it is sound
    pub backup: Option<Table>,
    /// Types, first sectors and sizes of the four MBR entries, if there is an MBR
    pub mbr: Option<[(u8, u32, u32); 4]>,
}

impl Label {
    /// Reads an image with sectors of this size.
    pub fn read(image: &Path, sector: u32) -> Result<Self> {
        let file = File::open(image).doing(image.display())?;
        let size = file.metadata().doing(image.display())?.len();
        let sectors = size / u64::from(sector);
        let mut first = [0; 512];
        file.read_exact_at(&mut first, 0).doing(image.display())?;
        let mbr = first.ends_with(&[0x55, 0xaa]).then(|| {
            [446, 462, 478, 494].map(|at| (first[at + 4], number(&first, at + 8), number(&first, at + 12)))
        });
        let last = sectors.saturating_sub(1);
        Ok(Self {
            primary: table(&file, sector, 1),
            backup: table(&file, sector, last),
            mbr,
        })
    }

    /// The table, if both copies are sound and equal but for where they are.
    pub fn sound(&self) -> Option<&Table> {
        let (primary, backup) = (self.primary.as_ref()?, self.backup.as_ref()?);
        let same = Table {
            alternate: primary.alternate,
            ..backup.clone()
        } == *primary;
        (same && backup.alternate == 1).then_some(primary)
    }
}

impl Table {
    /// The partition of this number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.number == number)
    }
}

impl Partition {
    /// The number of its sectors.
    pub fn size(&self) -> u64 {
        self.sectors.1 + 1 - self.sectors.0
    }
}

fn table(file: &File, sector: u32, at: u64) -> Option<Table> {
    let mut header = [0; 92];
    file.read_exact_at(&mut header, at * u64::from(sector)).ok()?;
    if !header.starts_with(b"EFI PART") || number(&header, 12) != 92 || long(&header, 24) != at {
        return None;
    }
    let sum = number(&header, 16);
    let mut unsummed = header;
    unsummed[16..20].fill(0);
    let slots = number(&header, 80);
    let entry = number(&header, 84);
    let array_size = usize::try_from(u64::from(slots) * u64::from(entry)).ok()?;
    if crc(&unsummed) != sum || entry < 128 || array_size > 1 << 24 {
        return None;
    }
    let mut array = vec![0; array_size];
    file.read_exact_at(&mut array, long(&header, 72) * u64::from(sector))
        .ok()?;
    if crc(&array) != number(&header, 88) {
        return None;
    }
    let partitions = array
        .chunks_exact(usize::try_from(entry).ok()?)
        .zip(1..)
        .filter(|(bytes, _)| bytes[..16] != [0; 16])
        .map(|(bytes, number)| {
            let units: Vec<u16> = bytes[56..128]
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .take_while(|unit| *unit != 0)
                .collect();
            Partition {
                number,
                sectors: (long(bytes, 32), long(bytes, 40)),
                type_guid: guid(&bytes[..16]),
                guid: guid(&bytes[16..32]),
                label: String::from_utf16_lossy(&units),
                attributes: long(bytes, 48),
            }
        })
        .collect();
    Some(Table {
        guid: guid(&header[56..72]),
        usable: (long(&header, 40), long(&header, 48)),
        alternate: long(&header, 32),
        slots,
        partitions,
    })
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(number(bytes, at)) | u64::from(number(bytes, at + 4)) << 32
}

/// The first three fields are little-endian.
fn guid(bytes: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::new();
    for (count, at) in order.into_iter().enumerate() {
        if [4, 6, 8, 10].contains(&count) {
            text.push('-');
        }
        text += &format!("{:02X}", bytes[at]);
    }
    text
}

/// CRC-32 as in Ethernet.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{crc, guid};

    #[test]
    fn sums_and_guids() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(guid(&bytes), "03020100-0504-0706-0809-0A0B0C0D0E0F");
    }
}
