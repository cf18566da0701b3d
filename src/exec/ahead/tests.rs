#![allow(clippy::disallowed_methods, reason = "tests look at the real root")]

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::config::types::Resource;
use crate::events::{Event, Events, Outcome};
use crate::exec::progress::Record;
use crate::exec::{Machine, StepError, execute};
use crate::fetch::{Contents, FetchError, Unchecked};
use crate::plan::{Access, Change, Lost, Secret, Step};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};
use crate::sys::host::FakeHost;
use crate::sys::runner::{Invocation, Output, RunError, Runner};
use crate::view::{Digest, Owner};

/// Longer than anything here takes, and short enough for a test that fails.
const LONG: Duration = Duration::from_secs(20);

/// What a server does with a request, by the word in its URL.
struct Server {
    /// Who asks for `/gate/` is served when so many did
    gate: usize,
    arrived: Mutex<usize>,
    opened: Condvar,
    /// Who asks for `/slow/` is served when this is set
    released: AtomicBool,
    running: AtomicUsize,
    most: AtomicUsize,
    stopped: AtomicUsize,
}

impl Server {
    fn new(gate: usize) -> Self {
        Self {
            gate,
            arrived: Mutex::default(),
            opened: Condvar::new(),
            released: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            stopped: AtomicUsize::new(0),
        }
    }

    fn wait_for(&self, what: &str, come: impl Fn() -> bool, stop: &Stop) -> Result<(), FetchError> {
        let begin = Instant::now();
        while !come() {
            if stop.is_asked() {
                self.stopped.fetch_add(1, Ordering::SeqCst);
                return Err(FetchError::NotFound {
                    url: "stopped".into(),
                });
            }
            assert!(begin.elapsed() < LONG, "waited in vain for {what}");
            pause();
        }
        Ok(())
    }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

impl Fetcher for Server {
    fn open(&self, _: &Resource) -> Result<Contents<'_>, FetchError> {
        panic!("the executor hashes on its own")
    }

    fn begin(&self, resource: &Resource, stop: &Stop) -> Result<Unchecked<'_>, FetchError> {
        let url = resource.source.as_ref().unwrap().reveal().to_owned();
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        if url.contains("/gate/") {
            *self.arrived.lock().unwrap() += 1;
            self.opened.notify_all();
            let come = || *self.arrived.lock().unwrap() >= self.gate;
            self.wait_for("the others", come, stop)?;
        }
        if url.contains("/slow/") {
            self.wait_for("its release", || self.released.load(Ordering::SeqCst), stop)?;
        }
        if url.contains("/missing/") {
            return Err(FetchError::NotFound { url });
        }
        let size = if url.contains("/large/") { 3 << 20 } else { 0 };
        let bytes = [url.clone().into_bytes(), vec![b'.'; size]].concat();
        let body = Body {
            bytes: io::Cursor::new(bytes),
            stalls: url.contains("/stalls/").then(|| stop.clone()),
            server: self,
        };
        Ok(Unchecked {
            reader: Box::new(body),
            hash: None,
            attempts: 1,
        })
    }
}

/// A body that may never end.
struct Body<'a> {
    bytes: io::Cursor<Vec<u8>>,
    stalls: Option<Stop>,
    server: &'a Server,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        if count == 0
            && let Some(stop) = &self.stalls
        {
            let end = self.server.wait_for("the end", || false, stop);
            return end.map(|()| 0).map_err(io::Error::other);
        }
        Ok(count)
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.server.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes a directory whenever something is to be run, late.
struct MakesDirectory<'a>(&'a Path);

impl Runner for MakesDirectory<'_> {
    fn run(&self, _: &Invocation) -> Result<Output, RunError> {
        std::thread::sleep(Duration::from_millis(50));
        std::fs::create_dir(self.0).unwrap();
        Ok(Output::default())
    }
}

/// Looks at the root whenever a step is over.
struct Told<'a> {
    looks: Mutex<Vec<String>>,
    root: &'a Path,
    paths: Vec<&'a str>,
}

impl Events for Told<'_> {
    fn tell(&self, event: &Event<'_>) {
        if let Event::Step { outcome, done, .. } = event {
            let there: Vec<&str> = self
                .paths
                .iter()
                .copied()
                .filter(|path| at(self.root, path).exists())
                .collect();
            let outcome = match outcome {
                Outcome::Done => "done",
                Outcome::Kept => "kept",
                Outcome::Failed(_) => "failed",
            };
            let attempts = done
                .attempts
                .map_or(String::new(), |count| format!(" after {count}"));
            self.looks
                .lock()
                .unwrap()
                .push(format!("{outcome}{attempts}: {}", there.join(" ")));
        }
    }
}

