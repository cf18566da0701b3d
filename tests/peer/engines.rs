//! Runs of either engine, and what came out.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use super::{Case, PEER, PEER_VALIDATE};
use crate::support::programs::{BINARY, Program, Ran};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};

/// An engine with the root that it works on.
pub(super) struct Engine<'a> {
    root: &'a Root,
    ignition: String,
    validate: String,
}

/// What came out.
pub(super) struct Outcome {
    /// Exit code of each stage that was run, in order, and of the validator
    codes: Vec<(&'static str, Option<i32>)>,
    need_net: bool,
    cache: Option<Value>,
    state: Option<Value>,
    /// `None` if the files stage failed: how much is there by then is not part of the contract
    tree: Option<Snapshot>,
    pub(super) output: String,
}

/// Where the engines differ.
#[derive(Clone, Debug)]
pub(super) enum Difference {
    /// In the exit code of a stage
    Code(&'static str, Option<i32>, Option<i32>),
    /// In whether the network is asked for
    NeedNet(bool, bool),
    /// In the cache, at a JSON pointer
    Cache(String, Value, Value),
    /// In the state
    State(Value, Value),
    /// In the tree: lines of a diff about one path, ours with `-` and `<`
    Tree(String, Vec<String>),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(stage, ours, theirs) => {
                write!(f, "{stage}: exit code {ours:?}, the peer's {theirs:?}")
            }
            Self::NeedNet(ours, theirs) => write!(f, "needs the network: {ours}, the peer's: {theirs}"),
            Self::Cache(place, ours, theirs) => write!(f, "cache {place}: {ours}, the peer's {theirs}"),
            Self::State(ours, theirs) => write!(f, "state: {ours}\n   the peer's {theirs}"),
            Self::Tree(_, lines) => write!(f, "tree: {}", lines.join("\n      ")),
        }
    }
}

/// Whether the peer can be run where only scratch space can be written: it lets the kernel follow absolute links, which
/// then lead out of the root.
static FENCED: LazyLock<bool> =
    LazyLock::new(|| Program::new("unshare").args(FENCE).arg("true").run().code == Some(0));

/// `unshare ...` with which `/` cannot be written, `/dev/shm` and the like can.
const FENCE: &[&str] = &[
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    "mount -o remount,bind,ro / && exec \"$@\"",
    "sh",
];

impl<'a> Engine<'a> {
    /// This one, under its drop-in names.
    pub(super) fn ours(root: &'a Root) -> Self {
        let link = |name: &str| {
            let path = root.beside().join(name);
            symlink(BINARY, &path).unwrap();
            path.to_str().unwrap().to_owned()
        };
        Self {
            root,
            ignition: link("ignition"),
            validate: link("ignition-validate"),
        }
    }

    /// The real one.
    pub(super) fn peer(root: &'a Root) -> Self {
        Self {
            root,
            ignition: PEER.into(),
            validate: PEER_VALIDATE.into(),
        }
    }

