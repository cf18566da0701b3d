use super::plan;
use crate::plan::Step;
use crate::stages::PlanError;
use crate::stages::files::scene::{Scene, after, changes, lines, refusal};
use crate::stages::files::{accounts, scene};
use crate::view::fake::FakeView;
use crate::view::{NodeKind, View};

const CORE: &str = r#"{"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-a", "ssh-b x"]}]}}"#;
const CORE_WITHOUT_HOME: &str =
    r#"{"passwd": {"users": [{"name": "core", "noCreateHome": true, "sshAuthorizedKeys": ["ssh-a"]}]}}"#;

fn planned(scene: &Scene, view: &dyn View) -> Result<Vec<Step>, PlanError> {
    plan(&scene.input(), view).map(|plan| plan.steps)
}

fn changed(config: &str, view: &dyn View) -> Vec<String> {
    changes(&planned(&Scene::new(config), view).unwrap())
}

trait Owned {
    fn owned(self, path: &str, kind: NodeKind, mode: u32, user: u32) -> Self;
    fn dir_of(self, path: &str, user: u32) -> Self;
    fn link_of(self, path: &str, target: &str, user: u32) -> Self;
}

impl Owned for FakeView {
    fn owned(self, path: &str, kind: NodeKind, mode: u32, user: u32) -> Self {
        self.node(path, kind, mode, user, user, b"")
    }
    fn dir_of(self, path: &str, user: u32) -> Self {
        self.owned(path, NodeKind::Directory, 0o755, user)
    }
    fn link_of(self, path: &str, target: &str, user: u32) -> Self {
        let target = target.into();
        self.owned(path, NodeKind::Symlink { target }, 0o777, user)
    }
}

fn core() -> FakeView {
    FakeView::new().user("core", 500, 501).dir_of("/home/core", 500)
}

const KEYS: &str = "@ passwd.users[0].sshAuthorizedKeys";

#[test]
fn a_fragment_and_its_directories() {
    let mut scene = Scene::new(CORE);
    let steps = planned(&scene, &core()).unwrap();
    assert_eq!(
        changes(&steps),
        [
            format!("create: mkdir /home/core/.ssh 0700 500:501 {KEYS}"),
            format!("create: mkdir /home/core/.ssh/authorized_keys.d 0700 500:501 {KEYS}"),
            format!(
                r#"create: write /home/core/.ssh/authorized_keys.d/ignition 0600 500:501 "ssh-a\nssh-b x\n" {KEYS}"#
            ),
        ]
    );
    let fake = core();
    let again = planned(&scene, &after(&fake, &steps)).unwrap();
    assert_eq!(changes(&again), Vec::<String>::new());
    assert_eq!(again.len(), 1);

    scene.run.key_fragments = false;
    let fake = core()
        .dir_of("/home/core/.ssh", 500)
        .file("/home/core/.ssh/authorized_keys", b"old");
    let steps = planned(&scene, &fake).unwrap();
    assert_eq!(
        changes(&steps),
        [format!(
            r#"replace (file of 3 bytes, trivial: false): write /home/core/.ssh/authorized_keys 0600 500:501 "ssh-a\nssh-b x\n" {KEYS}"#
        )]
    );
}

#[test]
fn users_that_go_or_want_no_keys() {
    let config = r#"{"passwd": {"users": [
        {"name": "gone", "shouldExist": false, "sshAuthorizedKeys": ["ssh-a"]}, {"name": "core"}]}}"#;
    assert_eq!(
        planned(&Scene::new(config), &FakeView::new().user("core", 500, 500)).unwrap(),
        []
    );
}

/// useradd does not run for a user that is there, so nobody makes a home that is missing; upstream fails.
#[test]
fn a_missing_home() {
    let bare = FakeView::new()
        .user("core", 500, 500)
        .edit_user("core", |user| user.home = "/var/lib/core".into());
    assert_eq!(
        changed(CORE, &bare)[..3],
        [
            format!("create: mkdir /var 0755 0:0 {KEYS}"),
            format!("create: mkdir /var/lib 0755 0:0 {KEYS}"),
            format!("create: mkdir /var/lib/core 0700 500:500 {KEYS}"),
        ]
    );
    assert_eq!(
        refusal(planned(&Scene::new(CORE_WITHOUT_HOME), &bare)),
        "passwd.users[0].sshAuthorizedKeys: the home /var/lib/core of core does not exist, and noCreateHome forbids \
         making it; leave out noCreateHome or the keys, or set homeDir to a directory that exists"
    );
    assert_eq!(
        changed(CORE_WITHOUT_HOME, &core()).len(),
        3,
        "a home that is there is used"
    );
    let nowhere = FakeView::new()
        .user("core", 500, 500)
        .edit_user("core", |user| user.home = String::new());
    assert!(refusal(planned(&Scene::new(CORE), &nowhere)).contains("has no home directory"));
    assert!(refusal(planned(&Scene::new(CORE), &FakeView::new())).contains("no user \"core\""));
}

