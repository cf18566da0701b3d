use serde_json::{Value, json};

use super::*;
use crate::config::{self, ParseError};

/// What is said about a config of a version: `error $.path` or `warning $.path`, with the messages.
fn entries(version: Version, mut config: Value) -> Vec<(String, String)> {
    config["ignition"]["version"] = version.name().into();
    let report = match config::parse(config.to_string().as_bytes()) {
        Ok(parsed) => parsed.report,
        Err(ParseError::Invalid { report }) => report,
        Err(other) => panic!("{other}"),
    };
    let entries = report.entries.into_iter();
    entries
        .map(|entry| {
            (
                format!("{} {}", entry.severity, entry.pointer.dollar()),
                entry.message,
            )
        })
        .collect()
}

fn places(version: Version, config: Value) -> Vec<String> {
    entries(version, config)
        .into_iter()
        .map(|(place, _)| place)
        .collect()
}

/// Checks a table of (oldest version, newest version, config, expected): in all versions of the range.
#[track_caller]
fn check_table(table: Vec<(Version, Version, Value, &[&str])>) {
    for (first, last, config, expected) in table {
        for version in Version::ALL
            .into_iter()
            .filter(|version| (first..=last).contains(version))
        {
            assert_eq!(places(version, config.clone()), expected, "{version} {config}");
        }
    }
}

use Version::{V3_0, V3_1, V3_2, V3_3, V3_4, V3_5, V3_6, V3_7};

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn disk(partitions: Value) -> Value {
    json!({"storage": {"disks": [{"device": "/dev/a", "partitions": partitions}]}})
}

#[test]
fn ignition_section() {
    let merge = |resource: Value| json!({"ignition": {"config": {"merge": [resource]}}});
    let authority =
        |resource: Value| json!({"ignition": {"security": {"tls": {"certificateAuthorities": [resource]}}}});
    let item = "error $.ignition.config.merge.0";
    let source = "error $.ignition.config.merge.0.source";
    let ca = "error $.ignition.security.tls.certificateAuthorities.0";
    let ca_source = "error $.ignition.security.tls.certificateAuthorities.0.source";
    check_table(vec![
        (V3_0, V3_0, merge(json!({})), &[]),
        (V3_1, V3_7, merge(json!({})), &[item]),
        (V3_1, V3_7, merge(json!({"source": ""})), &[item]),
        (V3_0, V3_0, merge(json!({"source": "x:y"})), &[source]),
        (V3_1, V3_7, merge(json!({"source": "x:y"})), &[item, source]),
        (V3_0, V3_0, authority(json!({})), &[ca_source]),
        (V3_1, V3_7, authority(json!({})), &[ca]),
        (V3_1, V3_7, authority(json!({"source": "x:y"})), &[ca, ca_source]),
        (V3_0, V3_7, authority(json!({"source": "data:,x"})), &[]),
        (
            V3_0,
            V3_7,
            json!({"ignition": {"config": {"replace": {"source": ""}}}}),
            &[],
        ),
        (
            V3_0,
            V3_7,
            json!({"ignition": {"config": {"replace": {"source": ":"}}}}),
            &["error $.ignition.config.replace.source"],
        ),
        // 3.0 knows verification here, but not the rule that it needs a source.
        (
            V3_0,
            V3_0,
            json!({"ignition": {"config": {"replace": {"verification": {"hash": "x"}}}}}),
            &["error $.ignition.config.replace.verification.hash"],
        ),
        (
            V3_1,
            V3_7,
            json!({"ignition": {"config": {"replace": {"verification": {"hash": "x"}}}}}),
            &["error $.ignition.config.replace.verification.hash"; 2],
        ),
    ]);
}

#[test]
fn proxies() {
    let proxy = |key: &str, value: &str| json!({"ignition": {"proxy": {key: value}}});
    check_table(vec![
        (V3_1, V3_7, proxy("httpProxy", "http://h"), &[]),
        (V3_1, V3_7, proxy("httpsProxy", "https://h"), &[]),
        (
            V3_1,
            V3_7,
            proxy("httpsProxy", "http://h"),
            &["warning $.ignition.proxy.httpsProxy"],
        ),
        (
            V3_1,
            V3_7,
            proxy("httpProxy", ""),
            &["error $.ignition.proxy.httpProxy"],
        ),
        (
            V3_1,
            V3_7,
            proxy("httpProxy", "socks5://h"),
            &["error $.ignition.proxy.httpProxy"],
        ),
        (
            V3_1,
            V3_7,
            proxy("httpsProxy", "http://[h"),
            &["error $.ignition.proxy.httpsProxy"],
        ),
    ]);
}

