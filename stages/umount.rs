//! The umount stage: what the mount stage mounted, deepest first (spec/mount_files.md 3).

use super::mount::{self, wanted};
use super::{Phase, PlanError, Problem, Stage};
use crate::config::types::Config;
use crate::plan::device::{DeviceAction, Unmount};
use crate::plan::{Action, Change, Plan, Step};
use crate::view::{View, resolve};

/// Plans the stage. `kept` are targets that were mounted before the mount stage came: they are not its own.
pub fn plan(config: &Config, kept: &[String], root: &str, view: &dyn View) -> Result<Plan, PlanError> {
    let mut steps = Vec::new();
    for wanted in wanted(config).into_iter().rev() {
        let path =
            resolve(view, &wanted.path).map_err(|error| Problem::from(error).at(wanted.cause.key("path")))?;
        let target = mount::target(root, &path);
        let mounts = view
            .devices()
            .mounts()
            .map_err(|error| Problem::View(error).at(wanted.cause.clone()))?;
        let keep = |reason: &str| Change::Keep {
            reason: reason.to_owned(),
        };
        let change = if kept.contains(&wanted.target(root)) {
            keep("it was mounted before the mount stage")
        } else if mounts.iter().any(|mounted| mounted.target == target) {
            Change::Modify {
                what: "unmounted; what is on it stays".to_owned(),
            }
        } else {
            keep("nothing is mounted there")
        };
        steps.push(Step {
            action: Action::Device(DeviceAction::Unmount(Unmount { target })),
            change,
            cause: wanted.cause,
        });
    }
    Ok(Plan {
        stage: Stage::Umount,
        phase: Phase::Unmounts,
        steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fake::FakeView;
    use crate::view::fake_devices::FakeDevices;

    #[test]
    fn the_deepest_goes_first_and_only_what_is_ours() {
        let config: Config = serde_json::from_str(
            r#"{"storage": {"filesystems": [
                {"device": "/dev/a", "path": "/", "format": "ext4"},
                {"device": "/dev/b", "path": "/var", "format": "ext4"},
                {"device": "/dev/c", "path": "/var/lib/x", "format": "ext4"},
                {"device": "/dev/d", "path": "/gone", "format": "ext4"},
                {"device": "/dev/e", "path": "/swap", "format": "swap"}
            ]}}"#,
        )
        .unwrap();
        let devices = FakeDevices::new()
            .mount("/dev/a", "/sysroot", "ext4")
            .mount("/dev/b", "/sysroot/var", "ext4")
            .mount("/dev/c", "/sysroot/var/lib/x", "ext4");
        let view = FakeView::new().with_devices(devices);
        let plan = plan(&config, &["/sysroot".to_owned()], "/sysroot", &view).unwrap();
        let words: Vec<String> = plan
            .steps
            .iter()
            .map(|step| {
                let Action::Device(action) = &step.action else {
                    panic!("{step:?}");
                };
                format!("{} {}", step.change.word(), action.subject())
            })
            .collect();
        assert_eq!(
            words,
            [
                "modify /sysroot/var/lib/x",
                "keep /sysroot/gone",
                "modify /sysroot/var",
                "keep /sysroot"
            ]
        );
        crate::plan::check::check(&plan, &view).unwrap();
    }
}
