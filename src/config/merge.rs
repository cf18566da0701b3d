//! Putting two configs of the newest spec together (spec/config.md 8). Nothing is cloned and nothing is checked; the result may
//! break rules, and is validated by whoever uses it.
//!
//! Every struct is built field by field without `..`, so that a new field does not compile before it is merged.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::types::{
    Cex, Clevis, ClevisCustom, Config, Directory, Disk, Dropin, File, Filesystem, HttpHeader, Ignition,
    IgnitionConfig, KernelArguments, Link, Luks, NodeOwner, Partition, Passwd, PasswdGroup, PasswdUser,
    Proxy, Raid, Resource, Security, Storage, Systemd, Tang, Timeouts, Tls, Unit, Verification,
};

/// Lays `child` over `parent`: what the child says counts, what it leaves out stays.
#[must_use]
pub fn merge(parent: Config, child: Config) -> Config {
    nested(parent, child)
}

trait Merge: Default + PartialEq {
    /// Field by field; both are there.
    fn merge(parent: Self, child: Self) -> Self;
}

/// An entry of a list that is addressed by its key (spec/config.md 6).
pub(super) trait Keyed {
    /// What makes two entries the same.
    fn key(&self) -> Cow<'_, str>;

    /// Whether this entry, in a child, takes the parent's away.
    fn removes(&self) -> bool {
        false
    }
}

/// A struct that is entirely zero says nothing.
fn nested<T: Merge>(parent: T, child: T) -> T {
    let zero = T::default();
    if child == zero {
        parent
    } else if parent == zero {
        child
    } else {
        T::merge(parent, child)
    }
}

fn append<T>(mut parent: Vec<T>, mut child: Vec<T>) -> Vec<T> {
    parent.append(&mut child);
    parent
}

/// Where an entry of the merged list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Parent(usize),
    Both(usize, usize),
    Child(usize),
}

/// The order of a merged list: the parent's entries where they were, then what only the child has. A parent's entry
/// goes when a sibling of the child's list, with the same key space, has its key.
fn arrange(parent: &[Cow<'_, str>], child: &[Cow<'_, str>], siblings: &HashSet<Cow<'_, str>>) -> Vec<Source> {
    let places: HashMap<&str, usize> = child
        .iter()
        .enumerate()
        .map(|(place, key)| (key.as_ref(), place))
        .collect();
    let mut used = vec![false; child.len()];
    let mut sources = Vec::with_capacity(parent.len().saturating_add(child.len()));
    for (index, key) in parent.iter().enumerate() {
        match places.get(key.as_ref()) {
            Some(place) => {
                // A key twice in the parent cannot come from parsed configs; the first takes the child's entry.
                let is_used = used
                    .get_mut(*place)
                    .is_some_and(|used| std::mem::replace(used, true));
                sources.push(if is_used {
                    Source::Parent(index)
                } else {
                    Source::Both(index, *place)
                });
            }
            None if siblings.contains(key) => {}
            None => sources.push(Source::Parent(index)),
        }
    }
    let known: HashSet<&str> = parent.iter().map(AsRef::as_ref).collect();
    for (place, key) in child.iter().enumerate() {
        if !known.contains(key.as_ref()) {
            sources.push(Source::Child(place));
        }
    }
    sources
}

fn keys<T: Keyed>(list: &[T]) -> Vec<Cow<'_, str>> {
    list.iter().map(Keyed::key).collect()
}

fn keyed<T: Keyed + Merge>(parent: Vec<T>, child: Vec<T>) -> Vec<T> {
    keyed_beside(parent, child, &HashSet::new())
}

fn keyed_beside<T: Keyed + Merge>(parent: Vec<T>, child: Vec<T>, siblings: &HashSet<Cow<'_, str>>) -> Vec<T> {
    assemble(parent, child, siblings, T::merge)
}

/// Lists of strings, where the string is the key.
fn united<T: Keyed>(parent: Vec<T>, child: Vec<T>) -> Vec<T> {
    assemble(parent, child, &HashSet::new(), |_, child| child)
}

fn assemble<T: Keyed>(
    parent: Vec<T>,
    child: Vec<T>,
    siblings: &HashSet<Cow<'_, str>>,
    merge: fn(T, T) -> T,
) -> Vec<T> {
    if child.is_empty() && siblings.is_empty() {
        return parent;
    }
    let sources = arrange(&keys(&parent), &keys(&child), siblings);
    let mut parent: Vec<Option<T>> = parent.into_iter().map(Some).collect();
    let mut child: Vec<Option<T>> = child.into_iter().map(Some).collect();
    let take = |list: &mut Vec<Option<T>>, index: usize| list.get_mut(index).and_then(Option::take);
    sources
        .into_iter()
        .filter_map(|source| match source {
            Source::Parent(index) => take(&mut parent, index),
            Source::Child(place) => take(&mut child, place),
            Source::Both(index, place) => {
                let (parent, child) = (take(&mut parent, index)?, take(&mut child, place)?);
                (!child.removes()).then(|| merge(parent, child))
            }
        })
        .collect()
}

/// The keys of a child's lists, kept while the lists are taken apart.
fn key_set<'l>(keys: impl Iterator<Item = Cow<'l, str>>) -> HashSet<Cow<'static, str>> {
    keys.map(|key| Cow::Owned(key.into_owned())).collect()
}

impl Keyed for String {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl Keyed for Resource {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.source.as_ref().map_or("", |source| source.reveal()))
    }
}

impl Keyed for HttpHeader {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn removes(&self) -> bool {
        self.value.is_none()
    }
}