#[test]
fn resources() {
    let contents = |resource: Value| json!({"storage": {"files": [{"path": "/f", "contents": resource}]}});
    let at = |key: &str| format!("error $.storage.files.0.contents.{key}");
    let (compression, hash, source, headers) = (
        at("compression"),
        at("verification.hash"),
        at("source"),
        at("httpHeaders"),
    );
    let (name, value) = (at("httpHeaders.0.name"), at("httpHeaders.0.value"));
    let sha256 = format!("sha256-{}", "0".repeat(64));
    let sha512 = format!("sha512-{}", "G".repeat(128));
    let header = json!([{"name": "A", "value": "b"}]);
    check_table(vec![
        (V3_0, V3_7, contents(json!({"compression": ""})), &[]),
        (V3_0, V3_7, contents(json!({"compression": "gzip"})), &[]),
        (
            V3_0,
            V3_7,
            contents(json!({"compression": "xz"})),
            &[&compression],
        ),
        (
            V3_0,
            V3_7,
            contents(json!({"source": "", "verification": {"hash": sha512}})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            contents(json!({"verification": {"hash": sha512}})),
            &[&hash],
        ),
        (
            V3_0,
            V3_0,
            contents(json!({"source": "", "verification": {"hash": sha256}})),
            &[&hash],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "", "verification": {"hash": sha256}})),
            &[],
        ),
        (V3_0, V3_7, contents(json!({"source": "/f"})), &[&source]),
        (V3_0, V3_1, contents(json!({"source": "gs://b/k"})), &[&source]),
        (V3_2, V3_7, contents(json!({"source": "gs://b/k"})), &[]),
        (
            V3_0,
            V3_3,
            contents(json!({"source": "arn:aws:s3:::b/k"})),
            &[&source],
        ),
        (V3_4, V3_7, contents(json!({"source": "arn:aws:s3:::b/k"})), &[]),
        (V3_0, V3_7, contents(json!({"source": "oem:///f"})), &[]),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "http://h", "httpHeaders": header})),
            &[],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "data:,", "httpHeaders": header})),
            &[&headers],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "", "httpHeaders": header})),
            &[&headers],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": ":", "httpHeaders": header})),
            &[&source, &headers],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "http://h", "httpHeaders": [{"name": "", "value": ""}]})),
            &[&name, &value],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "http://h", "httpHeaders": [{"name": "a"}]})),
            &[],
        ),
        // In the order in which upstream walks.
        (
            V3_1,
            V3_7,
            contents(json!({"compression": "x", "verification": {"hash": "x"}, "httpHeaders": [{}]})),
            &[&compression, &hash, &headers, &name, &hash],
        ),
    ]);
}

