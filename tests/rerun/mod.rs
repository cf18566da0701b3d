//! Runs on a root that an earlier run has left its work on: a finished one, or one that failed.

mod attempts;
mod collisions;
mod durable;
mod stages;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::programs::{self, Program, Ran};
use crate::support::root::Root;

/// A config of this spec with these sections.
fn config(sections: Value) -> Value {
    let mut config = json!({"ignition": {"version": "3.4.0"}});
    for (key, value) in sections.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// The files stage on a root, with a config from a file beside it.
fn files_stage(root: &Root, config: &Value) -> Program {
    let path = root.file_beside("config.ign", serde_json::to_string_pretty(config).unwrap());
    programs::files_stage(&path, root.path())
}

/// The digest that a failed run ends with, without the place of the config file.
#[track_caller]
fn digest(ran: &Ran, root: &Root) -> String {
    ran.expect_code(1);
    assert!(ran.stderr.starts_with("ignition: provisioning failed\n"), "{ran}");
    ran.stderr.replace(root.beside().to_str().unwrap(), "BESIDE")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn record(root: &Root) -> PathBuf {
    root.at(".ignition-progress")
}
