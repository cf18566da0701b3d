//! Groups, then users, then their passwords (spec/mount_files.md 5.1-5.3).
//!
//! What exists is compared field by field, and a tool runs only for what differs: `groupmod` is not in Flatcar's
//! initrd, and a second run must change nothing.

mod field;

use self::field::{check_field, check_hash, check_id, check_name};
use crate::config::types::{Passwd, PasswdGroup, PasswdUser};
use crate::plan::predict::has_private_groups;
use crate::plan::{Action, Base, Change, GroupChange, Lost, PasswordOf, Plan, Secret, UserChange};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError, Progress};
use crate::view::{Account, Group, Owner, RootPath, User, View};

use super::place::{At as _, root_access};
use super::planner::Planner;
use super::{Input, refuse};

/// What a locked account has in place of a hash.
const LOCKED: &str = "*";

/// `etc/passwd` is read whole where the question is not about one user.
const PASSWD_MAX: u64 = 16 << 20;

/// Advice about accounts that the tools cannot remove.
const IN_THE_IMAGE: &str = "leave out shouldExist: it is part of the image, whose own database is read-only";

/// Plans the accounts phase.
///
/// # Errors
///
/// Names, ids, fields and groups that could not be carried out, before anything is done about any account.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(view, input);
    let passwd = Pointer::root().key("passwd");
    make_databases(&mut planner, &input.config.passwd, &passwd)?;
    for (index, group) in input.config.passwd.groups.iter().enumerate() {
        plan_group(
            &mut planner,
            input.progress,
            group,
            &passwd.key("groups").index(index),
        )?;
    }
    for (index, user) in input.config.passwd.users.iter().enumerate() {
        plan_user(
            &mut planner,
            input.progress,
            user,
            &passwd.key("users").index(index),
        )?;
    }
    planner.finish(Phase::Accounts)
}

/// Begins the account files on a root that has none, such as an empty directory: the shadow tools fail without them, and
/// without a shadow file hashes would stand where everybody can read them.
fn make_databases(planner: &mut Planner<'_>, wanted: &Passwd, at: &Pointer) -> Result<(), PlanError> {
    let groups = wanted
        .groups
        .iter()
        .any(|group| group.should_exist != Some(false));
    let users = wanted.users.iter().any(|user| user.should_exist != Some(false));
    let public = planner.resolve(&RootPath::from("/etc/passwd"), at)?;
    if !(groups || users) || planner.node(&public, at)?.is_some() {
        return Ok(());
    }
    for (name, mode) in [
        ("passwd", 0o644),
        ("group", 0o644),
        ("shadow", 0o600),
        ("gshadow", 0o600),
    ] {
        let path = planner.resolve(&RootPath::from("/etc").join(name), at)?;
        if planner.node(&path, at)?.is_none() {
            planner.make_parents(&path, at)?;
            let action = Action::WriteFile {
                path,
                base: Base::Nothing,
                contents: Vec::new(),
                access: root_access(mode),
            };
            planner.push(action, Change::Create, at)?;
        }
    }
    Ok(())
}