#[test]
fn links_on_the_way_to_the_home_are_followed_inside_the_root() {
    let view = FakeView::new()
        .user("core", 500, 500)
        .link("/home", "/var/home")
        .dir_of("/var/home/core", 500);
    assert_eq!(
        changed(CORE, &view)[0],
        format!("create: mkdir /var/home/core/.ssh 0700 500:500 {KEYS}")
    );
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let ssh = "/home/core/.ssh";
    for (view, expected) in [
        (core().dir_of(ssh, 500), None),
        (core().dir_of(ssh, 0), None),
        (
            core().dir_of(ssh, 501),
            Some("/home/core/.ssh belongs to 501, neither to core nor to root"),
        ),
        (
            FakeView::new().user("core", 500, 500).dir_of("/home/core", 501),
            Some("/home/core belongs to 501, neither to core nor to root"),
        ),
        (
            FakeView::new().user("core", 500, 500).dir_of("/home/core", 0),
            None,
        ),
        (
            core().link_of(ssh, "keys", 500).dir_of("/home/core/keys", 500),
            None,
        ),
        (core().link_of(ssh, "keys", 500), None),
        (core().link_of(ssh, "/srv/keys", 0).dir_of("/srv/keys", 500), None),
        (
            core().link_of(ssh, "/etc/cron.d", 500).dir("/etc/cron.d"),
            Some("/home/core/.ssh is a link to /etc/cron.d, and /etc/cron.d belongs to 0, not to core"),
        ),
        (
            core().link_of(ssh, "/etc/new/er", 500).dir("/etc"),
            Some("/home/core/.ssh is a link to /etc/new/er, and /etc belongs to 0, not to core"),
        ),
        (
            core().link_of(ssh, "../../root", 500).dir("/root"),
            Some("/home/core/.ssh is a link to /root, and /root belongs to 0, not to core"),
        ),
        (
            core()
                .dir_of(ssh, 500)
                .link_of("/home/core/.ssh/authorized_keys.d", "/etc", 500)
                .dir("/etc"),
            Some("authorized_keys.d is a link to /etc, and /etc belongs to 0, not to core"),
        ),
        (core().link_of(ssh, ".ssh", 500), Some("too many symbolic links")),
        (
            core().file(ssh, b""),
            Some("/home/core/.ssh is not a directory, and SSH keys go below it"),
        ),
        (
            core().link_of(ssh, "/etc/passwd", 500).file("/etc/passwd", b""),
            Some("/etc/passwd is not a directory"),
        ),
        (
            core()
                .dir_of(ssh, 500)
                .dir_of("/home/core/.ssh/authorized_keys.d/ignition", 500),
            Some("/home/core/.ssh/authorized_keys.d/ignition is a directory"),
        ),
    ] {
        let result = planned(&Scene::new(CORE), &view);
        match expected {
            None => assert!(result.is_ok(), "{result:?} {view:?}"),
            Some(expected) => {
                let refusal = refusal(result);
                assert!(refusal.contains(expected), "{refusal}");
                assert!(
                    refusal.starts_with("passwd.users[0].sshAuthorizedKeys: "),
                    "{refusal}"
                );
            }
        }
    }
    // The last component is replaced, never followed.
    let view = core()
        .dir_of(ssh, 500)
        .dir_of("/home/core/.ssh/authorized_keys.d", 500)
        .link_of("/home/core/.ssh/authorized_keys.d/ignition", "/etc/shadow", 500)
        .file("/etc/shadow", b"x");
    assert!(
        changed(CORE, &view)[0]
            .starts_with("replace (link to /etc/shadow, trivial: true): write /home/core/.ssh/")
    );
}

#[test]
fn notated_directories() {
    let mut scene = Scene::new(r#"{"passwd": {"users": [{"name": "core"}]}}"#);
    scene.notated_directories = ["/home", "/home/core", "/home/core/data/", "/home/corexx"]
        .map(str::to_owned)
        .to_vec();
    let fake = core().dir("/home/core/data").dir("/home/corexx");
    let steps = planned(&scene, &fake).unwrap();
    assert_eq!(
        changes(&steps),
        [
            "modify (group 500 to 501, mode 0755 to 0700): access /home/core 0700 500:501 @ passwd.users[0]",
            "modify (owner 0 to 500, group 0 to 501, mode 0755 to 0700): access /home/core/data 0700 500:501 \
             @ passwd.users[0]",
        ]
    );
    let again = planned(&scene, &after(&fake, &steps)).unwrap();
    assert_eq!((changes(&again).len(), again.len()), (0, 2));

    assert!(refusal(planned(&scene, &core())).contains("/home/core/data, and now it is not a directory"));
    scene.config.passwd.users[0].no_create_home = Some(true);
    assert_eq!(planned(&scene, &fake).unwrap(), []);
    // A home of `/` would hand every mount point to the user.
    scene.config.passwd.users[0].no_create_home = None;
    let fake = fake.edit_user("core", |user| user.home = "/".into());
    assert_eq!(planned(&scene, &fake).unwrap(), []);
}

/// In a dry run, a user that this run creates has no id: its name stands for it.
#[test]
fn over_predicted_accounts() {
    let mut scene = Scene::new(
        r#"{"passwd": {"users": [
            {"name": "new", "sshAuthorizedKeys": ["ssh-n"]},
            {"name": "old", "sshAuthorizedKeys": ["ssh-o"]},
            {"name": "bare", "noCreateHome": true, "uid": 7, "sshAuthorizedKeys": []}]}}"#,
    );
    scene.notated_directories = vec!["/home/new".into()];
    // A home kept from an earlier life, by an id that useradd may or may not give again.
    let fake = FakeView::new()
        .file("/usr/share/login.defs", b"USERGROUPS_ENAB yes\n")
        .link("/etc/login.defs", "../usr/share/login.defs")
        .dir("/home/new")
        .dir_of("/home/old", 1001);
    let before = accounts::plan(&scene.input(), &fake).unwrap().steps;
    let steps = planned(&scene, &scene::after(&fake, &before)).unwrap();
    insta::assert_snapshot!(lines(&steps));
}
