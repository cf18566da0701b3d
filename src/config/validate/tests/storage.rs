use serde_json::{Value, json};

use super::Version::{V3_0, V3_1, V3_2, V3_3, V3_4, V3_5, V3_6, V3_7};
use super::{check_table, disk};

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
