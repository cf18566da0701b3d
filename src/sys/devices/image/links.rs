//! The links below `/dev/disk` that udev would make, within a set of devices.

use std::collections::BTreeMap;

use super::super::blkid::Found;
use crate::view::ViewError;

/// Which devices each link leads to. One that leads to several leads nowhere: nobody can tell which one is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(BTreeMap<String, Vec<String>>);

impl Links {
    /// Adds the links of a device.
    pub(super) fn add(&mut self, node: &str, found: &Found) {
        for link in found.links() {
            let nodes = self.0.entry(link).or_default();
            if nodes.iter().all(|other| other != node) {
                nodes.push(node.to_owned());
            }
        }
    }

    /// The device that a link leads to.
    pub(super) fn node(&self, link: &str) -> Result<Option<&str>, ViewError> {
        match self.0.get(link).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([node]) => Ok(Some(node)),
            Some(nodes) => Err(ViewError::SeveralDevices {
                path: link.to_owned(),
                nodes: nodes.join(" and "),
            }),
        }
    }

    /// The links that lead to one device, each with it.
    pub(super) fn unique(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(link, nodes)| match nodes.as_slice() {
            [node] => Some((link.as_str(), node.as_str())),
            _ => None,
        })
    }
}
