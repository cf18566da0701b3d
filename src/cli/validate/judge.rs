//! The verdict on one config: what the parser says, and what `--strict` makes of it. Pure.

use std::collections::BTreeSet;

use crate::cli::Input;
use crate::config::schema::{self, Kind, Shape};
use crate::config::types::Config;
use crate::config::version::{Declared, Version};
use crate::config::{self, ParseError};
use crate::json::Document;
use crate::report::{Element, Entry, Pointer, Position, Report, Severity};
use crate::spelling::nearest;
use crate::view::{View, ViewError};

/// One thing that is to be said about a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad, where, what
    pub entry: Entry,
    /// What was probably meant, fit to be written in its place
    pub suggestion: Option<String>,
}

/// What is to be said about a config.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Which config
    pub input: Input,
    /// Its bytes, for excerpts; may hold secrets
    pub(super) text: Vec<u8>,
    /// The spec that it declares, if that can be read
    pub version: Option<Version>,
    /// In the order of upstream's reports; those of `--strict` last
    pub findings: Vec<Finding>,
    /// Whether the findings are a report about a config; else they say why there is no config
    pub is_report: bool,
}

impl Verdict {
    /// Whether a machine would take this config, under the rules that were asked for.
    pub fn is_accepted(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.entry.severity != Severity::Error)
    }

    /// The verdict on something that could not be read.
    pub fn unreadable(input: Input, why: &std::io::Error) -> Self {
        let entry = Entry {
            severity: Severity::Error,
            pointer: Pointer::root(),
            position: None,
            message: format!("cannot read the config: {why}"),
        };
        Self {
            input,
            text: Vec::new(),
            version: None,
            findings: vec![Finding {
                entry,
                suggestion: None,
            }],
            is_report: false,
        }
    }
}

/// How much is asked of a config.
#[derive(Clone, Copy)]
pub enum Rules<'v> {
    /// What a machine asks
    Machine,
    /// Unknown keys are errors
    Strict,
    /// And so are names of accounts that neither the config nor this system defines
    StrictFor(&'v dyn View),
}

/// Judges a config.
pub fn judge(input: Input, text: Vec<u8>, rules: Rules<'_>) -> Result<Verdict, ViewError> {
    let parsed = config::parse(&text);
    let version = match &parsed {
        Ok(parsed) => Some(parsed.version),
        Err(_) => declared_version(&text),
    };
    let (report, is_report) = match &parsed {
        Ok(parsed) => (parsed.report.clone(), true),
        Err(ParseError::Invalid { report }) => (report.clone(), true),
        Err(error) => (no_config(error), false),
    };
    let mut findings: Vec<Finding> = report
        .entries
        .into_iter()
        .map(|entry| match version {
            Some(version) => unknown_key(entry, version, !matches!(rules, Rules::Machine)),
            None => Finding {
                entry,
                suggestion: None,
            },
        })
        .collect();
    if let (Rules::StrictFor(view), Ok(parsed)) = (rules, &parsed) {
        findings.extend(undefined_names(&parsed.config, view, &text)?);
    }
    Ok(Verdict {
        input,
        text,
        version,
        findings,
        is_report,
    })
}

/// Why there is no config, as a report of one entry.
fn no_config(error: &ParseError) -> Report {
    let mut report = Report::default();
    report.add(Severity::Error, Pointer::root(), error.to_string());
    for entry in &mut report.entries {
        entry.position = error.position();
    }
    report
}

/// The version of a config that was refused.
fn declared_version(text: &[u8]) -> Option<Version> {
    let document = Document::parse(text).ok()?;
    let version = document.root().get("ignition")?.get("version")?;
    match Version::declared(&version.as_str()?) {
        Declared::Known(version) => Some(version),
        Declared::Unknown { .. } | Declared::Unreadable => None,
    }
}

/// Which key was probably meant by an unknown one. Under strict rules it is an error.
fn unknown_key(mut entry: Entry, version: Version, is_strict: bool) -> Finding {
    if !config::is_unused_key(&entry) {
        return Finding {
            entry,
            suggestion: None,
        };
    }
    if is_strict {
        entry.severity = Severity::Error;
    }
    Finding {
        suggestion: meant(&entry.pointer, version).map(str::to_owned),
        entry,
    }
}

fn meant(pointer: &Pointer, version: Version) -> Option<&'static str> {
    let (Element::Key(key), above) = pointer.0.split_last()? else {
        return None;
    };
    let shape = shape_at(above, version)?;
    // A key of a newer spec is spelt right.
    if shape.fields.iter().any(|field| field.name == *key) {
        return None;
    }
    nearest(key, shape.fields_of(version).map(|field| field.name))
}

