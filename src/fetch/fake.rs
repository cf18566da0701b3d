//! Scripted stand-ins for tests.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::edges::{Clock, HostFiles};
use super::http::{Http, HttpError, Request, Response};

/// A clock that only moves when someone sleeps.
pub(crate) struct FakeClock {
    start: Instant,
    sleeps: Mutex<Vec<Duration>>,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            sleeps: Mutex::default(),
        }
    }
}

impl FakeClock {
    /// All waits so far, in milliseconds.
    pub(crate) fn sleeps(&self) -> Vec<u64> {
        self.sleeps
            .lock()
            .unwrap()
            .iter()
            .map(|time| u64::try_from(time.as_millis()).unwrap())
            .collect()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.start + self.sleeps.lock().unwrap().iter().sum::<Duration>()
    }

    fn sleep(&self, time: Duration) {
        self.sleeps.lock().unwrap().push(time);
    }
}

/// A network that answers from a script and remembers what it was asked.
#[derive(Default)]
pub(crate) struct FakeHttp {
    script: Mutex<VecDeque<Result<(u16, Option<String>, Vec<u8>), HttpError>>>,
    requests: Mutex<Vec<Request>>,
}

impl FakeHttp {
    pub(crate) fn answer(&self, status: u16, body: &[u8]) {
        self.script
            .lock()
            .unwrap()
            .push_back(Ok((status, None, body.to_vec())));
    }

    pub(crate) fn redirect(&self, status: u16, target: &str) {
        let answer = Ok((status, Some(target.to_owned()), Vec::new()));
        self.script.lock().unwrap().push_back(answer);
    }

    pub(crate) fn fail(&self, error: HttpError) {
        self.script.lock().unwrap().push_back(Err(error));
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Http for FakeHttp {
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.requests.lock().unwrap().push(request.clone());
        let (status, location, body) = self
            .script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| panic!("no answer left for {}", request.shown))?;
        Ok(Response {
            status,
            location: location.map(Into::into),
            body: Box::new(io::Cursor::new(body)),
        })
    }
}

/// Host files in memory. A path whose contents are `None` cannot be read.
#[derive(Default)]
pub(crate) struct FakeFiles {
    files: Mutex<BTreeMap<PathBuf, Option<Vec<u8>>>>,
}

impl FakeFiles {
    pub(crate) fn of(files: &[(&str, &[u8])]) -> Self {
        let fake = Self::default();
        for (path, bytes) in files {
            fake.put(path, bytes);
        }
        fake
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.files
            .lock()
            .unwrap()
            .insert(path.into(), Some(bytes.to_vec()));
    }

    pub(crate) fn unreadable(&self, path: &str) {
        self.files.lock().unwrap().insert(path.into(), None);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.files.lock().unwrap().get(Path::new(path)).cloned().flatten()
    }
}

impl HostFiles for FakeFiles {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self.files.lock().unwrap().get(path) {
            None => Ok(None),
            Some(None) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            Some(Some(bytes)) if u64::try_from(bytes.len()).unwrap() > limit => {
                Err(io::Error::from(io::ErrorKind::FileTooLarge))
            }
            Some(Some(bytes)) => Ok(Some(bytes.clone())),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Option<Vec<OsString>>> {
        let mut names: Vec<OsString> = self
            .files
            .lock()
            .unwrap()
            .keys()
            .filter_map(|path| path.strip_prefix(dir).ok()?.components().next())
            .map(|first| first.as_os_str().to_owned())
            .collect();
        names.dedup();
        Ok(Some(names).filter(|names| !names.is_empty()))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8], _: u32) -> io::Result<()> {
        self.files
            .lock()
            .unwrap()
            .insert(path.to_path_buf(), Some(bytes.to_vec()));
        Ok(())
    }
}