#[test]
fn disks() {
    let list = "error $.storage.disks.0.partitions";
    let first = "error $.storage.disks.0.partitions.0";
    let second = "error $.storage.disks.0.partitions.1";
    let extent =
        |number: i64, start: i64, size: i64| json!({"number": number, "startMiB": start, "sizeMiB": size});
    check_table(vec![
        (
            V3_0,
            V3_7,
            json!({"storage": {"disks": [{"partitions": [{"number": 1}, {"number": 1}]}]}}),
            &["error $.storage.disks.0.device", second],
        ),
        (
            V3_0,
            V3_7,
            json!({"storage": {"disks": [{"device": "a"}]}}),
            &["error $.storage.disks.0.device"],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"number": 1}, {"number": 1}])),
            &[second, second],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"number": 1, "label": ""}, {"number": 2, "label": ""}])),
            &[second],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"number": 1, "shouldExist": false}, {"label": "a"}])),
            &[list],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"shouldExist": false, "number": 1, "label": "a"}])),
            &[first],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"shouldExist": false, "number": 1, "guid": "", "wipePartitionEntry": true}])),
            &[],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"shouldExist": false, "number": 1, "sizeMiB": 0}])),
            &[first],
        ),
        (V3_0, V3_7, disk(json!([{}])), &[first]),
        (V3_0, V3_7, disk(json!([{"number": -1}])), &[]),
        (V3_0, V3_7, disk(json!([{"label": "a".repeat(36)}])), &[]),
        (
            V3_0,
            V3_7,
            disk(json!([{"label": "a".repeat(37)}])),
            &["error $.storage.disks.0.partitions.0.label"],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"label": "a:"}])),
            &["error $.storage.disks.0.partitions.0.label"],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([{"number": 1, "guid": "x", "typeGuid": "y"}])),
            &[
                "error $.storage.disks.0.partitions.0.guid",
                "error $.storage.disks.0.partitions.0.typeGuid",
            ],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, 1, 100), extent(2, 101, 100)])),
            &[],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, 1, 100), extent(2, 100, 100)])),
            &[second],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, 10, 5), extent(2, 1, 100)])),
            &[second],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, 1, 100), extent(2, 10, 5)])),
            &[second],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, 0, 100), extent(2, 0, 100)])),
            &[],
        ),
        (V3_0, V3_7, disk(json!([extent(1, 10, 0), extent(2, 11, 0)])), &[]),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, 10, 0), extent(2, 10, 0)])),
            &[second],
        ),
        (
            V3_0,
            V3_7,
            disk(json!([extent(1, i64::MAX, i64::MAX), extent(2, i64::MIN, -1)])),
            &[second],
        ),
    ]);
}

#[test]
fn raids() {
    let raid = |mut raid: Value| {
        raid["name"] = "d".into();
        json!({"storage": {"raid": [raid]}})
    };
    let level = "error $.storage.raid.0.level";
    check_table(vec![
        (V3_0, V3_7, raid(json!({"devices": ["/dev/a"]})), &[level]),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "", "devices": ["/dev/a"]})),
            &[level],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "raid7", "devices": ["/dev/a"]})),
            &[level],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "RAID1", "devices": ["/dev/a"]})),
            &[level],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "10", "devices": ["/dev/a"], "spares": -1})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "stripe", "devices": ["/dev/a"], "spares": 0})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "stripe", "devices": ["/dev/a"], "spares": 1})),
            &[level],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "1"})),
            &["error $.storage.raid.0.devices"],
        ),
        (
            V3_0,
            V3_7,
            raid(json!({"level": "1", "devices": ["a", "/b/"]})),
            &[
                "error $.storage.raid.0.devices.0",
                "error $.storage.raid.0.devices.1",
            ],
        ),
    ]);
}

