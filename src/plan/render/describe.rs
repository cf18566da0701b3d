//! What a step is about and how it leaves that, in words.

use std::os::unix::ffi::OsStrExt as _;

use super::super::{Access, Action, Base, Content, GroupChange, HostFile, PasswordOf, UserChange};
use super::escape::{name, size, words};
use crate::view::{Owner, RootPath};

/// The columns of a step that come from its action.
pub(super) struct Description {
    /// What it is about: a path or an account
    pub(super) what: String,
    /// Mode and owner; may be empty
    pub(super) access: String,
    /// What it holds; may be empty
    pub(super) content: String,
}

/// What an action is about: `/etc/hostname`, `user core`, `password of user core`. Fit for a terminal.
///
/// Made for every step of a run, so nothing else is made on the way.
pub fn subject(action: &Action) -> String {
    match action {
        Action::FetchConfig { url, .. } => name(url.as_bytes()),
        Action::WriteHostFile { path, .. } => name(path.as_os_str().as_bytes()),
        Action::CreateGroup(change) | Action::ModifyGroup(change) => group(&change.name),
        Action::DeleteGroup { name } | Action::AdoptGroup { name } => group(name),
        Action::CreateUser(change) | Action::ModifyUser(change) => user(&change.name),
        Action::DeleteUser { name, .. } | Action::AdoptUser { name } => user(name),
        Action::SetPassword { account, hash: _ } => match account {
            PasswordOf::User(name) => format!("password of {}", user(name)),
            PasswordOf::Group(name) => format!("password of {}", group(name)),
        },
        Action::Remove { path }
        | Action::MakeDirectory { path, .. }
        | Action::WriteFile { path, .. }
        | Action::SetAccess { path, .. }
        | Action::MakeSymlink { path, .. }
        | Action::MakeHardLink { path, .. } => root_path(path),
        Action::DisableUnit { entry } => name(entry.as_bytes()),
        Action::Device(action) => name(action.subject().as_bytes()),
    }
}

pub(super) fn describe(action: &Action) -> Description {
    let none = String::new;
    let (access, content) = match action {
        Action::FetchConfig { url: _, hash } => (
            none(),
            hash.as_deref().map_or_else(|| String::from("no hash"), short),
        ),
        Action::WriteHostFile {
            file, bytes, mode, ..
        } => (
            octal(*mode),
            format!("{}, {}", host_file(*file), size(length(bytes.reveal()))),
        ),
        Action::CreateGroup(change) | Action::ModifyGroup(change) => (none(), group_parts(change)),
        Action::AdoptGroup { .. } | Action::AdoptUser { .. } => (none(), String::from(ADOPT)),
        Action::CreateUser(change) => (none(), user_parts(change, true)),
        Action::ModifyUser(change) => (none(), user_parts(change, false)),
        Action::DeleteUser {
            name: _, remove_home, ..
        } => (
            none(),
            String::from(if *remove_home {
                "with its home"
            } else {
                "its home stays"
            }),
        ),
        Action::DeleteGroup { .. } | Action::SetPassword { .. } | Action::Remove { .. } => (none(), none()),
        Action::MakeDirectory { access, .. } | Action::SetAccess { access, .. } => {
            (access_text(access), none())
        }
        Action::WriteFile {
            base,
            contents,
            access,
            ..
        } => (access_text(access), contents_text(*base, contents)),
        Action::MakeSymlink {
            target, user, group, ..
        } => (owners(user, group), format!("-> {}", name(target.as_bytes()))),
        Action::MakeHardLink { target, .. } => (none(), format!("hard link to {}", root_path(target))),
        Action::DisableUnit { .. } => (none(), String::from("systemctl disable")),
        Action::Device(action) => (none(), words(&action.details())),
    };
    Description {
        what: subject(action),
        access,
        content,
    }
}

const ADOPT: &str = "copied from the image's database";

fn host_file(file: HostFile) -> &'static str {
    match file {
        HostFile::Cache => "rendered config",
        HostFile::NeedNet => "asks for the network",
        HostFile::Origins => "where the config's parts come from",
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn root_path(path: &RootPath) -> String {
    name(path.as_os_str().as_bytes())
}

fn user(account: &str) -> String {
    format!("user {}", name(account.as_bytes()))
}

fn group(account: &str) -> String {
    format!("group {}", name(account.as_bytes()))
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

fn owners(user: &Owner, group: &Owner) -> String {
    format!("{}:{}", words(&user.to_string()), words(&group.to_string()))
}

fn access_text(access: &Access) -> String {
    format!("{} {}", octal(access.mode), owners(&access.user, &access.group))
}

/// Enough of a hash to tell it from others; the JSON form has all of it.
fn short(hash: &str) -> String {
    const SHOWN: usize = "sha512-".len() + 12;
    let hash = words(hash);
    if hash.chars().count() <= SHOWN {
        return hash;
    }
    hash.chars().take(SHOWN).chain("...".chars()).collect()
}

fn contents_text(base: Base, contents: &[Content]) -> String {
    let parts: Vec<_> = contents
        .iter()
        .map(|content| match content {
            Content::Known { size: bytes, .. } => size(*bytes),
            Content::Remote { url, hash, .. } => match hash {
                Some(hash) => format!("{} {}", name(url.as_bytes()), short(hash)),
                None => format!("{} (no hash)", name(url.as_bytes())),
            },
        })
        .collect();
    match (base, parts.is_empty()) {
        (Base::Nothing, true) => String::from("empty"),
        (Base::Nothing, false) => parts.join(" + "),
        (Base::Start(length), true) => format!("first {}", size(length)),
        (Base::Start(length), false) => format!("first {}, then {}", size(length), parts.join(" + ")),
        (Base::Existing, true) => String::from("as it is"),
        (Base::Existing, false) => format!("append {}", parts.join(" + ")),
    }
}

fn group_parts(change: &GroupChange) -> String {
    let mut parts = Vec::new();
    parts.extend(change.gid.map(|gid| format!("gid {gid}")));
    parts.extend(change.system.then(|| String::from("system")));
    parts.join(", ")
}

fn user_parts(change: &UserChange, new: bool) -> String {
    let named = |label: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!("{label} {}", name(value.as_bytes())))
    };
    let mut parts = Vec::new();
    parts.extend(change.uid.map(|uid| format!("uid {uid}")));
    parts.extend(named("group", &change.primary_group));
    if !change.groups.is_empty() {
        let groups: Vec<_> = change.groups.iter().map(|group| name(group.as_bytes())).collect();
        parts.push(format!("groups {}", groups.join(" ")));
    }
    parts.extend(named("home", &change.home));
    parts.extend(named("shell", &change.shell));
    parts.extend(named("comment", &change.gecos));
    if new {
        parts.extend((!change.create_home).then(|| String::from("no home created")));
        parts.extend(change.no_user_group.then(|| String::from("no group of its own")));
        parts.extend(change.system.then(|| String::from("system")));
        parts.extend(change.no_log_init.then(|| String::from("not in the login log")));
    }
    parts.join(", ")
}
