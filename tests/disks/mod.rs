//! The disks stage on loop devices: what it makes, keeps and refuses, and that what it predicts is what it does.

mod filesystems;
mod luks;
mod mounts;
mod plan;
mod refused;
mod stage;
mod tables;
mod udev;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::disk::Disk;
use crate::support::programs::{Program, Ran};
use crate::support::root::Root;

/// A config with these filesystems.
fn config(filesystems: &[Value]) -> Value {
    json!({"ignition": {"version": "3.4.0"}, "storage": {"filesystems": filesystems}})
}

/// A directory for configs and state.
struct Desk(Root);

impl Desk {
    fn new() -> Self {
        Self(Root::empty())
    }

    fn write(&self, config: &Value) -> PathBuf {
        self.0.file_beside("config.ign", config.to_string())
    }

    fn beside(&self) -> &Path {
        self.0.beside()
    }

    /// `ignition-rs -stage disks` with a config of its own.
    fn program(&self, config: &Value) -> Program {
        Program::ignition_rs()
            .args([
                "--stage",
                "disks",
                "--log-to-stdout",
                "--this-machine",
                "--config",
            ])
            .arg(self.write(config))
            .arg("--root")
            .arg(self.0.path())
            .env("TMPDIR", self.beside().join("tmp"))
    }

    fn run(&self, config: &Value) -> Ran {
        self.program(config).run()
    }

    /// Without what the stage would need to act.
    fn dry_run(&self, config: &Value) -> Ran {
        Program::ignition_rs()
            .args([
                "--stage",
                "disks",
                "--dry-run",
                "--plan-format",
                "json",
                "--config",
            ])
            .arg(self.write(config))
            .run()
    }

    fn plan(&self, config: &Value) -> Ran {
        Program::ignition_rs().arg("plan").arg(self.write(config)).run()
    }
}

/// The changes of a plan in JSON to filesystems, in order.
fn changes(ran: &Ran) -> Vec<String> {
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let mut found = Vec::new();
    let mut rest = vec![&plan];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(object) => {
                if object
                    .get("action")
                    .is_some_and(|action| action == "makeFilesystem")
                {
                    found.push(object["change"].as_str().unwrap().to_owned());
                }
                // Popped in the order of the text.
                rest.extend(object.values().collect::<Vec<_>>().into_iter().rev());
            }
            Value::Array(list) => rest.extend(list.iter().rev()),
            _ => {}
        }
    }
    found
}

fn entry(disk: &Disk, format: &str) -> Value {
    json!({"device": disk.node(), "format": format})
}

/// An entry with more fields.
fn with(mut entry: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}
