//! Files, directories and links.

use serde_json::{Value, json};

use super::{Before, Case, NEWEST};
use crate::support::generate::{gzip, percent};

/// What can be at a path before.
const BEFORE: &[Before] = &[
    ("nothing", |_| {}),
    ("a file", |root| {
        root.file("srv/x", "before\n", 0o600).own("srv/x", 500, 27);
    }),
    ("an empty directory", |root| {
        root.dir("srv/x", 0o700).own("srv/x", 500, 27);
    }),
    ("a full directory", |root| {
        root.dir("srv/x", 0o711).file("srv/x/in/y", "y", 0o644);
    }),
    ("a link to a file", |root| {
        root.file("srv/f", "f", 0o640).link("srv/x", "f");
    }),
    ("a link to a directory", |root| {
        root.dir("srv/d", 0o750).link("srv/x", "/srv/d");
    }),
    ("a link to nothing", |root| {
        root.link("srv/x", "target");
    }),
    ("a pipe", |root| {
        root.pipe("srv/x");
    }),
    ("the link's target", |root| {
        root.file("srv/target", "t", 0o644)
            .hard_link("srv/x", "srv/target");
    }),
];

/// What can be wanted there.
fn wanted() -> Vec<(&'static str, &'static str, Value)> {
    let contents = json!({"source": "data:,new%0A"});
    vec![
        ("a file with contents", "files", json!({"contents": contents})),
        ("an empty file", "files", json!({"contents": {"source": ""}})),
        (
            "a file without contents",
            "files",
            json!({"mode": 0o604, "user": {"id": 8}}),
        ),
        (
            "an appended file",
            "files",
            json!({"append": [contents, {"source": "data:,more"}]}),
        ),
        (
            "a file with all",
            "files",
            json!({"contents": contents, "append": [contents], "mode": 0o400, "group": {"id": 9}}),
        ),
        ("a directory", "directories", json!({})),
        (
            "a directory with all",
            "directories",
            json!({"mode": 0o705, "user": {"name": "core"}, "group": {"name": "sudo"}}),
        ),
        ("a link", "links", json!({"target": "target", "user": {"id": 3}})),
        (
            "a hard link",
            "links",
            json!({"target": "/srv/target", "hard": true}),
        ),
    ]
}

fn files(name: impl Into<String>, files: Value) -> Case {
    Case::new(name, NEWEST, json!({"storage": {"files": files}}))
}

fn storage(name: impl Into<String>, storage: Value) -> Case {
    Case::new(name, NEWEST, json!({"storage": storage}))
}

/// Every wish over everything that can be there.
fn over() -> Vec<Case> {
    let mut cases = Vec::new();
    for (before, change) in BEFORE {
        for (wish, section, entry) in wanted() {
            for overwrite in [None, Some(false), Some(true)] {
                // Absent is the same as false, and is tried where something is made.
                if overwrite == Some(false) && *before != "nothing" {
                    continue;
                }
                let mut entry = entry.clone();
                entry["path"] = json!("/srv/x");
                if let Some(overwrite) = overwrite {
                    entry["overwrite"] = json!(overwrite);
                }
                let mut storage_section = json!({});
                storage_section[section] = json!([entry]);
                let case = storage(
                    format!("{wish} over {before}, overwrite {overwrite:?}"),
                    storage_section,
                )
                .on(change);
                if !case.root.at("srv/target").exists() {
                    case.root.file("srv/target", "t", 0o644);
                }
                cases.push(
                    if *before == "the link's target" && wish == "an appended file" && overwrite.is_none() {
                        case.differs("appending to a hard link")
                    } else {
                        case
                    },
                );
            }
        }
    }
    cases
}