fn at(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn access() -> Access {
    let id = |id: u32| Owner::Id(id);
    Access {
        user: id(nix::unistd::geteuid().as_raw()),
        group: id(nix::unistd::getegid().as_raw()),
        mode: 0o640,
    }
}

fn remote_content(url: &str) -> Content {
    Content::Remote {
        url: url.to_owned(),
        hash: None,
        resource: Secret::new(Resource {
            source: Some(url.to_owned().into()),
            ..Resource::default()
        }),
    }
}

fn step(action: Action) -> Step {
    Step {
        action,
        change: Change::Create,
        cause: Pointer::root(),
    }
}

fn file(path: &str, base: Base, contents: Vec<Content>) -> Step {
    step(Action::WriteFile {
        path: path.into(),
        base,
        contents,
        access: access(),
    })
}

/// A file whose contents come from a URL with this word and its path in it.
fn fetched(path: &str, word: &str) -> Step {
    file(
        path,
        Base::Nothing,
        vec![remote_content(&format!("http://h/{word}{path}"))],
    )
}

fn directory(path: &str) -> Step {
    step(Action::MakeDirectory {
        path: path.into(),
        access: Access {
            mode: 0o755,
            ..access()
        },
    })
}

struct Run {
    directory: tempfile::TempDir,
    result: Result<(), StepError>,
    told: Vec<String>,
}

impl Run {
    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(at(self.directory.path(), path)).ok()
    }

    fn leftovers(&self) -> Vec<String> {
        leftovers(self.directory.path())
    }
}

/// Temporary names anywhere below a directory.
fn leftovers(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(".ignition-") && name != ".ignition-progress" {
            found.push(name);
        }
        if entry.file_type().unwrap().is_dir() {
            found.extend(leftovers(&entry.path()));
        }
    }
    found
}

fn run(
    steps: Vec<Step>,
    server: &Server,
    prepare: &[(&str, Option<&str>)],
    stop: &(dyn Fn(&Path) -> bool + Sync),
) -> Run {
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in prepare {
        let path = at(directory.path(), path);
        match bytes {
            None => std::fs::create_dir_all(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
    }
    let plan = Plan {
        stage: Stage::Files,
        phase: Phase::Nodes,
        steps,
    };
    let paths: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| place_of(&step.action))
        .map(RootPath::to_string)
        .collect();
    let told = Told {
        looks: Mutex::default(),
        root: directory.path(),
        paths: paths.iter().map(String::as_str).collect(),
    };
    let root = Sysroot::open(directory.path()).unwrap();
    let late = directory.path().join("late");
    let result = {
        let machine = Machine {
            devices: &crate::sys::devices::RealDevices::new(crate::sys::runner::System::new(None)),
            keys: &crate::engine::keys::NoKeys,
            root: &root,
            runner: &MakesDirectory(&late),
            host: &FakeHost::new(),
            fetcher: server,
            events: &told,
            clock: &crate::sys::clock::FakeClock::new(),
            stop: &|| stop(directory.path()),
        };
        let mut record = Record::new(&root, Digest::of(b"config"));
        execute(&plan, &machine, &mut record)
    };
    let told = told.looks.into_inner().unwrap();
    Run {
        directory,
        result,
        told,
    }
}

fn never(_: &Path) -> bool {
    false
}

#[test]
fn four_files_are_fetched_at_a_time_also_into_directories_that_are_yet_to_be_made() {
    let server = Server::new(4);
    let mut steps = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        steps.push(directory(&format!("/new-{name}")));
        steps.push(directory(&format!("/new-{name}/in")));
        steps.push(fetched(&format!("/new-{name}/in/file"), "gate/large"));
    }
    let run = run(steps, &server, &[], &never);
    run.result.as_ref().unwrap();
    assert_eq!(server.most.load(Ordering::SeqCst), 4);
    for name in ["a", "h"] {
        let path = format!("/new-{name}/in/file");
        let text = run.read(&path).unwrap();
        assert!(
            text.starts_with(&format!("http://h/gate/large{path}.")),
            "{text:.60}"
        );
        assert!(text.len() > 3 << 20);
    }
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn effects_come_in_the_order_of_the_plan() {
    let server = Server::new(2);
    // The first waits for the second.
    let steps = vec![
        fetched("/first", "gate"),
        file("/known", Base::Nothing, vec![Content::known(*b"known")]),
        fetched("/second", "gate"),
        fetched("/third", ""),
    ];
    let run = run(steps, &server, &[], &never);
    run.result.as_ref().unwrap();
    assert_eq!(
        run.told,
        [
            "done after 1: /first",
            "done: /first /known",
            "done after 1: /first /known /second",
            "done after 1: /first /known /second /third",
        ]
    );
}

#[test]
fn a_fetch_that_fails_does_so_in_its_own_step_and_ends_the_others() {
    let server = Server::new(0);
    let steps = vec![
        fetched("/first", ""),
        fetched("/second", "large"),
        fetched("/third", "missing"),
        fetched("/fourth", "stalls"),
        fetched("/fifth", "slow"),
        fetched("/sixth", "large"),
    ];
    let run = run(steps, &server, &[], &never);
    let error = run.result.as_ref().unwrap_err();
    assert!(
        matches!(&*error.problem, ExecError::Fetch { url, .. } if url == "http://h/missing/third"),
        "{error:?}"
    );
    assert!(run.read("/first").is_some() && run.read("/second").is_some());
    for path in ["/third", "/fourth", "/fifth", "/sixth"] {
        assert_eq!(run.read(path), None, "{path}");
    }
    assert_eq!(run.leftovers(), Vec::<String>::new());
    assert_eq!(run.told.last().unwrap(), "failed: /first /second");
}

#[test]
fn a_stop_ends_everything_at_once() {
    let server = Server::new(0);
    let steps = vec![
        fetched("/first", ""),
        fetched("/second", "stalls"),
        fetched("/third", "slow"),
    ];
    let begin = Instant::now();
    // Asked for when the first is there and the second is being waited for.
    let run = run(steps, &server, &[], &|root| {
        root.join("first").exists() && begin.elapsed() > Duration::from_millis(200)
    });
    let error = run.result.as_ref().unwrap_err();
    assert!(matches!(*error.problem, ExecError::Stopped), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(server.stopped.load(Ordering::SeqCst), 2);
    assert_eq!(run.leftovers(), Vec::<String>::new());
    assert!(run.read("/first").is_some());
}

#[test]
fn only_so_many_files_wait_for_their_step() {
    let server = Server::new(0);
    let mut steps = vec![fetched("/0", "slow")];
    steps.extend((1..100).map(|index| fetched(&format!("/{index}"), "")));
    let seen = AtomicUsize::new(0);
    let full = Mutex::new(None);
    let run = run(steps, &server, &[], &|root| {
        let now = leftovers(root).len();
        seen.fetch_max(now, Ordering::SeqCst);
        // Time for one more to come, if one may.
        let mut full = full.lock().unwrap();
        if now >= AHEAD && full.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(200) {
            server.released.store(true, Ordering::SeqCst);
        }
        false
    });
    run.result.as_ref().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), AHEAD);
    assert_eq!(run.read("/99").unwrap(), "http://h//99");
}

