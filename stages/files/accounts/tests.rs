use proptest::prelude::*;

use super::plan;
use crate::plan::Step;
use crate::stages::PlanError;
use crate::stages::files::scene::{Scene, after, changes, lines, refusal};
use crate::view::fake::FakeView;
use crate::view::{Account, NodeKind, View};

fn passwd(passwd: &str) -> Scene {
    Scene::new(&format!("{{\"passwd\": {passwd}}}"))
}

fn planned(scene: &Scene, view: &dyn View) -> Result<Vec<Step>, PlanError> {
    plan(&scene.input(), view).map(|plan| plan.steps)
}

fn changed(config: &str, view: &dyn View) -> Vec<String> {
    changes(&planned(&passwd(config), view).unwrap())
}

/// A root like Flatcar's: some accounts in `/etc`, others in the image alone.
fn flatcar() -> FakeView {
    FakeView::new()
        .user("core", 500, 500)
        .edit_user("core", |user| {
            user.gecos = "CoreOS Admin".into();
            user.groups = vec!["docker".into(), "wheel".into()];
        })
        .user("ntp", 203, 203)
        .edit_user("ntp", |user| user.local = false)
        .group("core", 500)
        .group("docker", 233)
        .edit_group("docker", |group| group.members = vec!["core".into()])
        .group("wheel", 10)
        .edit_group("wheel", |group| group.members = vec!["core".into()])
        .group("kvm", 78)
        .edit_group("kvm", |group| group.local = false)
        .group("ntp", 203)
        .edit_group("ntp", |group| group.local = false)
        .user("guest", 700, 700)
        .edit_user("guest", |user| user.home = "/srv/there".into())
        .file(
            "/etc/passwd",
            b"root:x:0:0::/root:/bin/sh\n+\nsue:x:800:10::/home/sue:/bin/sh\n",
        )
        .file("/etc/login.defs", b"# private groups\nUSERGROUPS_ENAB yes\n")
        .node("/home/core", NodeKind::Directory, 0o700, 500, 500, b"")
        .dir("/srv/there")
}

#[test]
fn whole_plan() {
    let scene = passwd(
        r#"{
        "groups": [
            {"name": "staff", "gid": 1500, "passwordHash": "canary"},
            {"name": "sys2", "system": true},
            {"name": "wheel", "gid": 10},
            {"name": "docker", "gid": 999},
            {"name": "kvm", "gid": 78},
            {"name": "gone", "shouldExist": false}
        ],
        "users": [
            {"name": "core", "gecos": "CoreOS Admin", "groups": ["wheel", "docker"]},
            {"name": "alice", "uid": 1000, "gecos": "Alice", "homeDir": "/srv/alice", "primaryGroup": "staff",
             "groups": ["kvm", "sys2"], "shell": "/bin/zsh", "passwordHash": "canary"},
            {"name": "caddy", "noCreateHome": true, "noUserGroup": true, "system": true, "noLogInit": true,
             "passwordHash": ""},
            {"name": "ntp", "shell": "/bin/bash", "passwordHash": ""},
            {"name": "nobody2", "shouldExist": false}
        ]}"#,
    );
    let steps = planned(&scene, &flatcar()).unwrap();
    insta::assert_snapshot!(lines(&steps));
    let shown = format!("{steps:?} {}", serde_json::to_string(&steps).unwrap());
    assert!(!shown.contains("canary"));
}

