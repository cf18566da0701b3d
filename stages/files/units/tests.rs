use proptest::prelude::*;

use super::plan;
use crate::plan::Step;
use crate::stages::PlanError;
use crate::stages::files::scene::{Scene, after, changes, lines, refusal};
use crate::view::fake::FakeView;
use crate::view::{NodeKind, View};

fn planned(units: &str, view: &dyn View) -> Result<Vec<Step>, PlanError> {
    let scene = Scene::new(&format!("{{\"systemd\": {{\"units\": {units}}}}}"));
    plan(&scene.input(), view).map(|plan| plan.steps)
}

fn changed(units: &str, view: &dyn View) -> Vec<String> {
    changes(&planned(units, view).unwrap())
}

#[test]
fn whole_plan() {
    let units = r#"[
        {"name": "a.service", "contents": "[Unit]\n", "enabled": true},
        {"name": "b.service", "contents": "", "mask": true},
        {"name": "c.service", "contents": "[Unit]\n", "mask": true, "dropins": [
            {"name": "10.conf", "contents": "x"}, {"name": "20.conf", "contents": ""}, {"name": "30.conf"}]},
        {"name": "d.service", "mask": false},
        {"name": "e.service", "contents": "new", "mask": false},
        {"name": "f.service", "mask": true},
        {"name": "-.mount", "contents": "[Mount]\n"}
    ]"#;
    let fake = FakeView::new()
        .link("/etc/systemd/system/d.service", "/dev/null")
        .link("/etc/systemd/system/e.service", "/dev/null")
        .file("/etc/systemd/system/f.service", b"old unit");
    insta::assert_snapshot!(lines(&planned(units, &fake).unwrap()));
}

