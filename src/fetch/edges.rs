//! Stand-in for `crate::sys` until that is merged: the same names.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub trait HostFiles {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;
    fn list(&self, dir: &Path) -> io::Result<Option<Vec<OsString>>>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    fn create_empty(&self, path: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

pub trait Clock {
    fn monotonic(&self) -> Duration;
    fn sleep(&self, time: Duration);
}

pub enum Tool {
    Modprobe,
}

pub struct Invocation(pub Tool, pub Vec<OsString>);
impl Invocation {
    pub fn new<I>(tool: Tool, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Self(tool, args.into_iter().map(Into::into).collect())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub struct RunError;

pub struct Output;

pub trait Runner {
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub config_file: Option<PathBuf>,
    pub system_config_dir: Option<PathBuf>,
    pub system_local_config_dir: Option<PathBuf>,
    pub system_runtime_config_dir: Option<PathBuf>,
    pub oem_lookaside_dir: Option<PathBuf>,
    pub ssl_cert_file: Option<PathBuf>,
}
