//! A file named by `IGNITION_CONFIG_FILE`, else `config.ign` in the working directory.

use std::path::{Path, PathBuf};

use super::{Answer, PlatformError, Provider, Transports, read};
use crate::fetch::CONFIG_LIMIT;

/// `file`
#[derive(Clone, Copy, Debug)]
pub(super) struct File;

impl Provider for File {
    fn config(&self, transports: &Transports<'_>) -> Result<Answer, PlatformError> {
        let path: PathBuf = match &transports.environment.config_file {
            Some(path) => path.clone(),
            None => Path::new("config.ign").to_path_buf(),
        };
        match read(transports.files, &path, CONFIG_LIMIT)? {
            Some(bytes) => Ok(Answer::config(bytes)),
            None => Err(PlatformError::Missing {
                path,
                hint: "name it in the environment variable IGNITION_CONFIG_FILE",
            }),
        }
    }
}
