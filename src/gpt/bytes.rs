//! Little-endian fields in byte slices. What is beyond the end reads as zero and is not written: lengths are checked where slices are
//! taken.

/// The 4 bytes at this place.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// The 8 bytes at this place.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// The bytes at this place.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    if let Some(part) = at.checked_add(N).and_then(|end| bytes.get(at..end)) {
        array.copy_from_slice(part);
    }
    array
}

/// Puts bytes at this place.
pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(part) = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end)) {
        part.copy_from_slice(value);
    }
}

/// CRC-32 as in Ethernet, gzip and the UEFI specification.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
