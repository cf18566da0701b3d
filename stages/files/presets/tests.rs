use proptest::prelude::*;

use super::{entries, instance, plan};
use crate::plan::Step;
use crate::stages::files::scene::{Scene, after, changes, lines, refusal};
use crate::stages::{PlanError, Rerun};
use crate::view::fake::FakeView;
use crate::view::{Digest, Enabled, NodeKind, View};

const FILE: &str = "/etc/systemd/system-preset/20-ignition.preset";

fn scene(units: &[(&str, Option<bool>)]) -> Scene {
    let units: Vec<_> = units
        .iter()
        .map(|(name, enabled)| serde_json::json!({"name": name, "enabled": enabled}))
        .collect();
    Scene::new(&serde_json::json!({"systemd": {"units": units}}).to_string())
}

fn planned(units: &[(&str, Option<bool>)], view: &dyn View) -> Result<Vec<Step>, PlanError> {
    plan(&scene(units).input(), view).map(|plan| plan.steps)
}

fn read(view: &dyn View) -> String {
    String::from_utf8(view.read(&FILE.into(), 1 << 20).unwrap().unwrap_or_default()).unwrap()
}

#[test]
fn names_and_instances() {
    for (name, parts) in [
        ("a.service", None),
        ("a@b.service", Some(("a@.service", "b"))),
        ("a@.service", Some(("a@.service", ""))),
        ("a@b@c.d.service", Some(("a@.service", "b@c.d"))),
        ("a@b", Some(("a@", "b"))),
    ] {
        let expected = parts.map(|(template, instance)| (template.to_owned(), instance.to_owned()));
        assert_eq!(instance(name), expected, "{name}");
    }
}

#[test]
fn order_and_grouping() {
    let scene = scene(&[
        ("z.service", Some(true)),
        ("b@2.service", Some(true)),
        ("b.service", Some(true)),
        ("b@1.service", Some(true)),
        ("c@.service", Some(true)),
        ("b@3.service", Some(false)),
        ("a.socket", None),
        ("a.service", Some(false)),
    ]);
    let found: Vec<_> = entries(&scene.config.systemd.units)
        .unwrap()
        .into_iter()
        .map(|entry| (entry.enabled, entry.text, entry.cause.to_string()))
        .collect();
    let cause = |index: usize| format!("systemd.units[{index}].enabled");
    assert_eq!(
        found,
        [
            (false, "a.service".into(), cause(7)),
            (true, "b.service".into(), cause(2)),
            (false, "b@.service 3".into(), cause(5)),
            (true, "b@.service 2 1".into(), cause(1)),
            (true, "c@.service ".into(), cause(4)),
            (true, "z.service".into(), cause(0)),
        ]
    );
}

#[test]
fn whole_plan() {
    let fake = FakeView::new()
        .enabled("off.service", Enabled::Yes)
        .enabled("maybe.service", Enabled::Unknown)
        .enabled("-.mount", Enabled::Yes)
        .enabled("t@.service 1", Enabled::Yes);
    let steps = planned(
        &[
            ("on.service", Some(true)),
            ("off.service", Some(false)),
            ("idle.service", Some(false)),
            ("maybe.service", Some(false)),
            ("t@1.service", Some(false)),
            ("-.mount", Some(false)),
            ("u@1.service", Some(true)),
            ("u@2.service", Some(true)),
        ],
        &fake,
    )
    .unwrap();
    insta::assert_snapshot!(lines(&steps));
    assert_eq!(
        read(&after(&fake, &steps)),
        "disable off.service\nenable on.service\nenable u@.service 1 2\n"
    );
}

/// Killed after the line and before `systemctl disable`, or anywhere else, a second run does what is left.
#[test]
fn killed_at_every_step_boundary() {
    let units = [
        ("on.service", Some(true)),
        ("off.service", Some(false)),
        ("p.service", Some(true)),
    ];
    let fake = FakeView::new().enabled("off.service", Enabled::Yes);
    let steps = planned(&units, &fake).unwrap();
    let whole = read(&after(&fake, &steps));
    for done in 0..steps.len() {
        let killed = after(&fake, &steps[..done]);
        let rest = planned(&units, &killed).unwrap();
        let end = after(&killed, &rest);
        assert_eq!(read(&end), whole, "after {done} steps");
        assert_eq!(end.unit_enabled("off.service").unwrap(), Enabled::No);
    }
}

