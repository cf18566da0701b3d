//! GUID partition tables (UEFI specification, chapter 5): the model, reading, placing and writing as data.
//!
//! Everything here is pure, but for [`scan`], which reads through a [`ReadAt`]. Numbers of partitions stay: an entry stands in the
//! slot of its number, before and after. What is written is decided as a list of [`Write`]s, each followed by a
//! barrier, so that one whole copy of the old or of the new table exists at every instant.
//!
//! Two rules come from `sgdisk`, which Ignition runs: where a partition goes whose start or size is not given ([`Room`]), and what is
//! refused. `tests/gpt` drives both over the same requests.
//!
//! The `gpt` crate (4.1.0) is not used. Its `write` renumbers partitions; of its public parts the reader of entries asserts that an
//! entry has 128 bytes, fails when the primary array is damaged though the backup is whole, and turns names into strings, so that a
//! name that is no UTF-16 is lost; the header builder raises the count of entries to 128 and moves the usable range and
//! an array that `sgdisk -j` has moved; sizes are multiplied in 32 bits. What would remain is 92 bytes of header,
//! for five crates (crc, crc-catalog, simple-bytes, uuid, bitflags). The checksum comes with flate2, which is linked anyway.

mod bytes;
mod guid;
mod kernel;
mod mbr;
mod place;
mod read;
mod render;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod write;

pub use guid::{Guid, NotAGuid};
pub use kernel::{KernelPartition, Tell, tell};
pub use mbr::{BootSector, MbrPartition};
pub use place::{Extent, InTheWay, NoRoom, Room};
pub use read::ReadAt;
pub(crate) use render::amount;
pub use render::render;
pub use scan::{Found, Health, Scan, scan};
pub use table::{ENTRY_SIZE, Entry, Flaw, Geometry, MAX_ENTRIES, Name, Table, TooSmall};
pub use types::type_name;
pub use write::{Write, writes};
