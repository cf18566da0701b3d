//! Users and groups.

use serde_json::{Value, json};

use super::{Case, NEWEST};

const KEYS: [&str; 2] = ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"];
const VERSIONS: [&str; 4] = ["3.0.0", "3.1.0", "3.2.0", "3.3.0"];

fn users(name: &str, users: Value) -> Case {
    Case::new(name, NEWEST, json!({"passwd": {"users": users}}))
}

fn groups(name: &str, groups: Value) -> Case {
    Case::new(name, NEWEST, json!({"passwd": {"groups": groups}}))
}

/// A new user with one field.
fn one(field: &str, value: Value) -> Case {
    let mut user = json!({"name": "new"});
    user[field] = value.clone();
    users(&format!("new user with {field} {value}"), json!([user]))
}

/// A present user with one field.
fn changed(field: &str, value: Value) -> Case {
    let mut user = json!({"name": "core"});
    user[field] = value.clone();
    users(&format!("present user with {field} {value}"), json!([user]))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        users("a new user", json!([{"name": "new"}])),
        one("uid", json!(1234)),
        one("uid", json!(500)),
        one("passwordHash", json!("")),
        one("passwordHash", json!("$6$salt$hash")),
        one("passwordHash", json!("!")),
        one("gecos", json!("Some One, Room 1")),
        one("gecos", json!("")),
        one("homeDir", json!("/srv/people/new")),
        one("homeDir", json!("")),
        one("homeDir", json!("/home/core")),
        one("noCreateHome", json!(true)),
        one("noCreateHome", json!(false)),
        one("primaryGroup", json!("sudo")),
        one("primaryGroup", json!("")),
        one("primaryGroup", json!("missing")),
        one("groups", json!(["sudo", "docker"])),
        one("groups", json!([])),
        one("groups", json!(["missing"])),
        one("noUserGroup", json!(true)),
        one("noUserGroup", json!(false)),
        one("noLogInit", json!(true)),
        one("system", json!(true)),
        one("system", json!(false)),
        one("shell", json!("/bin/zsh")),
        one("shell", json!("")),
        one("shouldExist", json!(true)),
        one("shouldExist", json!(false)),
        one("sshAuthorizedKeys", json!(KEYS)),
        one("sshAuthorizedKeys", json!([])),
        changed("uid", json!(501)),
        changed("uid", json!(1)),
        changed("passwordHash", json!("")),
        changed("passwordHash", json!("$6$salt$hash")),
        changed("gecos", json!("Other")),
        changed("homeDir", json!("/srv/core")),
        changed("homeDir", json!("/home/core")),
        changed("primaryGroup", json!("users")),
        changed("primaryGroup", json!("missing")),
        changed("groups", json!(["docker"])),
        changed("groups", json!([])),
        changed("groups", json!(["missing"])),
        changed("noCreateHome", json!(true)),
        changed("noUserGroup", json!(true)),
        changed("system", json!(true)),
        changed("shell", json!("/bin/sh")),
        changed("shouldExist", json!(false)),
        changed("sshAuthorizedKeys", json!(KEYS)),
        users("a user without anything to change", json!([{"name": "core"}])),
        users(
            "an old user without a home",
            json!([{"name": "nobody", "shell": "/bin/sh"}]),
        )
        .differs("a home that is missing"),
        users(
            "keys for an old user without a home",
            json!([{"name": "nobody", "noCreateHome": true, "sshAuthorizedKeys": KEYS}]),
        ),
        users(
            "keys for a user whose home is not made",
            json!([{"name": "new", "noCreateHome": true, "sshAuthorizedKeys": KEYS}]),
        ),
        users(
            "keys for root",
            json!([{"name": "root", "sshAuthorizedKeys": KEYS}]),
        ),
        users(
            "all of a system user",
            json!([{"name": "svc", "system": true, "noCreateHome": true, "noUserGroup": true, "primaryGroup": "users",
                    "groups": ["docker"], "shell": "/usr/sbin/nologin", "gecos": "Service", "uid": 300, "homeDir": "/var/lib/svc"}]),
        ),
        users(
            "two users with one uid",
            json!([{"name": "a", "uid": 2000}, {"name": "b", "uid": 2000}]),
        ),
        users("a name that is none", json!([{"name": "No Name"}])),
        users(
            "a home below a file",
            json!([{"name": "new", "homeDir": "/etc/passwd/new"}]),
        ),
        users(
            "a home through a link",
            json!([{"name": "new", "homeDir": "/people/new", "sshAuthorizedKeys": KEYS}]),
        )
        .on(|root| {
            root.dir("srv/people", 0o755).link("people", "srv/people");
        }),
        users(
            "a home through an absolute link",
            json!([{"name": "new", "homeDir": "/people/new", "sshAuthorizedKeys": KEYS}]),
        )
        .differs("a home that is missing")
        .on(|root| {
            root.dir("srv/people", 0o755).link("people", "/srv/people");
        }),
        users(
            "keys where .ssh is a link",
            json!([{"name": "core", "sshAuthorizedKeys": KEYS}]),
        )
        .on(|root| {
            root.dir("home/core/other", 0o755)
                .own("home/core/other", 500, 500)
                .link("home/core/.ssh", "other");
        }),
        users(
            "keys over keys",
            json!([{"name": "core", "sshAuthorizedKeys": KEYS}]),
        )
        .differs("mode of keys that are replaced")
        .on(|root| {
            root.file(
                "home/core/.ssh/authorized_keys.d/ignition",
                "old\nold\nold\nold\nold\nold\n",
                0o644,
            );
            root.own("home/core/.ssh", 500, 500)
                .own("home/core/.ssh/authorized_keys.d", 500, 500)
                .own("home/core/.ssh/authorized_keys.d/ignition", 500, 500);
        }),
        users(
            "keys over a file of root",
            json!([{"name": "core", "sshAuthorizedKeys": KEYS}]),
        )
        .differs("keys in what root owns")
        .on(|root| {
            root.file("home/core/.ssh/authorized_keys.d/ignition", "old\n", 0o644);
        }),
        groups("a new group", json!([{"name": "new"}])),
        groups("a new group with a gid", json!([{"name": "new", "gid": 3000}])),
        groups(
            "a new group with a gid that is taken",
            json!([{"name": "new", "gid": 27}]),
        ),
        groups(
            "a new group with a password",
            json!([{"name": "new", "passwordHash": "$6$a$b"}]),
        ),
        groups(
            "a new group with an empty password",
            json!([{"name": "new", "passwordHash": ""}]),
        ),
        groups("a new system group", json!([{"name": "new", "system": true}])),
        groups("a group that is there", json!([{"name": "docker"}])).differs("groups that are there"),
        groups(
            "a group that is there with its gid",
            json!([{"name": "docker", "gid": 233}]),
        )
        .differs("groups that are there"),
        groups(
            "a group that is there gets a gid",
            json!([{"name": "docker", "gid": 2233}]),
        )
        .differs("groups that are there"),
        groups(
            "a group that is there gets a password",
            json!([{"name": "docker", "passwordHash": "$6$a$b"}]),
        )
        .differs("groups that are there"),
        groups(
            "a group that is there becomes system",
            json!([{"name": "docker", "system": true}]),
        )
        .differs("groups that are there"),
        groups(
            "a group that shall not be there",
            json!([{"name": "unused", "shouldExist": false}]),
        ),
        groups(
            "a missing group that shall not be there",
            json!([{"name": "new", "shouldExist": false}]),
        ),
        groups(
            "a user's own group shall not be there",
            json!([{"name": "core", "shouldExist": false}]),
        ),
        groups("a group name that is none", json!([{"name": "No Group"}])),
        Case::new(
            "groups come before users",
            NEWEST,
            json!({"passwd": {
                "users": [{"name": "a", "primaryGroup": "ga", "groups": ["gb"]}, {"name": "b", "groups": ["a"]}],
                "groups": [{"name": "ga", "gid": 4000}, {"name": "gb", "system": true}],
            }}),
        ),
        Case::new(
            "removed together",
            NEWEST,
            json!({"passwd": {"users": [{"name": "gone", "shouldExist": false}], "groups": [{"name": "unused", "shouldExist": false}]}}),
        ),
        Case::new(
            "files belong to accounts of the same config",
            NEWEST,
            json!({
                "passwd": {"users": [{"name": "new", "uid": 1500}], "groups": [{"name": "grp", "gid": 1600}]},
                "storage": {
                    "files": [{"path": "/srv/a", "user": {"name": "new"}, "group": {"name": "grp"}, "mode": 0o640}],
                    "directories": [{"path": "/home/new/sub", "user": {"name": "new"}, "group": {"name": "new"}}],
                    "links": [{"path": "/srv/l", "target": "a", "user": {"name": "new"}, "group": {"id": 7}}],
                },
            }),
        ),
        Case::new(
            "a root without accounts",
            NEWEST,
            json!({"storage": {"files": [{"path": "/a", "user": {"name": "core"}}]}}),
        )
        .on(|root| {
            for name in ["passwd", "group", "shadow", "gshadow"] {
                std::fs::remove_file(root.at(&format!("etc/{name}"))).unwrap();
            }
        }),
        users("no skeleton", json!([{"name": "new"}])).on(|root| {
            std::fs::remove_dir_all(root.at("etc/skel")).unwrap();
        }),
        users(
            "a home that is there",
            json!([{"name": "new", "sshAuthorizedKeys": KEYS}]),
        )
        .differs("keys in what root owns")
        .on(|root| {
            root.file("home/new/mine", "x", 0o600);
        }),
        users("no gshadow", json!([{"name": "new", "groups": ["sudo"]}])).on(|root| {
            std::fs::remove_file(root.at("etc/gshadow")).unwrap();
        }),
        users("no shadow", json!([{"name": "new", "passwordHash": "$6$a$b"}])).on(|root| {
            std::fs::remove_file(root.at("etc/shadow")).unwrap();
        }),
        users(
            "keys before fragments",
            json!([{"name": "core", "sshAuthorizedKeys": KEYS}, {"name": "new", "sshAuthorizedKeys": KEYS}]),
        )
        .with("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT", "false"),
        users(
            "keys as fragments, said so",
            json!([{"name": "core", "sshAuthorizedKeys": KEYS}]),
        )
        .with("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT", "true"),
    ];
    for version in VERSIONS {
        // Known since 3.2.0; before, an unknown key.
        let mut case = Case::new(
            format!("shouldExist in {version}"),
            version,
            json!({"passwd": {
                "users": [{"name": "gone", "shouldExist": false}, {"name": "never", "shouldExist": false}],
                "groups": [{"name": "unused", "shouldExist": false}, {"name": "never2", "shouldExist": false}],
            }}),
        );
        if matches!(version, "3.0.0" | "3.1.0") {
            case = case.differs("groups that are there");
        }
        cases.push(case);
        cases.push(Case::new(
            format!("an account in {version}"),
            version,
            json!({"passwd": {"users": [{"name": "new", "groups": ["sudo"], "sshAuthorizedKeys": KEYS, "passwordHash": "$6$a$b"}],
                              "groups": [{"name": "grp"}]}}),
        ));
    }
    cases
}
