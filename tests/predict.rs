//! *Predict equals probe* and *plan again keeps* (design.md 2): what a dry run says is what a real run does, and planned
//! once more over its result, a config changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ignition_rs::config::{self, types::Config};
use ignition_rs::engine::failure::Failure;
use ignition_rs::engine::files::{PHASES, carry_out};
use ignition_rs::engine::world::DryRun;
use ignition_rs::plan::{Action, Change, Plan};
use ignition_rs::stages::files::{Input, RunFacts, StateFacts};
use ignition_rs::stages::{Phase, Progress, Rerun};
use ignition_rs::sys::probe::Probe;
use ignition_rs::sys::runner::System;
use ignition_rs::sys::sysroot::Sysroot;
use ignition_rs::view::{FileDigest, Group, Inode, Node, NodeKind, Overlay, Owner, RootPath, User, View};
use serde_json::Value;

use crate::support::generate::Pair;
use crate::support::programs;
use crate::support::snapshot::{Look, Snapshot};

/// How many generated pairs are tried.
const PAIRS: u64 = 240;

/// Each so-manieth is also carried out twice.
const TWICE_EVERY: u64 = 5;

const PRESETS: &str = "/etc/systemd/system-preset/20-ignition.preset";
const RESULT: &str = "/etc/.ignition-result.json";

/// What a dry run predicted, without the view that it was predicted over.
struct Predicted {
    nodes: BTreeMap<RootPath, (Option<Node>, FileDigest)>,
    users: BTreeMap<String, Option<User>>,
    groups: BTreeMap<String, Option<Group>>,
    plans: Vec<Plan>,
}

impl Predicted {
    fn new(plans: Vec<Plan>, overlay: &Overlay<'_>) -> Self {
        let nodes = overlay
            .predicted()
            .map(|(path, node)| {
                let digest = match node {
                    Some(node) if node.is_file() => overlay.digest(path).unwrap(),
                    _ => FileDigest::Unknown,
                };
                (path.clone(), (node.cloned(), digest))
            })
            .collect();
        let users = overlay
            .predicted_users()
            .map(|(name, user)| (name.to_owned(), user.cloned()))
            .collect();
        let groups = overlay
            .predicted_groups()
            .map(|(name, group)| (name.to_owned(), group.cloned()))
            .collect();
        Self {
            nodes,
            users,
            groups,
            plans,
        }
    }

    /// Whether a dry run left open what becomes of this place, and said so.
    fn is_open(&self, path: &str) -> bool {
        self.plans.iter().flat_map(|plan| &plan.steps).any(|step| {
            matches!(step.change, Change::Unknown { .. })
                && match &step.action {
                    Action::WriteFile { path: found, .. } => found.starts_with(&RootPath::from(path)),
                    // systemctl removes the links that enable the unit, and their directory with the last of them.
                    Action::DisableUnit { .. } => path.contains(".wants"),
                    _ => false,
                }
        })
    }
}

/// A dry run by the library, over what a view shows.
fn dry_run<'a>(config: &Config, view: &'a dyn View) -> Result<(Vec<Plan>, Overlay<'a>), Failure> {
    let (keys, volume_keys) = (BTreeMap::new(), BTreeMap::new());
    let no_keys = std::collections::BTreeMap::new();
    let state = StateFacts {
        planned_keys: &no_keys,
        notated_directories: &[],
        luks_key_files: &keys,
        luks_volume_key_files: &volume_keys,
        provider_files: &[],
    };
    let run = RunFacts {
        boot_id: "0".repeat(32),
        date: "2026-11-20T00:00:00Z".into(),
        user_config_provided: true,
        live_image: false,
        key_fragments: true,
    };
    let mut world = DryRun::new(view);
    carry_out(
        &mut world,
        &Input {
            config,
            state,
            run: &run,
            progress: &Progress::default(),
            rerun: Rerun::default(),
        },
        &PHASES,
        Vec::new(),
    )?;
    Ok(world.into_parts())
}

fn parsed(text: &str) -> Config {
    config::parse(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error:?}"))
        .config
}

