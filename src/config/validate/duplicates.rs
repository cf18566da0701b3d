//! Entries of a list with the same key (spec/config.md 6). Lists that merging appends to may repeat.

use std::borrow::Cow;
use std::collections::HashSet;

use super::error;
use crate::config::types::{Config, Hidden, Ignition, Luks, Partition, Passwd, Resource, Storage, Systemd};
use crate::config::version::Version;
use crate::report::{Pointer, Report};

/// Every later entry of a list whose key was there before. Keys are compared as they are written.
///
/// The rules are the same in all versions: lists that a version does not know are empty in its configs.
pub fn duplicates(config: &Config, _version: Version) -> Report {
    let mut report = Report::default();
    let root = Pointer::root();
    check_ignition(&config.ignition, &root.key("ignition"), &mut report);

    let arguments = &config.kernel_arguments;
    let at = root.key("kernelArguments");
    let mut seen = HashSet::new();
    list(
        &mut report,
        &at.key("shouldExist"),
        &mut seen,
        "argument",
        texts(&arguments.should_exist),
    );
    list(
        &mut report,
        &at.key("shouldNotExist"),
        &mut seen,
        "argument",
        texts(&arguments.should_not_exist),
    );

    check_passwd(&config.passwd, &root.key("passwd"), &mut report);
    check_storage(&config.storage, &root.key("storage"), &mut report);
    check_systemd(&config.systemd, &root.key("systemd"), &mut report);
    report
}

type Seen<'a> = HashSet<Cow<'a, str>>;

/// Reports the keys of one list that were seen, in it or in a list that shares its key space.
fn list<'a>(
    report: &mut Report,
    at: &Pointer,
    seen: &mut Seen<'a>,
    what: &str,
    keys: impl Iterator<Item = Cow<'a, str>>,
) {
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            error(
                report,
                at.index(index),
                format!("an earlier entry has the same {what}; put them into one"),
            );
        }
    }
}

/// [`list`] with a key space of its own.
fn alone<'a>(report: &mut Report, at: &Pointer, what: &str, keys: impl Iterator<Item = Cow<'a, str>>) {
    list(report, at, &mut Seen::new(), what, keys);
}

fn texts(list: &[String]) -> impl Iterator<Item = Cow<'_, str>> {
    list.iter().map(|text| Cow::Borrowed(text.as_str()))
}

fn keys<'a, T>(list: &'a [T], key: impl Fn(&'a T) -> &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    list.iter().map(move |entry| Cow::Borrowed(key(entry)))
}

fn sources(list: &[Resource]) -> impl Iterator<Item = Cow<'_, str>> {
    keys(list, |resource| {
        resource.source.as_ref().map_or("", Hidden::reveal)
    })
}

fn check_headers(resource: &Resource, at: &Pointer, report: &mut Report) {
    let names = keys(&resource.http_headers, |header| header.name.as_str());
    alone(report, &at.key("httpHeaders"), "header name", names);
}

fn check_ignition(ignition: &Ignition, at: &Pointer, report: &mut Report) {
    let config = at.key("config");
    let merge = config.key("merge");
    alone(report, &merge, "source", sources(&ignition.config.merge));
    for (index, child) in ignition.config.merge.iter().enumerate() {
        check_headers(child, &merge.index(index), report);
    }
    check_headers(&ignition.config.replace, &config.key("replace"), report);

    alone(
        report,
        &at.key("proxy").key("noProxy"),
        "host",
        texts(&ignition.proxy.no_proxy),
    );

    let authorities = &ignition.security.tls.certificate_authorities;
    let at = at.key("security").key("tls").key("certificateAuthorities");
    alone(report, &at, "source", sources(authorities));
    for (index, authority) in authorities.iter().enumerate() {
        check_headers(authority, &at.index(index), report);
    }
}

