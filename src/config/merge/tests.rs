use proptest::prelude::*;

use super::*;
use crate::config::parse;
use crate::config::types::Hidden;
use crate::config::version::Version;

fn config(body: &str) -> Config {
    let comma = if body.is_empty() { "" } else { ", " };
    parse(format!("{{\"ignition\": {{\"version\": \"3.6.0\"}}{comma}{body}}}").as_bytes())
        .unwrap()
        .config
}

fn merged(parent: &str, child: &str) -> Config {
    merge(config(parent), config(child))
}

/// A URL that every rule accepts.
const URL: &str = "http://x/";

#[test]
fn what_the_child_leaves_out_stays() {
    let result = merged(
        r#""storage": {"files": [{"path": "/a", "mode": 1, "user": {"id": 1},
            "contents": {"compression": "gzip", "source": "data:,a"}}, {"path": "/b"}]}"#,
        r#""storage": {"files": [{"path": "/c"}, {"path": "/a", "mode": 2, "overwrite": false,
            "contents": {"source": "data:,b"}}]}"#,
    );
    let paths: Vec<_> = result
        .storage
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["/a", "/b", "/c"], "the parent's order, then the child's");
    let file = &result.storage.files[0];
    assert_eq!(
        (file.mode, file.overwrite, file.user.id),
        (Some(2), Some(false), Some(1))
    );
    assert_eq!(
        file.contents.compression.as_deref(),
        Some("gzip"),
        "contents merge field by field"
    );
    assert_eq!(file.contents.source.as_ref().map(Hidden::reveal), Some("data:,b"));
}

#[test]
fn one_path_is_one_node() {
    let result = merged(
        r#""storage": {"links": [{"path": "/a", "target": "/x"}, {"path": "/l", "target": "/x"}], "directories": [{"path": "/d"}]}"#,
        r#""storage": {"files": [{"path": "/a"}], "links": [{"path": "/d", "target": "/y"}]}"#,
    );
    let links: Vec<_> = result
        .storage
        .links
        .iter()
        .map(|link| link.path.as_str())
        .collect();
    assert_eq!(links, ["/l", "/d"]);
    assert!(result.storage.directories.is_empty());
    assert_eq!(result.storage.files[0].path, "/a");
}

#[test]
fn a_kernel_argument_is_wanted_or_not() {
    let result = merged(
        r#""kernelArguments": {"shouldExist": ["a", "b"], "shouldNotExist": ["c"]}"#,
        r#""kernelArguments": {"shouldExist": ["c", "b"], "shouldNotExist": ["a"]}"#,
    );
    assert_eq!(result.kernel_arguments.should_exist, ["b", "c"]);
    assert_eq!(result.kernel_arguments.should_not_exist, ["a"]);
}

#[test]
fn a_header_without_value_removes_the_parents() {
    let file = |headers: &str| {
        format!(
            r#""storage": {{"files": [{{"path": "/a", "contents": {{"source": "{URL}", "httpHeaders": [{headers}]}}}}]}}"#
        )
    };
    let result = merged(
        &file(r#"{"name": "A", "value": "1"}, {"name": "B", "value": "2"}"#),
        &file(r#"{"name": "A"}, {"name": "C"}, {"name": "b", "value": "3"}"#),
    );
    let headers = &result.storage.files[0].contents.http_headers;
    let names: Vec<_> = headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["B", "C", "b"]);
}

#[test]
fn lists_without_keys_are_put_one_after_the_other() {
    let result = merged(
        r#""storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}]}],
            "filesystems": [{"device": "/dev/a", "format": "ext4", "options": ["-x"], "mountOptions": ["ro"]}],
            "raid": [{"name": "r", "level": "raid1", "devices": ["/dev/a"], "options": ["-o"]}]}"#,
        r#""storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}]}],
            "filesystems": [{"device": "/dev/a", "format": "ext4", "options": ["-x"], "mountOptions": ["ro"]}],
            "raid": [{"name": "r", "level": "raid1", "devices": ["/dev/b", "/dev/a"], "options": ["-o"]}]}"#,
    );
    assert_eq!(result.storage.files[0].append.len(), 2);
    assert_eq!(result.storage.filesystems[0].options, ["-x", "-x"]);
    assert_eq!(result.storage.filesystems[0].mount_options, ["ro", "ro"]);
    assert_eq!(result.storage.raid[0].options, ["-o", "-o"]);
    assert_eq!(
        result.storage.raid[0].devices,
        ["/dev/a", "/dev/b"],
        "these are a set"
    );
}

#[test]
fn partitions_go_by_number_and_else_by_label() {
    let result = merged(
        r#""storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "sizeMiB": 5}, {"label": "x", "sizeMiB": 6}]}]}"#,
        r#""storage": {"disks": [{"device": "/dev/a", "partitions": [{"label": "x", "startMiB": 7}, {"number": 1, "label": "y"}]}]}"#,
    );
    let partitions = &result.storage.disks[0].partitions;
    assert_eq!(partitions.len(), 2);
    assert_eq!(
        (partitions[0].size_mib, partitions[0].label.as_deref()),
        (Some(5), Some("y"))
    );
    assert_eq!(
        (partitions[1].size_mib, partitions[1].start_mib),
        (Some(6), Some(7))
    );
}

