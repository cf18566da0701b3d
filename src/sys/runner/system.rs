//! The real runner.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{Ended, Invocation, Output, RunError, Runner, STDERR_MAX, STDOUT_MAX, printable};
use crate::sys::devices::has_udev;
use crate::sys::own_node::OwnNode;

/// How often a program that says nothing is checked upon.
const CHECK: Duration = Duration::from_millis(100);

/// How often the log says that a program is being waited for.
const SAY: Duration = Duration::from_secs(10);

/// How long the output of a program that has ended is waited for: something it left behind may hold its pipes.
const LINGER: Duration = Duration::from_millis(500);

/// Where programs are looked for when `PATH` is not set.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts programs found on `PATH`, in a clean environment (`PATH`, `LC_ALL=C`), in `/`, without any of this process's
/// files. They die with this process.
#[derive(Clone, Debug)]
pub struct System {
    path: OsString,
    /// Whether programs make the nodes of devices themselves, although udev may run
    without_udev: bool,
}

impl System {
    /// Looks for programs on this `PATH`, or the usual one if it is not set or empty.
    pub fn new(path: Option<&OsStr>) -> Self {
        Self {
            path: path
                .filter(|path| !path.is_empty())
                .unwrap_or(OsStr::new(PATH))
                .to_owned(),
            without_udev: false,
        }
    }

    /// Programs do not wait for udev, which makes nodes in another `/dev` than this process's.
    #[must_use]
    pub fn without_udev(self) -> Self {
        Self {
            without_udev: true,
            ..self
        }
    }

    fn find(&self, invocation: &Invocation) -> Result<PathBuf, RunError> {
        std::env::split_paths(&self.path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(invocation.tool.name()))
            .find(|file| {
                std::fs::metadata(file)
                    .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
            })
            .ok_or_else(|| RunError::NotFound {
                tool: invocation.tool,
                path: printable(&self.path.to_string_lossy()),
            })
    }
}