#[test]
fn what_is_appended_to_is_what_earlier_steps_made() {
    let server = Server::new(0);
    let steps = vec![
        file("/log", Base::Nothing, vec![Content::known(*b"new ")]),
        file("/log", Base::Existing, vec![remote_content("http://h/more")]),
        file(
            "/other",
            Base::Existing,
            vec![Content::known(*b"and "), remote_content("http://h/more")],
        ),
    ];
    let run = run(
        steps,
        &server,
        &[("/log", Some("old ")), ("/other", Some("old "))],
        &never,
    );
    run.result.as_ref().unwrap();
    assert_eq!(run.read("/log").unwrap(), "new http://h/more");
    assert_eq!(run.read("/other").unwrap(), "old and http://h/more");
}

#[test]
fn what_goes_on_the_way_does_not_take_the_contents_along() {
    let server = Server::new(2);
    let lost = Lost {
        what: "directory".into(),
        trivial: false,
    };
    let steps = vec![
        Step {
            change: Change::Delete { lost },
            ..step(Action::Remove { path: "/d".into() })
        },
        directory("/d"),
        fetched("/d/one", "gate"),
        fetched("/d/two", "gate/large"),
    ];
    let run = run(steps, &server, &[("/d/old", None)], &never);
    run.result.as_ref().unwrap();
    assert_eq!(run.read("/d/one").unwrap(), "http://h/gate/d/one");
    assert!(!run.directory.path().join("d/old").exists());
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_begun_early_is_begun_in_its_turn() {
    let server = Server::new(0);
    let steps = vec![
        step(Action::DisableUnit { entry: "x".into() }),
        fetched("/late/file", ""),
        fetched("/late/missing", "missing"),
    ];
    let run = run(steps, &server, &[], &never);
    assert_eq!(run.read("/late/file").unwrap(), "http://h//late/file");
    let error = run.result.as_ref().unwrap_err();
    assert!(matches!(*error.problem, ExecError::Fetch { .. }), "{error:?}");
}

#[test]
fn a_plan_with_nothing_to_fetch_costs_no_thread() {
    let directory = tempfile::tempdir().unwrap();
    let root = Sysroot::open(directory.path()).unwrap();
    let server = Server::new(0);
    let plan = Plan {
        stage: Stage::Files,
        phase: Phase::Nodes,
        steps: vec![
            file("/known", Base::Nothing, vec![Content::known(*b"known")]),
            Step {
                change: Change::Keep {
                    reason: String::new(),
                },
                ..fetched("/kept", "")
            },
        ],
    };
    let ahead = Ahead::new(&plan, &root, &server);
    ahead.run(|| {
        assert_eq!(ahead.state().workers, 0);
        assert!(ahead.take(0, &|| false).is_none());
    });
}
