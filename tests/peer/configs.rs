//! Where configs come from, what they refer to, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::Digest as _;

use serde_json::{Value, json};

use super::http::Page;
use super::{Case, NEWEST};
use crate::support::generate::{gzip, percent};

/// What the server has.
pub(super) fn routes() -> BTreeMap<&'static str, Page> {
    let child = text(&child("over-http"));
    BTreeMap::from([
        ("/plain", Page::Bytes(b"plain text\n".to_vec())),
        ("/empty", Page::Bytes(Vec::new())),
        ("/zipped", Page::Bytes(gzip(b"hello world\n"))),
        ("/secret", Page::For("X-Token: yes", b"secret\n".to_vec())),
        ("/elsewhere", Page::Elsewhere("/plain")),
        ("/child.ign", Page::Bytes(child.clone().into_bytes())),
        ("/child.ign.gz", Page::Bytes(gzip(child.as_bytes()))),
        (
            "/secret.ign",
            Page::For("X-Token: yes", child.clone().into_bytes()),
        ),
        ("/moved.ign", Page::Elsewhere("/child.ign")),
        ("/query.ign?a=b", Page::Bytes(child.into_bytes())),
        ("/204", Page::Status(204)),
        ("/410", Page::Status(410)),
    ])
}

fn text(config: &Value) -> String {
    config.to_string()
}

/// A config that makes one file.
fn child(name: &str) -> Value {
    json!({"ignition": {"version": "3.1.0"},
           "storage": {"files": [{"path": format!("/srv/{name}"), "contents": {"source": format!("data:,{name}")}}]}})
}

fn url(config: &Value) -> String {
    format!("data:,{}", percent(text(config).as_bytes()))
}

fn sha512(text: &str) -> String {
    let mut hash = "sha512-".to_owned();
    for byte in sha2::Sha512::digest(text) {
        write!(hash, "{byte:02x}").unwrap();
    }
    hash
}

/// A config with references: merge, in order.
fn merging(name: &str, references: Value) -> Case {
    merging_into(name, json!({}), references)
}

fn merging_into(name: &str, mut parent: Value, references: Value) -> Case {
    parent["ignition"]["config"]["merge"] = references;
    Case::new(name, NEWEST, parent)
}

fn replacing(name: &str, reference: Value) -> Case {
    Case::new(
        name,
        NEWEST,
        json!({"ignition": {"config": {"replace": reference}}, "storage": {"files": [{"path": "/srv/lost"}]}}),
    )
}

/// Two configs: the child by a data URL in the parent.
fn pair(name: &str, parent: Value, mut child: Value) -> Case {
    if child["ignition"]["version"].is_null() {
        child["ignition"]["version"] = json!(NEWEST);
    }
    let reference = json!([{"source": url(&child)}]);
    merging_into(name, parent, reference)
}