/// The shape of the object at a place.
fn shape_at(place: &[Element], version: Version) -> Option<&'static Shape> {
    let mut shape = &schema::CONFIG;
    let mut elements = place.iter();
    while let Some(element) = elements.next() {
        let Element::Key(key) = element else { return None };
        let (_, field) = shape.field(version, key)?;
        shape = match field.kind {
            Kind::Object(below) => below,
            Kind::Objects(below, _) => match elements.next() {
                Some(Element::Index(_)) => below,
                Some(Element::Key(_)) | None => return None,
            },
            Kind::Text | Kind::Flag | Kind::Integer | Kind::Texts(_) => return None,
        };
    }
    Some(shape)
}

/// Errors about names of users and groups that neither the config nor the system defines.
fn undefined_names(config: &Config, view: &dyn View, text: &[u8]) -> Result<Vec<Finding>, ViewError> {
    let mut names = Names::of(config);
    let storage = Pointer::root().key("storage");
    let mut used = Vec::new();
    let nodes = [
        (
            "directories",
            config
                .storage
                .directories
                .iter()
                .map(|node| (&node.user, &node.group))
                .collect::<Vec<_>>(),
        ),
        (
            "files",
            config
                .storage
                .files
                .iter()
                .map(|node| (&node.user, &node.group))
                .collect(),
        ),
        (
            "links",
            config
                .storage
                .links
                .iter()
                .map(|node| (&node.user, &node.group))
                .collect(),
        ),
    ];
    for (list, owners) in nodes {
        for (index, (user, group)) in owners.into_iter().enumerate() {
            let place = storage.key(list).index(index);
            if let Some(name) = user.name.as_deref() {
                used.push((Account::User, name, place.key("user").key("name")));
            }
            if let Some(name) = group.name.as_deref() {
                used.push((Account::Group, name, place.key("group").key("name")));
            }
        }
    }
    for (index, user) in config.passwd.users.iter().enumerate() {
        let place = Pointer::root().key("passwd").key("users").index(index);
        if let Some(name) = user.primary_group.as_deref() {
            used.push((Account::Group, name, place.key("primaryGroup")));
        }
        for (position, name) in user.groups.iter().enumerate() {
            used.push((Account::Group, name, place.key("groups").index(position)));
        }
    }

    let document = Document::parse(text).ok();
    let mut findings = Vec::new();
    for (account, name, pointer) in used {
        if name.is_empty() || names.defines(account, name, view)? {
            continue;
        }
        let known = match account {
            Account::User => &names.users,
            Account::Group => &names.groups,
        };
        let meant = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let advice = meant
            .as_ref()
            .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        findings.push(Finding {
            entry: Entry {
                severity: Severity::Error,
                position: document.as_ref().map(|document| place(document, &pointer)),
                pointer,
                message: format!(
                    "{} {name} is defined neither by the config nor by the system{advice}",
                    account.word()
                ),
            },
            suggestion: meant,
        });
    }
    Ok(findings)
}

fn place(document: &Document<'_>, pointer: &Pointer) -> Position {
    document.lines().position(
        config::locate::Locator::new(document.root())
            .deepest(pointer)
            .report_offset(),
    )
}

#[derive(Clone, Copy)]
enum Account {
    User,
    Group,
}

impl Account {
    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// Names that exist when files are written.
struct Names {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
    removed_users: BTreeSet<String>,
    removed_groups: BTreeSet<String>,
}

impl Names {
    fn of(config: &Config) -> Self {
        let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
        let (mut removed_users, mut removed_groups) = (BTreeSet::new(), BTreeSet::new());
        for user in &config.passwd.users {
            if user.should_exist == Some(false) {
                removed_users.insert(user.name.clone());
                continue;
            }
            users.insert(user.name.clone());
            // useradd makes a group of the user's name, unless it is told about groups.
            if user.no_user_group != Some(true) && user.primary_group.is_none() {
                groups.insert(user.name.clone());
            }
        }
        for group in &config.passwd.groups {
            let list = if group.should_exist == Some(false) {
                &mut removed_groups
            } else {
                &mut groups
            };
            list.insert(group.name.clone());
        }
        Self {
            users,
            groups,
            removed_users,
            removed_groups,
        }
    }

    /// Whether a name is defined; what the system answers is remembered for suggestions.
    fn defines(&mut self, account: Account, name: &str, view: &dyn View) -> Result<bool, ViewError> {
        let (known, removed) = match account {
            Account::User => (&mut self.users, &self.removed_users),
            Account::Group => (&mut self.groups, &self.removed_groups),
        };
        if known.contains(name) {
            return Ok(true);
        }
        let is_there = match account {
            Account::User => view.user(name)?.is_some(),
            Account::Group => view.group(name)?.is_some(),
        };
        if is_there && !removed.contains(name) {
            known.insert(name.to_owned());
            return Ok(true);
        }
        Ok(false)
    }
}