fn plan_group(
    planner: &mut Planner<'_>,
    progress: &Progress,
    group: &PasswdGroup,
    at: &Pointer,
) -> Result<(), PlanError> {
    let name = &group.name;
    check_name(name, &at.key("name"))?;
    let gid = check_id(group.gid, &at.key("gid"))?;
    let hash = check_hash(group.password_hash.as_ref(), &at.key("passwordHash"))?;
    let mut found = planner.view().group(name).at(at)?;
    if group.should_exist == Some(false) {
        return delete_group(planner, name, found.as_ref(), &at.key("shouldExist"));
    }
    if found.as_ref().is_some_and(|found| found.local) && progress.groups_begun.contains(name) {
        let lost = half_made("group");
        planner.push(
            Action::DeleteGroup { name: name.clone() },
            Change::Delete { lost },
            at,
        )?;
        found = None;
    }
    let bare = GroupChange {
        name: name.clone(),
        ..GroupChange::default()
    };
    match (&found, gid) {
        (None, gid) => {
            let system = group.system == Some(true);
            let change = GroupChange { gid, system, ..bare };
            planner.push(Action::CreateGroup(change), Change::Create, at)?;
        }
        (Some(found), Some(wanted)) if found.gid != Owner::Id(wanted) => {
            adopt_group(planner, found, at)?;
            let what = format!("gid {} to {wanted}", found.gid);
            let change = GroupChange { gid, ..bare };
            planner.push(Action::ModifyGroup(change), Change::Modify { what }, at)?;
        }
        (Some(found), _) => {
            let reason = format!("exists with gid {}", found.gid);
            planner.push(Action::ModifyGroup(bare), Change::Keep { reason }, at)?;
        }
    }
    match hash {
        Some(hash) if !hash.is_empty() => {
            let at = &at.key("passwordHash");
            if !planner.view().has_password(Account::Group(name), hash).at(at)?
                && let Some(group) = planner.view().group(name).at(at)?
            {
                adopt_group(planner, &group, at)?;
            }
            set_password(planner, PasswordOf::Group(name.clone()), hash, at)
        }
        _ => Ok(()),
    }
}

fn delete_group(
    planner: &mut Planner<'_>,
    name: &str,
    found: Option<&Group>,
    at: &Pointer,
) -> Result<(), PlanError> {
    if let Some(user) = found.map_or(Ok(None), |group| primary_of(planner, group, at))? {
        return Err(refuse(
            at.clone(),
            format!("{name} is the primary group of {user}, and groupdel does not remove such a group"),
            "leave this entry out: a user's own group goes with the user",
        ));
    }
    let change = match found {
        None => Change::Keep {
            reason: "there is no such group".to_owned(),
        },
        Some(group) if !group.local => {
            return Err(refuse(
                at.clone(),
                format!("the group {name} cannot be removed"),
                IN_THE_IMAGE,
            ));
        }
        Some(group) => Change::Delete {
            lost: Lost {
                what: match group.members.len() {
                    0 => format!("group with gid {}", group.gid),
                    members => format!("group with gid {} and {members} members", group.gid),
                },
                trivial: group.members.is_empty(),
            },
        },
    };
    planner.push(
        Action::DeleteGroup {
            name: name.to_owned(),
        },
        change,
        at,
    )
}

/// A user in `etc/passwd` whose primary group this is.
fn primary_of(planner: &Planner<'_>, group: &Group, at: &Pointer) -> Result<Option<String>, PlanError> {
    let path = planner.follow(&RootPath::from("/etc/passwd"), at)?;
    let bytes = planner.view().read(&path, PASSWD_MAX).at(at)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(2)?);
        (gid.parse().map(Owner::Id) == Ok(group.gid.clone())).then(|| name.to_owned())
    }))
}

fn plan_user(
    planner: &mut Planner<'_>,
    progress: &Progress,
    user: &PasswdUser,
    at: &Pointer,
) -> Result<(), PlanError> {
    let name = &user.name;
    check_name(name, &at.key("name"))?;
    let mut found = planner.view().user(name).at(at)?;
    if user.should_exist == Some(false) {
        return delete_user(planner, name, found.as_ref(), &at.key("shouldExist"));
    }
    let wanted = Wanted::check(planner.view(), user, at)?;
    let hash = check_hash(user.password_hash.as_ref(), &at.key("passwordHash"))?;
    if found.as_ref().is_some_and(|found| found.local) && progress.begun_user(name) {
        // Its home stays: what is in it may be older than the account.
        let action = Action::DeleteUser {
            name: name.clone(),
            remove_home: false,
        };
        let lost = half_made("user");
        planner.push(action, Change::Delete { lost }, at)?;
        found = None;
    }
    let Some(found) = found else {
        create_user(planner, user, &wanted, at)?;
        // useradd has locked it already.
        let hash = hash.filter(|hash| !matches!(*hash, "" | LOCKED));
        let account = PasswordOf::User(name.clone());
        return hash.map_or(Ok(()), |hash| {
            set_password(planner, account, hash, &at.key("passwordHash"))
        });
    };
    modify_user(planner, &found, &wanted, at)?;
    let Some(hash) = hash else { return Ok(()) };
    let at = &at.key("passwordHash");
    let hash = if hash.is_empty() { LOCKED } else { hash };
    if !planner.view().has_password(Account::User(name), hash).at(at)? {
        adopt_user(planner, name, at)?;
    }
    set_password(planner, PasswordOf::User(name.clone()), hash, at)
}