#[test]
fn filesystems() {
    let filesystem = |mut filesystem: Value| {
        filesystem["device"] = "/dev/a".into();
        json!({"storage": {"filesystems": [filesystem]}})
    };
    let beside = |disk: Value, mut config: Value| {
        config["storage"]["disks"] = json!([disk]);
        config
    };
    let format = "error $.storage.filesystems.0.format";
    let label = "error $.storage.filesystems.0.label";
    let device = "warning $.storage.filesystems.0.device";
    check_table(vec![
        (
            V3_0,
            V3_7,
            json!({"storage": {"filesystems": [{"path": "x", "format": "swap"}]}}),
            &[
                "error $.storage.filesystems.0.path",
                "error $.storage.filesystems.0.device",
            ],
        ),
        (V3_0, V3_7, filesystem(json!({})), &[]),
        (
            V3_0,
            V3_7,
            filesystem(json!({"path": "", "label": "", "uuid": "", "options": [], "wipeFilesystem": false})),
            &[],
        ),
        (V3_0, V3_7, filesystem(json!({"path": "/x"})), &[format]),
        (V3_0, V3_7, filesystem(json!({"uuid": "x"})), &[format]),
        (V3_0, V3_7, filesystem(json!({"wipeFilesystem": true})), &[format]),
        (V3_0, V3_7, filesystem(json!({"options": ["x"]})), &[format]),
        (V3_1, V3_7, filesystem(json!({"mountOptions": ["x"]})), &[format]),
        (V3_0, V3_7, filesystem(json!({"label": "x"})), &[format, label]),
        (V3_0, V3_7, filesystem(json!({"format": "EXT4"})), &[format]),
        (V3_0, V3_2, filesystem(json!({"format": "none"})), &[format]),
        (
            V3_3,
            V3_7,
            filesystem(json!({"format": "none", "label": "x".repeat(999)})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            beside(
                json!({"device": "/dev/a", "partitions": [{"number": 1}], "wipeTable": true}),
                filesystem(json!({})),
            ),
            &[device],
        ),
        (
            V3_0,
            V3_7,
            beside(
                json!({"device": "/dev/a", "wipeTable": true}),
                filesystem(json!({})),
            ),
            &[device],
        ),
        (
            V3_0,
            V3_7,
            beside(
                json!({"device": "/dev/a", "wipeTable": true}),
                filesystem(json!({"format": "xfs", "wipeFilesystem": true})),
            ),
            &[],
        ),
        (
            V3_0,
            V3_7,
            beside(
                json!({"device": "/dev/b", "wipeTable": true}),
                filesystem(json!({})),
            ),
            &[],
        ),
    ]);
    for (name, limit) in [
        ("ext4", 16),
        ("btrfs", 256),
        ("xfs", 12),
        ("swap", 15),
        ("vfat", 11),
    ] {
        let with = |length: usize| filesystem(json!({"format": name, "label": "x".repeat(length)}));
        check_table(vec![
            (V3_0, V3_7, with(limit), &[]),
            (V3_0, V3_7, with(limit + 1), &[label]),
        ]);
    }
}

#[test]
fn nodes() {
    let file = |mut file: Value| {
        file["path"] = "/f".into();
        json!({"storage": {"files": [file]}})
    };
    let mode = "$.storage.files.0.mode";
    let (mode_error, mode_warning) = (format!("error {mode}"), format!("warning {mode}"));
    check_table(vec![
        (
            V3_0,
            V3_7,
            json!({"storage": {"directories": [{}], "files": [{"path": "f"}], "links": [{"path": "/l/", "target": "x"}]}}),
            &[
                "error $.storage.directories.0.path",
                "error $.storage.files.0.path",
                "error $.storage.links.0.path",
            ],
        ),
        (V3_0, V3_7, file(json!({"mode": 0o777})), &[]),
        (V3_0, V3_5, file(json!({"mode": 0o1777})), &[&mode_warning]),
        (V3_6, V3_7, file(json!({"mode": 0o1777})), &[]),
        (
            V3_0,
            V3_5,
            file(json!({"mode": 0o17777})),
            &[&mode_error, &mode_warning],
        ),
        (V3_6, V3_7, file(json!({"mode": 0o10000})), &[&mode_error]),
        (V3_6, V3_7, file(json!({"mode": -1})), &[&mode_error]),
        (
            V3_0,
            V3_5,
            json!({"storage": {"directories": [{"path": "/d", "mode": 0o1777}]}}),
            &["warning $.storage.directories.0.mode"],
        ),
        (
            V3_0,
            V3_7,
            file(json!({"overwrite": true})),
            &["error $.storage.files.0.overwrite"],
        ),
        (
            V3_0,
            V3_7,
            file(json!({"overwrite": true, "contents": {"source": ""}})),
            &[],
        ),
        (V3_0, V3_7, file(json!({"overwrite": false})), &[]),
        (
            V3_0,
            V3_7,
            file(json!({"user": {"id": 0, "name": "x"}, "group": {"id": 0, "name": "x"}})),
            &["error $.storage.files.0.group", "error $.storage.files.0.user"],
        ),
        (V3_0, V3_7, file(json!({"user": {"id": 0, "name": ""}})), &[]),
        (
            V3_0,
            V3_7,
            file(json!({"append": [{"source": "x"}]})),
            &["error $.storage.files.0.append.0.source"],
        ),
    ]);
}

#[test]
fn links() {
    let link = |link: Value| json!({"storage": {"links": [link]}});
    let beside = |key: &str, list: Value, mut config: Value| {
        config["storage"][key] = list;
        config
    };
    let at = "error $.storage.links.0";
    let target = "error $.storage.links.0.target";
    let hard = |target: &str| link(json!({"path": "/l", "target": target, "hard": true}));
    let directory = json!([{"path": "/l/d"}, {"path": "/d"}]);
    let below = "error $.storage.directories.0";
    check_table(vec![
        (V3_0, V3_2, link(json!({"path": "/l"})), &[]),
        (V3_3, V3_7, link(json!({"path": "/l"})), &[target]),
        (V3_3, V3_7, link(json!({"path": "/l", "target": ""})), &[target]),
        (
            V3_0,
            V3_7,
            beside(
                "files",
                json!([{"path": "/l/f"}, {"path": "/lf"}]),
                link(json!({"path": "/l", "target": "x"})),
            ),
            &["error $.storage.files.0"],
        ),
        (
            V3_0,
            V3_7,
            json!({"storage": {"links": [{"path": "/l/m", "target": "x"}, {"path": "/l", "target": "x"}]}}),
            &[at],
        ),
        // An empty link path is a prefix of every absolute path.
        (
            V3_0,
            V3_7,
            beside("files", json!([{"path": "/f"}]), link(json!({"target": "x"}))),
            &["error $.storage.files.0", "error $.storage.links.0.path"],
        ),
        (
            V3_0,
            V3_7,
            beside("directories", json!([{"path": "/d"}]), hard("/x/../d")),
            &[at],
        ),
        (
            V3_0,
            V3_7,
            beside("directories", json!([{"path": "/d"}]), hard("/x")),
            &[],
        ),
        // A relative target is joined onto the link's own path.
        (
            V3_0,
            V3_7,
            beside("directories", directory.clone(), hard("d")),
            &[below, at],
        ),
        (
            V3_0,
            V3_7,
            beside("directories", directory, hard("../d")),
            &[below, at],
        ),
        (
            V3_0,
            V3_7,
            link(
                json!({"path": "/l", "target": "/x", "hard": true, "user": {"id": 1}, "group": {"name": ""}}),
            ),
            &[
                "warning $.storage.links.0.user.id",
                "warning $.storage.links.0.group.name",
            ],
        ),
        (
            V3_0,
            V3_7,
            link(json!({"path": "/l", "target": "/x", "user": {"id": 1}})),
            &[],
        ),
    ]);
}

#[test]
fn luks() {
    let luks = |mut luks: Value| {
        luks["name"] = "l".into();
        luks["device"] = "/dev/a".into();
        json!({"storage": {"luks": [luks]}})
    };
    let custom = |custom: Value| luks(json!({"clevis": {"custom": custom}}));
    let clevis = "error $.storage.luks.0.clevis";
    let pin = "error $.storage.luks.0.clevis.custom.pin";
    let config = "error $.storage.luks.0.clevis.custom.config";
    let cex = "error $.storage.luks.0.cex";
    let tang = |tang: Value| luks(json!({"clevis": {"tang": [tang]}}));
    let tang_at = |key: &str| format!("error $.storage.luks.0.clevis.tang.0.{key}");
    let (url, thumbprint, advertisement) = (tang_at("url"), tang_at("thumbprint"), tang_at("advertisement"));
    check_table(vec![
        (
            V3_2,
            V3_7,
            json!({"storage": {"luks": [{"name": "a/b", "label": "x".repeat(48)}]}}),
            &[
                "error $.storage.luks.0.name",
                "error $.storage.luks.0.label",
                "error $.storage.luks.0.device",
            ],
        ),
        (
            V3_2,
            V3_7,
            json!({"storage": {"luks": [{"device": "b"}]}}),
            &["error $.storage.luks.0.device"],
        ),
        (V3_2, V3_7, luks(json!({"label": "x".repeat(47)})), &[]),
        (
            V3_2,
            V3_7,
            luks(json!({"keyFile": {"source": "x"}})),
            &[
                "error $.storage.luks.0.keys",
                "error $.storage.luks.0.keyFile.source",
            ],
        ),
        (
            V3_2,
            V3_2,
            luks(json!({"clevis": {"custom": {}, "tpm2": true}})),
            &[clevis],
        ),
        (
            V3_3,
            V3_7,
            luks(json!({"clevis": {"custom": {}, "tpm2": true}})),
            &[],
        ),
        (
            V3_2,
            V3_7,
            luks(json!({"clevis": {"custom": {"pin": "tpm2", "config": "{}"}, "threshold": 1}})),
            &[clevis],
        ),
        (
            V3_2,
            V3_7,
            luks(json!({"clevis": {"custom": {"pin": "tpm2", "config": "{}"}, "threshold": 0}})),
            &[],
        ),
        (V3_2, V3_7, custom(json!({})), &[]),
        (V3_2, V3_2, custom(json!({"needsNetwork": true})), &[]),
        (V3_3, V3_7, custom(json!({"needsNetwork": true})), &[pin, config]),
        (V3_2, V3_7, custom(json!({"config": "x"})), &[pin]),
        (V3_2, V3_7, custom(json!({"pin": "sss"})), &[config]),
        (V3_2, V3_5, custom(json!({"pin": "foo", "config": "x"})), &[pin]),
        (V3_6, V3_7, custom(json!({"pin": "foo", "config": "x"})), &[]),
        (V3_5, V3_7, luks(json!({"cex": {"enabled": true}})), &[]),
        (
            V3_5,
            V3_7,
            luks(
                json!({"cex": {"enabled": true}, "clevis": {"tpm2": true}, "keyFile": {"source": "data:,"}}),
            ),
            &[cex, cex],
        ),
        (
            V3_5,
            V3_7,
            luks(json!({"cex": {"enabled": false}, "clevis": {"tpm2": true}})),
            &[],
        ),
        (V3_2, V3_7, tang(json!({})), &[&url, &thumbprint]),
        (
            V3_2,
            V3_7,
            tang(json!({"url": "ftp://h", "thumbprint": "x"})),
            &[&url],
        ),
        (
            V3_2,
            V3_7,
            tang(json!({"url": "HTTP://h", "thumbprint": "x"})),
            &[],
        ),
        (
            V3_4,
            V3_7,
            tang(json!({"url": "http://h", "thumbprint": "x", "advertisement": "{"})),
            &[&advertisement],
        ),
        (
            V3_4,
            V3_7,
            tang(json!({"url": "http://h", "thumbprint": "x", "advertisement": "{\"a\": [1]}"})),
            &[],
        ),
        (
            V3_4,
            V3_7,
            tang(json!({"url": "http://h", "thumbprint": "x", "advertisement": ""})),
            &[],
        ),
    ]);
}

#[test]
fn systemd() {
    let unit = |unit: Value| json!({"systemd": {"units": [unit]}});
    let contents = "$.systemd.units.0.contents";
    let (bad, useless) = (format!("error {contents}"), format!("warning {contents}"));
    let install = "[Install]\nWantedBy=x\n";
    check_table(vec![
        (V3_0, V3_7, unit(json!({"name": "a.scope"})), &[]),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.network"})),
            &["error $.systemd.units.0.name"],
        ),
        (V3_0, V3_7, unit(json!({})), &["error $.systemd.units.0.name"]),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "[Unit\n"})),
            &[&bad],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "[Unit\n", "enabled": true})),
            &[&bad, &useless],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "[Install]\n", "enabled": true})),
            &[&useless],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": install, "enabled": true})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "", "enabled": true})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "dropins": [{"name": "x", "contents": "[\n"}]})),
            &[
                "error $.systemd.units.0.dropins.0.contents",
                "error $.systemd.units.0.dropins.0.name",
            ],
        ),
    ]);
}

