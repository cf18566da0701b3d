//! The kargs stage: the kernel's arguments for the next boot (spec/mount_files.md 11).

use super::{Phase, Stage};
use crate::config::types::Config;
use crate::plan::device::{DeviceAction, KernelArguments};
use crate::plan::{Action, Change, Plan, Step};
use crate::report::Pointer;

/// Plans the stage: one call of the distribution's helper, which knows where the arguments are and what is in them.
pub fn plan(config: &Config) -> Plan {
    let arguments = &config.kernel_arguments;
    let mut steps = Vec::new();
    if !arguments.should_exist.is_empty() || !arguments.should_not_exist.is_empty() {
        steps.push(Step {
            action: Action::Device(DeviceAction::ChangeKernelArguments(KernelArguments {
                should_exist: arguments.should_exist.clone(),
                should_not_exist: arguments.should_not_exist.clone(),
            })),
            change: Change::Modify {
                what: "the boot loader's arguments, unless they are so already; the machine then reboots"
                    .to_owned(),
            },
            cause: Pointer::root().key("kernelArguments"),
        });
    }
    Plan {
        stage: Stage::Kargs,
        phase: Phase::Arguments,
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_with_both_lists_in_order() {
        let config: Config = serde_json::from_str(
            r#"{"kernelArguments": {"shouldExist": ["a=1", "--x"], "shouldNotExist": ["quiet"]}}"#,
        )
        .unwrap();
        let plan = plan(&config);
        let [
            Step {
                action: Action::Device(action),
                ..
            },
        ] = plan.steps.as_slice()
        else {
            panic!("{plan:?}");
        };
        let commands: Vec<String> = action.commands().iter().map(ToString::to_string).collect();
        assert_eq!(
            commands,
            ["ignition-kargs-helper --should-exist a=1 --should-exist --x --should-not-exist quiet"]
        );
        assert!(super::plan(&Config::default()).steps.is_empty());
    }
}