#[test]
fn lines_that_are_there() {
    let at = "@ systemd.units[0].enabled";
    let on = [("a.service", Some(true))];
    for (text, step, result) in [
        ("enable a.service\n", None, "enable a.service\n"),
        ("x\nenable a.service", None, "x\nenable a.service"),
        (
            "enable a.services\n",
            Some("adds the line `enable a.service`"),
            "enable a.services\nenable a.service\n",
        ),
        (
            "# unfinished",
            Some("adds the line `enable a.service`"),
            "# unfinished\nenable a.service\n",
        ),
        (
            "disable a.service\n",
            Some("adds the line `enable a.service`, but an earlier line `disable a.service` wins"),
            "disable a.service\nenable a.service\n",
        ),
    ] {
        let fake = FakeView::new().node(
            FILE,
            NodeKind::File {
                size: Some(text.len() as u64),
            },
            0o600,
            3,
            4,
            text.as_bytes(),
        );
        let steps = planned(&on, &fake).unwrap();
        let moved = changes(&steps);
        assert_eq!(moved.len(), usize::from(step.is_some()));
        if let Some(what) = step {
            assert!(
                moved[0].starts_with(&format!("modify ({what}): append {FILE} 0600 3:4 ")),
                "{moved:?}"
            );
            assert!(moved[0].ends_with(at));
        }
        assert_eq!(read(&after(&fake, &steps)), result);
    }
}

/// systemd goes by the first line that matches, so what an earlier run said otherwise must go.
#[test]
fn an_earlier_run_does_not_win() {
    let old = "enable a.service\nenable b.service\nenable t@.service 1 2\ndisable c.service\nenable other.service\n# a.service\n";
    let units = [
        ("a.service", Some(false)),
        ("b.service", Some(true)),
        ("c.service", Some(true)),
        ("t@1.service", Some(true)),
    ];
    let fake = FakeView::new().file(FILE, old.as_bytes());
    let mut scene = scene(&units);
    let run = |scene: &Scene| {
        let steps = plan(&scene.input(), &fake).unwrap().steps;
        crate::plan::check::check(&plan(&scene.input(), &fake).unwrap(), &fake).unwrap();
        let overlay = after(&fake, &steps);
        let again = plan(&scene.input(), &overlay).unwrap().steps;
        assert_eq!(changes(&again), Vec::<String>::new());
        read(&overlay)
    };
    assert!(run(&scene).starts_with(old), "as upstream does it");
    let renewed =
        "enable b.service\nenable other.service\n# a.service\nenable c.service\nenable t@.service 1\n";
    scene.rerun = Rerun::Converge;
    assert_eq!(run(&scene), renewed);
    scene.rerun = Rerun::Refuse;
    scene.progress.config = Some(Digest::of(b"another"));
    assert_eq!(run(&scene), renewed);
    scene.progress.config = None;
    let provisioned = FakeView::new()
        .file(FILE, old.as_bytes())
        .file("/etc/.ignition-result.json", b"{}");
    let steps = plan(&scene.input(), &provisioned).unwrap().steps;
    assert_eq!(read(&after(&provisioned, &steps)), renewed);
}

#[test]
fn what_is_in_the_way() {
    let on = [("a.service", Some(true))];
    assert!(refusal(planned(&on, &FakeView::new().dir(FILE))).contains("is not a regular file"));
    assert!(refusal(planned(&on, &FakeView::new().link(FILE, FILE))).contains("too many symbolic links"));
    let elsewhere = FakeView::new()
        .link(FILE, "/srv/presets")
        .file("/srv/presets", b"x\n");
    assert!(changes(&planned(&on, &elsewhere).unwrap())[0].contains("append /srv/presets 0644 0:0"));
    assert!(
        refusal(planned(&[("a\nenable b.service", Some(true))], &FakeView::new()))
            .starts_with("systemd.units[0].name: ")
    );
}

proptest! {
    /// Once a plan's effects are there, the same config changes nothing.
    #[test]
    fn planning_again_keeps_everything(
        flags in prop::collection::vec(any::<Option<bool>>(), 6),
        there in prop::sample::subsequence(vec!["enable a.service", "disable b.socket", "enable t@.service 1"], 0..4),
    ) {
        let names = ["a.service", "b.socket", "t@1.service", "t@2.service", "t@.service", "c.timer"];
        let units: Vec<_> = names.into_iter().zip(flags).collect();
        let fake = FakeView::new()
            .file(FILE, there.join("\n").as_bytes())
            .enabled("a.service", Enabled::Yes)
            .enabled("b.socket", Enabled::Yes);
        let steps = planned(&units, &fake).unwrap();
        let again = planned(&units, &after(&fake, &steps)).unwrap();
        prop_assert_eq!(changes(&again), Vec::<String>::new());
    }
}
