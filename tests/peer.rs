//! The same configs on the same roots, by this engine and by the real one: Debian's Go Ignition 2.14.0, which knows the
//! specs 3.0.0 to 3.3.0. What comes out must be the same: the tree, the cache, the state, the exit codes. Where it is not,
//! on purpose or because 2.14.0 is not 2.26.0, the case names an entry of [`exceptions`].
//!
//! `IGNITION_CASE=words cargo test peer` runs the cases whose names contain the words, and shows both outputs.
#![allow(clippy::needless_pass_by_value, reason = "cases are written with json!")]

mod accounts;
mod configs;
mod engines;
mod exceptions;
mod http;
mod nodes;
mod random;
mod units;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::programs;
use crate::support::root::Root;
use engines::Engine;
use exceptions::{EXCEPTIONS, Exception};
use http::Server;

/// The real engine.
pub(crate) const PEER: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";
/// Its validator.
const PEER_VALIDATE: &str = "/usr/bin/ignition-validate";

/// The newest spec that both know.
const NEWEST: &str = "3.3.0";

/// Something that is there before, and how it gets there.
type Before = (&'static str, fn(&Root));

/// One config on one root.
struct Case {
    name: String,
    /// The user config; `{SERVER}` stands for the test's HTTP server
    config: Vec<u8>,
    /// The starting root, before what the peer needs is added
    root: Root,
    /// Files in the system config directory
    system: Vec<(String, Vec<u8>)>,
    /// Symbolic links there
    system_links: Vec<(String, String)>,
    /// More variables for both
    environment: Vec<(&'static str, &'static str)>,
    /// Names of exceptions
    differs: Vec<&'static str>,
    /// Names of exceptions that it may need or not
    may_differ: Vec<&'static str>,
    /// Whether it ends before the files stage
    fetch_only: bool,
}

impl Case {
    /// A config of a spec version: its sections.
    fn new(name: impl Into<String>, version: &str, mut config: Value) -> Self {
        config["ignition"]["version"] = json!(version);
        Self::bytes(name, config.to_string())
    }

    /// A config as it stands.
    fn bytes(name: impl Into<String>, config: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            config: config.into(),
            root: Root::system(),
            system: Vec::new(),
            system_links: Vec::new(),
            environment: Vec::new(),
            differs: Vec::new(),
            may_differ: Vec::new(),
            fetch_only: false,
        }
    }

    /// Changes the starting root.
    fn on(self, change: impl FnOnce(&Root)) -> Self {
        change(&self.root);
        self
    }

    /// Adds a file to the system config directory.
    fn system(mut self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.system.push((path.into(), contents.into()));
        self
    }

    /// Adds a symbolic link to the system config directory.
    fn system_link(mut self, path: &str, target: &str) -> Self {
        self.system_links.push((path.into(), target.into()));
        self
    }

    /// Adds a section to the config.
    fn and(mut self, more: Value) -> Self {
        let mut config: Value = serde_json::from_slice(&self.config).unwrap();
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        self.config = config.to_string().into_bytes();
        self
    }

    /// Names a way in which the engines differ here.
    fn differs(mut self, exception: &'static str) -> Self {
        self.differs.push(exception);
        self
    }

    /// Sets a variable for both.
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Stops before the files stage.
    fn fetch_only(mut self) -> Self {
        self.fetch_only = true;
        self
    }

    /// Carries it out with both; says what differs, and which of its exceptions were needed.
    fn compare(&self, server: &Server, show: bool) -> (Vec<String>, BTreeSet<&'static str>) {
        let config = replace(&self.config, "{SERVER}", &server.base());
        let root = &self.root;
        // It relabels always, and stops without this.
        root.file("etc/selinux/config", "SELINUXTYPE=targeted\n", 0o644);
        root.file("etc/selinux/targeted/contexts/files/file_contexts", "", 0o644);
        for (path, contents) in &self.system {
            let contents = replace(contents, "{SERVER}", &server.base());
            let path = root.beside().join("system").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        for (path, target) in &self.system_links {
            let path = root.beside().join("system").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        }
        let file = root.beside().join("config.ign");
        std::fs::write(&file, &config).unwrap();
        let system = root.beside().join("system");

        let twin = root.copy();
        let ours = Engine::ours(root).run(self, &file, &system);
        let theirs = Engine::peer(&twin).run(self, &file, &system);
        if show {
            eprintln!(
                "== {}\n{}\n-- ours\n{}\n-- peer\n{}",
                self.name,
                String::from_utf8_lossy(&config),
                ours.output,
                theirs.output
            );
        }
        let mut used = BTreeSet::new();
        let mut wrong = Vec::new();
        for mut difference in ours.differences(&theirs) {
            let excused = EXCEPTIONS
                .iter()
                .filter(|exception| {
                    exception.everywhere
                        || self.differs.contains(&exception.name)
                        || self.may_differ.contains(&exception.name)
                })
                .any(|exception| {
                    let excuses = (exception.excuses)(&mut difference);
                    if excuses {
                        used.insert(exception.name);
                    }
                    excuses
                });
            if !excused {
                wrong.push(difference.to_string());
            }
        }
        for name in &self.differs {
            if !used.contains(name) {
                wrong.push(format!("the exception {name:?} is not needed"));
            }
        }
        (wrong, used)
    }
}

fn replace(bytes: &[u8], what: &str, with: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(what, with).into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

/// Whether the peer can be run here; says so if not. In CI it must.
pub(crate) fn present() -> bool {
    if !programs::privileged() {
        return false;
    }
    let there = Path::new(PEER).is_file()
        && Path::new(PEER_VALIDATE).is_file()
        && programs::have("useradd")
        && programs::have("systemctl");
    assert!(
        there || std::env::var("CI").as_deref() != Ok("true"),
        "the peer is missing: apt-get install ignition"
    );
    if !there {
        eprintln!("skipped: the peer is not installed: apt-get install ignition");
    }
    there
}

/// Runs cases, and fails with all differences.
fn run(cases: Vec<Case>, least: usize) {
    if !present() {
        return;
    }
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(names.insert(case.name.clone()), "{} twice", case.name);
        for name in case.differs.iter().chain(&case.may_differ) {
            assert!(
                EXCEPTIONS.iter().any(|exception| exception.name == *name),
                "{}: no exception {name:?}",
                case.name
            );
        }
    }
    assert!(cases.len() >= least, "{} cases only", cases.len());
    let server = Server::start(configs::routes());
    let wanted = std::env::var("IGNITION_CASE").ok();
    let mut failures = Vec::new();
    let mut used = BTreeSet::new();
    let mut count = 0;
    for case in cases {
        if wanted.as_ref().is_some_and(|words| !case.name.contains(words)) {
            continue;
        }
        count += 1;
        let (wrong, needed) = case.compare(&server, wanted.is_some());
        used.extend(needed);
        if !wrong.is_empty() {
            failures.push(format!("=== {}\n{}", case.name, wrong.join("\n")));
        }
    }
    let excused: Vec<String> = EXCEPTIONS
        .iter()
        .filter(|exception| used.contains(exception.name))
        .map(Exception::to_string)
        .collect();
    eprintln!(
        "compared with the peer: {count} configs; excused:\n{}",
        excused.join("\n")
    );
    assert!(
        failures.is_empty(),
        "{} of {count} differ:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

#[test]
fn accounts_are_as_the_peer_makes_them() {
    if !crate::support::programs::privileged() {
        return;
    }
    run(accounts::cases(), 45);
}

#[test]
fn nodes_are_as_the_peer_makes_them() {
    if !crate::support::programs::privileged() {
        return;
    }
    run(nodes::cases(), 100);
}

#[test]
fn units_are_as_the_peer_makes_them() {
    if !crate::support::programs::privileged() {
        return;
    }
    run(units::cases(), 20);
}

#[test]
fn configs_are_found_and_rendered_as_the_peer_does() {
    if !crate::support::programs::privileged() {
        return;
    }
    run(configs::cases(), 60);
}

#[test]
fn generated_configs_end_as_with_the_peer() {
    if !crate::support::programs::privileged() {
        return;
    }
    run(random::cases(), 60);
}