impl Runner for System {
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError> {
        let program = self.find(invocation)?;
        let failed = |source| RunError::Start {
            command: invocation.to_string(),
            source,
        };
        tracing::debug!(command = %invocation, "running");
        let mut command = Command::new(program);
        command
            .args(&invocation.args)
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(if invocation.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.without_udev {
            command.env("DM_DISABLE_UDEV", "1").env("MDADM_NO_UDEV", "1");
        }
        let over = invocation
            .unwatched
            .as_ref()
            .filter(|_| !self.without_udev)
            .and_then(|node| Over::of(node));
        prepare(&mut command, over.as_ref());
        let spawned = command.spawn();
        // The program has it mounted where it needs it.
        drop(over);
        let mut child = spawned.map_err(failed)?;
        match attend(&mut child, invocation) {
            Ok((status, output)) if status.success() => Ok(output),
            Ok((status, output)) => Err(RunError::Failed {
                command: invocation.to_string(),
                ended: ended(status),
                stderr: output.stderr,
            }),
            Err(source) => {
                // Nothing is left running behind an error; the error is the one to tell.
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(source))
            }
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

/// A node that a program finds in place of the usual one.
struct Over {
    /// Removed when the program has it
    _own: OwnNode,
    from: CString,
    to: CString,
}

impl Over {
    /// `None` if it cannot be had, or helps nobody.
    fn of(node: &str) -> Option<Self> {
        if !has_udev(Path::new("/run")) {
            return None;
        }
        let own = OwnNode::of(&std::fs::metadata(node).ok()?).ok()?;
        Some(Self {
            from: CString::new(own.path().as_os_str().as_bytes()).ok()?,
            to: CString::new(node).ok()?,
            _own: own,
        })
    }
}

/// Mounts one file over another, for this process alone.
fn mount_over(from: &CStr, to: &CStr) -> nix::Result<()> {
    let none: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What others mount is seen here; what is mounted here is not seen by them.
    mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    mount(Some(from), to, none, MsFlags::MS_BIND, none)
}

/// What happens in the child between fork and exec.
fn prepare(command: &mut Command, over: Option<&Over>) {
    let parent = nix::unistd::getpid();
    let over = over.map(|over| (over.from.clone(), over.to.clone()));
    let in_child = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        if nix::unistd::getppid() != parent {
            // The parent died before the line above.
            return Err(io::Error::from(nix::errno::Errno::ESRCH));
        }
        close_inherited();
        if let Some((from, to)) = &over {
            // Without it udev notices what the program writes, which costs time only.
            let _ = mount_over(from, to);
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "std offers no safe way to act between fork and exec")]
    // SAFETY: the closure makes only system calls, which are async-signal-safe, and does not allocate.
    unsafe {
        command.pre_exec(in_child);
    }
}

/// Marks everything above standard error to be closed by exec. Kernels before 5.11 don't know that; this process opens
/// its own files close-on-exec anyway, so only what it inherited itself would get through there.
fn close_inherited() {
    #[expect(unsafe_code, reason = "neither std nor nix has close_range")]
    // SAFETY: close_range(2) takes three integers and touches no memory; with CLOEXEC nothing is closed here and now.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Feeds and reads a program until it ends. Each pipe has its thread, so that none can block another.
fn attend(child: &mut Child, invocation: &Invocation) -> io::Result<(ExitStatus, Output)> {
    let (done, finished) = channel();
    if let (Some(mut pipe), Some(secret)) = (child.stdin.take(), invocation.stdin.clone()) {
        thread::Builder::new().spawn(move || {
            // A program that does not want to read it all says so by its exit code.
            let _ = pipe.write_all(secret.reveal());
        })?;
    }
    let mut readers = 0;
    let stdout = Kept::default();
    if let Some(pipe) = child.stdout.take() {
        let (kept, done) = (stdout.clone(), done.clone());
        thread::Builder::new().spawn(move || {
            kept.read(pipe, Part::First(STDOUT_MAX));
            let _ = done.send(());
        })?;
        readers += 1;
    }
    let stderr = Kept::default();
    if let Some(pipe) = child.stderr.take() {
        let (kept, done) = (stderr.clone(), done);
        thread::Builder::new().spawn(move || {
            kept.read(pipe, Part::Last(STDERR_MAX));
            let _ = done.send(());
        })?;
        readers += 1;
    }
    let status = wait(child, invocation, &finished, readers)?;
    let said = stderr.take();
    let cut = said.len() >= STDERR_MAX;
    let stderr = String::from_utf8_lossy(&invocation.redact(said, cut))
        .lines()
        .map(printable)
        .collect::<Vec<_>>()
        .join("\n");
    Ok((
        status,
        Output {
            stdout: stdout.take(),
            stderr,
        },
    ))
}

/// Waits for the end of the program and of its output.
fn wait(
    child: &mut Child,
    invocation: &Invocation,
    finished: &Receiver<()>,
    mut readers: u32,
) -> io::Result<ExitStatus> {
    let begin = Instant::now();
    let mut said = begin;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    while readers > 0 {
        match finished.recv_timeout(CHECK) {
            Ok(()) => readers -= 1,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        match ended {
            None => ended = child.try_wait()?.map(|status| (status, Instant::now())),
            Some((_, since)) if since.elapsed() > LINGER => break,
            Some(_) => {}
        }
        if ended.is_none() && said.elapsed() >= SAY {
            said = Instant::now();
            tracing::info!(command = %invocation, seconds = begin.elapsed().as_secs(), "still waiting for a program");
        }
    }
    // A program may close its output and go on.
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(2));
        if said.elapsed() >= SAY {
            said = Instant::now();
            tracing::info!(command = %invocation, seconds = begin.elapsed().as_secs(), "still waiting for a program");
        }
    }
}

/// Which part of an output is kept.
#[derive(Clone, Copy)]
enum Part {
    First(usize),
    Last(usize),
}

/// Output as far as it has been read.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// Reads a pipe to its end and keeps part of it.
    fn read(&self, mut pipe: impl Read, part: Part) {
        let mut buffer = vec![0; 8192];
        loop {
            let count = match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let read = buffer.get(..count).unwrap_or_default();
            match part {
                Part::First(max) => {
                    let room = max.saturating_sub(kept.len()).min(read.len());
                    kept.extend_from_slice(read.get(..room).unwrap_or_default());
                }
                Part::Last(max) => {
                    kept.extend_from_slice(read);
                    let excess = kept.len().saturating_sub(max);
                    kept.drain(..excess);
                }
            }
        }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
