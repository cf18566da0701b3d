//! Finding the values that report entries are about.

use std::collections::HashMap;

use crate::json::Node;
use crate::report::{Element, Pointer};

/// Follows pointers into a document by exact keys.
///
/// It remembers where it has been: entries come in the order of the document, and a long list or a large object must not be
/// walked again for each of them.
pub(crate) struct Locator<'d> {
    root: Node<'d>,
    /// By start of the list: the element found last
    elements: HashMap<usize, (usize, Node<'d>)>,
    /// By start of the object and key
    members: HashMap<(usize, String), Option<Node<'d>>>,
}

impl<'d> Locator<'d> {
    /// Starts at the root of a document.
    pub(crate) fn new(root: Node<'d>) -> Self {
        Self {
            root,
            elements: HashMap::new(),
            members: HashMap::new(),
        }
    }

    /// The deepest value that exists on a path (spec/config.md 3.2); the root always does.
    pub(crate) fn deepest(&mut self, pointer: &Pointer) -> Node<'d> {
        let mut node = self.root;
        for element in &pointer.0 {
            let below = match element {
                Element::Key(key) => self.member(node, key),
                Element::Index(index) => self.element(node, *index),
            };
            match below {
                Some(below) => node = below,
                None => break,
            }
        }
        node
    }

    fn member(&mut self, object: Node<'d>, key: &str) -> Option<Node<'d>> {
        *self
            .members
            .entry((object.span().start, key.to_owned()))
            .or_insert_with(|| object.get(key))
    }

    fn element(&mut self, list: Node<'d>, index: usize) -> Option<Node<'d>> {
        let start = list.span().start;
        let found = match self.elements.get(&start) {
            Some((before, node)) if *before <= index => {
                list.elements_from(*node).nth(index.saturating_sub(*before))
            }
            _ => list.elements().nth(index),
        }?;
        self.elements.insert(start, (index, found));
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    #[test]
    fn it_finds_the_same_in_any_order() {
        let document = Document::parse(br#"{"a": [10, [20, 21], {"x": 30, "x": 31}], "b": 1}"#).unwrap();
        let at = |index| Pointer::root().key("a").index(index);
        let table = [
            (at(2).key("x"), "31"),
            (at(0), "10"),
            (at(1).index(1), "21"),
            (at(1).index(0), "20"),
            (at(1).index(7), "[20, 21]"),
            (at(2).key("y").index(1), r#"{"x": 30, "x": 31}"#),
            (at(0).key("y"), "10"),
            (Pointer::root().key("b"), "1"),
        ];
        let mut locator = Locator::new(document.root());
        for _ in 0..2 {
            for (pointer, expected) in &table {
                let span = locator.deepest(pointer).span();
                assert_eq!(
                    &br#"{"a": [10, [20, 21], {"x": 30, "x": 31}], "b": 1}"#[span],
                    expected.as_bytes(),
                    "{pointer}"
                );
            }
        }
    }
}