fn delete_user(
    planner: &mut Planner<'_>,
    name: &str,
    found: Option<&User>,
    at: &Pointer,
) -> Result<(), PlanError> {
    let change = match found {
        None => Change::Keep {
            reason: "there is no such user".to_owned(),
        },
        Some(user) if !user.local => {
            return Err(refuse(
                at.clone(),
                format!("the user {name} cannot be removed"),
                IN_THE_IMAGE,
            ));
        }
        Some(user) => Change::Delete {
            lost: Lost {
                what: format!("user with uid {}, its home {} and its mail", user.uid, user.home),
                trivial: false,
            },
        },
    };
    if let Some(user) = found {
        check_old_home(planner, user, at)?;
    }
    let action = Action::DeleteUser {
        name: name.to_owned(),
        remove_home: true,
    };
    planner.push(action, change, at)
}

/// userdel removes the user before it finds that the home is somebody else's, and a second run would find nothing to do.
fn check_old_home(planner: &Planner<'_>, user: &User, at: &Pointer) -> Result<(), PlanError> {
    let home = planner.follow(&RootPath::clean(&user.home), at)?;
    match planner.node(&home, at)? {
        Some(node) if node.user != user.uid => Err(refuse(
            at.clone(),
            format!(
                "{home}, the home of {}, belongs to {}, and userdel would not remove it",
                user.name, node.user
            ),
            "remove it or give it to the user first",
        )),
        _ => Ok(()),
    }
}

