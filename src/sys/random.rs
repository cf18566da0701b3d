//! Random bytes.

use std::io;

/// Fills a buffer with the kernel's random bytes; waits until it has been seeded, once after boot (getrandom(2)).
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        #[expect(
            unsafe_code,
            reason = "neither std nor nix (without more features) has getrandom"
        )]
        // SAFETY: pointer and length are those of a slice that is borrowed mutably for the call.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => filled = filled.saturating_add(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_of_it_is_filled() {
        let mut bytes = [0; 5000];
        super::fill(&mut bytes).unwrap();
        assert!(bytes.chunks(100).all(|part| part.iter().any(|byte| *byte != 0)));
        super::fill(&mut []).unwrap();
    }
}
