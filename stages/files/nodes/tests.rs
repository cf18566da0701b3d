use std::collections::BTreeMap;

use super::*;
use crate::config::types::Config;
use crate::plan::check::check;
use crate::plan::predict::predict;
use crate::stages::files::{RunFacts, StateFacts};
use crate::stages::{Progress, Rerun};
use crate::view::fake::FakeView;
use crate::view::{Digest, Overlay};

fn config(storage: &str) -> Config {
    serde_json::from_str(&format!("{{\"storage\": {storage}}}")).unwrap()
}

fn plan_with(config: &Config, view: &dyn View, progress: &Progress) -> Result<Plan, PlanError> {
    let run = RunFacts {
        boot_id: "boot".into(),
        date: "date".into(),
        user_config_provided: true,
        live_image: false,
        key_fragments: true,
    };
    let none = BTreeMap::new();
    let state = StateFacts {
        notated_directories: &[],
        luks_key_files: &none,
        planned_keys: &BTreeMap::new(),
        luks_volume_key_files: &none,
        provider_files: &[],
    };
    let plan = plan(
        &Input {
            config,
            state,
            run: &run,
            progress,
            rerun: Rerun::default(),
        },
        view,
    )?;
    check(&plan, view).unwrap();
    Ok(plan)
}

/// One line per step: change, action, path.
fn lines(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| {
            let json = serde_json::to_value(step).unwrap();
            let change = json["change"].as_str().unwrap().to_owned();
            let action = json["action"].as_str().unwrap().to_owned();
            format!("{change} {action} {}", json["path"].as_str().unwrap())
        })
        .collect()
}

fn planned(storage: &str, view: &dyn View) -> Vec<String> {
    let config = config(storage);
    let plan = plan_with(&config, view, &Progress::default()).unwrap();
    // Planning again over what is predicted keeps everything, except what has no identity (append).
    let mut overlay = Overlay::new(view);
    for step in &plan.steps {
        predict(step, &mut overlay).unwrap();
    }
    if !storage.contains("append") {
        match plan_with(&config, &overlay, &Progress::default()) {
            Ok(again) => assert!(
                again.steps.iter().all(|step| step.change.keeps()),
                "{:?}",
                lines(&again)
            ),
            Err(error) => assert!(crate::report::chain(&error).contains("overwrite"), "{error}"),
        }
    }
    lines(&plan)
}

fn refused(storage: &str, view: &dyn View) -> String {
    crate::report::chain(&plan_with(&config(storage), view, &Progress::default()).unwrap_err())
}

#[test]
fn missing_nodes_are_created_parents_first_and_hard_links_last() {
    let view = FakeView::new();
    assert_eq!(
        planned(
            r#"{"files": [{"path": "/a/b/f", "contents": {"source": "data:,x"}}, {"path": "/e"}],
                "directories": [{"path": "/a/b/d", "mode": 448}, {"path": "/z"}],
                "links": [{"path": "/h", "hard": true, "target": "/a/b/f"}, {"path": "/s", "target": "x"}]}"#,
            &view
        ),
        [
            "create makeDirectory /z",
            "create writeFile /e",
            "create makeSymlink /s",
            "create makeDirectory /a",
            "create makeDirectory /a/b",
            "create makeDirectory /a/b/d",
            "create writeFile /a/b/f",
            "create makeHardLink /h",
        ]
    );
}

