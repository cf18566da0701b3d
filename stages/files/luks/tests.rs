use std::collections::BTreeMap;

use super::{decode, plan, plan_volumes};
use crate::config::types::{File, Hidden, NodeOwner, Resource};
use crate::plan::Step;
use crate::report::Pointer;
use crate::stages::PlanError;
use crate::stages::files::scene::{Scene, after, changes, lines, refusal};
use crate::view::fake::FakeView;
use crate::view::{Digest, NodeKind, View};

const VOLUMES: &str = r#"{"storage": {"luks": [
    {"name": "data", "device": "/dev/vdb"},
    {"name": "tang", "clevis": {"tang": [{"url": "http://t", "thumbprint": "x"}]}},
    {"name": "tpm", "clevis": {"tpm2": true}},
    {"name": "pin", "clevis": {"custom": {"pin": "sss", "config": "{}", "needsNetwork": true}}},
    {"name": "threshold", "clevis": {"threshold": 1}}
]}}"#;

fn volumes() -> Scene {
    let mut scene = Scene::new(VOLUMES);
    scene
        .luks_key_files
        .insert("data".into(), "data:;base64,Y2FuYXJ5".into());
    scene
}

fn uuids() -> BTreeMap<String, String> {
    ["data", "tang", "tpm", "pin", "threshold"]
        .map(|name| (name.to_owned(), format!("uuid-{name}\n")))
        .into()
}

fn planned(scene: &Scene, view: &dyn View) -> Result<Vec<Step>, PlanError> {
    plan_volumes(&scene.input(), &uuids(), view).map(|plan| plan.steps)
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
    let fake = FakeView::new().dir("/var/lib/hyperv/.kvp_pool_0");
    let steps = planned(&scene, &fake).unwrap();
    insta::assert_snapshot!(lines(&steps));
    let shown = format!("{steps:?}");
    assert!(!shown.contains("canary"));
}

#[test]
fn lines_are_not_repeated_and_keys_not_overwritten() {
    let mut scene = volumes();
    let fake = FakeView::new().node(
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
    assert_eq!(
        refusal(planned(&scene, &overlay)),
        "storage.luks[0]: /etc/luks/data exists already; remove it: it is the key of another volume, and would be \
         lost"
    );
    // The same bytes, left by the run that this one goes on with.
    scene.progress.config = Some(Digest::of(b"config"));
    scene.progress.files.insert(
        "/etc/luks/data".into(),
        vec![Digest::of(b"other"), Digest::of(b"canary")],
    );
    assert_eq!(changes(&planned(&scene, &overlay).unwrap()), Vec::<String>::new());
    // Other bytes are not.
    let fake = FakeView::new().file("/etc/luks/data", b"somebody's");
    assert!(planned(&scene, &fake).is_err());
}

#[test]
fn refusals() {
    let scene = volumes();
    let error = refusal(plan(&scene.input(), &FakeView::new()).map(|plan| plan.steps));
    assert_eq!(
        error,
        "storage.luks[0]: the UUID of the encrypted volume data is not known; run the disks stage first"
    );
    assert!(
        refusal(planned(&Scene::new(VOLUMES), &FakeView::new()))
            .contains("the state file has no key for data")
    );
    let scene = Scene::new(r#"{"storage": {"luks": [{"name": ".."}]}}"#);
    assert!(refusal(planned(&scene, &FakeView::new())).starts_with("storage.luks[0].name: "));
    let mut scene = volumes();
    scene.luks_key_files.insert("data".into(), "canary".into());
    let error = refusal(planned(&scene, &FakeView::new()));
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
