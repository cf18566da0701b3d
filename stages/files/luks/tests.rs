use super::{decode, plan};
use crate::config::types::{File, Hidden, NodeOwner, Resource};
use crate::plan::{Change, Content, Secret, Step};
use crate::report::Pointer;
use crate::stages::PlanError;
use crate::stages::files::scene::{Scene, after, changes, lines, refusal};
use crate::view::fake::FakeView;
use crate::view::{Digest, NodeKind, View};

const VOLUMES: &str = r#"{"storage": {"luks": [
    {"name": "data", "device": "/dev/data"},
    {"name": "tang", "device": "/dev/tang", "clevis": {"tang": [{"url": "http://t", "thumbprint": "x"}]}},
    {"name": "tpm", "device": "/dev/tpm", "clevis": {"tpm2": true}},
    {"name": "pin", "device": "/dev/pin", "clevis": {"custom": {"pin": "sss", "config": "{}", "needsNetwork": true}}},
    {"name": "threshold", "device": "/dev/threshold", "clevis": {"threshold": 1}}
]}}"#;

fn volumes() -> Scene {
    let mut scene = Scene::new(VOLUMES);
    scene
        .luks_key_files
        .insert("data".into(), "data:;base64,Y2FuYXJ5".into());
    scene
}

/// A machine with these volumes.
fn machine() -> FakeView {
    ["data", "tang", "tpm", "pin", "threshold"]
        .into_iter()
        .fold(FakeView::new(), |view, name| {
            view.volume(&format!("/dev/{name}"), &format!("uuid-{name}"))
        })
}

fn planned(scene: &Scene, view: &dyn View) -> Result<Vec<Step>, PlanError> {
    plan(&scene.input(), view).map(|plan| plan.steps)
}

#[test]
fn nothing_to_do() {
    let steps = plan(&Scene::new("{}").input(), &FakeView::new()).unwrap().steps;
    assert_eq!(steps, []);
}

#[test]
fn whole_plan() {
    let mut scene = volumes();
    scene
        .luks_volume_key_files
        .insert("ignition-luks-data.skey".into(), "data:,a%2Cb".into());
    scene.provider_files.push(File {
        path: "/var/lib/hyperv/.kvp_pool_0".into(),
        mode: Some(0o600),
        overwrite: Some(true),
        contents: Resource {
            source: Some("data:;base64,a3Zw".into()),
            ..Resource::default()
        },
        user: NodeOwner {
            id: Some(7),
            name: None,
        },
        ..File::default()
    });
    let fake = machine().dir("/var/lib/hyperv/.kvp_pool_0");
    let steps = planned(&scene, &fake).unwrap();
    insta::assert_snapshot!(lines(&steps));
    let shown = format!("{steps:?}");
    assert!(!shown.contains("canary"));
}

#[test]
fn lines_are_not_repeated_and_keys_not_overwritten() {
    let mut scene = volumes();
    let fake = machine().node(
        "/etc/crypttab",
        NodeKind::File { size: Some(2) },
        0o644,
        0,
        0,
        b"# ",
    );
    let steps = planned(&scene, &fake).unwrap();
    let overlay = after(&fake, &steps);
    assert_eq!(
        String::from_utf8(overlay.read(&"/etc/crypttab".into(), 1000).unwrap().unwrap()).unwrap(),
        "# \n\
         data UUID=uuid-data /etc/luks/data luks\n\
         tang UUID=uuid-tang none luks,_netdev\n\
         tpm UUID=uuid-tpm none luks\n\
         pin UUID=uuid-pin none luks,_netdev\n\
         threshold UUID=uuid-threshold none luks\n"
    );
    assert_eq!(
        overlay.node(&"/etc/crypttab".into()).unwrap().unwrap().mode,
        0o600
    );
    // A key that is the same collides with nothing (coreos/fedora-coreos-tracker#1858).
    assert_eq!(changes(&planned(&scene, &overlay).unwrap()), Vec::<String>::new());
    // Another one does.
    let fake = machine().file("/etc/luks/data", b"somebody's");
    assert_eq!(
        refusal(planned(&scene, &fake)),
        "storage.luks[0]: /etc/luks/data exists already; remove it: it is the key of another volume, and would be \
         lost"
    );
    // Unless the run that this one goes on with was about to write it: its volume is made anew.
    scene.progress.config = Some(Digest::of(b"config"));
    scene.progress.files.insert("/etc/luks/data".into(), Vec::new());
    assert!(planned(&scene, &fake).is_ok());
}

const OLD: &[u8] =
    b"# image\ndata UUID=0aF-1 /etc/luks/data luks\ntang\tUUID=old none luks\nother UUID=x none\n";

