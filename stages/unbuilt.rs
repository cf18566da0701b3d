//! Stages that are not built yet: they succeed when there is nothing for them to do, and refuse otherwise.

use super::files::refuse;
use super::{PlanError, Stage};
use crate::config::types::Config;
use crate::report::Pointer;

/// Refuses a config that asks something of a stage that cannot be done yet.
pub fn refuse_unbuilt(stage: Stage, config: &Config) -> Result<(), PlanError> {
    match asked(stage, config) {
        None => Ok(()),
        Some(pointer) => Err(refuse(
            pointer,
            format!("the {stage} stage is not built yet"),
            "take this part out of the config, or use Go Ignition for this machine",
        )),
    }
}

/// The first part of the config that asks something of the stage.
fn asked(stage: Stage, config: &Config) -> Option<Pointer> {
    let storage = &config.storage;
    let first = |name: &'static str, empty: bool| {
        if empty {
            None
        } else {
            Some(Pointer::root().key("storage").key(name).index(0))
        }
    };
    match stage {
        Stage::FetchOffline | Stage::Fetch | Stage::Kargs | Stage::Mount | Stage::Files | Stage::Umount => {
            None
        }
        Stage::Disks => first("disks", storage.disks.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_is_refused() {
        let config = |text: &str| -> Config { serde_json::from_str(text).unwrap() };
        let disk = config(r#"{"storage": {"disks": [{"device": "/dev/x"}]}}"#);
        let swap = config(r#"{"storage": {"filesystems": [{"device": "/dev/x", "format": "swap"}]}}"#);
        let var = config(
            r#"{"storage": {"filesystems": [{"device": "/dev/x", "format": "ext4", "path": "/var"}]}}"#,
        );
        let kargs = config(r#"{"kernelArguments": {"shouldExist": ["quiet"]}}"#);
        for (stage, config, expected) in [
            (Stage::Disks, &disk, Some("storage.disks[0]")),
            (Stage::Mount, &disk, None),
            (Stage::Disks, &swap, None),
            (Stage::Mount, &swap, None),
            (Stage::Umount, &var, None),
            (Stage::Kargs, &kargs, None),
            (Stage::Kargs, &disk, None),
            (Stage::Files, &kargs, None),
            (Stage::Fetch, &disk, None),
        ] {
            let found = refuse_unbuilt(stage, config)
                .err()
                .map(|error| error.pointer.to_string());
            assert_eq!(found.as_deref(), expected, "{stage}");
        }
    }
}
