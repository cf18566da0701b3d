//! GUIDs as a table has them: the first three fields little endian, the rest in the order of the text.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::config::grammar::guid::is_guid;

/// A GUID, as its 16 bytes on the disk.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

/// Not a GUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a GUID is 32 hexadecimal digits in five groups, like 01234567-89ab-cdef-edcb-a98765432101")]
pub struct NotAGuid;

/// For each byte of the text, its place on the disk.
const PLACES: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// The type of an entry that is not used.
    pub const ZERO: Self = Self([0; 16]);

    /// What a partition is that no type was given for: Linux filesystem data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4.
    pub const LINUX: Self = Self([
        0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
    ]);

    /// A random GUID (version 4) from random bytes.
    pub fn random(mut bytes: [u8; 16]) -> Self {
        // On the disk the third field is little endian, so the version stands in the upper half of byte 7.
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Whether all of it is zero.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl FromStr for Guid {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        if !is_guid(text) {
            return Err(NotAGuid);
        }
        let mut digits = text.chars().filter_map(|sign| sign.to_digit(16));
        let mut bytes = [0; 16];
        for place in PLACES {
            let (high, low) = (digits.next().ok_or(NotAGuid)?, digits.next().ok_or(NotAGuid)?);
            let byte = u8::try_from(high * 16 + low).map_err(|_| NotAGuid)?;
            *bytes.get_mut(place).ok_or(NotAGuid)? = byte;
        }
        Ok(Self(bytes))
    }
}

/// In capitals, as `sgdisk` and `blkid` print them.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, place) in PLACES.into_iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02X}", self.0.get(place).copied().unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_three_fields_are_little_endian() {
        let guid: Guid = "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap();
        let expected = [
            0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ];
        assert_eq!(guid.0, expected);
        assert_eq!(guid.to_string(), "00112233-4455-6677-8899-AABBCCDDEEFF");
        assert_eq!(Guid::LINUX.to_string(), "0FC63DAF-8483-4772-8E79-3D69D8477DE4");
    }

    #[test]
    fn random_ones_are_of_version_4() {
        for byte in [0, 0x5a, 0xff] {
            let text = Guid::random([byte; 16]).to_string();
            assert_eq!(text.chars().nth(14), Some('4'), "{text}");
            assert!(
                matches!(text.chars().nth(19), Some('8' | '9' | 'A' | 'B')),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes: [u8; 16]) {
            let guid = Guid(bytes);
            prop_assert_eq!(guid.to_string().parse(), Ok(guid));
            prop_assert_eq!(guid.to_string().to_lowercase().parse(), Ok(guid));
        }

        #[test]
        fn nothing_panics(text in "[-0-9a-fA-Fé]{0,40}") {
            prop_assert_eq!(text.parse::<Guid>().is_ok(), is_guid(&text));
        }
    }
}
