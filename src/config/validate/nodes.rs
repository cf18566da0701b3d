//! Rules of `storage.directories`, `storage.files` and `storage.links` (spec/config.md 5.8).

use std::collections::{HashMap, HashSet};

use super::{check_path, error, given, resource, warning};
use crate::config::grammar::path;
use crate::config::types::{Directory, File, Link, NodeOwner, Storage};
use crate::config::version::Version;
use crate::report::{Pointer, Report};

const MODE_MAX: i64 = 0o7777;
const MODE_SPECIAL: i64 = 0o7000;

/// The paths of the config's links, hard links included.
#[derive(Default)]
struct LinkPaths<'a> {
    /// How often each is there
    counts: HashMap<&'a str, usize>,
    /// Length of the longest: no longer parent needs to be looked up
    longest: usize,
}

fn link_paths(storage: &Storage) -> LinkPaths<'_> {
    let mut paths = LinkPaths::default();
    for link in &storage.links {
        *paths.counts.entry(link.path.as_str()).or_default() += 1;
        paths.longest = paths.longest.max(link.path.len());
    }
    paths
}

/// The links that a path goes through. Like upstream, this compares the literal text with `LINK/`, so that an empty link
/// path counts for every absolute path; each link is reported by itself.
fn links_above<'a>(node: &'a str, links: &LinkPaths<'_>) -> Vec<&'a str> {
    let parents = node
        .match_indices('/')
        .take_while(|(slash, _)| *slash <= links.longest)
        .filter_map(|(slash, _)| node.get(..slash));
    let found = parents.filter_map(|parent| {
        links
            .counts
            .get(parent)
            .map(|count| std::iter::repeat_n(parent, *count))
    });
    found.flatten().collect()
}

fn refuse_links_above(node: &str, links: &LinkPaths<'_>, at: &Pointer, report: &mut Report) {
    for link in links_above(node, links) {
        let message = format!("this path goes through {link:?}, which the config makes a link");
        error(report, at.clone(), message);
    }
}

/// Directories and files must not lie below a link of the config.
pub(super) fn check_ancestors(storage: &Storage, at: &Pointer, report: &mut Report) {
    let links = link_paths(storage);
    if links.counts.is_empty() {
        return;
    }
    let section = at.key("directories");
    for (index, directory) in storage.directories.iter().enumerate() {
        refuse_links_above(&directory.path, &links, &section.index(index), report);
    }
    let section = at.key("files");
    for (index, file) in storage.files.iter().enumerate() {
        refuse_links_above(&file.path, &links, &section.index(index), report);
    }
}

/// What a link must keep beside the other nodes.
pub(super) fn check_links(storage: &Storage, at: &Pointer, version: Version, report: &mut Report) {
    let links = link_paths(storage);
    let directories: HashSet<&str> = storage
        .directories
        .iter()
        .map(|directory| directory.path.as_str())
        .collect();
    let section = at.key("links");
    for (index, link) in storage.links.iter().enumerate() {
        let at = section.index(index);
        refuse_links_above(&link.path, &links, &at, report);
        let target = link.target.as_deref().unwrap_or_default();
        if target.is_empty() && version >= Version::V3_3 {
            error(report, at.key("target"), "a link needs a target");
            continue;
        }
        if link.hard != Some(true) {
            continue;
        }
        // Upstream joins a relative target onto the link's own path, not onto its parent.
        let target = if path::is_absolute(target) {
            path::clean(target).into_owned()
        } else {
            path::join(&link.path, target)
        };
        if directories.contains(target.as_str()) {
            error(
                report,
                at.clone(),
                format!("a hard link cannot point to {target:?}, which is a directory"),
            );
        }
        for (owner, key) in [(&link.user, "user"), (&link.group, "group")] {
            let at = at.key(key);
            let message = "a hard link has the owner of its target; this has no effect";
            if owner.id.is_some() {
                warning(report, at.key("id"), message);
            }
            if owner.name.is_some() {
                warning(report, at.key("name"), message);
            }
        }
    }
}

pub(super) fn check_directory(directory: &Directory, at: &Pointer, version: Version, report: &mut Report) {
    check_path(&directory.path, || at.key("path"), report);
    check_mode(directory.mode, at, version, report);
    check_owners(&directory.group, &directory.user, at, report);
}

pub(super) fn check_file(file: &File, at: &Pointer, version: Version, report: &mut Report) {
    check_path(&file.path, || at.key("path"), report);
    check_mode(file.mode, at, version, report);
    if file.overwrite == Some(true) && file.contents.source.is_none() {
        let message = "overwrite needs contents.source; for an empty file give it as \"\"";
        error(report, at.key("overwrite"), message);
    }
    check_owners(&file.group, &file.user, at, report);
    for (index, append) in file.append.iter().enumerate() {
        resource::check(append, &at.key("append").index(index), version, report);
    }
    resource::check(&file.contents, &at.key("contents"), version, report);
}

pub(super) fn check_link(link: &Link, at: &Pointer, report: &mut Report) {
    check_path(&link.path, || at.key("path"), report);
    check_owners(&link.group, &link.user, at, report);
}

fn check_mode(mode: Option<i64>, at: &Pointer, version: Version, report: &mut Report) {
    let Some(mode) = mode else { return };
    if !(0..=MODE_MAX).contains(&mode) {
        let message = format!("mode must be between 0 and {MODE_MAX} (octal 7777); JSON numbers are decimal");
        error(report, at.key("mode"), message);
    }
    if version < Version::V3_6 && mode & MODE_SPECIAL != 0 {
        let message = "setuid, setgid and sticky bits have no effect before spec 3.6.0";
        warning(report, at.key("mode"), message);
    }
}

fn check_owners(group: &NodeOwner, user: &NodeOwner, at: &Pointer, report: &mut Report) {
    for (owner, key) in [(group, "group"), (user, "user")] {
        if owner.id.is_some() && given(owner.name.as_ref()).is_some() {
            error(report, at.key(key), "give an id or a name, not both");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The lookup finds what comparing every pair would find.
        #[test]
        fn links_above_are_the_prefixes(
            node in "[/ab]{0,6}",
            links in proptest::collection::vec("[/ab]{0,4}", 0..5),
        ) {
            let storage = Storage {
                links: links.iter().map(|path| Link { path: path.clone(), ..Link::default() }).collect(),
                ..Storage::default()
            };
            let mut expected: Vec<&str> =
                links.iter().filter(|link| node.starts_with(&format!("{link}/"))).map(String::as_str).collect();
            let paths = link_paths(&storage);
            let mut found = links_above(&node, &paths);
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
