//! Where the values of a merged config came from.

use super::version::Version;
use crate::json::{LineIndex, Node};

/// Where one document says what.
#[derive(Clone, Debug, Default)]
pub struct Index;

impl Index {
    /// Walks a document once.
    pub fn new(_root: Node<'_>, _version: Version, _lines: &LineIndex) -> Self {
        Self
    }
}