fn check_passwd(passwd: &Passwd, at: &Pointer, report: &mut Report) {
    alone(
        report,
        &at.key("groups"),
        "name",
        keys(&passwd.groups, |group| group.name.as_str()),
    );
    let users = at.key("users");
    alone(
        report,
        &users,
        "name",
        keys(&passwd.users, |user| user.name.as_str()),
    );
    for (index, user) in passwd.users.iter().enumerate() {
        let at = users.index(index);
        alone(report, &at.key("groups"), "name", texts(&user.groups));
        alone(
            report,
            &at.key("sshAuthorizedKeys"),
            "SSH key",
            texts(&user.ssh_authorized_keys),
        );
    }
}

fn check_storage(storage: &Storage, at: &Pointer, report: &mut Report) {
    // Directories, files and links share their paths.
    let mut nodes = Seen::new();
    let paths = keys(&storage.directories, |directory| directory.path.as_str());
    list(report, &at.key("directories"), &mut nodes, "path", paths);
    let disks = at.key("disks");
    alone(
        report,
        &disks,
        "device",
        keys(&storage.disks, |disk| disk.device.as_str()),
    );
    let files = at.key("files");
    list(
        report,
        &files,
        &mut nodes,
        "path",
        keys(&storage.files, |file| file.path.as_str()),
    );
    let filesystems = keys(&storage.filesystems, |filesystem| filesystem.device.as_str());
    alone(report, &at.key("filesystems"), "device", filesystems);
    list(
        report,
        &at.key("links"),
        &mut nodes,
        "path",
        keys(&storage.links, |link| link.path.as_str()),
    );
    let luks = at.key("luks");
    alone(
        report,
        &luks,
        "name",
        keys(&storage.luks, |luks| luks.name.as_str()),
    );
    let raid = at.key("raid");
    alone(
        report,
        &raid,
        "name",
        keys(&storage.raid, |raid| raid.name.as_str()),
    );

    for (index, disk) in storage.disks.iter().enumerate() {
        let at = disks.index(index).key("partitions");
        alone(
            report,
            &at,
            "number or label",
            disk.partitions.iter().map(partition_key),
        );
    }
    for (index, file) in storage.files.iter().enumerate() {
        let at = files.index(index);
        for (position, append) in file.append.iter().enumerate() {
            check_headers(append, &at.key("append").index(position), report);
        }
        check_headers(&file.contents, &at.key("contents"), report);
    }
    for (index, entry) in storage.luks.iter().enumerate() {
        check_luks(entry, &luks.index(index), report);
    }
    for (index, entry) in storage.raid.iter().enumerate() {
        alone(
            report,
            &raid.index(index).key("devices"),
            "device",
            texts(&entry.devices),
        );
    }
}

/// A partition is known by its number, or else by its label.
fn partition_key(partition: &Partition) -> Cow<'_, str> {
    match (partition.number, &partition.label) {
        (0, Some(label)) => format!("label:{label}").into(),
        (0, None) => "".into(),
        (number, _) => format!("number:{number}").into(),
    }
}

fn check_luks(luks: &Luks, at: &Pointer, report: &mut Report) {
    // Unlike `options`, `openOptions` has keys: an option that takes a value twice cannot be given.
    alone(report, &at.key("openOptions"), "text", texts(&luks.open_options));
    let tang = keys(&luks.clevis.tang, |tang| tang.url.as_str());
    alone(report, &at.key("clevis").key("tang"), "URL", tang);
    check_headers(&luks.key_file, &at.key("keyFile"), report);
}

fn check_systemd(systemd: &Systemd, at: &Pointer, report: &mut Report) {
    let units = at.key("units");
    alone(
        report,
        &units,
        "name",
        keys(&systemd.units, |unit| unit.name.as_str()),
    );
    for (index, unit) in systemd.units.iter().enumerate() {
        let names = keys(&unit.dropins, |dropin| dropin.name.as_str());
        alone(report, &units.index(index).key("dropins"), "name", names);
    }
}