#[test]
fn references_are_united_by_source() {
    let references = |paths: &[&str]| {
        let mut config = config("");
        config.ignition.config.merge = paths
            .iter()
            .map(|path| Resource {
                source: Some((*path).into()),
                ..Resource::default()
            })
            .collect();
        config
    };
    let result = merge(
        references(&["data:,a", "data:,b"]),
        references(&["data:,c", "data:,a"]),
    );
    let sources: Vec<_> = result.ignition.config.merge.iter().map(Keyed::key).collect();
    assert_eq!(sources, ["data:,a", "data:,b", "data:,c"]);
}

#[test]
fn lists_with_keys_twice_lose_nothing_of_the_parent() {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        united(list(&["a", "a", "b"]), list(&["a", "c", "c"])),
        ["a", "a", "b", "c", "c"]
    );
}

/// Configs over few names, so that they meet; without headers that remove, for which the order of merging matters.
fn any_config() -> impl Strategy<Value = Config> {
    let name = || prop::sample::select(vec!["/a", "/b", "/c"]).prop_map(str::to_owned);
    let unique = |names: Vec<String>| {
        let mut seen = HashSet::new();
        names
            .into_iter()
            .filter(|name| seen.insert(name.clone()))
            .collect::<Vec<_>>()
    };
    let nodes = prop::collection::vec((name(), 0..3_u8, prop::option::of(0..3_i64)), 0..4);
    let words = prop::collection::vec((name(), any::<bool>()), 0..4);
    let units = prop::collection::vec(
        (
            name(),
            prop::option::of(any::<bool>()),
            prop::collection::vec(name(), 0..3),
        ),
        0..3,
    );
    let options = prop::collection::vec(name(), 0..3);
    (nodes, words, units, options, prop::option::of(0..3_i64)).prop_map(
        move |(nodes, words, units, options, total)| {
            let mut config = Config::default();
            Version::NEWEST.name().clone_into(&mut config.ignition.version);
            config.ignition.timeouts.http_total = total;
            let mut seen = HashSet::new();
            for (path, kind, mode) in nodes {
                if !seen.insert(path.clone()) {
                    continue;
                }
                match kind {
                    0 => config.storage.files.push(File {
                        path,
                        mode,
                        ..File::default()
                    }),
                    1 => config.storage.directories.push(Directory {
                        path,
                        mode,
                        ..Directory::default()
                    }),
                    _ => config.storage.links.push(Link {
                        path,
                        target: mode.map(|mode| mode.to_string()),
                        ..Link::default()
                    }),
                }
            }
            let mut seen = HashSet::new();
            for (word, wanted) in words {
                if seen.insert(word.clone()) {
                    let arguments = &mut config.kernel_arguments;
                    if wanted {
                        arguments.should_exist.push(word);
                    } else {
                        arguments.should_not_exist.push(word);
                    }
                }
            }
            let mut seen = HashSet::new();
            for (name, enabled, dropins) in units {
                if seen.insert(name.clone()) {
                    let dropins = unique(dropins)
                        .into_iter()
                        .map(|name| Dropin { name, contents: None })
                        .collect();
                    config.systemd.units.push(Unit {
                        dropins,
                        enabled,
                        name,
                        ..Unit::default()
                    });
                }
            }
            config.storage.raid.push(Raid {
                name: "r".to_owned(),
                options,
                ..Raid::default()
            });
            config
        },
    )
}

proptest! {
    #[test]
    fn an_empty_config_changes_nothing(config in any_config()) {
        prop_assert_eq!(merge(Config::default(), config.clone()), config.clone());
        prop_assert_eq!(merge(config.clone(), Config::default()), config);
    }

    /// Holds for everything but the order of entries that move between lists of one key space.
    #[test]
    fn merging_is_associative(a in any_config(), b in any_config(), c in any_config()) {
        let sorted = |mut config: Config| {
            config.storage.files.sort_by(|l, r| l.path.cmp(&r.path));
            config.storage.directories.sort_by(|l, r| l.path.cmp(&r.path));
            config.storage.links.sort_by(|l, r| l.path.cmp(&r.path));
            config.kernel_arguments.should_exist.sort();
            config.kernel_arguments.should_not_exist.sort();
            config
        };
        // A node that becomes another kind and back again forgets what it was, or does not, depending on the order.
        let kind = |config: &Config, path: &str| {
            if config.storage.files.iter().any(|file| file.path == path) { 1 }
            else if config.storage.directories.iter().any(|directory| directory.path == path) { 2 }
            else if config.storage.links.iter().any(|link| link.path == path) { 3 }
            else { 0 }
        };
        for path in ["/a", "/b", "/c"] {
            let (x, y, z) = (kind(&a, path), kind(&b, path), kind(&c, path));
            prop_assume!(!(x != 0 && x == z && y != 0 && y != x));
        }
        let left = merge(merge(a.clone(), b.clone()), c.clone());
        let right = merge(a, merge(b, c));
        prop_assert_eq!(sorted(left), sorted(right));
    }

    #[test]
    fn keys_stay_unique(a in any_config(), b in any_config()) {
        let result = merge(a, b);
        let storage = &result.storage;
        let paths: Vec<_> = keys(&storage.files).into_iter().chain(keys(&storage.directories)).chain(keys(&storage.links)).collect();
        prop_assert_eq!(paths.iter().collect::<HashSet<_>>().len(), paths.len());
        let words = [keys(&result.kernel_arguments.should_exist), keys(&result.kernel_arguments.should_not_exist)].concat();
        prop_assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
    }
}