fn system() -> Vec<Case> {
    let user =
        || json!({"storage": {"files": [{"path": "/srv/user", "contents": {"source": "data:,user"}}]}});
    let fragment = |path: &str, contents: &str| {
        text(&json!({"ignition": {"version": "3.0.0"},
            "storage": {"files": [{"path": path, "overwrite": true, "contents": {"source": format!("data:,{contents}")}}]}}))
    };
    vec![
        Case::new("a base config", NEWEST, user()).system("base.d/10-a", fragment("/srv/base", "base")),
        Case::new("base configs in order", NEWEST, user())
            .system("base.d/20-b.ign", fragment("/srv/base", "second"))
            .system("base.d/10-a.ign", fragment("/srv/base", "first"))
            .system("base.d/30-c.ign", fragment("/srv/other", "third")),
        Case::new("a base config against the user's", NEWEST, user()).system("base.d/a", fragment("/srv/user", "base")),
        Case::new("a base config of the platform", NEWEST, user())
            .system("base.d/z", fragment("/srv/base", "base"))
            .system("base.platform.d/file/a", fragment("/srv/base", "platform")),
        Case::new("a base config of another platform", NEWEST, user())
            .system("base.platform.d/qemu/a", fragment("/srv/base", "platform")),
        Case::new("a broken base config", NEWEST, user()).system("base.d/a", "{"),
        Case::new("an empty base config", NEWEST, user()).system("base.d/a", ""),
        Case::new("an invalid base config", NEWEST, user()).system("base.d/a", fragment("srv/base", "x")),
        Case::new("a base config of an unknown version", NEWEST, user())
            .system("base.d/a", "{\"ignition\": {\"version\": \"2.3.0\"}}"),
        Case::new("a broken base config of the platform", NEWEST, user())
            .system("base.d/a", fragment("/srv/base", "base"))
            .system("base.platform.d/file/a", fragment("/srv/platform", "first"))
            .system("base.platform.d/file/b", "{"),
        Case::new("an empty base directory", NEWEST, user()).on(|root| {
            std::fs::create_dir_all(root.beside().join("system/base.d")).unwrap();
        }),
        Case::new("a directory among base configs", NEWEST, user()).system("base.d/sub/a", fragment("/srv/base", "x")),
        Case::new("a dangling link among base configs", NEWEST, user()).differs("base configs that lead nowhere")
            .system("base.d/a", fragment("/srv/base", "base"))
            .system_link("base.d/b", "nowhere"),
        Case::new("a link among base configs", NEWEST, user())
            .system("elsewhere", fragment("/srv/base", "base"))
            .system_link("base.d/b", "../elsewhere"),
        Case::new("a base config that merges", NEWEST, user()).system(
            "base.d/a",
            text(&json!({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": url(&child("never"))}]}}})),
        ),
        Case::new("a base config with units and users", NEWEST, json!({
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-rsa USER"]}]},
            "systemd": {"units": [{"name": "a.service", "enabled": true}]}}))
        .system("base.d/a", text(&json!({"ignition": {"version": "3.0.0"},
            "passwd": {"users": [{"name": "core", "groups": ["docker"], "sshAuthorizedKeys": ["ssh-rsa BASE"]}]},
            "systemd": {"units": [{"name": "a.service", "contents": "[Unit]\nDescription=x\n[Install]\nWantedBy=a.target\n"}]}}))),
        Case::new("a user config of the system", NEWEST, user()).system("user.ign", fragment("/srv/system", "system")),
        Case::new("an empty user config of the system", NEWEST, user()).system("user.ign", ""),
        Case::new("a broken user config of the system", NEWEST, user()).system("user.ign", "{"),
        Case::new("a user config of the system that merges", NEWEST, user()).system(
            "user.ign",
            text(&json!({"ignition": {"version": "3.1.0", "config": {"merge": [{"source": "{SERVER}/child.ign"}]}}})),
        ),
        Case::new("a dangling user config of the system", NEWEST, user()).system_link("user.ign", "nowhere"),
        Case::new("a directory as the user config", NEWEST, user()).system("user.ign/x", ""),
    ]
}

fn references() -> Vec<Case> {
    let one = text(&child("one"));
    let inner = json!({"ignition": {"version": "3.2.0", "config": {"merge": [{"source": url(&child("inner"))}]}},
        "storage": {"files": [{"path": "/srv/middle"}]}});
    let replaced = json!({"ignition": {"version": "3.2.0", "config": {"replace": {"source": url(&child("inner"))}}},
        "storage": {"files": [{"path": "/srv/middle"}]}});
    let mut cases = vec![
        merging("merge by data URL", json!([{"source": url(&child("one"))}])),
        merging(
            "merge two",
            json!([{"source": url(&child("one"))}, {"source": url(&child("two"))}]),
        ),
        merging(
            "merge one twice",
            json!([{"source": url(&child("one"))}, {"source": url(&child("one"))}]),
        ),
        merging("merge over HTTP", json!([{"source": "{SERVER}/child.ign"}])),
        merging(
            "merge zipped",
            json!([{"source": "{SERVER}/child.ign.gz", "compression": "gzip"}]),
        ),
        merging(
            "merge zipped by data URL",
            json!([{"source": format!("data:,{}", percent(&gzip(one.as_bytes()))), "compression": "gzip"}]),
        ),
        merging(
            "merge zipped, unsaid",
            json!([{"source": "{SERVER}/child.ign.gz"}]),
        ),
        merging(
            "merge after a redirect",
            json!([{"source": "{SERVER}/moved.ign"}]),
        ),
        merging(
            "merge with a query",
            json!([{"source": "{SERVER}/query.ign?a=b"}]),
        ),
        merging(
            "merge with a header",
            json!([{"source": "{SERVER}/secret.ign", "httpHeaders": [{"name": "X-Token", "value": "yes"}]}]),
        ),
        merging(
            "merge without the header",
            json!([{"source": "{SERVER}/secret.ign"}]),
        ),
        merging(
            "merge with a header without a value",
            json!([{"source": "{SERVER}/child.ign", "httpHeaders": [{"name": "X-Token"}]}]),
        ),
        merging(
            "merge something missing",
            json!([{"source": "{SERVER}/missing.ign"}]),
        ),
        merging("merge something empty", json!([{"source": "{SERVER}/empty"}])),
        merging("merge something empty by data URL", json!([{"source": "data:,"}])),
        merging("merge what is no config", json!([{"source": "{SERVER}/plain"}])),
        merging(
            "merge an unknown version",
            json!([{"source": "data:,%7B%22ignition%22%3A%7B%22version%22%3A%222.0.0%22%7D%7D"}]),
        ),
        merging(
            "merge something invalid",
            json!([{"source": url(&json!({"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "x"}]}}))}]),
        ),
        merging("merge an empty source", json!([{"source": ""}])),
        merging("merge without a source", json!([{}])),
        merging(
            "merge with the hash",
            json!([{"source": url(&child("one")), "verification": {"hash": sha512(&one)}}]),
        ),
        merging(
            "merge with the hash in capitals",
            json!([{"source": url(&child("one")), "verification": {"hash": format!("sha512-{}", sha512(&one)[7..].to_uppercase())}}]),
        ),
        merging(
            "merge with another hash",
            json!([{"source": url(&child("one")), "verification": {"hash": sha512("other")}}]),
        ),
        merging(
            "merge zipped with the hash of the text",
            json!([{"source": format!("data:,{}", percent(&gzip(one.as_bytes()))), "compression": "gzip", "verification": {"hash": sha512(&one)}}]),
        ),
        merging(
            "merge what merges",
            json!([{"source": url(&inner)}, {"source": url(&child("last"))}]),
        ),
        merging(
            "merge what is replaced",
            json!([{"source": url(&replaced)}, {"source": url(&child("last"))}]),
        ),
        replacing("replace by data URL", json!({"source": url(&child("one"))})),
        replacing("replace over HTTP", json!({"source": "{SERVER}/child.ign"})),
        replacing(
            "replace zipped",
            json!({"source": "{SERVER}/child.ign.gz", "compression": "gzip"}),
        ),
        replacing("replace by what merges", json!({"source": url(&inner)})),
        replacing("replace by what is replaced", json!({"source": url(&replaced)})),
        replacing("replace by an empty source", json!({"source": ""})),
        replacing("replace by something empty", json!({"source": "data:,"})),
        replacing("replace by null", json!({"source": null})),
        replacing(
            "replace with another hash",
            json!({"source": url(&child("one")), "verification": {"hash": sha512("other")}}),
        ),
        replacing(
            "replace by something missing",
            json!({"source": "{SERVER}/missing.ign"}),
        ),
        Case::new(
            "replace before merge",
            NEWEST,
            json!({"ignition": {"config": {"replace": {"source": url(&child("one"))}, "merge": [{"source": url(&child("two"))}]}}}),
        ),
        Case::new(
            "replace keeps no timeouts",
            NEWEST,
            json!({"ignition": {"timeouts": {"httpTotal": 7}, "config": {"replace": {"source": url(&child("one"))}}}}),
        ),
        Case::new(
            "merge in 3.0.0",
            "3.0.0",
            json!({"ignition": {"config": {"merge": [{"source": url(&child("one")), "verification": {"hash": sha512(&one)}}]}}}),
        ),
        Case::new(
            "merge without a source in 3.0.0",
            "3.0.0",
            json!({"ignition": {"config": {"merge": [{}]}}}),
        ),
        Case::new(
            "merge an empty source in 3.0.0",
            "3.0.0",
            json!({"ignition": {"config": {"merge": [{"source": ""}]}}, "storage": {"files": [{"path": "/srv/x"}]}}),
        ),
        Case::new(
            "replace without a source in 3.0.0",
            "3.0.0",
            json!({"ignition": {"config": {"replace": {}}}}),
        ),
        Case::new(
            "a link without a target, by merge",
            NEWEST,
            json!({"ignition": {"config": {"merge": [{"source": url(&json!({"ignition": {"version": "3.0.0"}, "storage": {"links": [{"path": "/srv/l"}]}}))}]}}}),
        ),
    ];
    for version in ["3.0.0", "3.1.0", "3.2.0"] {
        cases.push(merging(
            &format!("merge a {version}"),
            json!([{"source": url(&json!({"ignition": {"version": version},
                "storage": {"files": [{"path": "/srv/f", "mode": 0o4755}], "links": [{"path": "/srv/l", "target": "f"}]},
                "passwd": {"users": [{"name": "new"}]}}))}]),
        ));
    }
    cases
}

/// What merging does to each kind of list.
fn merged() -> Vec<Case> {
    let file = |extra: Value| {
        let mut file = json!({"path": "/srv/f"});
        for (key, value) in extra.as_object().unwrap() {
            file[key] = value.clone();
        }
        json!({"storage": {"files": [{"path": "/srv/first"}, file]}})
    };
    vec![
        pair("merged: another source keeps compression", file(json!({"contents": {"source": "data:,x", "compression": "gzip"}})), file(json!({"contents": {"source": "data:,y"}}))),
        pair("merged: another source keeps the hash", file(json!({"contents": {"source": "data:,x", "verification": {"hash": sha512("x")}}})), file(json!({"contents": {"source": "data:,y"}}))),
        pair("merged: mode and owner", file(json!({"mode": 0o600, "user": {"id": 3}, "group": {"name": "sudo"}})), file(json!({"mode": 0o640, "user": {"id": 4}}))),
        pair("merged: id against name", file(json!({"user": {"id": 3}})), file(json!({"user": {"name": "core"}}))),
        pair("merged: appends add up", file(json!({"append": [{"source": "data:,1"}]})), file(json!({"append": [{"source": "data:,2"}, {"source": "data:,1"}]}))),
        pair("merged: overwrite false", file(json!({"overwrite": true, "contents": {"source": "data:,x"}})), file(json!({"overwrite": false}))),
        pair("merged: a link in place of a file", file(json!({"contents": {"source": "data:,x"}})), json!({"storage": {"links": [{"path": "/srv/f", "target": "first"}]}})),
        pair("merged: a directory in place of a link", json!({"storage": {"links": [{"path": "/srv/d", "target": "x"}]}}), json!({"storage": {"directories": [{"path": "/srv/d", "mode": 0o700}]}})),
        pair("merged: headers", file(json!({"contents": {"source": "{SERVER}/secret", "httpHeaders": [{"name": "X-Token", "value": "no"}, {"name": "X-Other", "value": "a"}]}})), file(json!({"contents": {"httpHeaders": [{"name": "X-Token", "value": "yes"}], "source": "{SERVER}/secret"}}))),
        pair("merged: a header is taken away", file(json!({"contents": {"source": "{SERVER}/plain", "httpHeaders": [{"name": "X-Token", "value": "no"}]}})), file(json!({"contents": {"httpHeaders": [{"name": "X-Token"}], "source": "{SERVER}/plain"}}))),
        pair("merged: users", json!({"passwd": {"users": [{"name": "core", "groups": ["sudo"], "sshAuthorizedKeys": ["a", "b"], "shell": "/bin/sh"}, {"name": "x"}]}}),
            json!({"passwd": {"users": [{"name": "y"}, {"name": "core", "groups": ["docker", "sudo"], "sshAuthorizedKeys": ["b", "c"], "gecos": "g"}]}})),
        pair("merged: groups", json!({"passwd": {"groups": [{"name": "x", "gid": 3000}]}}), json!({"passwd": {"groups": [{"name": "x", "gid": 3001}, {"name": "y"}]}})),
        pair("merged: units", json!({"systemd": {"units": [{"name": "a.service", "enabled": true, "dropins": [{"name": "a.conf", "contents": "[Unit]\n"}, {"name": "b.conf", "contents": "[Unit]\n"}]}]}}),
            json!({"systemd": {"units": [{"name": "a.service", "contents": "[Install]\nWantedBy=x.target\n", "dropins": [{"name": "b.conf", "contents": ""}, {"name": "c.conf", "contents": "[Service]\n"}]}, {"name": "b.service", "mask": true}]}})),
        pair("merged: a unit is unmasked", json!({"systemd": {"units": [{"name": "a.service", "mask": true}]}}), json!({"systemd": {"units": [{"name": "a.service", "mask": false}]}})),
        pair("merged: kernel arguments", json!({"kernelArguments": {"shouldExist": ["a", "b"], "shouldNotExist": ["c"]}}), json!({"kernelArguments": {"shouldExist": ["c"], "shouldNotExist": ["a", "d"]}})),
        pair("merged: disks", json!({"storage": {"disks": [{"device": "/dev/a", "wipeTable": true, "partitions": [{"number": 1, "label": "one"}, {"label": "two", "sizeMiB": 5}]}], "raid": [{"name": "r", "level": "raid1", "devices": ["/dev/x"], "options": ["-a"]}]}}),
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "sizeMiB": 7}, {"label": "two", "startMiB": 0}, {"number": 3}]}, {"device": "/dev/b"}], "raid": [{"name": "r", "level": "raid6", "devices": ["/dev/y", "/dev/x"], "options": ["-b"]}]}})).fetch_only(),
        pair("merged: filesystems", json!({"storage": {"filesystems": [{"device": "/dev/a", "format": "ext4", "path": "/var", "options": ["-a"], "mountOptions": ["noatime"]}]}}),
            json!({"storage": {"filesystems": [{"device": "/dev/a", "format": "xfs", "wipeFilesystem": true, "options": ["-b"], "mountOptions": ["ro"]}, {"device": "/dev/c", "format": "swap"}]}})).fetch_only(),
        pair("merged: luks", json!({"storage": {"luks": [{"name": "l", "device": "/dev/a", "keyFile": {"source": "data:,key"}, "options": ["-x"], "clevis": {"tpm2": true, "threshold": 1}}]}}),
            json!({"storage": {"luks": [{"name": "l", "label": "lab", "options": ["-y"], "device": "/dev/b", "clevis": {"tang": [{"url": "http://127.0.0.1", "thumbprint": "t"}]}}]}})).fetch_only(),
        pair("merged: proxy and timeouts", json!({"ignition": {"timeouts": {"httpTotal": 30}, "proxy": {"noProxy": ["127.0.0.1", "x"], "httpProxy": "http://a"}}}),
            json!({"ignition": {"timeouts": {"httpResponseHeaders": 5}, "proxy": {"noProxy": ["y", "x"], "httpsProxy": "https://b"}}})),
        pair("merged: what is not valid together", json!({"storage": {"links": [{"path": "/srv/l", "target": "/opt"}]}}), json!({"storage": {"files": [{"path": "/srv/l/x"}]}})),
        pair("merged: a parent of 3.3.0, a child of 3.0.0", file(json!({"mode": 0o755})), json!({"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "/srv/f", "mode": 0o2711}]}})),
    ]
}

fn texts() -> Vec<Case> {
    let mut cases = vec![
        Case::bytes("an empty config", ""),
        Case::bytes("only spaces", "  \n"),
        Case::bytes("no object", "[]"),
        Case::bytes("null", "null"),
        Case::bytes("no version", "{}"),
        Case::bytes("a version that is none", r#"{"ignition": {"version": "three"}}"#),
        Case::bytes("an old version", r#"{"ignition": {"version": "2.2.0"}}"#),
        Case::bytes("a newer version", r#"{"ignition": {"version": "4.0.0"}}"#),
        Case::bytes("an experimental version that became stable", r#"{"ignition": {"version": "3.3.0-experimental"}}"#),
        Case::bytes("a version with a leading zero", r#"{"ignition": {"version": "3.03.0"}}"#),
        Case::bytes("a version with metadata", r#"{"ignition": {"version": "3.3.0+x"}}"#),
        Case::bytes("a cloud-config", "#cloud-config\n").differs("user data for other programs"),
        Case::bytes("text after the config", r#"{"ignition": {"version": "3.3.0"}} x"#),
        Case::bytes("a trailing comma", r#"{"ignition": {"version": "3.3.0"},}"#),
        Case::bytes("keys in another case", r#"{"Ignition": {"VERSION": "3.3.0"}, "STORAGE": {"Files": [{"Path": "/srv/x"}]}}"#),
        Case::bytes("a key twice", r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/srv/a"}]}, "storage": {"files": [{"path": "/srv/b"}]}}"#),
        Case::bytes("an unknown key", r#"{"ignition": {"version": "3.3.0"}, "stroage": {}}"#),
        Case::bytes("a fraction", r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/srv/a", "mode": 420.0}]}}"#),
        Case::bytes("a number as text", r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/srv/a", "mode": "420"}]}}"#),
        Case::bytes("nulls", r#"{"ignition": {"version": "3.3.0", "config": null}, "storage": {"files": null, "links": [], "directories": [{"path": "/srv/d", "mode": null}]}, "passwd": null}"#),
        Case::bytes("null in a list", r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [null]}}"#),
        Case::bytes("bytes that are no text", b"{\"ignition\": {\"version\": \"3.3.0\"}, \"storage\": {\"files\": [{\"path\": \"/srv/\xff\"}]}}".to_vec()),
        Case::bytes("half a surrogate", r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/srv/\ud800x"}]}}"#),
        Case::bytes("a byte order mark", "\u{feff}{\"ignition\": {\"version\": \"3.3.0\"}}"),
        Case::bytes("characters that Go escapes", r#"{"ignition": {"version": "3.3.0"}, "passwd": {"users": [{"name": "new", "gecos": "<a>&b"}]}}"#),
        Case::new("the network is needed", NEWEST, json!({"storage": {"files": [{"path": "/srv/x", "contents": {"source": "{SERVER}/plain"}}]}})),
        Case::new("the network is needed for an append", NEWEST, json!({"storage": {"files": [{"path": "/srv/x", "append": [{"source": "{SERVER}/plain"}]}]}})),
        Case::new("the network is needed for a key file", NEWEST, json!({"storage": {"luks": [{"name": "l", "device": "/dev/x", "keyFile": {"source": "{SERVER}/plain"}}]}})).fetch_only(),
        Case::new("the network is needed for tang", NEWEST, json!({"storage": {"luks": [{"name": "l", "device": "/dev/x", "clevis": {"tang": [{"url": "http://127.0.0.1:1/", "thumbprint": "t"}]}}]}})).fetch_only(),
        Case::new("the network is needed for a custom pin", NEWEST, json!({"storage": {"luks": [{"name": "l", "device": "/dev/x", "clevis": {"custom": {"pin": "sss", "config": "{}", "needsNetwork": true}}}]}})).differs("custom pins and the network").fetch_only(),
        Case::new("a base config needs the network", NEWEST, json!({})).system("base.d/a", r#"{"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "/srv/x", "contents": {"source": "{SERVER}/plain"}}]}}"#),
    ];
    for version in ["3.0.0", "3.1.0", "3.2.0", "3.3.0"] {
        cases.push(
            Case::new(
                format!("keys of other specs in {version}"),
                version,
                json!({
                    "ignition": {"proxy": {"httpProxy": "http://127.0.0.1:1/", "noProxy": ["127.0.0.1"]}},
                    "kernelArguments": {"shouldExist": ["a"]},
                    "storage": {"luks": [{"name": "l", "device": "/dev/x"}],
                        "filesystems": [{"device": "/dev/y", "format": "xfs", "mountOptions": ["ro"]}],
                        "disks": [{"device": "/dev/z", "partitions": [{"number": 1, "resize": true}]}]},
                }),
            )
            .fetch_only(),
        );
        cases.push(
            Case::new(
                format!("a format of 3.3.0 in {version}"),
                version,
                json!({"storage": {"filesystems": [{"device": "/dev/y", "format": "none"}]}}),
            )
            .fetch_only(),
        );
        cases.push(Case::new(
            format!("an S3 or GCS source in {version}"),
            version,
            json!({"storage": {"files": [{"path": "/srv/a", "contents": {"source": "gs://bucket/object"}}]}}),
        ).fetch_only());
    }
    cases
}

pub(super) fn cases() -> Vec<Case> {
    [system(), references(), merged(), texts()]
        .into_iter()
        .flatten()
        .collect()
}
