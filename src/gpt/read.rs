//! Reads at a place: what a scan needs of a disk.

use std::io;

/// A disk, or an image of one.
pub trait ReadAt {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Its logical sector size in bytes.
    fn sector_size(&self) -> u32;

    /// Fills the buffer from this place, in bytes.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// An image in memory, of 512-byte sectors.
impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len().try_into().unwrap_or(u64::MAX)
    }

    fn sector_size(&self) -> u32 {
        512
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}
