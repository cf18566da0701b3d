use serde_json::{Value, json};

use super::Version;
use super::Version::{V3_0, V3_1, V3_2, V3_3, V3_4};
use super::{disk, places};

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