#[test]
fn nothing_differs_nothing_runs() {
    for config in [
        r#"{"users": [{"name": "core"}]}"#,
        r#"{"users": [{"name": "core", "uid": 500, "gecos": "", "homeDir": "/home/core/", "shell": "/bin/bash"}]}"#,
        r#"{"users": [{"name": "core", "primaryGroup": "core", "groups": ["docker", "wheel", "docker"]}]}"#,
        r#"{"users": [{"name": "core", "primaryGroup": "500", "groups": ["10", "docker"]}]}"#,
        r#"{"users": [{"name": "core", "groups": ["docker,wheel"]}]}"#,
        r#"{"users": [{"name": "core", "noCreateHome": true, "system": true, "noUserGroup": true}]}"#,
        r#"{"users": [{"name": "ntp", "uid": 203}, {"name": "who", "shouldExist": false}]}"#,
        r#"{"users": [{"name": "core", "passwordHash": "$6$x"}]}"#,
        r#"{"groups": [{"name": "kvm", "gid": 78, "system": true}, {"name": "who", "shouldExist": false}]}"#,
        r#"{"groups": [{"name": "wheel", "passwordHash": ""}]}"#,
    ] {
        let view = flatcar().password("core", "$6$x");
        assert_eq!(changed(config, &view), Vec::<String>::new(), "{config}");
    }
}