    fn program(&self, name: &str, case: &Case, config: &Path, system: &Path) -> Program {
        let bin = self.root.beside().join("bin");
        let nowhere = self.root.beside().join("nowhere");
        let mut program = Program::new(name)
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()))
            .env("TMPDIR", self.root.beside().join("tmp"))
            .env("IGNITION_CONFIG_FILE", config)
            .env("IGNITION_SYSTEM_CONFIG_DIR", system)
            // 2.26.0 knows one directory only.
            .env("IGNITION_SYSTEM_LOCAL_CONFIG_DIR", &nowhere)
            .env("IGNITION_SYSTEM_RUNTIME_CONFIG_DIR", &nowhere);
        for (name, value) in &case.environment {
            program = program.env(name, value);
        }
        program
    }

    fn stage(&self, stage: &str, case: &Case, config: &Path, system: &Path) -> Ran {
        let beside = |name: &str| self.root.beside().join(name);
        let program = self
            .program(&self.ignition, case, config, system)
            .args(["-platform", "file", "-stage", stage, "-log-to-stdout", "-root"])
            .arg(self.root.path())
            .arg("-config-cache")
            .arg(beside("cache"))
            .arg("-neednet")
            .arg(beside("neednet"))
            .arg("-state-file")
            .arg(beside("state"));
        if self.ignition == PEER && *FENCED && self.root.path().starts_with("/dev/shm") {
            program.under(["unshare"].iter().chain(FENCE)).run()
        } else {
            program.run()
        }
    }

    /// All stages, as the units order them.
    pub(super) fn run(&self, case: &Case, config: &Path, system: &Path) -> Outcome {
        let beside = |name: &str| self.root.beside().join(name);
        let setfiles = beside("bin/setfiles");
        std::fs::create_dir(beside("bin")).unwrap();
        std::fs::write(&setfiles, "#!/bin/sh\nexit 0\n").unwrap();
        std::fs::set_permissions(&setfiles, std::fs::Permissions::from_mode(0o755)).unwrap();

        let mut codes = Vec::new();
        let mut output = String::new();
        let mut ran = |stage: &'static str, ran: Ran| {
            codes.push((stage, ran.code));
            output.push_str(&ran.to_string());
            ran.code == Some(0)
        };
        let validated = self
            .program(&self.validate, case, config, system)
            .arg(config)
            .run();
        ran("validate", validated);
        let mut well = ran("fetch-offline", self.stage("fetch-offline", case, config, system));
        let need_net = beside("neednet").exists();
        if well && need_net && !beside("cache").exists() {
            well = ran("fetch", self.stage("fetch", case, config, system));
        }
        let mut tree = None;
        if well && !case.fetch_only && ran("files", self.stage("files", case, config, system)) {
            tree = Some(Snapshot::of(self.root.path(), Look::Outcome));
        }
        let read = |name: &str| {
            let bytes = std::fs::read(beside(name)).ok()?;
            Some(serde_json::from_slice::<Value>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        Outcome {
            codes,
            need_net,
            cache: read("cache").map(plain),
            state: read("state").map(plain),
            tree,
            output,
        }
    }
}

/// Without the version, and without what is empty: newer specs have more sections.
fn plain(value: Value) -> Value {
    fn is_empty(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        }
    }
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(key, _)| key != "version")
                .map(|(key, value)| (key, plain(value)))
                .filter(|(_, value)| !is_empty(value))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(plain).collect()),
        value => value,
    }
}

impl Outcome {
    /// Where another outcome is different.
    pub(super) fn differences(&self, theirs: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut stages: Vec<&'static str> = Vec::new();
        for (stage, _) in self.codes.iter().chain(&theirs.codes) {
            if !stages.contains(stage) {
                stages.push(stage);
            }
        }
        for stage in stages {
            let code = |codes: &[(&str, Option<i32>)]| {
                codes
                    .iter()
                    .find(|(name, _)| *name == stage)
                    .and_then(|(_, code)| *code)
            };
            let (ours, theirs) = (code(&self.codes), code(&theirs.codes));
            if ours != theirs {
                found.push(Difference::Code(stage, ours, theirs));
            }
        }
        if self.need_net != theirs.need_net {
            found.push(Difference::NeedNet(self.need_net, theirs.need_net));
        }
        let null = Value::Null;
        unequal(
            "",
            self.cache.as_ref().unwrap_or(&null),
            theirs.cache.as_ref().unwrap_or(&null),
            &mut found,
        );
        if self.state != theirs.state {
            found.push(Difference::State(
                self.state.clone().unwrap_or(Value::Null),
                theirs.state.clone().unwrap_or(Value::Null),
            ));
        }
        if let (Some(ours), Some(theirs)) = (&self.tree, &theirs.tree) {
            let mut by_path: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let diff = ours.diff(theirs);
            for line in diff.lines() {
                let path = line[2..].split(": ").next().unwrap_or_default().to_owned();
                by_path.entry(path).or_default().push(line.to_owned());
            }
            found.extend(
                by_path
                    .into_iter()
                    .map(|(path, lines)| Difference::Tree(path, lines)),
            );
        }
        found
    }
}

fn unequal(place: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                unequal(
                    &format!("{place}/{key}"),
                    left.get(key).unwrap_or(&Value::Null),
                    right.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                unequal(&format!("{place}/{index}"), left, right, found);
            }
        }
        (left, right) if left == right => {}
        (left, right) => found.push(Difference::Cache(place.into(), left.clone(), right.clone())),
    }
}
