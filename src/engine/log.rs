//! What getting a config says in the log.

use crate::report::{Report, Severity};
use crate::view::Digest;

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