#[test]
fn only_what_differs_is_changed() {
    for (user, step) in [
        (r#""uid": 501"#, "modify (uid 500 to 501): usermod core uid=501"),
        (
            r#""gecos": "A", "uid": 500"#,
            "modify (comment): usermod core gecos=A",
        ),
        (
            r#""homeDir": "/srv/core", "shell": "/bin/bash""#,
            "modify (home /home/core moves to /srv/core): usermod core home=/srv/core",
        ),
        (
            r#""shell": "/bin/sh""#,
            "modify (shell /bin/bash to /bin/sh): usermod core shell=/bin/sh",
        ),
        (
            r#""primaryGroup": "wheel""#,
            "modify (primary group 500 to wheel): usermod core primary=wheel",
        ),
        (
            r#""groups": ["wheel"]"#,
            "modify (leaves docker): usermod core groups=wheel",
        ),
        (
            r#""groups": ["wheel", "core"]"#,
            "modify (joins core, leaves docker): usermod core groups=wheel,core",
        ),
        (
            r#""groups": ["10"]"#,
            "modify (leaves docker): usermod core groups=10",
        ),
    ] {
        let config = format!(r#"{{"users": [{{"name": "core", {user}}}]}}"#);
        assert_eq!(
            changed(&config, &flatcar()),
            [format!("{step} @ passwd.users[0]")]
        );
    }
}

#[test]
fn passwords() {
    let user = |name: &str, hash: &str| {
        changed(
            &format!(r#"{{"users": [{{"name": "{name}", "passwordHash": "{hash}"}}]}}"#),
            &flatcar().password("core", "*"),
        )
    };
    let password = " @ passwd.users[0].passwordHash";
    assert_eq!(user("core", ""), Vec::<String>::new(), "locked already");
    assert_eq!(
        user("core", "$6$new"),
        [format!(
            "modify (password): password User(\"core\") <secret>{password}"
        )]
    );
    assert_eq!(
        user("new", ""),
        ["create: useradd new create-home @ passwd.users[0]"]
    );
    assert_eq!(
        user("new", "$6$new"),
        [
            "create: useradd new create-home @ passwd.users[0]".to_owned(),
            format!("modify (password): password User(\"new\") <secret>{password}"),
        ]
    );
    let groups = changed(
        r#"{"groups": [{"name": "kvm", "passwordHash": "$6$g"}]}"#,
        &flatcar(),
    );
    assert_eq!(
        groups,
        [
            "modify (copied from the image to etc/group, where the tools see it): adopt group kvm \
             @ passwd.groups[0].passwordHash",
            "modify (password): password Group(\"kvm\") <secret> @ passwd.groups[0].passwordHash",
        ]
    );
}

/// The tools see `etc/group` alone, so a group of the image's own database was "does not exist" to them.
#[test]
fn flatcar_799_ignition_1593_groups_known_only_to_the_image() {
    let adopt = |kind: &str, name: &str| {
        let file = if kind == "user" { "etc/passwd" } else { "etc/group" };
        format!(
            "modify (copied from the image to {file}, where the tools see it): adopt {kind} {name} @ passwd.users[0]"
        )
    };
    let user = |user: &str| changed(&format!(r#"{{"users": [{user}]}}"#), &flatcar());
    assert_eq!(
        user(r#"{"name": "vm", "groups": ["kvm", "docker"]}"#),
        [
            adopt("group", "kvm"),
            "create: useradd vm groups=kvm,docker create-home @ passwd.users[0]".to_owned(),
        ]
    );
    assert_eq!(
        user(r#"{"name": "core", "primaryGroup": "kvm"}"#),
        [
            adopt("group", "kvm"),
            "modify (primary group 500 to kvm): usermod core primary=kvm @ passwd.users[0]".to_owned(),
        ]
    );
    assert_eq!(
        user(r#"{"name": "ntp", "groups": ["kvm"]}"#),
        [
            adopt("group", "kvm"),
            adopt("user", "ntp"),
            "modify (joins kvm): usermod ntp groups=kvm @ passwd.users[0]".to_owned(),
        ]
    );
    // Nobody can be taken out of a group of the image's own, so that is not tried again and again.
    let view = flatcar().edit_user("core", |user| user.groups.push("kvm".into()));
    let config = r#"{"users": [{"name": "core", "groups": ["wheel", "docker"]}]}"#;
    assert_eq!(changed(config, &view), Vec::<String>::new());
}

#[test]
fn deletions() {
    let config = r#"{
        "groups": [{"name": "docker", "shouldExist": false}, {"name": "core", "shouldExist": false}],
        "users": [{"name": "core", "shouldExist": false, "sshAuthorizedKeys": ["ignored"], "uid": -7}]}"#;
    let steps = planned(&passwd(config), &flatcar()).unwrap();
    assert_eq!(
        changes(&steps),
        [
            "delete (group with gid 233 and 1 members, trivial: false): groupdel docker \
             @ passwd.groups[0].shouldExist",
            "delete (group with gid 500, trivial: true): groupdel core @ passwd.groups[1].shouldExist",
            "delete (user with uid 500, its home /home/core and its mail, trivial: false): userdel core with home \
             @ passwd.users[0].shouldExist",
        ]
    );
    assert!(steps[2].change.destroys());
}

#[test]
fn half_made_accounts_are_made_anew() {
    let mut scene =
        passwd(r#"{"groups": [{"name": "wheel"}], "users": [{"name": "core"}, {"name": "ntp"}]}"#);
    scene.progress.groups_begun.insert("wheel".into());
    scene.progress.users_begun.insert("core".into());
    // It is in the image, so this run cannot have begun it.
    scene.progress.users_begun.insert("ntp".into());
    assert_eq!(
        changes(&planned(&scene, &flatcar()).unwrap()),
        [
            "delete (group that an interrupted run left half-made, trivial: true): groupdel wheel @ passwd.groups[0]",
            "create: groupadd wheel @ passwd.groups[0]",
            "delete (user that an interrupted run left half-made, trivial: true): userdel core @ passwd.users[0]",
            "create: useradd core create-home @ passwd.users[0]",
        ]
    );
}

#[test]
fn refusals() {
    let id = "is not an id; ids are from 0 to 4294967294";
    let unknown =
        "in the root, and no earlier entry creates it; correct the name, or add the group to passwd.groups";
    let image =
        "cannot be removed; leave out shouldExist: it is part of the image, whose own database is read-only";
    for (config, expected) in [
        (r#"{"users": [{"name": "a", "uid": -1}]}"#, format!("passwd.users[0].uid: -1 {id}")),
        (
            r#"{"users": [{"name": "a"}, {"name": "core", "uid": 4294967295}]}"#,
            format!("passwd.users[1].uid: 4294967295 {id}"),
        ),
        (
            r#"{"groups": [{"name": "a", "gid": 4294967296}]}"#,
            format!("passwd.groups[0].gid: 4294967296 {id}"),
        ),
        (
            r#"{"users": [{"name": "a"}, {"name": "b"}, {"name": "c", "groups": ["none"]}]}"#,
            format!("passwd.users[2].groups[0]: there is no group \"none\" {unknown}"),
        ),
        (
            r#"{"users": [{"name": "core", "primaryGroup": "none"}]}"#,
            format!("passwd.users[0].primaryGroup: there is no group \"none\" {unknown}"),
        ),
        (
            r#"{"groups": [{"name": "docker", "shouldExist": false}], "users": [{"name": "a", "groups": ["wheel", "docker"]}]}"#,
            format!("passwd.users[0].groups[1]: there is no group \"docker\" {unknown}"),
        ),
        (
            r#"{"users": [{"name": "docker"}]}"#,
            "passwd.users[0].name: the group docker exists already, so the user docker cannot get a group of its \
             own; set primaryGroup to \"docker\", or noUserGroup to true"
                .into(),
        ),
        (
            r#"{"users": [{"name": "ntp", "shouldExist": false}]}"#,
            format!("passwd.users[0].shouldExist: the user ntp {image}"),
        ),
        (
            r#"{"groups": [{"name": "kvm", "shouldExist": false}]}"#,
            format!("passwd.groups[0].shouldExist: the group kvm {image}"),
        ),
        (
            r#"{"groups": [{"name": "wheel", "shouldExist": false}]}"#,
            "passwd.groups[0].shouldExist: wheel is the primary group of sue, and groupdel does not remove such a \
             group; leave this entry out: a user's own group goes with the user"
                .into(),
        ),
        (
            r#"{"users": [{"name": "guest", "shouldExist": false}]}"#,
            "passwd.users[0].shouldExist: /srv/there, the home of guest, belongs to 0, and userdel would not remove \
             it; remove it or give it to the user first"
                .into(),
        ),
        (
            r#"{"users": [{"name": "core", "homeDir": "/srv/there"}]}"#,
            "passwd.users[0].homeDir: /srv/there is there already, so the user's home cannot be moved to it; remove \
             it, or leave out homeDir"
                .into(),
        ),
        (
            r#"{"users": [{"name": "a", "homeDir": "home"}]}"#,
            "passwd.users[0].homeDir: a home directory must be an absolute path; begin it with a slash".into(),
        ),
        (
            r#"{"users": [{"name": "a", "gecos": "x:0:0"}]}"#,
            "passwd.users[0].gecos: the value contains ':', which a line of etc/passwd cannot hold; leave that \
             character out"
                .into(),
        ),
        (
            r#"{"users": [{"name": "core", "passwordHash": "canary\nroot2::0:"}]}"#,
            "passwd.users[0].passwordHash: the hash contains a colon or a control character, which a line of \
             etc/shadow cannot hold; give the output of mkpasswd, without a line feed"
                .into(),
        ),
    ] {
        assert_eq!(refusal(planned(&passwd(config), &flatcar())), expected, "{config}");
    }
}

#[test]
fn names_that_never_reach_argv() {
    for name in [
        "", "-h", "--root", "a:b", "a\\nb", "a/b", ".", "..", "a,b", "a b", "\\u0000",
    ] {
        for (config, place) in [
            (
                format!(r#"{{"users": [{{"name": "{name}"}}]}}"#),
                "passwd.users[0].name",
            ),
            (
                format!(r#"{{"users": [{{"name": "{name}", "shouldExist": false}}]}}"#),
                "passwd.users[0].name",
            ),
            (
                format!(r#"{{"groups": [{{"name": "{name}"}}]}}"#),
                "passwd.groups[0].name",
            ),
            (
                format!(r#"{{"users": [{{"name": "core", "groups": ["wheel", "{name}"]}}]}}"#),
                "passwd.users[0].groups[1]",
            ),
        ] {
            // A comma parts a list of groups.
            if name == "a,b" && place.contains("groups[1]") {
                continue;
            }
            let refusal = refusal(planned(&passwd(&config), &flatcar()));
            assert!(refusal.starts_with(&format!("{place}: ")), "{config}: {refusal}");
        }
    }
}

/// A user's own group is only in the way where useradd makes one.
#[test]
fn private_groups() {
    let without = |text: &[u8]| flatcar().file("/etc/login.defs", text);
    let config = r#"{"users": [{"name": "docker"}]}"#;
    for (text, made) in [
        ("", true),
        ("USERGROUPS_ENAB no", true),
        ("#USERGROUPS_ENAB yes", true),
        ("USERGROUPS_ENAB\tYES", false),
    ] {
        assert_eq!(
            planned(&passwd(config), &without(text.as_bytes())).is_ok(),
            made,
            "{text}"
        );
    }
    for extra in [r#""noUserGroup": true"#, r#""primaryGroup": "docker""#] {
        let config = format!(r#"{{"users": [{{"name": "docker", {extra}}}]}}"#);
        assert!(planned(&passwd(&config), &flatcar()).is_ok(), "{extra}");
    }
}

fn some(choices: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(choices).prop_map(str::to_owned))
}

prop_compose! {
    fn any_user(names: &'static [&'static str])(
        name in prop::sample::select(names),
        uid in prop::option::of(0_u32..2000),
        gecos in some(&["", "A", "B"]),
        home in some(&["", "/srv/a", "/home/core"]),
        shell in some(&["", "/bin/sh", "/bin/bash"]),
        primary in some(&["", "wheel", "kvm", "new", "500"]),
        groups in prop::sample::subsequence(vec!["wheel", "docker", "kvm", "new", "ntp"], 0..4),
        password in some(&["", "$6$a", "*"]),
        flags in any::<[bool; 4]>(),
        should_exist in prop::option::weighted(0.3, any::<bool>()),
    ) -> serde_json::Value {
        serde_json::json!({
            "name": name, "uid": uid, "gecos": gecos, "homeDir": home, "shell": shell, "primaryGroup": primary,
            "groups": groups, "passwordHash": password, "noCreateHome": flags[0], "noUserGroup": flags[1],
            "system": flags[2], "noLogInit": flags[3], "shouldExist": should_exist,
        })
    }
}

/// What the accounts of a view look like.
fn accounts(view: &dyn View) -> Vec<String> {
    let users = ["core", "ntp", "alice", "bob", "carol"];
    let groups = [
        "wheel", "docker", "kvm", "new", "fresh", "ntp", "core", "alice", "bob", "carol",
    ];
    let locked = |name: &str| view.has_password(Account::User(name), "*").unwrap();
    users
        .iter()
        .map(|name| format!("{:?} {}", view.user(name).unwrap(), locked(name)))
        .chain(
            groups
                .iter()
                .map(|name| format!("{:?}", view.group(name).unwrap())),
        )
        .collect()
}

proptest! {
    /// Once a plan's effects are there, the same config changes nothing.
    #[test]
    fn planning_again_keeps_everything(
        first in any_user(&["core", "ntp", "alice"]),
        second in any_user(&["bob", "carol"]),
        gid in prop::option::of(3000_u32..4000),
        adjusted in prop::sample::select(vec!["wheel", "kvm", "fresh"]),
    ) {
        let config = serde_json::json!({
            "groups": [{"name": "new", "passwordHash": "$6$g"}, {"name": adjusted, "gid": gid}],
            "users": [first, second],
        });
        let scene = passwd(&config.to_string());
        let fake = flatcar();
        if let Ok(steps) = planned(&scene, &fake) {
            let overlay = after(&fake, &steps);
            let again = planned(&scene, &overlay).unwrap();
            prop_assert_eq!(changes(&again), Vec::<String>::new(), "first: {}", lines(&steps));
            }
    }

    /// Killed between any two steps and run again, the same accounts are there.
    #[test]
    fn killed_at_a_step_boundary(
        first in any_user(&["core", "ntp", "alice"]),
        second in any_user(&["bob", "carol"]),
        cut in any::<prop::sample::Index>(),
    ) {
        let config = serde_json::json!({
            "groups": [{"name": "new", "gid": 4000}, {"name": "wheel", "gid": 11}],
            "users": [first, second],
        });
        let scene = passwd(&config.to_string());
        let fake = flatcar();
        if let Ok(steps) = planned(&scene, &fake) {
            let killed = after(&fake, &steps[..cut.index(steps.len() + 1)]);
            let rest = planned(&scene, &killed).unwrap();
            prop_assert_eq!(accounts(&after(&killed, &rest)), accounts(&after(&fake, &steps)));
        }
    }
}
