//! Where the stages leave things for each other.

use std::path::{Path, PathBuf};

use crate::cli::EngineArgs;

/// Where the stages leave things for each other.
#[derive(Clone, Debug)]
pub struct Places {
    /// The rendered config
    pub config_cache: PathBuf,
    /// The flag that asks for the network
    pub neednet: PathBuf,
    /// The state
    pub state_file: PathBuf,
}

impl Places {
    /// As the flags say.
    pub fn of(args: &EngineArgs) -> Self {
        Self {
            config_cache: args.config_cache.clone(),
            neednet: args.neednet.clone(),
            state_file: args.state_file.clone(),
        }
    }

    /// All in one directory.
    pub fn below(directory: &Path) -> Self {
        Self {
            config_cache: directory.join("ignition.json"),
            neednet: directory.join("neednet"),
            state_file: directory.join("state"),
        }
    }

    /// As upstream has them.
    pub fn of_a_boot() -> Self {
        Self {
            config_cache: "/run/ignition.json".into(),
            neednet: "/run/ignition/neednet".into(),
            state_file: "/run/ignition/state".into(),
        }
    }

    /// A file of ours in the directory of the state file.
    pub fn beside_state(&self, name: &str) -> PathBuf {
        self.state_file
            .parent()
            .unwrap_or_else(|| Path::new("/"))
            .join(name)
    }
}
