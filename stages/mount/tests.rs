use super::*;
use crate::view::fake::FakeView;
use crate::view::fake_devices::FakeDevices;

fn config(filesystems: &str) -> Config {
    serde_json::from_str(&format!(r#"{{"storage": {{"filesystems": {filesystems}}}}}"#)).unwrap()
}

fn entry(device: &str, path: &str) -> String {
    format!(r#"{{"device": "{device}", "path": "{path}", "format": "ext4"}}"#)
}

#[test]
fn parents_come_first_and_what_is_not_mounted_is_left_out() {
    let config = config(
        r#"[
        {"device": "/dev/a", "path": "/var/lib/x", "format": "xfs"},
        {"device": "/dev/b", "path": "/srv/", "format": "ext4"},
        {"device": "/dev/c", "path": "/var", "format": "btrfs"},
        {"device": "/dev/d", "path": "/", "format": "ext4"},
        {"device": "/dev/e", "format": "ext4"},
        {"device": "/dev/f", "path": "", "format": "ext4"},
        {"device": "/dev/g", "path": "/g", "format": "swap"},
        {"device": "/dev/h", "path": "/h", "format": "none"},
        {"device": "/dev/i", "path": "/i"},
        {"device": "/dev/disk/by-label/OEM", "path": "/usr/share/oem", "format": "btrfs"},
        {"device": "/dev/disk/by-partlabel/OEM", "path": "/usr/share/oem", "format": "btrfs"}
    ]"#,
    );
    let found: Vec<(String, String)> = wanted(&config)
        .iter()
        .map(|wanted| (wanted.target("/sysroot"), wanted.cause.to_string()))
        .collect();
    let want = [
        ("/sysroot", 3),
        ("/sysroot/srv", 1),
        ("/sysroot/var", 2),
        ("/sysroot/oem", 9),
        ("/sysroot/var/lib/x", 0),
        ("/sysroot/usr/share/oem", 10),
    ];
    let want: Vec<(String, String)> = want
        .iter()
        .map(|(target, index)| ((*target).to_owned(), format!("storage.filesystems[{index}]")))
        .collect();
    assert_eq!(found, want);
}

#[test]
fn roots_are_joined_as_text() {
    for (root, path, want) in [
        ("/", "/var", "/var"),
        ("", "/var", "/var"),
        ("/", "/", "/"),
        ("/sysroot", "/", "/sysroot"),
        ("/sysroot/", "/a/b", "/sysroot/a/b"),
    ] {
        assert_eq!(target(root, &path.into()), want, "{root} {path}");
    }
}

fn planned(view: &FakeView, filesystems: &str) -> Result<Vec<String>, String> {
    let config = config(filesystems);
    let mut words = Vec::new();
    for wanted in wanted(&config) {
        let plan = plan(&wanted, "/sysroot", view).map_err(|error| {
            let pointer = error.pointer.to_string();
            format!("{pointer}: {}", error.problem)
        })?;
        crate::plan::check::check(&plan, view).unwrap();
        words.extend(plan.steps.iter().map(|step| match &step.action {
            Action::MakeDirectory { path, .. } => format!("mkdir {path}"),
            Action::Device(action) => {
                let command = action
                    .commands()
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                format!("{}: {command}", step.change.word())
            }
            other => format!("{other:?}"),
        }));
    }
    Ok(words)
}

#[test]
fn missing_directories_are_made_and_the_rest_is_left() {
    let view = FakeView::new().dir("/var");
    let words = planned(
        &view,
        &format!("[{}]", entry("/dev/disk/by-label/d", "/var/lib/data")),
    )
    .unwrap();
    assert_eq!(
        words,
        [
            "mkdir /var/lib",
            "mkdir /var/lib/data",
            "create: mount -o '' -t ext4 /dev/disk/by-label/d /sysroot/var/lib/data",
        ]
    );
}

#[test]
fn only_directories_lead_to_a_mount_point() {
    let view = FakeView::new()
        .file("/file", b"")
        .node(
            "/link",
            NodeKind::Symlink { target: "var".into() },
            0o777,
            0,
            0,
            b"",
        )
        .node("/fifo", NodeKind::Other, 0o600, 0, 0, b"");
    for (path, what) in [
        ("/file/x", "/file is a file"),
        ("/file", "/file is a file"),
        ("/link/lib", "/link is a link to var"),
        ("/link", "/link is a link to var"),
        ("/fifo", "/fifo is neither a directory nor a file"),
    ] {
        let problem = planned(&view, &format!("[{}]", entry("/dev/a", path))).unwrap_err();
        assert!(problem.starts_with("storage.filesystems[0].path: "), "{problem}");
        assert!(problem.contains(what), "{problem}");
    }
}

/// flatcar/Flatcar#1612: `path: /` for ROOT, which systemd has mounted by then.
#[test]
fn flatcar_1612_a_correct_mount_is_accepted() {
    let devices = FakeDevices::new()
        .disk("/dev/vda9", 1 << 30)
        .disk("/dev/vdb", 1 << 30)
        .link("/dev/disk/by-label/ROOT", "/dev/vda9")
        .mount("/dev/vda9", "/sysroot", "ext4");
    let view = FakeView::new().with_devices(devices);
    let keep = planned(&view, &format!("[{}]", entry("/dev/disk/by-label/ROOT", "/"))).unwrap();
    assert_eq!(keep.len(), 1);
    assert!(keep[0].starts_with("keep: "), "{keep:?}");

    let options = r#"[{"device": "/dev/disk/by-label/ROOT", "path": "/", "format": "ext4",
        "mountOptions": ["rw", "noatime,discard", "defaults"]}]"#;
    assert_eq!(
        planned(&view, options).unwrap(),
        ["modify: mount -o remount,rw,noatime,discard,defaults /sysroot"]
    );

    let other = planned(&view, &format!("[{}]", entry("/dev/vdb", "/"))).unwrap();
    assert_eq!(other, ["create: mount -o '' -t ext4 /dev/vdb /sysroot"]);

    let format = r#"[{"device": "/dev/disk/by-label/ROOT", "path": "/", "format": "xfs"}]"#;
    let problem = planned(&view, format).unwrap_err();
    assert!(
        problem.starts_with(
            "storage.filesystems[0].format: /dev/disk/by-label/ROOT is mounted at /sysroot already, as ext4"
        ),
        "{problem}"
    );
}