/// Of two lines with one name systemd takes the first, whose volume is gone.
#[test]
fn lines_of_volumes_that_were_made_anew_go() {
    let crypttab = |scene: &Scene, fake: &FakeView| {
        let overlay = after(fake, &planned(scene, fake).unwrap());
        String::from_utf8(overlay.read(&"/etc/crypttab".into(), 1000).unwrap().unwrap()).unwrap()
    };
    let fake = machine().file("/etc/crypttab", OLD);
    let mut scene = volumes();
    assert!(
        crypttab(&scene, &fake).contains("0aF-1"),
        "the image's own lines stay, as upstream does it"
    );
    scene.progress.config = Some(Digest::of(b"config"));
    let text = crypttab(&scene, &fake);
    assert!(
        text.starts_with("# image\nother UUID=x none\ndata UUID=uuid-data "),
        "{text}"
    );
    assert_eq!(text.matches("\ntang").count(), 1, "{text}");
}

#[test]
fn a_converging_run_keeps_an_old_key_under_the_uuid_of_its_volume() {
    let mut scene = volumes();
    scene.rerun = crate::stages::Rerun::Converge;
    let key = |fake: FakeView| fake.file("/etc/luks/data", b"old key");
    let fake = key(machine().file("/etc/crypttab", OLD));
    let overlay = after(&fake, &planned(&scene, &fake).unwrap());
    let read = |path: &str| overlay.read(&path.into(), 1000).unwrap().unwrap();
    assert_eq!(read("/etc/luks/data.0aF-1"), b"old key");
    assert_eq!(
        overlay
            .node(&"/etc/luks/data.0aF-1".into())
            .unwrap()
            .unwrap()
            .mode,
        0o600
    );
    assert_eq!(read("/etc/luks/data"), b"canary");
    assert_eq!(
        String::from_utf8_lossy(&read("/etc/crypttab"))
            .matches("data")
            .count(),
        3
    );
    assert_eq!(changes(&planned(&scene, &overlay).unwrap()), Vec::<String>::new());
    for (fake, why) in [
        (key(machine()), "does not tell of which volume"),
        (
            key(machine().file("/etc/crypttab", b"data UUID=../x /etc/luks/data luks\n")),
            "does not tell",
        ),
        (
            key(machine().file("/etc/crypttab", OLD)).file("/etc/luks/data.0aF-1", b"older"),
            "and so does /etc/luks/data.0aF-1",
        ),
    ] {
        let said = refusal(planned(&scene, &fake));
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_dry_run_does_not_know_uuids() {
    let steps = planned(&volumes(), &FakeView::new()).unwrap();
    let unknown = steps
        .iter()
        .filter(|step| matches!(step.change, Change::Unknown { .. }))
        .count();
    assert_eq!(unknown, 5, "a line for each volume");
}

/// A dry run of all stages has no state file; it knows which key the disks stage would leave there.
#[test]
fn a_key_that_the_same_dry_run_has_planned() {
    let mut scene = Scene::new(VOLUMES);
    let remote = Content::Remote {
        url: "https://host/key".into(),
        hash: None,
        resource: Secret::default(),
    };
    scene.planned_keys.insert("data".into(), remote);
    let steps = planned(&scene, &machine()).unwrap();
    let text = lines(&steps);
    assert!(
        text.contains("/etc/luks/data") && text.contains("https://host/key"),
        "{text}"
    );
}

#[test]
fn refusals() {
    assert!(
        refusal(planned(&Scene::new(VOLUMES), &machine())).contains("the state file has no key for data")
    );
    let scene = Scene::new(r#"{"storage": {"luks": [{"name": ".."}]}}"#);
    assert!(refusal(planned(&scene, &machine())).starts_with("storage.luks[0].name: "));
    let mut scene = volumes();
    scene.luks_key_files.insert("data".into(), "canary".into());
    let error = refusal(planned(&scene, &machine()));
    assert!(
        error.contains("not a data: URL") && !error.contains("canary"),
        "{error}"
    );
}

#[test]
fn data_urls_of_the_state_file() {
    for (url, bytes) in [
        ("data:,", Some(&b""[..])),
        ("data:;base64,AAE=", Some(b"\x00\x01")),
        ("data:text/plain;charset=utf-8;base64,eA==", Some(b"x")),
        ("data:,%00%fF+,", Some(b"\x00\xff+,")),
        ("data:;base64,*", None),
        ("data:,%4", None),
        ("data:,%zz", None),
        ("http:,x", None),
        ("data:", None),
    ] {
        let decoded = decode(&Hidden::from(url), &Pointer::root()).ok();
        assert_eq!(decoded.as_deref(), bytes, "{url}");
    }
}