#[test]
fn what_is_there_already() {
    let at = "@ systemd.units[0].contents";
    let unit = "/etc/systemd/system/a.service";
    let write = format!("write {unit} 0644 0:0 \"U\" {at}");
    for (view, expected) in [
        (FakeView::new().file(unit, b"U"), vec![]),
        (
            FakeView::new().file(unit, b"V"),
            vec![format!("replace (file of 1 bytes, trivial: false): {write}")],
        ),
        (
            FakeView::new().link(unit, "/dev/null"),
            vec![format!("replace (link to /dev/null, trivial: true): {write}")],
        ),
        (
            FakeView::new().node(unit, NodeKind::File { size: Some(1) }, 0o600, 0, 0, b"U"),
            vec![format!("modify (mode 0600 to 0644): access {unit} 0644 0:0 {at}")],
        ),
        (
            FakeView::new().node(unit, NodeKind::Other, 0o600, 0, 0, b""),
            vec![format!(
                "replace (device, socket or pipe, trivial: false): {write}"
            )],
        ),
    ] {
        assert_eq!(
            changed(r#"[{"name": "a.service", "contents": "U"}]"#, &view),
            expected
        );
    }
    assert_eq!(
        refusal(planned(
            r#"[{"name": "a.service", "contents": "U"}]"#,
            &FakeView::new().dir(unit)
        )),
        "systemd.units[0].contents: /etc/systemd/system/a.service is a directory, and a file must be written there; \
         remove the directory, or give the file another name"
    );
    assert!(
        planned(
            r#"[{"name": "a.service", "dropins": [{"name": "x.conf", "contents": ""}]}]"#,
            &FakeView::new().file("/etc/systemd/system/a.service.d", b"")
        )
        .is_err()
    );
}

#[test]
fn masks() {
    let unit = "/etc/systemd/system/a.service";
    let at = "@ systemd.units[0].mask";
    let link = format!("create: symlink {unit} -> /dev/null {at}");
    let mask = r#"[{"name": "a.service", "mask": true}]"#;
    let unmask = r#"[{"name": "a.service", "mask": false}]"#;
    let dir = FakeView::new().dir("/etc/systemd/system");
    for (view, masked, unmasked) in [
        (dir.clone(), vec![link.clone()], vec![]),
        (
            dir.clone().link(unit, "/dev/null"),
            vec![],
            vec![format!(
                "delete (link to /dev/null, trivial: true): remove {unit} {at}"
            )],
        ),
        (
            dir.clone().link(unit, "../../../dev/null"),
            vec![
                format!("delete (link to ../../../dev/null, trivial: true): remove {unit} {at}"),
                link.clone(),
            ],
            vec![],
        ),
        (
            dir.clone().file(unit, b"unit"),
            vec![
                format!("delete (file of 4 bytes, trivial: false): remove {unit} {at}"),
                link.clone(),
            ],
            vec![],
        ),
        (
            dir.clone().file(&format!("{unit}/x"), b""),
            vec![
                format!("delete (directory with 1 entry, trivial: false): remove {unit} {at}"),
                link.clone(),
            ],
            vec![],
        ),
    ] {
        assert_eq!(changed(mask, &view), masked);
        assert_eq!(changed(unmask, &view), unmasked);
    }
}

#[test]
fn names_that_leave_the_directory() {
    for name in [
        "",
        ".",
        "..",
        "../x.service",
        "a/b.service",
        "/etc/passwd",
        "a\\nenable b.service",
        "a\\u0000",
    ] {
        for (units, place) in [
            (format!(r#"[{{"name": "{name}"}}]"#), "systemd.units[0].name"),
            (
                format!(r#"[{{"name": "a.service"}}, {{"name": "{name}", "contents": "x"}}]"#),
                "systemd.units[1].name",
            ),
            (
                format!(r#"[{{"name": "a.service", "dropins": [{{"name": "{name}", "contents": "x"}}]}}]"#),
                "systemd.units[0].dropins[0].name",
            ),
        ] {
            let refusal = refusal(planned(&units, &FakeView::new()));
            assert!(refusal.starts_with(&format!("{place}: the name ")), "{refusal}");
        }
    }
}

prop_compose! {
    fn any_unit(name: &'static str)(
        contents in prop::option::of(prop::sample::select(vec!["", "A", "B"])),
        mask in any::<Option<bool>>(),
        dropin in prop::option::of(prop::option::of(prop::sample::select(vec!["", "A"]))),
    ) -> serde_json::Value {
        let dropins: Vec<_> =
            dropin.into_iter().map(|contents| serde_json::json!({"name": "x.conf", "contents": contents})).collect();
        serde_json::json!({"name": name, "contents": contents, "mask": mask, "dropins": dropins})
    }
}

proptest! {
    /// Once a plan's effects are there, the same config changes nothing.
    #[test]
    fn planning_again_keeps_everything(
        units in (any_unit("a.service"), any_unit("b.service"), any_unit("c.service")),
    ) {
        let units = serde_json::json!([units.0, units.1, units.2]).to_string();
        let fake = FakeView::new()
            .file("/etc/systemd/system/a.service", b"A")
            .link("/etc/systemd/system/b.service", "/dev/null")
            .link("/etc/systemd/system/a.service.d", "elsewhere");
        let steps = planned(&units, &fake).unwrap();
        let again = planned(&units, &after(&fake, &steps)).unwrap();
        prop_assert_eq!(changes(&again), Vec::<String>::new());

        // Killed between any two steps and run again, the same files are there.
        let tree = |view: &dyn View| -> Vec<_> {
            ["a.service", "b.service", "c.service", "b.service.d/x.conf", "elsewhere/x.conf"]
                .map(|name| {
                    let path = format!("/etc/systemd/system/{name}").as_str().into();
                    view.node(&path).unwrap().map(|node| (node.kind, node.mode))
                })
                .into()
        };
        for cut in 0..steps.len() {
            let killed = after(&fake, &steps[..cut]);
            let rest = planned(&units, &killed).unwrap();
            prop_assert_eq!(tree(&after(&killed, &rest)), tree(&after(&fake, &steps)));
        }
    }
}
