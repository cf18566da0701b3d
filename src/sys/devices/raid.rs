//! Superblocks of Linux software RAID, read from the member itself: a plan needs no program for it, and works on an image.
//!
//! The form is that of the kernel's `include/uapi/linux/raid/md_p.h`. Numbers of version 1 are little endian; those of 0.90
//! are the machine's own, of which only little endian ones are read.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use super::read_at::{ReadAt, field, of_file, text};
use crate::view::Member;

const MAGIC: u32 = 0xa92b_4efc;

/// Bytes that a superblock of version 1 has before the table of its members.
const FIXED: usize = 256;

/// The most members that version 1 allows for (its superblock has 4 KiB).
const MOST: u32 = 1920;

/// The superblock on a device of so many bytes; `None` if there is none. That of version 1.2 or 1.1 goes before the
/// others, which stand at the end.
pub fn read(read: ReadAt<'_>, size: u64) -> io::Result<Option<Member>> {
    let places = [Some(4096), Some(0), at_end(size)];
    for place in places.into_iter().flatten() {
        if let Some(member) = version_1(&read(place, 4096)?, place) {
            return Ok(Some(member));
        }
    }
    match (size & !0xffff).checked_sub(0x1_0000) {
        Some(place) => Ok(version_0(&read(place, 64)?)),
        None => Ok(None),
    }
}

/// The superblock on the device at a path.
pub fn of_device(node: &str) -> io::Result<Option<Member>> {
    let mut file = File::open(node)?;
    let size = file.seek(SeekFrom::End(0))?;
    read(&of_file(&file), size)
}

/// Where version 1.0 stands: at least 8 KiB before the end, at a multiple of 4 KiB.
fn at_end(size: u64) -> Option<u64> {
    Some((size >> 9).checked_sub(16)? & !7).map(|sector| sector << 9)
}

fn version_1(bytes: &[u8], place: u64) -> Option<Member> {
    let number = |at| field(bytes, at).map(u32::from_le_bytes);
    let there = u64::from_le_bytes(field(bytes, 144)?).checked_shl(9) == Some(place);
    if number(0)? != MAGIC || number(4)? != 1 || !there || checksum(bytes)? != number(216)? {
        return None;
    }
    let name = text(bytes, 32, 32)?;
    Some(Member {
        array: uuid(field(bytes, 16)?),
        // Home host and name, with a colon between them; without a host there is none.
        name: name
            .split_once(':')
            .map_or(name.as_str(), |(_, name)| name)
            .to_owned(),
        level: level(i32::from_le_bytes(field(bytes, 72)?)),
        devices: number(92)?,
    })
}

/// The sum of all words, the checksum's own left out, and what runs over added once more.
fn checksum(bytes: &[u8]) -> Option<u32> {
    let members = u32::from_le_bytes(field(bytes, 220)?);
    if members > MOST {
        return None;
    }
    let length = FIXED.checked_add(usize::try_from(members).ok()?.checked_mul(2)?)?;
    let counted = bytes.get(..length)?;
    let mut sum: u64 = 0;
    for (index, word) in counted.chunks(4).enumerate() {
        let word = match word {
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            [a, b] => u32::from(u16::from_le_bytes([*a, *b])),
            _ => return None,
        };
        if index != 216 / 4 {
            sum = sum.wrapping_add(u64::from(word));
        }
    }
    u32::try_from(((sum & 0xffff_ffff) + (sum >> 32)) & 0xffff_ffff).ok()
}

fn version_0(bytes: &[u8]) -> Option<Member> {
    let number = |at| field(bytes, at).map(u32::from_le_bytes);
    if number(0)? != MAGIC || number(4)? != 0 || number(8)? != 90 {
        return None;
    }
    let mut id = [0; 16];
    for (part, at) in id.chunks_mut(4).zip([20, 52, 56, 60]) {
        // mdadm prints its words as numbers.
        part.copy_from_slice(&number(at)?.to_be_bytes());
    }
    Some(Member {
        array: uuid(id),
        // It has no name but the number of its node.
        name: number(44)?.to_string(),
        level: level(i32::from_le_bytes(field(bytes, 28)?)),
        devices: number(40)?,
    })
}

fn level(number: i32) -> String {
    match number {
        -1 => "linear".to_owned(),
        -4 => "multipath".to_owned(),
        number => format!("raid{number}"),
    }
}

