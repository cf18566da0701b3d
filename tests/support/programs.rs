//! Runs of the binary, with their output.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ignition-rs");

/// Copies a program by another one. If this process had it open for writing, a child that another test's thread starts just then
/// would hold it open, too, and the kernel would not run it: "Text file busy".
#[track_caller]
pub(crate) fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status();
    assert!(copied.unwrap().success());
}

/// The only `PATH` that the tools are looked for on.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// No run of a test takes longer than this.
const LIMIT: Duration = Duration::from_secs(60);

/// A run that is over.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// Its exit code; `None` if a signal ended it
    pub(crate) code: Option<i32>,
    /// The signal that ended it
    pub(crate) signal: Option<i32>,
    /// Standard output
    pub(crate) stdout: String,
    /// Standard error
    pub(crate) stderr: String,
    command: String,
}

impl Ran {
    /// Both outputs.
    pub(crate) fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails with the whole output unless the exit code is this.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{}\n  ended with code {:?}, signal {:?}",
            self.command, self.code, self.signal
        )?;
        writeln!(f, "--- stdout\n{}--- stderr\n{}---", self.stdout, self.stderr)
    }
}

/// A run to be.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// Any program.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            words: vec![program.as_ref().to_owned()],
            environment: Vec::new(),
        }
    }

    /// The program under test.
    pub(crate) fn ignition_rs() -> Self {
        Self::new(BINARY)
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.words
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable; nothing but `PATH` is inherited.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// The same run, started by another program.
    pub(crate) fn under<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, wrapper: I) -> Self {
        let mut words: Vec<OsString> = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        words.append(&mut self.words);
        self.words = words;
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Ran {
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .env_clear()
            .env("PATH", PATH)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.words[0]));
        let output = watched(child);
        Ran {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: self
                .words
                .iter()
                .map(|word| word.to_string_lossy())
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// Waits for a program, but not for ever: after [`LIMIT`] it is killed, and the test fails by its signal.
fn watched(child: Child) -> Output {
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    output
}

/// `ignition-rs --stage files --config CONFIG --root ROOT`
pub(crate) fn files_stage(config: &Path, root: &Path) -> Program {
    Program::ignition_rs()
        .args(["--stage", "files", "--log-to-stdout", "--config"])
        .arg(config)
        .arg("--root")
        .arg(root)
        // With --config, a run keeps its state in a directory there, and leaves it.
        .env("TMPDIR", root.with_file_name("tmp"))
}

/// `ignition-rs plan CONFIG --root ROOT`
pub(crate) fn plan(config: &Path, root: &Path) -> Program {
    Program::ignition_rs()
        .arg("plan")
        .arg(config)
        .arg("--root")
        .arg(root)
}

/// Whether a program is there; says so if it is not.
pub(crate) fn have(program: &str) -> bool {
    let found = PATH
        .split(':')
        .any(|directory| Path::new(directory).join(program).is_file());
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

/// Says that a test is skipped, and why. In CI that is a failure: what CI lacks it installs.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    eprintln!("skipped: {why}");
}

/// Whether this is root, which owners and account tools need; says so if it is not.
pub(crate) fn privileged() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped("needs root, to give files to others and to run useradd in a root");
    }
    root
}

/// Whether strace can be used here; says so if it cannot.
pub(crate) fn traceable() -> bool {
    have("strace") && {
        let works = Program::new("strace")
            .args(["-o", "/dev/null", "/bin/true"])
            .run()
            .code
            == Some(0);
        if !works {
            skipped("strace may not trace here");
        }
        works
    }
}