/// What the config asks of a user, checked; empty strings ask for nothing.
struct Wanted<'a> {
    uid: Option<u32>,
    gecos: Option<&'a str>,
    home: Option<&'a str>,
    shell: Option<&'a str>,
    primary_group: Option<&'a str>,
    groups: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn check(view: &dyn View, user: &'a PasswdUser, at: &Pointer) -> Result<Self, PlanError> {
        let text = |value: &'a Option<String>, key: &'static str| {
            let value = value.as_deref().filter(|value| !value.is_empty());
            value.map_or(Ok(None), |value| {
                check_field(value, &at.key(key)).map(|()| Some(value))
            })
        };
        let home = text(&user.home_dir, "homeDir")?;
        if home.is_some_and(|home| !home.starts_with('/')) {
            return Err(refuse(
                at.key("homeDir"),
                "a home directory must be an absolute path",
                "begin it with a slash",
            ));
        }
        let primary_group = text(&user.primary_group, "primaryGroup")?;
        if let Some(group) = primary_group {
            check_group(view, group, &at.key("primaryGroup"))?;
        }
        let mut groups = Vec::new();
        for (index, entry) in user.groups.iter().enumerate() {
            // The tools take one list with commas, so an entry with commas has always meant several groups.
            for group in entry.split(',') {
                check_group(view, group, &at.key("groups").index(index))?;
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        Ok(Self {
            uid: check_id(user.uid, &at.key("uid"))?,
            gecos: text(&user.gecos, "gecos")?,
            home,
            shell: text(&user.shell, "shell")?,
            primary_group,
            groups,
        })
    }

    /// Copies every group that the tools must see and do not.
    fn adopt_groups(&self, planner: &mut Planner<'_>, at: &Pointer) -> Result<(), PlanError> {
        for name in self.primary_group.iter().chain(&self.groups) {
            if let Some(group) = planner.view().group(name).at(at)? {
                adopt_group(planner, &group, at)?;
            }
        }
        Ok(())
    }
}

fn create_user(
    planner: &mut Planner<'_>,
    user: &PasswdUser,
    wanted: &Wanted<'_>,
    at: &Pointer,
) -> Result<(), PlanError> {
    let name = &user.name;
    let no_user_group = user.no_user_group == Some(true);
    // useradd fails on this with nothing but exit code 9.
    if wanted.primary_group.is_none()
        && !no_user_group
        && planner.view().group(name).at(at)?.is_some()
        && has_private_groups(planner.view()).at(at)?
    {
        return Err(refuse(
            at.key("name"),
            format!("the group {name} exists already, so the user {name} cannot get a group of its own"),
            format!("set primaryGroup to {name:?}, or noUserGroup to true"),
        ));
    }
    wanted.adopt_groups(planner, at)?;
    let change = UserChange {
        name: name.clone(),
        uid: wanted.uid,
        gecos: wanted.gecos.map(str::to_owned),
        home: wanted.home.map(str::to_owned),
        primary_group: wanted.primary_group.map(str::to_owned),
        groups: wanted.groups.iter().map(|&group| group.to_owned()).collect(),
        shell: wanted.shell.map(str::to_owned),
        create_home: user.no_create_home != Some(true),
        no_user_group,
        system: user.system == Some(true),
        no_log_init: user.no_log_init == Some(true),
    };
    planner.push(Action::CreateUser(change), Change::Create, at)
}

fn modify_user(
    planner: &mut Planner<'_>,
    found: &User,
    wanted: &Wanted<'_>,
    at: &Pointer,
) -> Result<(), PlanError> {
    let mut change = UserChange {
        name: found.name.clone(),
        ..UserChange::default()
    };
    let mut what = Vec::new();
    if let Some(uid) = wanted.uid.filter(|uid| found.uid != Owner::Id(*uid)) {
        change.uid = Some(uid);
        what.push(format!("uid {} to {uid}", found.uid));
    }
    if let Some(gecos) = wanted.gecos.filter(|gecos| found.gecos != **gecos) {
        change.gecos = Some(gecos.to_owned());
        what.push("comment".to_owned());
    }
    if let Some(home) = wanted
        .home
        .filter(|home| same_home(home) != same_home(&found.home))
    {
        check_new_home(planner, home, &at.key("homeDir"))?;
        change.home = Some(home.to_owned());
        what.push(format!("home {} moves to {home}", found.home));
    }
    if let Some(shell) = wanted.shell.filter(|shell| found.shell != **shell) {
        change.shell = Some(shell.to_owned());
        what.push(format!("shell {} to {shell}", found.shell));
    }
    if let Some(group) = wanted.primary_group
        && group_id(planner.view(), group, at)? != Some(found.gid.clone())
    {
        change.primary_group = Some(group.to_owned());
        what.push(format!("primary group {} to {group}", found.gid));
    }
    if let Some(moves) = memberships(planner.view(), found, &wanted.groups, at)? {
        change.groups = wanted.groups.iter().map(|&group| group.to_owned()).collect();
        what.push(moves);
    }
    if what.is_empty() {
        let reason = format!("exists with uid {}, as the config wants it", found.uid);
        return planner.push(Action::ModifyUser(change), Change::Keep { reason }, at);
    }
    let needed = Wanted {
        uid: None,
        gecos: None,
        home: None,
        shell: None,
        primary_group: wanted.primary_group.filter(|_| change.primary_group.is_some()),
        groups: change.groups.iter().map(String::as_str).collect(),
    };
    needed.adopt_groups(planner, at)?;
    adopt_user(planner, &found.name, at)?;
    let what = what.join(", ");
    planner.push(Action::ModifyUser(change), Change::Modify { what }, at)
}

/// usermod notes the new home in `etc/passwd` before it finds that it cannot move the old one there, and a second run
/// would take the user for finished.
fn check_new_home(planner: &Planner<'_>, home: &str, at: &Pointer) -> Result<(), PlanError> {
    let path = planner.follow(&RootPath::clean(home), at)?;
    if planner.node(&path, at)?.is_none() {
        return Ok(());
    }
    Err(refuse(
        at.clone(),
        format!("{home} is there already, so the user's home cannot be moved to it"),
        "remove it, or leave out homeDir",
    ))
}

/// What `usermod --groups` would change, in words; `None` if nothing. The list replaces the memberships that there are.
fn memberships(
    view: &dyn View,
    found: &User,
    wanted: &[&str],
    at: &Pointer,
) -> Result<Option<String>, PlanError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut leaves = Vec::new();
    let mut matched = Vec::new();
    for name in &found.groups {
        let group = view.group(name).at(at)?;
        let by_id = |entry: &&&str| {
            group
                .as_ref()
                .is_some_and(|group| entry.parse().map(Owner::Id).is_ok_and(|id| id == group.gid))
        };
        if let Some(entry) = wanted
            .iter()
            .find(|entry| **entry == name)
            .or_else(|| wanted.iter().find(by_id))
        {
            matched.push(*entry);
        // No tool can take a user out of a group of the image's own database.
        } else if group.is_none_or(|group| group.local) {
            leaves.push(name.as_str());
        }
    }
    let joins: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|entry| !matched.contains(entry))
        .collect();
    let mut parts = Vec::new();
    if !joins.is_empty() {
        parts.push(format!("joins {}", joins.join(" and ")));
    }
    if !leaves.is_empty() {
        parts.push(format!("leaves {}", leaves.join(" and ")));
    }
    Ok((!parts.is_empty()).then(|| parts.join(", ")))
}

