//! What getting a config says in the log.

use std::error::Error;

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
pub(super) fn digest(document: &str, bytes: &[u8]) {
    tracing::debug!("{document}: {} bytes, SHA512 {}", bytes.len(), Digest::of(bytes));
}

/// An error with its causes.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