impl Keyed for Partition {
    fn key(&self) -> Cow<'_, str> {
        match (self.number, &self.label) {
            (0, Some(label)) => Cow::Owned(format!("label:{label}")),
            (0, None) => Cow::Borrowed(""),
            (number, _) => Cow::Owned(format!("number:{number}")),
        }
    }
}

macro_rules! keyed_by {
    ($($entry:ty: $key:ident),* $(,)?) => {
        $(impl Keyed for $entry {
            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.$key)
            }
        })*
    };
}

keyed_by! {
    Directory: path,
    Disk: device,
    Dropin: name,
    File: path,
    Filesystem: device,
    Link: path,
    Luks: name,
    PasswdGroup: name,
    PasswdUser: name,
    Raid: name,
    Tang: url,
    Unit: name,
}

/// Implements [`Merge`]: for each field how it is merged. `plain`: the child's. `optional`: the child's if it is there.
/// All else is a function of parent and child.
macro_rules! merged {
    ($($entry:ident { $($field:ident: $how:ident),* $(,)? })*) => {
        $(impl Merge for $entry {
            fn merge(parent: Self, child: Self) -> Self {
                Self { $($field: $how(parent.$field, child.$field)),* }
            }
        })*
    };
}

fn plain<T>(_parent: T, child: T) -> T {
    child
}

fn optional<T>(parent: Option<T>, child: Option<T>) -> Option<T> {
    child.or(parent)
}

merged! {
    Config {
        ignition: nested, kernel_arguments: kernel_arguments, passwd: nested, storage: nested, systemd: nested,
    }
    Ignition { config: nested, proxy: nested, security: nested, timeouts: nested, version: plain }
    IgnitionConfig { merge: keyed, replace: nested }
    Resource { compression: optional, http_headers: keyed, source: optional, verification: nested }
    HttpHeader { name: plain, value: optional }
    Verification { hash: optional }
    Proxy { http_proxy: optional, https_proxy: optional, no_proxy: united }
    Security { tls: nested }
    Tls { certificate_authorities: keyed }
    Timeouts { http_response_headers: optional, http_total: optional }
    Passwd { groups: keyed, users: keyed }
    PasswdGroup { gid: optional, name: plain, password_hash: optional, should_exist: optional, system: optional }
    PasswdUser {
        gecos: optional, groups: united, home_dir: optional, name: plain, no_create_home: optional,
        no_log_init: optional, no_user_group: optional, password_hash: optional, primary_group: optional,
        ssh_authorized_keys: united, shell: optional, should_exist: optional, system: optional, uid: optional,
    }
    NodeOwner { id: optional, name: optional }
    Directory { group: nested, overwrite: optional, path: plain, user: nested, mode: optional }
    File {
        group: nested, overwrite: optional, path: plain, user: nested, append: append, contents: nested,
        mode: optional,
    }
    Link { group: nested, overwrite: optional, path: plain, user: nested, hard: optional, target: optional }
    Disk { device: plain, partitions: keyed, wipe_table: optional }
    Partition {
        guid: optional, label: optional, number: plain, resize: optional, should_exist: optional, size_mib: optional,
        start_mib: optional, type_guid: optional, wipe_partition_entry: optional,
    }
    Filesystem {
        device: plain, format: optional, label: optional, mount_options: append, options: append, path: optional,
        uuid: optional, wipe_filesystem: optional,
    }
    Luks {
        cex: nested, clevis: nested, device: optional, discard: optional, key_file: nested, label: optional,
        name: plain, open_options: united, options: append, uuid: optional, wipe_volume: optional,
    }
    Cex { enabled: optional }
    Clevis { custom: nested, tang: keyed, threshold: optional, tpm2: optional }
    ClevisCustom { config: optional, needs_network: optional, pin: optional }
    Tang { advertisement: optional, thumbprint: optional, url: plain }
    Raid { devices: united, level: optional, name: plain, options: append, spares: optional }
    Systemd { units: keyed }
    Unit { contents: optional, dropins: keyed, enabled: optional, mask: optional, name: plain }
    Dropin { contents: optional, name: plain }
}

/// What one list of the child names leaves the other list of the parent.
fn kernel_arguments(parent: KernelArguments, child: KernelArguments) -> KernelArguments {
    let should_exist = key_set(child.should_exist.iter().map(Keyed::key));
    let should_not_exist = key_set(child.should_not_exist.iter().map(Keyed::key));
    KernelArguments {
        should_exist: assemble(parent.should_exist, child.should_exist, &should_not_exist, plain),
        should_not_exist: assemble(
            parent.should_not_exist,
            child.should_not_exist,
            &should_exist,
            plain,
        ),
    }
}

impl Merge for Storage {
    fn merge(parent: Self, child: Self) -> Self {
        // One path is one node, whatever it is.
        let directories = || child.directories.iter().map(Keyed::key);
        let files = || child.files.iter().map(Keyed::key);
        let links = || child.links.iter().map(Keyed::key);
        let beside_directories = key_set(files().chain(links()));
        let beside_files = key_set(directories().chain(links()));
        let beside_links = key_set(directories().chain(files()));
        Self {
            directories: keyed_beside(parent.directories, child.directories, &beside_directories),
            disks: keyed(parent.disks, child.disks),
            files: keyed_beside(parent.files, child.files, &beside_files),
            filesystems: keyed(parent.filesystems, child.filesystems),
            links: keyed_beside(parent.links, child.links, &beside_links),
            luks: keyed(parent.luks, child.luks),
            raid: keyed(parent.raid, child.raid),
        }
    }
}

#[cfg(test)]
mod tests;
