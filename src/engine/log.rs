//! What getting a config says in the log.

use crate::report::{Report, Severity};
use crate::view::Digest;

use super::beside::beside;

/// Bytes that take longer to hash than a thread takes to start, by far.
const WORTH_A_THREAD: usize = 1 << 20;

/// The entries of a report, each with the name of its document.
pub(super) fn report(document: &str, report: &Report) {
    for entry in &report.entries {
        match entry.severity {
            Severity::Error => tracing::error!("{document}: {entry}"),
            Severity::Warning => tracing::warn!("{document}: {entry}"),
            Severity::Info => tracing::info!("{document}: {entry}"),
        }
    }
}

/// The SHA-512 of a document, by which two boots can be compared.
pub(super) fn digest(document: &str, bytes: &[u8], sha512: Digest) {
    tracing::debug!("{document}: {} bytes, SHA512 {sha512}", bytes.len());
}

/// The same, computed beside some work of which nothing is said before.
pub(super) fn digest_beside<T>(document: &str, bytes: &[u8], work: impl FnOnce() -> T) -> (Digest, T) {
    if bytes.len() < WORTH_A_THREAD {
        let sha512 = Digest::of(bytes);
        digest(document, bytes, sha512);
        return (sha512, work());
    }
    let (sha512, worked) = beside(|| Digest::of(bytes), work);
    digest(document, bytes, sha512);
    (sha512, worked)
}