#[test]
fn instances_of_templates() {
    let units = |instance: &str, template: &str, contents: &str| json!({"systemd": {"units": [{"name": instance, "enabled": true}, {"name": template, "contents": contents}]}});
    let useless = "warning $.systemd.units.0.contents";
    let install = "[Install]\nWantedBy=x\n";
    check_table(vec![
        (
            V3_0,
            V3_7,
            units("a@b.service", "a@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (V3_0, V3_7, units("a@b.service", "a@.service", install), &[]),
        (V3_0, V3_7, units("a@b.service", "a@.service", ""), &[]),
        (
            V3_0,
            V3_7,
            units("a@b@c.service", "a@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (
            V3_0,
            V3_7,
            units("@@b.service", "@@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (
            V3_0,
            V3_7,
            units("a@.service.service", "a@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (V3_0, V3_7, units("a@b.timer", "a@.timer", "[Unit]\nA=b\n"), &[]),
        (
            V3_0,
            V3_7,
            units("a@b.service", "a@.service", "[Unit\n"),
            &["error $.systemd.units.1.contents"],
        ),
    ]);
}

#[test]
fn nodes_that_would_overwrite_units() {
    let unit = json!({"name": "a.service", "contents": "[A]\n", "dropins": [{"name": "b.conf", "contents": "[A]\n"}]});
    let config = json!({
        "systemd": {"units": [unit, {"name": "empty.service", "contents": ""}]},
        "storage": {
            "directories": [{"path": "/etc/systemd/system/a.service.d/b.conf"}],
            "files": [{"path": "/etc/systemd/system/a.service"}, {"path": "/etc/systemd/system/empty.service"}],
        },
    });
    let expected = [
        "error $.storage.files.0.path",
        "error $.storage.directories.0.path",
    ];
    check_table(vec![(V3_0, V3_7, config, &expected)]);
}

#[test]
fn duplicate_entries() {
    let key = |list: &str, index: usize| format!("error $.{list}.{index}");
    let storage = |list: &str, entry: Value| json!({"storage": {list: [entry, entry]}});
    let file = json!({"path": "/f"});
    let tang = json!({"url": "http://h", "thumbprint": "x"});
    let luks = |luks: Value| json!({"storage": {"luks": [luks]}});
    let headers =
        json!([{"name": "A", "value": "1"}, {"name": "A", "value": "1"}, {"name": "a", "value": "1"}]);
    for (since, config, expected) in [
        (
            V3_0,
            json!({"ignition": {"config": {"merge": [{"source": "data:,"}, {"source": "data:,"}]}}}),
            vec![key("ignition.config.merge", 1)],
        ),
        (
            V3_0,
            json!({"ignition": {"security": {"tls": {"certificateAuthorities": [{"source": "data:,"}, {"source": "data:,"}]}}}}),
            vec![key("ignition.security.tls.certificateAuthorities", 1)],
        ),
        (
            V3_1,
            json!({"ignition": {"proxy": {"noProxy": ["a", "a", "A"]}}}),
            vec![key("ignition.proxy.noProxy", 1)],
        ),
        (
            V3_1,
            json!({"ignition": {"config": {"replace": {"source": "http://h", "httpHeaders": headers}}}}),
            vec![key("ignition.config.replace.httpHeaders", 1)],
        ),
        (
            V3_1,
            json!({"storage": {"files": [{"path": "/f", "append": [{"source": "http://h", "httpHeaders": headers}]}]}}),
            vec![key("storage.files.0.append.0.httpHeaders", 1)],
        ),
        (
            V3_0,
            storage("disks", json!({"device": "/d"})),
            vec![key("storage.disks", 1)],
        ),
        (
            V3_0,
            disk(json!([{"number": 1, "label": "a"}, {"label": "b"}, {"number": 2, "label": "c"}])),
            vec![],
        ),
        (
            V3_0,
            storage("raid", json!({"name": "r", "level": "1", "devices": ["/a"]})),
            vec![key("storage.raid", 1)],
        ),
        (
            V3_0,
            json!({"storage": {"raid": [{"name": "r", "level": "1", "devices": ["/a", "/a"], "options": ["x", "x"]}]}}),
            vec![key("storage.raid.0.devices", 1)],
        ),
        (
            V3_2,
            storage("luks", json!({"name": "l", "device": "/d"})),
            vec![key("storage.luks", 1)],
        ),
        (
            V3_2,
            luks(json!({"name": "l", "device": "/d", "options": ["x", "x"]})),
            vec![],
        ),
        (
            V3_4,
            luks(json!({"name": "l", "device": "/d", "openOptions": ["x", "x"]})),
            vec![key("storage.luks.0.openOptions", 1)],
        ),
        (
            V3_2,
            luks(json!({"name": "l", "device": "/d", "clevis": {"tang": [tang, tang]}})),
            vec![key("storage.luks.0.clevis.tang", 1)],
        ),
        (
            V3_0,
            storage(
                "filesystems",
                json!({"device": "/d", "format": "xfs", "options": ["x", "x"]}),
            ),
            vec![key("storage.filesystems", 1)],
        ),
        (
            V3_0,
            storage("files", file.clone()),
            vec![key("storage.files", 1)],
        ),
        (
            V3_0,
            json!({"storage": {"files": [{"path": "/f", "append": [{"source": "data:,"}, {"source": "data:,"}]}]}}),
            vec![],
        ),
        // One key space, in the order directories, files, links.
        (
            V3_0,
            json!({"storage": {"links": [{"path": "/f", "target": "x"}], "files": [file], "directories": [file]}}),
            vec![key("storage.files", 0), key("storage.links", 0)],
        ),
        (
            V3_0,
            json!({"systemd": {"units": [{"name": "a.path"}, {"name": "a.path"}]}}),
            vec![key("systemd.units", 1)],
        ),
        (
            V3_0,
            json!({"systemd": {"units": [{"name": "a.path", "dropins": [{"name": "a.conf"}, {"name": "a.conf"}]}]}}),
            vec![key("systemd.units.0.dropins", 1)],
        ),
        (
            V3_0,
            json!({"passwd": {"users": [{"name": "u"}, {"name": "u"}], "groups": [{"name": "u"}, {"name": "u"}]}}),
            vec![key("passwd.groups", 1), key("passwd.users", 1)],
        ),
        (
            V3_0,
            json!({"passwd": {"users": [{"name": "u", "groups": ["g", "g"], "sshAuthorizedKeys": ["k", "k"]}]}}),
            vec![
                key("passwd.users.0.groups", 1),
                key("passwd.users.0.sshAuthorizedKeys", 1),
            ],
        ),
        (
            V3_3,
            json!({"kernelArguments": {"shouldExist": ["a", "b"], "shouldNotExist": ["b"]}}),
            vec![key("kernelArguments.shouldNotExist", 0)],
        ),
    ] {
        for version in Version::ALL.into_iter().filter(|version| *version >= since) {
            assert_eq!(places(version, config.clone()), expected, "{version} {config}");
        }
    }
}

/// What old versions let pass is refused before anything runs.
#[test]
fn the_final_validation_uses_the_newest_rules() {
    let text = json!({"ignition": {"version": "3.0.0"}, "storage": {"links": [{"path": "/l"}]}}).to_string();
    let parsed = config::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.report, Report::default());
    let report = final_validation(&parsed.config);
    let places: Vec<_> = report
        .entries
        .iter()
        .map(|entry| entry.pointer.dollar())
        .collect();
    assert_eq!(places, ["$.storage.links.0.target"]);

    // Merging can repeat what no single document may, so duplicates are not looked for.
    let text =
        json!({"ignition": {"version": "3.6.0"}, "kernelArguments": {"shouldExist": ["a"]}}).to_string();
    let mut config = config::parse(text.as_bytes()).unwrap().config;
    config.kernel_arguments.should_exist.push("a".to_owned());
    assert_eq!(final_validation(&config), Report::default());
    assert!(duplicates(&config, Version::NEWEST).is_fatal());
}

#[test]
fn a_config_of_another_version_is_refused() {
    let mut config = Config::default();
    for (text, expected) in [("", true), ("3.0", true), ("3.0.0", true), ("3.6.0", false)] {
        text.clone_into(&mut config.ignition.version);
        let report = validators(&config, V3_6);
        assert_eq!(report.is_fatal(), expected, "{text:?}");
    }
}

#[test]
fn messages_show_no_secrets() {
    let url = "http://u:canary@h:canary/?canary#canary";
    let headers = json!([{"name": "", "value": "canary"}, {"name": "", "value": "canary"}]);
    let resource = json!({"source": url, "httpHeaders": headers, "verification": {"hash": "canary"}, "compression": "canary"});
    let config = json!({
        "ignition": {
            "config": {"merge": [resource, resource], "replace": resource},
            "proxy": {"httpProxy": url, "httpsProxy": "http://u:canary@h"},
            "security": {"tls": {"certificateAuthorities": [resource, resource]}},
        },
        "passwd": {"users": [{"name": "u", "passwordHash": "canary", "sshAuthorizedKeys": ["canary", "canary"]}]},
        "storage": {
            "files": [{"path": "f", "contents": {"source": "data:,canary "}, "append": [resource]}],
            "luks": [{
                "name": "l", "device": "d", "keyFile": {"source": "data:;base64,canary!"},
                "clevis": {"tang": [{"url": url, "advertisement": "canary"}], "custom": {"pin": "canary"}},
            }],
        },
        "systemd": {"units": [{
            "name": "u.service", "contents": "[Service]\ncanary", "dropins": [{"name": "c.conf", "contents": "[canary"}],
        }]},
    });
    let entries = entries(V3_5, config);
    assert!(entries.len() > 20, "{entries:#?}");
    for (place, message) in entries {
        assert!(!message.contains("canary"), "{place}: {message}");
    }
}
