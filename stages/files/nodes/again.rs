//! Tests: what an earlier run left, finished or not, with this config or another.

use super::plan;
use crate::plan::{Action, Plan};
use crate::stages::files::scene::{Scene, changes, lines};
use crate::stages::{Phase, PlanError, Rerun};
use crate::view::fake::FakeView;
use crate::view::{Digest, NodeKind};

fn scene(storage: &str, rerun: Rerun) -> Scene {
    let mut scene = Scene::new(&format!("{{\"storage\": {storage}}}"));
    scene.rerun = rerun;
    scene
}

/// An unfinished run with another config, which was about to make these where nothing was.
fn after_another(storage: &str, files: &[&str], directories: &[&str]) -> Scene {
    let mut scene = scene(storage, Rerun::Refuse);
    let progress = &mut scene.progress;
    progress.config = Some(Digest::of(b"another"));
    for path in files {
        progress.files.entry((*path).into()).or_default();
        progress.made.insert((*path).into());
    }
    for path in directories {
        progress.directories.insert((*path).into());
        progress.made.insert((*path).into());
    }
    scene
}

fn planned(scene: &Scene, view: &FakeView) -> Result<Plan, PlanError> {
    let plan = plan(&scene.input(), view)?;
    crate::plan::check::check(&plan, view).unwrap();
    Ok(plan)
}

fn changed(scene: &Scene, view: &FakeView) -> Vec<String> {
    changes(&planned(scene, view).unwrap().steps)
}

fn old_machine() -> FakeView {
    FakeView::new()
        .node("/file", NodeKind::File { size: Some(3) }, 0o600, 7, 8, b"old")
        .file("/log", b"one\ntwo\n")
        .link("/link", "elsewhere")
        .dir("/empty")
        .dir("/full")
        .file("/full/data", b"precious")
        .node("/pipe", NodeKind::Other, 0o600, 0, 0, b"")
        .file("/etc/.ignition-result.json", b"{}")
}

#[test]
fn everything_in_the_way_is_told_at_once() {
    let storage = r#"{
        "files": [{"path": "/file", "contents": {"source": "data:,x"}}, {"path": "/new", "user": {"name": "nobody-here"}},
                  {"path": "/full", "contents": {"source": "data:,x"}}, {"path": "/fine"}, {"path": "/file/below"}],
        "directories": [{"path": "/link"}],
        "links": [{"path": "/log", "target": "x"}, {"path": "/pipe", "target": "/file", "hard": true}]}"#;
    let error = planned(&scene(storage, Rerun::Refuse), &old_machine()).unwrap_err();
    let further = error.further.as_deref().unwrap();
    let all: Vec<String> = std::iter::once(&error)
        .chain(&further.others)
        .map(|error| format!("{}: {}", error.pointer, error.problem))
        .collect();
    let again = "; or run again with ignition.rerun=converge on the kernel command line";
    let replace =
        |what| format!("set \"overwrite\": true to replace it with {what}, or choose another path{again}");
    assert_eq!(
        all,
        [
            "storage.files[4].path: /file is not a directory, so /file/below cannot be below it".to_owned(),
            format!("storage.directories[0].path: link to elsewhere is there already, at /link; {}", replace("a directory")),
            format!(
                "storage.files[0].path: file of 3 bytes is there already, at /file; set \"overwrite\": true to replace \
                 it, or leave out \"contents\" to keep its bytes{again}"
            ),
            "storage.files[1].user.name: user \"nobody-here\" is neither in the target nor in this config; define it \
             under passwd.users, or give an id"
                .to_owned(),
            format!("storage.files[2].path: directory is there already, at /full; {}", replace("a file")),
            format!("storage.links[0].path: file of 8 bytes is there already, at /log; {}", replace("this link")),
            format!("storage.links[1].path: device, socket or pipe is there already, at /pipe; {}", replace("this link")),
        ]
    );
    assert_eq!(further.rest.phase, Phase::Nodes);
    assert_eq!(
        lines(&further.rest.steps),
        "create: write /fine 0644 0:0  @ storage.files[3]\n"
    );
}