/// What is wrong with a prediction, in lines.
fn differences(predicted: &Predicted, real: &dyn View) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut inodes: HashMap<Inode, (Inode, RootPath)> = HashMap::new();
    for (path, (node, digest)) in &predicted.nodes {
        let text = path.to_string();
        if text == PRESETS && predicted.is_open(PRESETS) {
            continue;
        }
        let found = real.node(path).unwrap();
        let (node, found) = match (node, found) {
            (None, None) => continue,
            (Some(node), Some(found)) => (node, found),
            (node, found) => {
                wrong.push(format!("{path}: predicted {node:?}, found {found:?}"));
                continue;
            }
        };
        let same_kind = match (&node.kind, &found.kind) {
            (NodeKind::File { size: None }, NodeKind::File { .. }) => true,
            // The report names the time and the boot.
            (NodeKind::File { .. }, NodeKind::File { .. }) if text == RESULT => true,
            (kind, found) => kind == found,
        };
        if !same_kind || node.mode != found.mode {
            wrong.push(format!("{path}: predicted {node:?}, found {found:?}"));
        }
        if !same_user(&node.user, &found.user, real) || !same_group(&node.group, &found.group, real) {
            wrong.push(format!(
                "{path}: predicted owner {} {}, found {} {}",
                node.user, node.group, found.user, found.group
            ));
        }
        if let FileDigest::Known(digest) = digest
            && text != RESULT
            && real.digest(path).unwrap() != FileDigest::Known(*digest)
        {
            let bytes = real.read(path, 1 << 20).unwrap().unwrap_or_default();
            wrong.push(format!(
                "{path}: other bytes than predicted: {:?}",
                String::from_utf8_lossy(&bytes)
            ));
        }
        if !node.is_directory() {
            // The same inode where the same was predicted; another one where another was.
            let (first, of) = inodes.entry(node.inode).or_insert((found.inode, path.clone()));
            if *first != found.inode {
                wrong.push(format!("{path}: predicted to be the same file as {of}"));
            }
            if node.inode.device != 0 && node.inode != found.inode {
                wrong.push(format!("{path}: predicted to stay the same file"));
            }
        }
    }
    let mut real_inodes: HashMap<Inode, (Inode, &RootPath)> = HashMap::new();
    for (path, (node, _)) in &predicted.nodes {
        let (Some(node), Ok(Some(found))) = (node, real.node(path)) else {
            continue;
        };
        let (first, of) = real_inodes.entry(found.inode).or_insert((node.inode, path));
        if *first != node.inode {
            wrong.push(format!(
                "{path}: is the same file as {of}, against the prediction"
            ));
        }
    }
    for (name, user) in &predicted.users {
        let found = real.user(name).unwrap();
        let same = match (user, &found) {
            (None, None) => true,
            (Some(user), Some(found)) => {
                same_user(&user.uid, &found.uid, real)
                    && same_group(&user.gid, &found.gid, real)
                    && (
                        &user.name,
                        &user.gecos,
                        &user.home,
                        &user.shell,
                        &user.groups,
                        user.local,
                    ) == (
                        &found.name,
                        &found.gecos,
                        &found.home,
                        &found.shell,
                        &found.groups,
                        found.local,
                    )
            }
            _ => false,
        };
        if !same {
            wrong.push(format!("user {name}: predicted {user:?}, found {found:?}"));
        }
    }
    for (name, group) in &predicted.groups {
        let found = real.group(name).unwrap();
        let same = match (group, &found) {
            (None, None) => true,
            (Some(group), Some(found)) => {
                let sorted = |group: &Group| {
                    let mut members = group.members.clone();
                    members.sort();
                    members
                };
                same_group(&group.gid, &found.gid, real)
                    && sorted(group) == sorted(found)
                    && group.local == found.local
            }
            _ => false,
        };
        if !same {
            wrong.push(format!("group {name}: predicted {group:?}, found {found:?}"));
        }
    }
    wrong
}

fn same_user(predicted: &Owner, found: &Owner, real: &dyn View) -> bool {
    match predicted {
        Owner::Id(_) => predicted == found,
        // Known by name only until the account was made.
        Owner::Account(name) => real.user(name).unwrap().is_some_and(|user| user.uid == *found),
    }
}

fn same_group(predicted: &Owner, found: &Owner, real: &dyn View) -> bool {
    match predicted {
        Owner::Id(_) => predicted == found,
        Owner::Account(name) => real.group(name).unwrap().is_some_and(|group| group.gid == *found),
    }
}