/// As blkid prints it.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::read_at::of_bytes;
    use super::*;

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// A device with a superblock of version 1 at a place.
    fn device(size: usize, place: usize, name: &str, level: i32, devices: u32, slots: u32) -> Vec<u8> {
        let mut whole = vec![0; size];
        let block = &mut whole[place..place + 4096];
        put(block, 0, &MAGIC.to_le_bytes());
        put(block, 4, &1_u32.to_le_bytes());
        put(block, 16, &(0..16).collect::<Vec<u8>>());
        put(block, 32, name.as_bytes());
        put(block, 72, &level.to_le_bytes());
        put(block, 92, &devices.to_le_bytes());
        put(block, 144, &u64::try_from(place / 512).unwrap().to_le_bytes());
        put(block, 220, &slots.to_le_bytes());
        for slot in 0..usize::try_from(slots).unwrap() {
            put(block, 256 + 2 * slot, &0xfffe_u16.to_le_bytes());
        }
        let sum = checksum(block).unwrap();
        put(block, 216, &sum.to_le_bytes());
        whole
    }

    fn found(bytes: &[u8]) -> Option<Member> {
        read(&of_bytes(bytes), u64::try_from(bytes.len()).unwrap()).unwrap()
    }

    #[test]
    fn all_places_of_version_1() {
        let size: usize = 1 << 20;
        for (place, slots) in [(4096, 128), (0, 3), (size - 8192, 384)] {
            let bytes = device(size, place, "host:data", 1, 2, slots);
            let member = found(&bytes).unwrap();
            let expected = Member {
                array: "00010203-0405-0607-0809-0a0b0c0d0e0f".to_owned(),
                name: "data".to_owned(),
                level: "raid1".to_owned(),
                devices: 2,
            };
            assert_eq!(member, expected);
            let mut broken = bytes.clone();
            broken[place + 92] ^= 1;
            assert_eq!(found(&broken), None, "the checksum does not fit");
            // One that was copied with its partition to another place.
            let mut moved = vec![0; size + 512];
            moved[512..].copy_from_slice(&bytes);
            assert_eq!(found(&moved), None);
        }
        for (name, level, words) in [
            ("data", -1, ("data", "linear")),
            ("any:0", 10, ("0", "raid10")),
            ("h:a:b", 0, ("a:b", "raid0")),
        ] {
            let member = found(&device(size, 4096, name, level, 4, 0)).unwrap();
            assert_eq!((member.name.as_str(), member.level.as_str()), words);
            assert_eq!(member.devices, 4);
        }
    }

    /// What `mdadm --create data --homehost any --level raid1 --raid-devices 2` (4.2) wrote, and `mdadm --examine` read.
    #[test]
    fn a_superblock_of_the_real_program() {
        let hex = "fc4e2ba9010000000000000000000000819b29a9e89fec18c547f16223b21a3d616e793a646174610000000000000000\
         0000000000000000000000000000000059ca006b00000000010000000000000000f80100000000000000000002000000\
         0000000000000000000000000000000000000000000000000000000000000000000800000000000000f8010000000000\
         0800000000000000000000000000000000000000000000005b0ac23d8ce7d3a7bda8bf05a2f1b8920000080010000000\
         5aca006b000000001100000000000000ffffffffffffffffbc6d58fb8000000000000000000000000000000000000000\
         0000000000000000000000000000000000000100";
        let block: Vec<u8> = hex
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        let mut bytes = vec![0; 64 << 10];
        bytes[4096..4096 + 512].fill(0xff);
        bytes[4096..4096 + block.len()].copy_from_slice(&block);
        let member = found(&bytes).unwrap();
        assert_eq!(member.array, "819b29a9-e89f-ec18-c547-f16223b21a3d");
        assert_eq!(
            (member.name.as_str(), member.level.as_str(), member.devices),
            ("data", "raid1", 2)
        );
    }

    #[test]
    fn version_0_90() {
        let mut bytes = vec![0; 300 << 10];
        let place = (256 << 10) - (64 << 10);
        for (at, number) in [
            (0, MAGIC),
            (8, 90),
            (20, 0x0102_0304),
            (28, 5),
            (40, 3),
            (44, 127),
        ] {
            put(&mut bytes, place + at, &number.to_le_bytes());
        }
        let member = found(&bytes).unwrap();
        assert_eq!(member.array, "01020304-0000-0000-0000-000000000000");
        assert_eq!(
            (member.name.as_str(), member.level.as_str(), member.devices),
            ("127", "raid5", 3)
        );
    }

    #[test]
    fn no_superblock() {
        for size in [0, 1, 511, 4096, 8192, 100 << 10] {
            assert_eq!(found(&vec![0; size]), None);
            assert_eq!(found(&vec![0xff; size]), None);
        }
        let mut many = device(1 << 20, 4096, "x", 1, 2, 4);
        put(&mut many, 4096 + 220, &u32::MAX.to_le_bytes());
        assert_eq!(found(&many), None);
    }
}