#[test]
fn a_converging_run_replaces_what_can_be_lost() {
    let run = |storage: &str| changed(&scene(storage, Rerun::Converge), &old_machine());
    let refused = |storage: &str| {
        let error = planned(&scene(storage, Rerun::Converge), &old_machine()).unwrap_err();
        error.problem.to_string()
    };
    let file =
        |path: &str| format!(r#"{{"files": [{{"path": "{path}", "contents": {{"source": "data:,new"}}}}]}}"#);
    // Owner and mode are those of a new file, too.
    assert_eq!(
        run(&file("/file")),
        ["replace (file of 3 bytes, trivial: false): write /file 0644 0:0 \"new\" @ storage.files[0]"]
    );
    assert_eq!(
        run(&file("/link")),
        [
            "delete (link to elsewhere, trivial: true): remove /link @ storage.files[0]",
            "create: write /link 0644 0:0 \"new\" @ storage.files[0]"
        ]
    );
    assert_eq!(run(&file("/empty")).len(), 2);
    for path in ["/full", "/pipe"] {
        let said = refused(&file(path));
        assert!(
            said.contains("is there already") && !said.contains("rerun"),
            "{said}"
        );
    }
    for (storage, steps) in [
        (
            r#"{"directories": [{"path": "/file"}, {"path": "/link"}, {"path": "/full"}]}"#,
            4,
        ),
        (
            r#"{"links": [{"path": "/file", "target": "x"}, {"path": "/link", "target": "x"}, {"path": "/empty", "target": "x"}]}"#,
            6,
        ),
        (
            r#"{"links": [{"path": "/link", "target": "/file", "hard": true}]}"#,
            2,
        ),
        // What the config says nothing about stays.
        (
            r#"{"files": [{"path": "/file"}, {"path": "/log"}], "links": [{"path": "/link", "target": "elsewhere"}]}"#,
            0,
        ),
    ] {
        assert_eq!(run(storage).len(), steps, "{storage}: {:?}", run(storage));
    }
    // With its own word the config may take a directory that is full.
    assert_eq!(
        run(r#"{"files": [{"path": "/full", "overwrite": true}]}"#).len(),
        2
    );
}

#[test]
fn a_converging_run_appends_once() {
    let append = |parts: &str, rerun| {
        let storage = format!(r#"{{"files": [{{"path": "/log", "append": [{parts}]}}]}}"#);
        changed(&scene(&storage, rerun), &old_machine())
    };
    let there = r#"{"source": "data:,one%0A"}, {"source": "data:,two%0A"}"#;
    assert_eq!(append(there, Rerun::Converge), Vec::<String>::new());
    assert_eq!(append(there, Rerun::Refuse).len(), 1, "as upstream does it");
    assert_eq!(append(r#"{"source": "data:,one%0A"}"#, Rerun::Converge).len(), 1);
    assert_eq!(
        append(r#"{"source": "http://h/x"}"#, Rerun::Converge).len(),
        1,
        "nobody knows"
    );
}

/// The first attempt had another config. What it made is planned as if it was not there.
#[test]
fn what_an_unfinished_run_with_another_config_made_is_planned_anew() {
    let view = || {
        FakeView::new()
            .node("/made", NodeKind::File { size: Some(3) }, 0o600, 7, 8, b"old")
            .dir("/tree")
            .node("/tree/in", NodeKind::Directory, 0o700, 7, 7, b"")
            .file("/tree/in/file", b"x")
            .link("/tree/link", "x")
    };
    let files = ["/made", "/tree/in/file", "/tree/link"];
    let directories = ["/tree", "/tree/in"];
    let run = |storage: &str| changed(&after_another(storage, &files, &directories), &view());
    assert_eq!(
        run(r#"{"files": [{"path": "/made"}]}"#),
        ["replace (file of 3 bytes, trivial: true): write /made 0644 0:0  @ storage.files[0]"],
        "a file without contents is empty on a new machine"
    );
    assert_eq!(
        run(r#"{"files": [{"path": "/made", "append": [{"source": "data:,mine"}]}]}"#),
        ["replace (file of 3 bytes, trivial: true): write /made 0644 0:0 \"mine\" @ storage.files[0]"]
    );
    assert_eq!(
        run(r#"{"directories": [{"path": "/made"}]}"#),
        [
            "delete (file of 3 bytes, trivial: true): remove /made @ storage.directories[0]",
            "create: mkdir /made 0755 0:0 @ storage.directories[0]"
        ]
    );
    assert_eq!(
        run(r#"{"directories": [{"path": "/tree/in"}]}"#),
        [
            "modify (owner 7 to 0, group 7 to 0, mode 0700 to 0755): access /tree/in 0755 0:0 @ storage.directories[0]"
        ]
    );
    assert_eq!(
        run(r#"{"files": [{"path": "/tree"}]}"#).len(),
        2,
        "with all that it made in it"
    );
    assert_eq!(run(r#"{"files": [{"path": "/tree/link"}]}"#).len(), 2);
    assert_eq!(
        run(r#"{"links": [{"path": "/tree/in/file", "target": "y"}]}"#).len(),
        2
    );
    // What somebody else put there is not lost.
    let with_more = view().file("/tree/in/else", b"y");
    let error = planned(
        &after_another(r#"{"files": [{"path": "/tree"}]}"#, &files, &directories),
        &with_more,
    )
    .unwrap_err();
    assert!(
        error.problem.to_string().contains("directory is there already"),
        "{}",
        error.problem
    );
}

/// What another config appended can be told from what was there before.
#[test]
fn an_append_of_another_config_gives_way() {
    let view = FakeView::new().file("/f", b"oldtheirs");
    let run = |part: &str, kept: u64| {
        let storage = format!(r#"{{"files": [{{"path": "/f", "append": [{{"source": "{part}"}}]}}]}}"#);
        let mut scene = scene(&storage, Rerun::Refuse);
        scene.progress.config = Some(Digest::of(b"another"));
        scene.progress.appended.insert(
            "/f".into(),
            vec![(Digest::of(b"oldtheirs"), kept), (Digest::of(b"x"), 0)],
        );
        changed(&scene, &view)
    };
    assert_eq!(
        run("data:,theirs", 3),
        Vec::<String>::new(),
        "it asks for the same"
    );
    for part in ["data:,mine", "data:,theirs2", "data:,"] {
        let steps = run(part, 3);
        assert!(
            steps.len() == 1
                && steps[0].starts_with(
                    "modify (what an unfinished run appended gives way): append after 3 /f 0644 0:0 "
                ),
            "{steps:?}"
        );
    }
    assert_eq!(run("http://h/x", 3).len(), 1);
}

/// The digest of what another config appended is no leave to keep it.
#[test]
fn an_append_of_another_config_is_not_taken_for_this_ones() {
    let storage = r#"{"files": [{"path": "/f", "append": [{"source": "data:,mine"}]}]}"#;
    let view = FakeView::new().file("/f", b"oldtheirs");
    let mut scene = scene(storage, Rerun::Refuse);
    let (this, other) = (Digest::of(b"this"), Digest::of(b"other"));
    scene.progress.config = Some(other);
    scene
        .progress
        .files
        .insert("/f".into(), vec![Digest::of(b"oldtheirs")]);
    let mut by_other = scene.progress.clone();
    scene.progress = by_other.clone().seen_by(this);
    assert_eq!(changed(&scene, &view).len(), 1);
    scene.progress = by_other.clone().seen_by(other);
    assert_eq!(changed(&scene, &view), Vec::<String>::new());
    // Back again: what the first config did is known still.
    by_other.set_aside();
    by_other.config = Some(this);
    scene.progress = by_other.seen_by(other);
    assert_eq!(changed(&scene, &view), Vec::<String>::new());
}

#[test]
fn a_finished_run_is_no_leave() {
    let plan = planned(
        &scene(r#"{"files": [{"path": "/file"}]}"#, Rerun::Refuse),
        &old_machine(),
    )
    .unwrap();
    assert!(
        matches!(plan.steps.as_slice(), [step] if step.change.keeps() && matches!(step.action, Action::SetAccess { .. }))
    );
}