/// What changed although nothing was predicted for it.
fn unpredicted(predicted: &Predicted, before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = before.0.keys().chain(after.0.keys()).collect();
    paths
        .into_iter()
        .filter(|path| before.0.get(*path) != after.0.get(*path))
        .filter(|path| {
            // The account databases are seen as accounts, not as files.
            let name = path.to_str().unwrap();
            let database = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].iter().any(|base| name == format!("etc/{base}"));
            let full = RootPath::clean(Path::new("/").join(path));
            let foreseen = predicted.nodes.contains_key(&full)
                // Below a directory that went, everything went.
                || std::iter::successors(full.parent(), RootPath::parent)
                    .any(|above| matches!(predicted.nodes.get(&above), Some((None, _))) || is_replaced(predicted, &above));
            !database && !foreseen && !predicted.is_open(full.to_string().as_str()) && !only_another_twin(before, after, path)
        })
        .map(|path| format!("/{}: changed, and nothing was predicted for it", path.display()))
        .collect()
}

/// Whether something else stands where a directory with entries was.
fn is_replaced(predicted: &Predicted, path: &RootPath) -> bool {
    predicted
        .plans
        .iter()
        .flat_map(|plan| &plan.steps)
        .any(|step| matches!(&step.action, Action::Remove { path: gone } if gone == path))
}

/// Whether a node is as it was, only that another name of the same file came or went.
fn only_another_twin(before: &Snapshot, after: &Snapshot, path: &Path) -> bool {
    match (before.0.get(path), after.0.get(path)) {
        (Some(before), Some(after)) => before.same_but_for_names(after),
        _ => false,
    }
}

/// Steps that are no `Keep`, without the report that every run writes.
fn changes(plans: &[Plan]) -> Vec<String> {
    plans
        .iter()
        .filter(|plan| plan.phase != Phase::Result)
        .flat_map(|plan| &plan.steps)
        .filter(|step| !step.change.keeps())
        .map(|step| format!("{}: {:?} {:?}", step.cause, step.change, step.action))
        .collect()
}

#[derive(Default)]
struct Counts {
    carried_out: usize,
    nodes: usize,
    accounts: usize,
    bytes: usize,
    twice: usize,
    refused: usize,
    refused_again: usize,
}

fn one(seed: u64, counts: &mut Counts) -> Vec<String> {
    let pair = Pair::new(seed);
    let text = pair.text();
    let file = pair.root.file_beside("config.ign", &text);
    let config = match config::parse(text.as_bytes()) {
        Ok(parsed) => parsed.config,
        Err(error) => return vec![format!("the config is not valid: {error:?}")],
    };
    let sysroot = Sysroot::open(pair.root.path()).unwrap();
    let before = Snapshot::of(pair.root.path(), Look::Outcome);

    let probe = Probe::new(&sysroot, None);
    let predicted = match (dry_run(&config, &probe), &pair.refused) {
        (Ok((plans, overlay)), None) => Predicted::new(plans, &overlay),
        (Err(failure), Some(place)) => {
            counts.refused += 1;
            let found = failure.digest.pointer.as_ref().map(ToString::to_string);
            let mut wrong = Vec::new();
            if found.as_deref() != Some(place) {
                wrong.push(format!("refused at {found:?} instead of {place}: {failure}"));
            }
            let untouched = Snapshot::of(pair.root.path(), Look::Strict);
            let ran = programs::files_stage(&file, pair.root.path()).run();
            let diff = untouched.diff(&Snapshot::of(pair.root.path(), Look::Strict));
            if !diff.is_empty() {
                wrong.push(format!("refused, and the root was changed:\n{diff}"));
            }
            if ran.code != Some(1) || !ran.output().contains(place.as_str()) {
                wrong.push(format!("the real run is not refused at {place}: {ran}"));
            }
            return wrong;
        }
        (Ok(_), Some(place)) => return vec![format!("not refused at {place}")],
        (Err(failure), None) => return vec![format!("refused: {failure}")],
    };

    let ran = programs::files_stage(&file, pair.root.path()).run();
    if ran.code != Some(0) {
        return vec![format!("planned, but it fails: {ran}")];
    }
    let after = Snapshot::of(pair.root.path(), Look::Outcome);
    // As the program finds its tools on the next run.
    let runner = System::new(None);
    let real = Probe::new(&sysroot, Some(&runner));
    let mut wrong = differences(&predicted, &real);
    wrong.extend(unpredicted(&predicted, &before, &after));
    counts.carried_out += 1;
    counts.nodes += predicted.nodes.len();
    counts.accounts += predicted.users.len() + predicted.groups.len();
    counts.bytes += predicted
        .nodes
        .values()
        .filter(|(_, digest)| matches!(digest, FileDigest::Known(_)))
        .count();

    // Planned again.
    let again: Value = pair.again();
    match dry_run(&parsed(&again.to_string()), &real) {
        Ok((plans, _)) => wrong.extend(
            changes(&plans)
                .into_iter()
                .map(|change| format!("planned again: {change}")),
        ),
        Err(failure) => wrong.push(format!("planned again: {failure}")),
    }
    if pair.refused_again() {
        counts.refused_again += 1;
        match dry_run(&config, &real) {
            Ok(_) => wrong.push("a file that is there is not refused".into()),
            Err(failure) => {
                let place = failure
                    .digest
                    .pointer
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                if !place.starts_with("storage.files[") || !failure.to_string().contains("overwrite") {
                    wrong.push(format!("a file that is there is refused otherwise: {failure}"));
                }
            }
        }
    }
    if seed.is_multiple_of(TWICE_EVERY) {
        counts.twice += 1;
        let file = pair.root.file_beside("again.ign", again.to_string());
        let ran = programs::files_stage(&file, pair.root.path()).run();
        if ran.code != Some(0) {
            wrong.push(format!("carried out again, it fails: {ran}"));
        }
        let now = Snapshot::of(pair.root.path(), Look::Outcome);
        let report = &RESULT[1..];
        let diff = after.without(report).diff(&now.without(report));
        if !diff.is_empty() {
            wrong.push(format!("carried out again, it changes:\n{diff}"));
        }
    }
    wrong
}

