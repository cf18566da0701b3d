//! Kernel arguments (spec/mount_files.md 11).

use serde::Serialize;

use crate::sys::{Invocation, Tool};

/// Changes the kernel's arguments for the next boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelArguments {
    /// `shouldExist`
    pub should_exist: Vec<String>,
    /// `shouldNotExist`
    pub should_not_exist: Vec<String>,
}

impl KernelArguments {
    /// The distribution's helper, which writes them and reboots if something has changed.
    pub fn command(&self) -> Invocation {
        let mut args = Vec::new();
        for argument in &self.should_exist {
            args.extend(["--should-exist", argument]);
        }
        for argument in &self.should_not_exist {
            args.extend(["--should-not-exist", argument]);
        }
        Invocation::new(Tool::KargsHelper, args)
    }

    /// Both lists in words.
    pub fn details(&self) -> String {
        let mut parts = Vec::new();
        if !self.should_exist.is_empty() {
            parts.push(format!("with {}", self.should_exist.join(" ")));
        }
        if !self.should_not_exist.is_empty() {
            parts.push(format!("without {}", self.should_not_exist.join(" ")));
        }
        parts.join(", ")
    }
}
