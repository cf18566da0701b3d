//! What the tests of this stage's planners share: inputs made by hand, and plans as lines of text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Input, RunFacts, StateFacts};
use crate::config::types::{Config, File, Hidden};
use crate::plan::check::check;
use crate::plan::predict::predict;
use crate::plan::{Access, Action, Base, Change, Content, GroupChange, Plan, Step, UserChange};
use crate::stages::{Phase, PlanError, Progress, Rerun, Stage};
use crate::view::{Overlay, View};

/// Everything that an [`Input`] borrows.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) config: Config,
    pub(super) notated_directories: Vec<String>,
    pub(super) luks_key_files: BTreeMap<String, Hidden>,
    pub(super) planned_keys: BTreeMap<String, Content>,
    pub(super) luks_volume_key_files: BTreeMap<String, Hidden>,
    pub(super) provider_files: Vec<File>,
    pub(super) run: RunFacts,
    pub(super) progress: Progress,
    pub(super) rerun: Rerun,
}

impl Scene {
    /// A scene with this config; everything else is empty.
    pub(super) fn new(config: &str) -> Self {
        Self {
            config: serde_json::from_str(config).unwrap(),
            notated_directories: Vec::new(),
            luks_key_files: BTreeMap::new(),
            planned_keys: BTreeMap::new(),
            luks_volume_key_files: BTreeMap::new(),
            provider_files: Vec::new(),
            run: RunFacts {
                boot_id: "4f6e2a1c-0000-4000-8000-000000000001".into(),
                date: "2026-11-20T18:00:00Z".into(),
                user_config_provided: true,
                live_image: false,
                key_fragments: true,
            },
            progress: Progress::default(),
            rerun: Rerun::default(),
        }
    }

    pub(super) fn input(&self) -> Input<'_> {
        Input {
            config: &self.config,
            state: StateFacts {
                notated_directories: &self.notated_directories,
                luks_key_files: &self.luks_key_files,
                planned_keys: &self.planned_keys,
                luks_volume_key_files: &self.luks_volume_key_files,
                provider_files: &self.provider_files,
            },
            run: &self.run,
            progress: &self.progress,
            rerun: self.rerun,
        }
    }
}

/// `place: what; advice`
pub(super) fn refusal(result: Result<Vec<Step>, PlanError>) -> String {
    let error = result.expect_err("a refusal");
    format!("{}: {}", error.pointer, error.problem)
}

/// An overlay in which these steps are done, which must be sound.
pub(super) fn after<'a>(view: &'a dyn View, steps: &[Step]) -> Overlay<'a> {
    let plan = Plan {
        stage: Stage::Files,
        phase: Phase::Accounts,
        steps: steps.to_vec(),
    };
    check(&plan, view).unwrap();
    let mut overlay = Overlay::new(view);
    for step in steps {
        predict(step, &mut overlay).unwrap();
    }
    overlay
}

/// Steps that are not kept.
pub(super) fn changes(steps: &[Step]) -> Vec<String> {
    let moved: Vec<Step> = steps
        .iter()
        .filter(|step| !step.change.keeps())
        .cloned()
        .collect();
    lines(&moved).lines().map(str::to_owned).collect()
}

/// One line for each step.
pub(super) fn lines(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let change = match &step.change {
            Change::Create => "create".to_owned(),
            Change::Keep { reason } => format!("keep ({reason})"),
            Change::Modify { what } => format!("modify ({what})"),
            Change::Replace { lost } => format!("replace ({}, trivial: {})", lost.what, lost.trivial),
            Change::Delete { lost } => format!("delete ({}, trivial: {})", lost.what, lost.trivial),
            Change::Unknown { why } => format!("unknown ({why})"),
        };
        writeln!(text, "{change}: {} @ {}", action(&step.action), step.cause).unwrap();
    }
    text
}

fn action(action: &Action) -> String {
    match action {
        Action::CreateGroup(group) => format!("groupadd {}", group_change(group)),
        Action::ModifyGroup(group) => format!("groupmod {}", group_change(group)),
        Action::DeleteGroup { name } => format!("groupdel {name}"),
        Action::AdoptGroup { name } => format!("adopt group {name}"),
        Action::AdoptUser { name } => format!("adopt user {name}"),
        Action::CreateUser(user) => {
            let home = if user.create_home { " create-home" } else { "" };
            format!("useradd {}{home}", user_change(user))
        }
        Action::ModifyUser(user) => format!("usermod {}", user_change(user)),
        Action::DeleteUser { name, remove_home } => {
            format!("userdel {name}{}", if *remove_home { " with home" } else { "" })
        }
        Action::SetPassword { account, hash } => format!("password {account:?} {hash}"),
        Action::Remove { path } => format!("remove {path}"),
        Action::MakeDirectory { path, access } => format!("mkdir {path} {}", show_access(access)),
        Action::WriteFile {
            path,
            base,
            contents,
            access,
        } => {
            let verb = match base {
                Base::Nothing => "write".to_owned(),
                Base::Existing => "append".to_owned(),
                Base::Start(length) => format!("append after {length}"),
            };
            format!("{verb} {path} {} {}", show_access(access), bytes(contents))
        }
        Action::SetAccess { path, access } => format!("access {path} {}", show_access(access)),
        Action::MakeSymlink { path, target, .. } => format!("symlink {path} -> {}", target.display()),
        Action::DisableUnit { entry } => format!("disable {entry:?}"),
        other => format!("{other:?}"),
    }
}

fn bytes(contents: &[Content]) -> String {
    contents
        .iter()
        .map(|content| match content {
            Content::Known { bytes, .. } => format!("{:?}", String::from_utf8_lossy(bytes.reveal())),
            Content::Remote { url, .. } => url.clone(),
        })
        .collect()
}

fn show_access(access: &Access) -> String {
    format!("{:04o} {}:{}", access.mode, access.user, access.group)
}

fn group_change(group: &GroupChange) -> String {
    let mut text = group.name.clone();
    if let Some(gid) = group.gid {
        write!(text, " gid={gid}").unwrap();
    }
    if group.system {
        text.push_str(" system");
    }
    text
}

fn user_change(user: &UserChange) -> String {
    let mut text = user.name.clone();
    if let Some(uid) = user.uid {
        write!(text, " uid={uid}").unwrap();
    }
    for (key, value) in [
        ("gecos", &user.gecos),
        ("home", &user.home),
        ("primary", &user.primary_group),
        ("shell", &user.shell),
    ] {
        if let Some(value) = value {
            write!(text, " {key}={value}").unwrap();
        }
    }
    if !user.groups.is_empty() {
        write!(text, " groups={}", user.groups.join(",")).unwrap();
    }
    for (flag, set) in [
        ("no-user-group", user.no_user_group),
        ("system", user.system),
        ("no-log-init", user.no_log_init),
    ] {
        if set {
            write!(text, " {flag}").unwrap();
        }
    }
    text
}