/// Copies a group from the image's own database into `etc/group`, which is all that the shadow tools see.
fn adopt_group(planner: &mut Planner<'_>, group: &Group, at: &Pointer) -> Result<(), PlanError> {
    if group.local {
        return Ok(());
    }
    let name = group.name.clone();
    let what = "copied from the image to etc/group, where the tools see it".to_owned();
    planner.push(Action::AdoptGroup { name }, Change::Modify { what }, at)
}

/// Likewise for a user.
fn adopt_user(planner: &mut Planner<'_>, name: &str, at: &Pointer) -> Result<(), PlanError> {
    if planner.view().user(name).at(at)?.is_none_or(|user| user.local) {
        return Ok(());
    }
    let name = name.to_owned();
    let what = "copied from the image to etc/passwd, where the tools see it".to_owned();
    planner.push(Action::AdoptUser { name }, Change::Modify { what }, at)
}

fn set_password(
    planner: &mut Planner<'_>,
    account: PasswordOf,
    hash: &str,
    at: &Pointer,
) -> Result<(), PlanError> {
    let whose = match &account {
        PasswordOf::User(name) => Account::User(name),
        PasswordOf::Group(name) => Account::Group(name),
    };
    let change = if planner.view().has_password(whose, hash).at(at)? {
        Change::Keep {
            reason: "the password is set already".to_owned(),
        }
    } else if hash == LOCKED {
        Change::Modify {
            what: "password locked".to_owned(),
        }
    } else {
        Change::Modify {
            what: "password".to_owned(),
        }
    };
    let action = Action::SetPassword {
        account,
        hash: Secret::new(hash.to_owned()),
    };
    planner.push(action, change, at)
}

fn half_made(kind: &str) -> Lost {
    Lost {
        what: format!("{kind} that an interrupted run left half-made"),
        trivial: true,
    }
}

/// Two spellings of a home that the tools take for the same.
fn same_home(home: &str) -> &str {
    home.trim_end_matches('/')
}

/// The gid that a group's name or number stands for, as the tools read it.
fn group_id(view: &dyn View, name: &str, at: &Pointer) -> Result<Option<Owner>, PlanError> {
    let group = view.group(name).at(at)?;
    Ok(group.map_or_else(|| name.parse().ok().map(Owner::Id), |group| Some(group.gid)))
}

fn check_group(view: &dyn View, name: &str, at: &Pointer) -> Result<(), PlanError> {
    check_name(name, at)?;
    // A number is a gid, which only the tools can look up.
    if name.bytes().all(|byte| byte.is_ascii_digit()) || view.group(name).at(at)?.is_some() {
        return Ok(());
    }
    Err(refuse(
        at.clone(),
        format!("there is no group {name:?} in the root, and no earlier entry creates it"),
        "correct the name, or add the group to passwd.groups",
    ))
}

#[cfg(test)]
mod tests;