#[test]
fn predict_equals_probe_and_planned_again_keeps() {
    if !programs::privileged() || !programs::have("useradd") {
        return;
    }
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for seed in seeds() {
        let wrong = one(seed, &mut counts);
        if !wrong.is_empty() {
            failures.push(format!("--- seed {seed}\n{}", wrong.join("\n")));
        }
    }
    eprintln!(
        "predicted: {} pairs carried out ({} nodes, {} of them with bytes, {} accounts), {} refused; {} of them refused \
         on a second run as the spec has it; {} carried out twice",
        counts.carried_out,
        counts.nodes,
        counts.bytes,
        counts.accounts,
        counts.refused,
        counts.refused_again,
        counts.twice
    );
    assert!(
        failures.is_empty(),
        "{} of the pairs:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// All pairs, or the one that `IGNITION_SEED` names; its config is then printed.
fn seeds() -> Vec<u64> {
    match std::env::var("IGNITION_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => {
            eprintln!("{}", Pair::new(seed).text());
            vec![seed]
        }
        None => (0..PAIRS).collect(),
    }
}

/// The generator makes what it is meant to make, the same from the same seed, and enough of each kind.
#[test]
fn pairs_are_many_and_repeatable() {
    if !crate::support::programs::privileged() {
        return;
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..PAIRS {
        let pair = Pair::new(seed);
        let text = pair.text();
        if seed.is_multiple_of(20) {
            let twin = Pair::new(seed);
            assert_eq!(text, twin.text());
            Snapshot::of(pair.root.path(), Look::Outcome)
                .assert_same(&Snapshot::of(twin.root.path(), Look::Outcome), "twin");
        }
        for kind in [
            "\"append\"",
            "\"overwrite\": true",
            "\"hard\": true",
            "\"compression\": \"gzip\"",
            "sha512-",
            "sha256-",
            "\"mode\": 2541",
            "\"dropins\"",
            "\"mask\": true",
            "\"enabled\": false",
            "\"enabled\": true",
            "t@x.service",
            "\"system\": true",
            "\"noCreateHome\"",
            "\"sshAuthorizedKeys\"",
            "\"passwordHash\"",
            "\"homeDir\"",
            "\"shouldExist\": false",
            "/chain/",
            "/srv/dangling/",
            "/home/u",
        ] {
            *kinds.entry(kind).or_default() += usize::from(text.contains(kind));
        }
        *kinds.entry("refused").or_default() += usize::from(pair.refused.is_some());
    }
    for (kind, count) in &kinds {
        assert!(*count >= 5, "{kind} is in {count} configs only: {kinds:?}");
    }
}
