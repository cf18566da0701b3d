use proptest::prelude::*;

use super::{indent, member};
use crate::plan::{Action, Change, Content, Step};
use crate::stages::PlanError;
use crate::stages::files::scene::{Scene, after, refusal};
use crate::view::fake::FakeView;
use crate::view::{Digest, View};

const FILE: &str = "/etc/.ignition-result.json";

fn plan(scene: &Scene, view: &dyn View) -> Result<Vec<Step>, PlanError> {
    super::plan(&scene.input(), view).map(|plan| plan.steps)
}

fn written(steps: &[Step]) -> (String, Change) {
    let Some(Step {
        action: Action::WriteFile { contents, access, .. },
        change,
        ..
    }) = steps.last()
    else {
        panic!("{steps:?}")
    };
    assert_eq!(access.mode, 0o600);
    let [Content::Known { bytes, .. }] = contents.as_slice() else {
        panic!()
    };
    (
        String::from_utf8(bytes.reveal().to_vec()).unwrap(),
        change.clone(),
    )
}

fn result(scene: &Scene, view: &dyn View) -> (String, Change) {
    written(&plan(scene, view).unwrap())
}

const FIRST: &str = r#"{
  "provisioningBootID": "4f6e2a1c-0000-4000-8000-000000000001",
  "provisioningDate": "2026-11-20T18:00:00Z",
  "userConfigProvided": true
}
"#;

#[test]
fn first_run() {
    let mut scene = Scene::new("{}");
    assert_eq!(
        result(&scene, &FakeView::new()),
        (FIRST.to_owned(), Change::Create)
    );
    scene.run.user_config_provided = false;
    assert!(
        result(&scene, &FakeView::new())
            .0
            .contains("\"userConfigProvided\": false\n")
    );
}

#[test]
fn the_previous_report_is_kept_verbatim() {
    let scene = Scene::new("{}");
    let old = br#"{"z":1.0, "a":[ ], "n":12345678901234567890, "s":"a\" {,:} \u00e9", "o":{"k":[1,{}]},"provisioningDate":"x"}"#;
    let (text, change) = result(&scene, &FakeView::new().file(FILE, old));
    assert_eq!(
        text,
        r#"{
  "provisioningBootID": "4f6e2a1c-0000-4000-8000-000000000001",
  "provisioningDate": "2026-11-20T18:00:00Z",
  "userConfigProvided": true,
  "previousReport": {
    "z": 1.0,
    "a": [],
    "n": 12345678901234567890,
    "s": "a\" {,:} \u00e9",
    "o": {
      "k": [
        1,
        {}
      ]
    },
    "provisioningDate": "x"
  }
}
"#
    );
    assert_eq!(
        change,
        Change::Modify {
            what: "new report; the one that is there is kept in it as previousReport".into()
        }
    );
}

#[test]
fn an_interrupted_run_does_not_count_as_previous() {
    let mut scene = Scene::new("{}");
    let first = FakeView::new().file(FILE, b"{\"first\": 1}");
    let (second, _) = result(&scene, &first);
    // The second run was killed after it had written this; its record says so.
    scene
        .progress
        .files
        .insert(FILE.into(), vec![Digest::of(second.as_bytes())]);
    scene.run.date = "2026-11-20T18:05:00Z".into();
    let (third, change) = result(&scene, &FakeView::new().file(FILE, second.as_bytes()));
    assert_eq!(third, second.replace("18:00", "18:05"));
    assert!(matches!(change, Change::Modify { .. }));
    // Killed before: the file is still that of the first run.
    let (third, _) = result(&scene, &first);
    assert_eq!(third, second.replace("18:00", "18:05"));
    // A first run that was killed leaves no previous report.
    scene
        .progress
        .files
        .insert(FILE.into(), vec![Digest::of(FIRST.as_bytes())]);
    let (again, _) = result(&scene, &FakeView::new().file(FILE, FIRST.as_bytes()));
    assert_eq!(again, FIRST.replace("18:00", "18:05"));
}

#[test]
fn live_images_drop_it() {
    let mut scene = Scene::new("{}");
    scene.run.live_image = true;
    let (text, change) = result(&scene, &FakeView::new().file(FILE, b"not even json"));
    assert_eq!(text, FIRST);
    assert!(matches!(change, Change::Replace { .. }));
    assert!(!change.destroys());
}

#[test]
fn what_is_in_the_way() {
    let scene = Scene::new("{}");
    for text in ["", "{", "{} x", "{'a': 1}", "\u{feff}{}"] {
        let refusal = refusal(plan(&scene, &FakeView::new().file(FILE, text.as_bytes())));
        assert!(
            refusal.contains("is there from an earlier run, and is not JSON"),
            "{text}: {refusal}"
        );
    }
    assert!(refusal(plan(&scene, &FakeView::new().dir(FILE))).contains("is a directory"));
    let linked = FakeView::new().link(FILE, "/srv/old").file("/srv/old", b"[]");
    assert!(result(&scene, &linked).0.contains("\"previousReport\": []\n"));
    let dangling = FakeView::new().link(FILE, "/srv/old");
    assert_eq!(result(&scene, &dangling).0, FIRST);
}

#[test]
fn members() {
    for (json, found) in [
        (
            r#"{"a": 1, "k": {"k": 2, "x": [1, 2]}, "b": 3}"#,
            Some(r#"{"k":2,"x":[1,2]}"#),
        ),
        (r#"{"a": {"k": 2}}"#, None),
        (r#"{"k": "a\",b"}"#, Some(r#""a\",b""#)),
        (r#"{"k": null}"#, Some("null")),
        (r#"["k", 2]"#, None),
        ("{}", None),
        ("7", None),
        (r#""k""#, None),
    ] {
        assert_eq!(
            member(json.as_bytes(), "k").as_deref(),
            found.map(str::as_bytes),
            "{json}"
        );
    }
}

#[test]
fn reports_nest_without_end() {
    let mut scene = Scene::new("{}");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let fake = FakeView::new().file(FILE, deep.as_bytes());
    assert!(result(&scene, &fake).0.len() > 10_000);
    // Run after run, each knows all before.
    let empty = FakeView::new();
    let mut view = after(&empty, &plan(&scene, &empty).unwrap());
    for day in 0..3 {
        scene.run.date = format!("day {day}");
        let steps = plan(&scene, &view).unwrap();
        for step in &steps {
            crate::plan::predict::predict(step, &mut view).unwrap();
        }
    }
    let text = String::from_utf8(view.read(&FILE.into(), 10_000).unwrap().unwrap()).unwrap();
    insta::assert_snapshot!(text);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// The layout is that of serde_json's own pretty printer, from either of its layouts.
    #[test]
    fn indentation(value in any_json()) {
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        for given in [serde_json::to_vec(&value).unwrap(), pretty.clone()] {
            let mut out = Vec::new();
            indent(&given, 0, &mut out);
            prop_assert_eq!(&out, &pretty);
        }
    }

    #[test]
    fn members_of_any_object(value in any_json(), other in any_json()) {
        let object = serde_json::json!({"a": other, "previousReport": value, "z": other});
        let found = member(&serde_json::to_vec_pretty(&object).unwrap(), "previousReport").unwrap();
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&found).unwrap(), value);
    }
}