#[test]
fn existing_files() {
    let view = FakeView::new()
        .file("/f", b"old")
        .file("/same", b"new")
        .dir("/d")
        .file("/d/x", b"")
        .link("/l", "f");
    let new = |path: &str, rest: &str| {
        format!(r#"{{"files": [{{"path": "{path}", "contents": {{"source": "data:,new"}}{rest}}}]}}"#)
    };
    assert_eq!(
        planned(&new("/f", r#", "overwrite": true"#), &view),
        ["replace writeFile /f"]
    );
    assert_eq!(
        planned(&new("/same", r#", "overwrite": true"#), &view),
        ["keep writeFile /same"]
    );
    assert_eq!(
        planned(&new("/same", r#", "overwrite": true, "mode": 384"#), &view),
        ["keep writeFile /same", "modify setAccess /same"]
    );
    assert_eq!(
        planned(&new("/d", r#", "overwrite": true"#), &view),
        ["delete remove /d", "create writeFile /d"]
    );
    assert_eq!(
        planned(&new("/l", r#", "overwrite": true"#), &view),
        ["delete remove /l", "create writeFile /l"]
    );
    assert!(
        refused(&new("/f", ""), &view).starts_with("storage.files[0].path: file of 3 bytes is there already")
    );
    assert!(refused(&new("/d", ""), &view).contains("directory is there already, at /d"));
    assert!(refused(&new("/l", ""), &view).contains("link to f is there already"));
}

#[test]
fn files_without_contents_keep_their_bytes() {
    let view = FakeView::new().file("/f", b"old");
    assert_eq!(
        planned(r#"{"files": [{"path": "/f"}]}"#, &view),
        ["keep setAccess /f"]
    );
    assert_eq!(
        planned(r#"{"files": [{"path": "/f", "mode": 384}]}"#, &view),
        ["modify setAccess /f"]
    );
    let append = r#"{"files": [{"path": "/f", "append": [{"source": "data:,x"}, {"source": "data:,y"}]}]}"#;
    assert_eq!(planned(append, &view), ["modify writeFile /f"]);
    let missing = r#"{"files": [{"path": "/g", "append": [{"source": "data:,x"}]}]}"#;
    assert_eq!(planned(missing, &view), ["create writeFile /g"]);
}

#[test]
fn an_unfinished_run_is_continued() {
    let appended = FakeView::new().file("/f", b"oldx").file("/g", b"half");
    let append = config(r#"{"files": [{"path": "/f", "append": [{"source": "data:,x"}]}]}"#);
    let mut progress = Progress {
        config: Some(Digest::of(b"config")),
        ..Progress::default()
    };
    progress.files.insert("/f".into(), vec![Digest::of(b"oldx")]);
    let plan = plan_with(&append, &appended, &progress).unwrap();
    assert_eq!(
        lines(&plan),
        ["keep writeFile /f"],
        "an append already made is not repeated"
    );

    let untouched = FakeView::new().file("/f", b"old");
    let plan = plan_with(&append, &untouched, &progress).unwrap();
    assert_eq!(lines(&plan), ["modify writeFile /f"], "recorded, and not done");

    let whole = config(r#"{"files": [{"path": "/g", "contents": {"source": "data:,whole"}}]}"#);
    progress.files.insert("/g".into(), Vec::new());
    let plan = plan_with(&whole, &appended, &progress).unwrap();
    assert_eq!(
        lines(&plan),
        ["replace writeFile /g"],
        "what this run began is its own"
    );
    assert!(!plan.steps[0].change.destroys());
}

#[test]
fn remote_files_with_a_sha512_are_kept_without_fetching() {
    let view = FakeView::new().file("/f", b"bytes");
    let hash = Digest::of(b"bytes");
    let file = |hash: String| {
        format!(
            r#"{{"files": [{{"path": "/f", "overwrite": true,
                "contents": {{"source": "http://h/x", "verification": {{"hash": "{hash}"}}}}}}]}}"#
        )
    };
    assert_eq!(
        planned(&file(format!("sha512-{hash}")), &view),
        ["keep writeFile /f"]
    );
    let other = config(&file(format!("sha512-{}", Digest::of(b"other"))));
    assert_eq!(
        lines(&plan_with(&other, &view, &Progress::default()).unwrap()),
        ["replace writeFile /f"]
    );
}

#[test]
fn directories() {
    let view = FakeView::new()
        .dir("/d")
        .file("/d/x", b"1")
        .dir("/empty")
        .file("/f", b"x")
        .link("/l", "/d");
    let one = |path: &str, rest: &str| format!(r#"{{"directories": [{{"path": "{path}"{rest}}}]}}"#);
    assert_eq!(planned(&one("/d", ""), &view), ["keep setAccess /d"]);
    assert_eq!(
        planned(&one("/d", r#", "mode": 448, "user": {"id": 5}"#), &view),
        ["modify setAccess /d"]
    );
    assert_eq!(
        planned(&one("/empty", r#", "overwrite": true"#), &view),
        ["keep setAccess /empty"]
    );
    assert_eq!(
        planned(&one("/d", r#", "overwrite": true"#), &view),
        ["delete remove /d", "create makeDirectory /d"]
    );
    assert_eq!(
        planned(&one("/f", r#", "overwrite": true"#), &view),
        ["delete remove /f", "create makeDirectory /f"]
    );
    assert!(refused(&one("/f", ""), &view).contains("file of 1 bytes is there already"));
    assert!(refused(&one("/l", ""), &view).contains("link to /d is there already"));
    assert!(refused(&one("/f/below", ""), &view).contains("/f is not a directory"));
    assert!(refused(&one("/", r#", "overwrite": true"#), &view).contains("root directory itself"));
}

/// Seen with Ignition 2.14.0 (tests/peer): it removes the directory and makes it again.
#[test]
fn nothing_of_an_empty_directory_outlives_overwriting() {
    let view = FakeView::new().node("/empty", NodeKind::Directory, 0o700, 7, 8, b"");
    let plan = plan_with(
        &config(r#"{"directories": [{"path": "/empty", "overwrite": true, "group": {"id": 3}}]}"#),
        &view,
        &Progress::default(),
    )
    .unwrap();
    let Action::SetAccess { access, .. } = &plan.steps[0].action else {
        panic!("{:?}", plan.steps[0].action);
    };
    assert_eq!(
        (&access.user, &access.group, access.mode),
        (&Owner::ROOT, &Owner::Id(3), 0o755)
    );
}

/// Upstream calls chown(2) always, and that clears these bits of what is no directory.
#[test]
fn a_kept_mode_loses_its_setuid_and_setgid() {
    for (kind, before, after) in [
        (NodeKind::File { size: Some(1) }, 0o6755, 0o755),
        (NodeKind::File { size: Some(1) }, 0o2645, 0o2645),
        (NodeKind::File { size: Some(1) }, 0o1644, 0o1644),
        (NodeKind::Directory, 0o7755, 0o7755),
    ] {
        let entry = if kind == NodeKind::Directory {
            "directories"
        } else {
            "files"
        };
        let view = FakeView::new().node("/x", kind, before, 7, 8, b"x");
        let plan = plan_with(
            &config(&format!(
                r#"{{"{entry}": [{{"path": "/x", "user": {{"id": 5}}}}]}}"#
            )),
            &view,
            &Progress::default(),
        )
        .unwrap();
        let Action::SetAccess { access, .. } = &plan.steps[0].action else {
            panic!("{:?}", plan.steps[0].action);
        };
        assert_eq!(access.mode, after, "{entry} {before:o}");
    }
}

#[test]
fn an_overwritten_link_has_the_target_as_it_is_written() {
    let view = FakeView::new().link("/l", "/x/y");
    let link =
        |target: &str, rest: &str| format!(r#"{{"links": [{{"path": "/l", "target": "{target}"{rest}}}]}}"#);
    assert_eq!(planned(&link("/x//y/", ""), &view), ["keep makeSymlink /l"]);
    assert_eq!(
        planned(&link("/x/y", r#", "overwrite": true"#), &view),
        ["keep makeSymlink /l"]
    );
    assert_eq!(
        planned(&link("/x//y/", r#", "overwrite": true"#), &view),
        ["delete remove /l", "create makeSymlink /l"]
    );
}

#[test]
fn a_file_can_lie_below_the_directory_that_replaces_a_file() {
    let view = FakeView::new()
        .file("/f", b"x")
        .dir("/d")
        .link("/l", "/d")
        .file("/d/f", b"y");
    // Not planned again: what overwrites a full directory has no identity.
    let made = |storage: &str, view: &FakeView| {
        lines(&plan_with(&config(storage), view, &Progress::default()).unwrap())
    };
    let both = |directory: &str, file: &str| {
        format!(
            r#"{{"directories": [{{"path": "{directory}", "overwrite": true}}], "files": [{{"path": "{file}"}}]}}"#
        )
    };
    assert_eq!(
        made(&both("/f", "/f/a"), &view),
        [
            "delete remove /f",
            "create makeDirectory /f",
            "create writeFile /f/a"
        ]
    );
    assert_eq!(
        made(&both("/l/f", "/d/f/a"), &view),
        [
            "delete remove /d/f",
            "create makeDirectory /d/f",
            "create writeFile /d/f/a"
        ]
    );
    // Upstream cannot look further than one level below a file either.
    assert!(refused(&both("/f", "/f/a/b"), &view).contains("/f is not a directory"));
    assert!(refused(&both("/other", "/f/a"), &view).contains("/f is not a directory"));
}

#[test]
fn links() {
    let view = FakeView::new()
        .file("/t", b"1")
        .link("/same", "/x/./y")
        .link("/other", "/z")
        .file("/f", b"2")
        .dir("/d");
    let one = |path: &str, rest: &str| format!(r#"{{"links": [{{"path": "{path}"{rest}}}]}}"#);
    assert_eq!(
        planned(&one("/same", r#", "target": "/x/y""#), &view),
        ["keep makeSymlink /same"]
    );
    assert!(refused(&one("/other", r#", "target": "/x""#), &view).contains("link to /z is there already"));
    assert_eq!(
        planned(&one("/other", r#", "target": "/x", "overwrite": true"#), &view),
        ["delete remove /other", "create makeSymlink /other"]
    );
    assert_eq!(
        planned(&one("/hard", r#", "target": "t", "hard": true"#), &view),
        ["create makeHardLink /hard"]
    );
    assert!(refused(&one("/f", r#", "target": "/t", "hard": true"#), &view).contains("is there already"));
    assert_eq!(
        planned(
            &one("/f", r#", "target": "/t", "hard": true, "overwrite": true"#),
            &view
        ),
        ["delete remove /f", "create makeHardLink /f"]
    );
    assert!(refused(&one("/h", r#", "target": "/none", "hard": true"#), &view).contains("does not exist"));
    assert!(refused(&one("/h", r#", "target": "/d", "hard": true"#), &view).contains("is a directory"));
    assert!(refused(&one("/h", ""), &view).starts_with("storage.links[0].target"));
}

#[test]
fn paths_are_resolved_inside_the_root() {
    let view = FakeView::new()
        .dir("/real")
        .link("/abs", "/real")
        .link("/up", "../../../../real")
        .link("/dangling", "/made/here")
        .link("/loop", "/loop")
        .link("/chain", "abs/../chain2")
        .link("/chain2", "/real");
    let file = |path: &str| format!(r#"{{"files": [{{"path": "{path}/f"}}]}}"#);
    assert_eq!(planned(&file("/abs"), &view), ["create writeFile /real/f"]);
    assert_eq!(planned(&file("/up"), &view), ["create writeFile /real/f"]);
    assert_eq!(planned(&file("/chain"), &view), ["create writeFile /real/f"]);
    assert_eq!(
        planned(&file("/dangling"), &view),
        [
            "create makeDirectory /made",
            "create makeDirectory /made/here",
            "create writeFile /made/here/f"
        ]
    );
    assert!(refused(&file("/loop"), &view).contains("too many symbolic links"));
    assert!(
        refused(r#"{"files": [{"path": "/real/f"}, {"path": "/abs/f"}]}"#, &view)
            .starts_with("storage.files[1].path: /real/f is the same place as storage.files[0].path")
    );
}

#[test]
fn owners() {
    let view = FakeView::new().user("core", 500, 500).group("wheel", 10).node(
        "/f",
        NodeKind::File { size: Some(1) },
        0o600,
        7,
        8,
        b"x",
    );
    let config = config(
        r#"{"files": [{"path": "/f"}, {"path": "/g", "user": {"name": "core"}, "group": {"name": "wheel"}},
            {"path": "/h", "user": {"id": 3}, "group": {"name": ""}}]}"#,
    );
    let plan = plan_with(&config, &view, &Progress::default()).unwrap();
    let access: Vec<String> = plan
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::WriteFile { access, .. } | Action::SetAccess { access, .. } => {
                format!("{}:{} {:o}", access.user, access.group, access.mode)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(access, ["7:8 600", "500:10 644", "3:0 644"]);
    for (owner, place) in [
        (
            r#""user": {"name": "nobody-knows"}"#,
            "storage.files[0].user.name",
        ),
        (
            r#""group": {"name": "nobody-knows"}"#,
            "storage.files[0].group.name",
        ),
        (r#""user": {"id": -1}"#, "storage.files[0].user.id"),
        (r#""mode": 4096"#, "storage.files[0].mode"),
    ] {
        let refusal = refused(&format!(r#"{{"files": [{{"path": "/x", {owner}}}]}}"#), &view);
        assert!(refusal.starts_with(place), "{refusal}");
    }
}

#[test]
fn directories_with_the_set_group_id_bit_give_their_group() {
    let view = FakeView::new().node("/d", NodeKind::Directory, 0o2755, 0, 27, b"");
    let config = config(
        r#"{"files": [{"path": "/d/new/f"}, {"path": "/d/g", "group": {"id": 5}}],
            "directories": [{"path": "/d/given", "mode": 448}],
            "links": [{"path": "/d/like", "target": "g"}, {"path": "/d/nowhere", "target": "none"}]}"#,
    );
    let plan = plan_with(&config, &view, &Progress::default()).unwrap();
    let made: Vec<String> = plan
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::MakeDirectory { path, access } | Action::WriteFile { path, access, .. } => {
                format!("{path} {}:{} {:o}", access.user, access.group, access.mode)
            }
            Action::MakeSymlink {
                path, user, group, ..
            } => format!("{path} {user}:{group}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        made,
        [
            "/d/given 0:27 700",
            "/d/g 0:5 644",
            "/d/like 0:5",
            "/d/nowhere 0:0",
            "/d/new 0:27 2755",
            "/d/new/f 0:27 644",
        ]
    );
}