pub(super) fn cases() -> Vec<Case> {
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let zipped = percent(&gzip(b"zipped text\n"));
    let hash256 = "sha256-a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447";
    let mut cases = over();
    cases.extend(vec![
        files("parents are made", json!([{"path": "/a/b/c/d", "contents": {"source": "data:,x"}, "mode": 0o600, "user": {"id": 500}}])),
        files("parents in a home", json!([{"path": "/home/core/a/b", "contents": {"source": "data:,x"}, "user": {"name": "core"}}])),
        files("parents through a link", json!([{"path": "/l/a/b", "contents": {"source": "data:,x"}}])).on(|root| {
            root.dir("srv/d", 0o700).link("l", "srv/d");
        }),
        files("parents through an absolute link", json!([{"path": "/l/a/b", "contents": {"source": "data:,x"}}])).on(|root| {
            root.dir("srv/d", 0o700).link("l", "/srv/d");
        }),
        files("parents through a link upwards", json!([{"path": "/srv/l/b", "contents": {"source": "data:,x"}}])).on(|root| {
            root.link("srv/l", "../../../../etc");
        }),
        files("parents through a link to nothing", json!([{"path": "/l/a/b", "contents": {"source": "data:,x"}}])).on(|root| {
            root.link("l", "/srv/later/on");
        }),
        files("parents through two links", json!([{"path": "/l/m/b", "contents": {"source": "data:,x"}}])).on(|root| {
            root.dir("srv/d", 0o755).dir("opt/e", 0o755).link("l", "/srv/d").link("srv/d/m", "/opt/e");
        }),
        files("parents through a link to a link", json!([{"path": "/l/b", "contents": {"source": "data:,x"}}])).on(|root| {
            root.dir("srv/d", 0o755).link("l", "m").link("m", "srv/d");
        }),
        files("a parent is a file", json!([{"path": "/etc/passwd/x", "contents": {"source": "data:,x"}}])),
        files("a link in a circle", json!([{"path": "/l/x", "contents": {"source": "data:,x"}}])).on(|root| {
            root.link("l", "m").link("m", "l");
        }),
        files("names that are odd", json!([
            {"path": "/srv/with space", "contents": {"source": "data:,1"}}, {"path": "/srv/ü", "contents": {"source": "data:,2"}},
            {"path": "/srv/%41", "contents": {"source": "data:,3"}}, {"path": "/srv/.hidden", "contents": {"source": "data:,4"}},
            {"path": "/srv/new\nline", "contents": {"source": "data:,5"}}, {"path": "/srv/-dash", "contents": {"source": "data:,6"}}])),
        files("a long name", json!([{"path": format!("/srv/{}", "n".repeat(255)), "contents": {"source": "data:,1"}}])),
        files("a name that is too long", json!([{"path": format!("/srv/{}", "n".repeat(256)), "contents": {"source": "data:,1"}}])),
        files("the same place twice", json!([{"path": "/l/a"}, {"path": "/srv/d/a"}])).on(|root| {
            root.dir("srv/d", 0o755).link("l", "/srv/d");
        }),
        storage("the same place as file and directory", json!({"files": [{"path": "/l/a"}], "directories": [{"path": "/srv/d/a"}]})).on(|root| {
            root.dir("srv/d", 0o755).link("l", "/srv/d");
        }),
        storage("the same path as file and directory", json!({"files": [{"path": "/srv/a"}], "directories": [{"path": "/srv/a"}]})),
        storage("a link of the config is used", json!({"links": [{"path": "/srv/l", "target": "/opt"}], "files": [{"path": "/srv/l/a"}]})),
        storage("a hard link to a directory of the config", json!({"links": [{"path": "/srv/l", "target": "/srv/d", "hard": true}], "directories": [{"path": "/srv/d"}]})),
        storage("a hard link to a directory", json!({"links": [{"path": "/srv/l", "target": "/home/core", "hard": true}]})),
        storage("a hard link to a link", json!({"links": [{"path": "/srv/l", "target": "/srv/m", "hard": true}]})).on(|root| {
            root.link("srv/m", "nothing");
        }),
        storage("a hard link to a file of the config", json!({"links": [{"path": "/a/l", "target": "/z/y/x", "hard": true}], "files": [{"path": "/z/y/x", "contents": {"source": "data:,x"}, "mode": 0o640}]})),
        storage("a hard link to a missing file", json!({"links": [{"path": "/a/l", "target": "/missing", "hard": true}]})),
        storage("a hard link by a relative target", json!({"links": [{"path": "/srv/l", "target": "etc/passwd", "hard": true}]})),
        storage("a hard link with owners", json!({"links": [{"path": "/srv/l", "target": "/etc/hosts", "hard": true, "user": {"id": 500}, "group": {"name": "sudo"}}]})).on(|root| {
            root.file("etc/hosts", "", 0o644);
        }),
        storage("a hard link to a hard link", json!({"links": [{"path": "/srv/b", "target": "/srv/a", "hard": true}, {"path": "/srv/a", "target": "/srv/f", "hard": true}], "files": [{"path": "/srv/f"}]})),
        storage("a hard link to a hard link, in order", json!({"links": [{"path": "/srv/a", "target": "/srv/f", "hard": true}, {"path": "/srv/b", "target": "/srv/a", "hard": true}], "files": [{"path": "/srv/f"}]})),
        storage("a hard link through a link", json!({"links": [{"path": "/srv/a", "target": "/l/f", "hard": true}]})).on(|root| {
            root.link("l", "/opt").file("opt/f", "f", 0o600);
        }),
        storage("links of all kinds", json!({"links": [{"path": "/srv/a", "target": "/etc//passwd"}, {"path": "/srv/b", "target": "../x/./y/"}, {"path": "/srv/c", "target": "c"}, {"path": "/srv/d", "target": " "}]})),
        storage("a link that is the same but for its spelling", json!({"links": [{"path": "/srv/a", "target": "/etc//passwd/."}]})).on(|root| {
            root.link("srv/a", "/etc/passwd").own("srv/a", 500, 500);
        }),
        storage(
            "a link that is the same but for its spelling, overwritten",
            json!({"links": [{"path": "/srv/a", "target": "/etc//passwd/.", "overwrite": true}]}),
        )
        .on(|root| {
            root.link("srv/a", "/etc/passwd");
        }),
        storage("a link without a target", json!({"links": [{"path": "/srv/a"}]})),
        storage("a link with an empty target", json!({"links": [{"path": "/srv/a", "target": ""}]})),
        storage("a link over a link of root gets an owner", json!({"links": [{"path": "/srv/a", "target": "x", "user": {"id": 500}}]})).on(|root| {
            root.link("srv/a", "x");
        }),
        storage("directories below one another", json!({"directories": [{"path": "/d/e/f", "mode": 0o700}, {"path": "/d", "mode": 0o711, "user": {"id": 500}}, {"path": "/d/e"}]})),
        storage("a directory is overwritten, with things of the config in it", json!({"directories": [{"path": "/srv/d", "overwrite": true}], "files": [{"path": "/srv/d/a", "contents": {"source": "data:,x"}}]})).on(|root| {
            root.file("srv/d/old", "x", 0o644).file("srv/d/a", "y", 0o644);
        }),
        storage("a file is overwritten by the directory of another", json!({"directories": [{"path": "/srv/d", "overwrite": true}], "files": [{"path": "/srv/d/a"}]})).on(|root| {
            root.file("srv/d", "x", 0o644);
        }),
        storage("a link is overwritten by the directory of a file", json!({"directories": [{"path": "/srv/l", "overwrite": true}], "files": [{"path": "/srv/l/a"}]})).on(|root| {
            root.link("srv/l", "/opt");
        }),
        storage("a deeper file is overwritten by the directory of others", json!({"directories": [{"path": "/l/d", "overwrite": true}], "files": [{"path": "/srv/d/a/b/c"}]})).on(|root| {
            root.file("srv/d", "x", 0o644).link("l", "/srv");
        }),
        files("a new group keeps the set-group-id bit without execution", json!([{"path": "/srv/a", "group": {"id": 500}}, {"path": "/srv/b", "append": [{"source": "data:,x"}]}])).on(|root| {
            root.file("srv/a", "a", 0o2645).file("srv/b", "b", 0o6754);
        }),
        storage("a new owner of a directory keeps its bits", json!({"directories": [{"path": "/srv/d", "user": {"id": 500}}]})).on(|root| {
            root.dir("srv/d", 0o7755);
        }),
        storage("in a directory with the set-group-id bit", json!({
            "files": [{"path": "/srv/d/a/b"}, {"path": "/srv/d/f", "group": {"id": 5}}, {"path": "/srv/d/old"}],
            "directories": [{"path": "/srv/d/d"}, {"path": "/srv/d/e", "mode": 0o700}],
            "links": [{"path": "/srv/d/l", "target": "f"}],
        })).on(|root| {
            root.file("srv/d/old", "x", 0o644).own("srv/d", 0, 27);
            std::fs::set_permissions(root.at("srv/d"), std::os::unix::fs::PermissionsExt::from_mode(0o2755)).unwrap();
        }),
        storage("the root itself", json!({"directories": [{"path": "/", "mode": 0o711}]})),
        storage("a directory through a link", json!({"directories": [{"path": "/l/a/b", "mode": 0o700}]})).on(|root| {
            root.link("l", "/opt");
        }),
        files("an unknown user", json!([{"path": "/srv/a", "user": {"name": "whoever"}}])),
        files("an unknown group", json!([{"path": "/srv/a", "group": {"name": "whoever"}}])),
        files("ids without names", json!([{"path": "/srv/a", "user": {"id": 12345}, "group": {"id": 54321}}])),
        files("an empty name", json!([{"path": "/srv/a", "user": {"name": ""}}])),
        files("id and name", json!([{"path": "/srv/a", "user": {"id": 0, "name": "root"}}])),
        files("a negative id", json!([{"path": "/srv/a", "user": {"id": -1}}])).differs("negative ids"),
        files("one owner of a file that is there", json!([{"path": "/home/core/.bashrc", "group": {"id": 27}}])),
        files("nothing for a file that is there", json!([{"path": "/home/core/.bashrc"}])),
        files("a new owner clears the special bits", json!([{"path": "/srv/a", "user": {"id": 500}}])).on(|root| {
            root.file("srv/a", "a", 0o6755);
        }),
        files("append keeps owner and mode", json!([{"path": "/srv/a", "append": [{"source": "data:,x"}]}])).on(|root| {
            root.file("srv/a", "a", 0o4711).own("srv/a", 500, 27);
        }),
        files("append to a hard link", json!([{"path": "/srv/a", "append": [{"source": "data:,x"}]}])).differs("appending to a hard link").on(|root| {
            root.file("srv/b", "a", 0o644).hard_link("srv/a", "srv/b");
        }),
        files("contents over a hard link", json!([{"path": "/srv/a", "overwrite": true, "contents": {"source": "data:,x"}}])).on(|root| {
            root.file("srv/b", "a", 0o644).hard_link("srv/a", "srv/b");
        }),
        files("overwriting nothing", json!([{"path": "/srv/a", "overwrite": true}])),
        files("every kind of data URL", json!([
            {"path": "/srv/1", "contents": {"source": "data:;base64,AAECA//+"}}, {"path": "/srv/2", "contents": {"source": "data:text/plain;charset=utf-8,a%2Cb"}},
            {"path": "/srv/3", "contents": {"source": "data:,"}}, {"path": "/srv/4", "contents": {"source": "data:,a+b?c=d&e"}},
            {"path": "/srv/5", "contents": {"source": "data:,%00%FF%0A"}}, {"path": "/srv/6", "contents": {"source": "data:text/plain;base64,"}}])),
        files("a data URL with a fragment", json!([{"path": "/srv/1", "contents": {"source": "data:,a#b"}}])),
        files("a data URL with a space", json!([{"path": "/srv/1", "contents": {"source": "data:,a b"}}])),
        files("a data URL with broken base64", json!([{"path": "/srv/1", "contents": {"source": "data:;base64,AAE"}}])),
        files("a data URL without a comma", json!([{"path": "/srv/1", "contents": {"source": "data:text/plain"}}])),
        files("zipped contents", json!([{"path": "/srv/1", "contents": {"source": format!("data:,{zipped}"), "compression": "gzip"}, "append": [{"source": format!("data:,{zipped}"), "compression": "gzip"}]}])),
        files("zipped contents, left so", json!([{"path": "/srv/1", "contents": {"source": format!("data:,{zipped}"), "compression": ""}}])),
        files("two zipped parts", json!([{"path": "/srv/1", "contents": {"source": format!("data:,{zipped}{zipped}"), "compression": "gzip"}}])),
        files("zipped contents cut short", json!([{"path": "/srv/1", "contents": {"source": format!("data:,{}", &zipped[..zipped.len() - 12]), "compression": "gzip"}}])),
        files("zipped contents with a tail", json!([{"path": "/srv/1", "contents": {"source": format!("data:,{zipped}tail"), "compression": "gzip"}}])),
        files("contents that are not zipped", json!([{"path": "/srv/1", "contents": {"source": "data:,x", "compression": "gzip"}}])),
        files("an unknown compression", json!([{"path": "/srv/1", "contents": {"source": "data:,x", "compression": "xz"}}])),
        files("the right hash", json!([{"path": "/srv/1", "contents": {"source": "data:,hello%20world%0A", "verification": {"hash": hash256}}}])),
        files("the right hash in capitals", json!([{"path": "/srv/1", "contents": {"source": "data:,hello%20world%0A", "verification": {"hash": format!("sha256-{}", hash256[7..].to_uppercase())}}}])),
        files("a wrong hash", json!([{"path": "/srv/1", "contents": {"source": "data:,other", "verification": {"hash": hash256}}}])),
        files("a hash that is no number", json!([{"path": "/srv/1", "contents": {"source": "data:,x", "verification": {"hash": format!("sha256-{}", "z".repeat(64))}}}])),
        files("a hash of the wrong length", json!([{"path": "/srv/1", "contents": {"source": "data:,x", "verification": {"hash": "sha256-abcd"}}}])),
        files("a hash of an unknown kind", json!([{"path": "/srv/1", "contents": {"source": "data:,x", "verification": {"hash": "md5-abcd"}}}])),
        files("a hash of an empty source", json!([{"path": "/srv/1", "contents": {"source": "", "verification": {"hash": hash256}}}])),
        files("an append with a wrong hash", json!([{"path": "/srv/1", "append": [{"source": "data:,x", "verification": {"hash": hash256}}]}])),
        files("a large file", json!([{"path": "/srv/1", "contents": {"source": format!("data:,{}", percent(&big[..200_000]))}}])),
        files("contents over HTTP", json!([
            {"path": "/srv/1", "contents": {"source": "{SERVER}/plain"}}, {"path": "/srv/2", "contents": {"source": "{SERVER}/zipped", "compression": "gzip", "verification": {"hash": hash256}}},
            {"path": "/srv/3", "append": [{"source": "{SERVER}/plain"}, {"source": "{SERVER}/elsewhere"}]}, {"path": "/srv/4", "contents": {"source": "{SERVER}/empty"}}])),
        files("contents with a header", json!([{"path": "/srv/1", "contents": {"source": "{SERVER}/secret", "httpHeaders": [{"name": "X-Token", "value": "yes"}]}}])),
        files("contents with the wrong header", json!([{"path": "/srv/1", "contents": {"source": "{SERVER}/secret", "httpHeaders": [{"name": "X-Token", "value": "no"}]}}])),
        files("contents that are missing", json!([{"path": "/srv/1", "contents": {"source": "{SERVER}/missing"}}])),
        files("contents over HTTP with a wrong hash", json!([{"path": "/srv/1", "contents": {"source": "{SERVER}/plain", "verification": {"hash": hash256}}}])),
        files("status 204", json!([{"path": "/srv/1", "contents": {"source": "{SERVER}/204"}}])),
        files("status 301 without a place", json!([{"path": "/srv/1", "contents": {"source": "{SERVER}/410"}}])),
        files("no scheme", json!([{"path": "/srv/1", "contents": {"source": "plain"}}])),
        files("an unknown scheme", json!([{"path": "/srv/1", "contents": {"source": "gopher://127.0.0.1/"}}])),
        files("a scheme in capitals", json!([{"path": "/srv/1", "contents": {"source": "DATA:,x"}}])),
        files("a source that is null", json!([{"path": "/srv/1", "contents": {"source": null}}])),
        files("a relative path", json!([{"path": "srv/1"}])),
        files("a path with dots", json!([{"path": "/srv/../1"}])),
        files("no path", json!([{"contents": {"source": "data:,x"}}])),
        files("a mode that is too large", json!([{"path": "/srv/1", "mode": 0o10000}])),
        files("a negative mode", json!([{"path": "/srv/1", "mode": -1}])),
        storage("what systemd conflicts with", json!({"files": [{"path": "/etc/systemd/system/a.service"}]})).differs("paths that systemd units have").and(json!({"systemd": {"units": [{"name": "a.service", "contents": "[Unit]\n"}]}})),
        storage("the result file is there", json!({})).on(|root| {
            root.file("etc/.ignition-result.json", "{\"provisioningDate\": \"2001\", \"provisioningBootID\": \"x\", \"y\": [1, {}]}\n", 0o644);
        }),
        storage("the result file is broken", json!({})).on(|root| {
            root.file("etc/.ignition-result.json", "{", 0o600);
        }),
        storage("the result file is of the config", json!({"files": [{"path": "/etc/.ignition-result.json", "contents": {"source": "data:,{}".replace('{', "%7B").replace('}', "%7D")}, "mode": 0o644}]})),
        storage("everything depends on depth", json!({
            "directories": [{"path": "/z/a/b", "mode": 0o700}],
            "files": [{"path": "/z", "overwrite": true, "contents": {"source": "data:,x"}}],
        })),
    ]);
    for version in ["3.0.0", "3.1.0", "3.2.0", "3.3.0"] {
        cases.push(Case::new(
            format!("special bits in {version}"),
            version,
            json!({"storage": {
                "files": [{"path": "/srv/s", "mode": 0o4755}, {"path": "/srv/g", "mode": 0o2755}, {"path": "/srv/all", "mode": 0o7777}],
                "directories": [{"path": "/srv/t", "mode": 0o1777}],
            }}),
        ));
        cases.push(Case::new(
            format!("nodes in {version}"),
            version,
            json!({"storage": {
                "files": [{"path": "/srv/s", "contents": {"source": format!("data:,{zipped}"), "compression": "gzip"}}, {"path": "/srv/g", "append": [{"source": "data:,x"}]}],
                "directories": [{"path": "/srv/t"}],
                "links": [{"path": "/srv/l", "target": "s"}, {"path": "/srv/h", "target": "/srv/s", "hard": true}],
            }}),
        ));
        cases.push(
            Case::new(
                format!("a link without a target in {version}"),
                version,
                json!({"storage": {"links": [{"path": "/srv/l"}]}}),
            )
            .fetch_only(),
        );
        cases.push(Case::new(
            format!("a sha256 in {version}"),
            version,
            json!({"storage": {"files": [{"path": "/srv/1", "contents": {"source": "data:,hello%20world%0A", "verification": {"hash": hash256}}}]}}),
        ));
        cases.push(Case::new(
            format!("headers in {version}"),
            version,
            json!({"storage": {"files": [{"path": "/srv/1", "contents": {"source": "{SERVER}/secret", "httpHeaders": [{"name": "X-Token", "value": "yes"}]}}]}}),
        ));
    }
    cases
}
