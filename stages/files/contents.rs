//! From a config's resource to the contents of a step.

use super::refuse;
use crate::config::types::Resource;
use crate::plan::{Content, Secret};
use crate::report::Pointer;
use crate::stages::PlanError;
use crate::view::Digest;

/// The parts of a file, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents(pub(super) Vec<Content>);

impl Contents {
    /// Bytes that are known now.
    pub(super) fn known(bytes: impl Into<std::sync::Arc<[u8]>>) -> Self {
        Self(vec![Content::known(bytes)])
    }

    /// Size in bytes, if all parts are known.
    pub(super) fn size(&self) -> Option<u64> {
        self.0.iter().try_fold(0_u64, |sum, content| match content {
            Content::Known { size, .. } => sum.checked_add(*size),
            Content::Remote { .. } => None,
        })
    }

    /// All bytes, if all parts are known.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for content in &self.0 {
            match content {
                Content::Known { bytes, .. } => all.extend_from_slice(bytes.reveal()),
                Content::Remote { .. } => return None,
            }
        }
        Some(all)
    }

    /// Digest of the whole, if it is known without fetching anything: all parts are, or the only one is remote with a
    /// sha512 in the config.
    pub(super) fn sha512(&self) -> Option<Digest> {
        match self.0.as_slice() {
            [] => Some(Digest::of(b"")),
            [Content::Known { sha512, .. }] => Some(*sha512),
            [Content::Remote { hash, .. }] => hash
                .as_deref()
                .and_then(|hash| hash.strip_prefix("sha512-"))
                .and_then(Digest::from_hex),
            parts => {
                use sha2::Digest as _;
                let mut hasher = sha2::Sha512::new();
                for part in parts {
                    match part {
                        Content::Known { bytes, .. } => hasher.update(bytes.reveal()),
                        Content::Remote { .. } => return None,
                    }
                }
                Some(Digest(hasher.finalize().into()))
            }
        }
    }
}

/// The content that a resource stands for; `None` if it has no source. An empty source stands for no bytes, with
/// neither decompression nor verification (spec/fetch.md 8).
pub(in crate::stages) fn of(resource: &Resource, pointer: &Pointer) -> Result<Option<Content>, PlanError> {
    let Some(source) = &resource.source else {
        return Ok(None);
    };
    match crate::fetch::inline(resource) {
        Ok(Some(bytes)) => Ok(Some(Content::known(bytes))),
        Ok(None) => Ok(Some(Content::Remote {
            url: crate::config::grammar::url::display(source.reveal()),
            hash: resource.verification.hash.clone(),
            resource: Secret::new(resource.clone()),
        })),
        Err(error) => Err(refuse(
            pointer.clone(),
            crate::report::chain(&error),
            "correct the data: URL, its compression or its hash",
        )),
    }
}
