//! What a step's effect is, laid over a view.
//!
//! Planners use this to see their own earlier steps, a dry run to see all steps before. *Predict equals probe*: after
//! a real run, the machine is what was predicted, save for bytes that were not known.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Access, Action, Base, Change, Content, GroupChange, PasswordOf, Step, UserChange};
use crate::view::{
    Account, Digest, FileDigest, Group, Node, NodeKind, Overlay, Owner, RootPath, User, View, ViewError,
};

/// Files up to this size are composed in memory, so that later steps can see their bytes.
const COMPOSE_MAX: u64 = 1 << 20;

/// Lays the effect of a step over the view. Kept steps have none; unknown ones leave devices of which nothing else is known.
pub fn predict(step: &Step, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    match (&step.change, &step.action) {
        (Change::Unknown { .. }, Action::Device(action)) => return action.predict_unknown(overlay),
        (Change::Keep { .. } | Change::Unknown { .. }, _) => return Ok(()),
        (Change::Create | Change::Modify { .. } | Change::Replace { .. } | Change::Delete { .. }, _) => {}
    }
    match &step.action {
        // Outside the root: no view asks for it.
        Action::FetchConfig { .. } | Action::WriteHostFile { .. } => {}
        Action::CreateGroup(group) => create_group(group, overlay),
        Action::ModifyGroup(group) => {
            if let (Some(mut found), Some(gid)) = (overlay.group(&group.name)?, group.gid) {
                found.gid = Owner::Id(gid);
                overlay.put_group(&group.name, Some(found));
            }
        }
        Action::DeleteGroup { name } => overlay.put_group(name, None),
        Action::AdoptGroup { name } => {
            if let Some(mut group) = overlay.group(name)? {
                group.local = true;
                overlay.put_group(name, Some(group));
            }
        }
        Action::AdoptUser { name } => {
            if let Some(mut user) = overlay.user(name)? {
                user.local = true;
                overlay.put_user(name, Some(user));
            }
        }
        Action::CreateUser(user) => create_user(user, overlay)?,
        Action::ModifyUser(user) => modify_user(user, overlay)?,
        Action::DeleteUser { name, remove_home } => delete_user(name, *remove_home, overlay)?,
        Action::SetPassword { account, hash } => match account {
            PasswordOf::User(name) => overlay.put_password(Account::User(name), hash.reveal()),
            PasswordOf::Group(name) => overlay.put_password(Account::Group(name), hash.reveal()),
        },
        Action::Remove { path } => overlay.remove(path),
        Action::MakeDirectory { path, access } => {
            let inode = overlay.new_inode();
            let mut node = Node::directory(access.mode, inode);
            set_access(&mut node, access);
            overlay.put(path, node, FileDigest::Unknown, None);
        }
        Action::WriteFile {
            path,
            base,
            contents,
            access,
        } => write_file(path, *base, contents, access, overlay)?,
        Action::SetAccess { path, access } => overlay.update(path, |node| set_access(node, access))?,
        Action::MakeSymlink {
            path,
            target,
            user,
            group,
        } => {
            let inode = overlay.new_inode();
            let kind = NodeKind::Symlink {
                target: target.clone(),
            };
            let node = Node {
                kind,
                mode: 0o777,
                user: user.clone(),
                group: group.clone(),
                inode,
            };
            overlay.put(path, node, FileDigest::Unknown, None);
        }
        Action::MakeHardLink { path, target } => {
            if let Some(node) = overlay.node(target)? {
                let digest = if node.is_file() {
                    overlay.digest(target)?
                } else {
                    FileDigest::Unknown
                };
                overlay.put(path, node, digest, None);
            }
        }
        Action::DisableUnit { entry } => overlay.put_disabled(entry),
        Action::Device(action) => action.predict(overlay)?,
    }
    Ok(())
}

fn set_access(node: &mut Node, access: &Access) {
    node.user = access.user.clone();
    node.group = access.group.clone();
    node.mode = access.mode;
}

fn write_file(
    path: &RootPath,
    base: Base,
    contents: &[Content],
    access: &Access,
    overlay: &mut Overlay<'_>,
) -> Result<(), ViewError> {
    let before = match base {
        Base::Nothing => Some(Vec::new()),
        Base::Existing => match overlay.node(path)? {
            Some(_) => overlay.read(path, COMPOSE_MAX)?,
            None => Some(Vec::new()),
        },
        Base::Start(length) => overlay.read(path, COMPOSE_MAX)?.map(|mut bytes| {
            bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
            bytes
        }),
    };
    let (size, digest, bytes) = match (before, contents) {
        // The common case, without a copy.
        (Some(before), [Content::Known { bytes, size, sha512 }]) if before.is_empty() => (
            Some(*size),
            FileDigest::Known(*sha512),
            Some(Arc::clone(bytes.reveal())),
        ),
        (Some(mut whole), contents) => {
            let mut known = true;
            for content in contents {
                match content {
                    Content::Known { bytes, .. } => whole.extend_from_slice(bytes.reveal()),
                    Content::Remote { .. } => known = false,
                }
            }
            if known {
                let size = u64::try_from(whole.len()).ok();
                (
                    size,
                    FileDigest::Known(Digest::of(&whole)),
                    Some(Arc::from(whole)),
                )
            } else {
                (None, FileDigest::Unknown, None)
            }
        }
        (None, _) => (None, FileDigest::Unknown, None),
    };
    let inode = overlay.new_inode();
    let mut node = Node {
        kind: NodeKind::File { size },
        mode: 0,
        user: Owner::ROOT,
        group: Owner::ROOT,
        inode,
    };
    set_access(&mut node, access);
    overlay.put(path, node, digest, bytes);
    Ok(())
}

fn create_group(group: &GroupChange, overlay: &mut Overlay<'_>) {
    let gid = group
        .gid
        .map_or_else(|| Owner::Account(group.name.clone()), Owner::Id);
    overlay.put_group(
        &group.name,
        Some(Group {
            name: group.name.clone(),
            gid,
            members: Vec::new(),
            local: true,
        }),
    );
    // What a group of this name had before does not count: it may have been made anew.
    overlay.put_password(Account::Group(&group.name), "!");
}

fn create_user(user: &UserChange, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    let uid = user
        .uid
        .map_or_else(|| Owner::Account(user.name.clone()), Owner::Id);
    let gid = match &user.primary_group {
        Some(name) => group_id(name, overlay)?,
        None if user.no_user_group || !has_private_groups(overlay)? => default_group(overlay)?,
        None => {
            // useradd gives the private group the uid as gid if that is free, so it is known only afterwards.
            let gid = Owner::Account(user.name.clone());
            let group = Group {
                name: user.name.clone(),
                gid: gid.clone(),
                members: Vec::new(),
                local: true,
            };
            overlay.put_group(&user.name, Some(group));
            gid
        }
    };
    let home = match &user.home {
        Some(home) => home.clone(),
        None => format!("{}/{}", overlay.default_home()?.trim_end_matches('/'), user.name),
    };
    join_groups(&user.name, &user.groups, overlay)?;
    let mut groups = user.groups.clone();
    groups.sort();
    groups.dedup();
    let made = User {
        name: user.name.clone(),
        uid: uid.clone(),
        gid: gid.clone(),
        gecos: user.gecos.clone().unwrap_or_default(),
        home: home.clone(),
        shell: match &user.shell {
            Some(shell) => shell.clone(),
            None => setting(overlay, "/etc/default/useradd", "SHELL", '=')?
                .unwrap_or_else(|| "/bin/bash".to_owned()),
        },
        groups,
        local: true,
    };
    overlay.put_user(&user.name, Some(made));
    // It is made locked (`--password '*'`).
    overlay.put_password(Account::User(&user.name), "*");
    if user.create_home {
        make_home(&RootPath::from(home.as_str()), &uid, &gid, overlay)?;
    }
    Ok(())
}

/// The home directory as useradd makes it: mode by `login.defs`, contents by the skeleton directory.
fn make_home(home: &RootPath, uid: &Owner, gid: &Owner, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    // useradd will fail on a circle of links, and say so.
    let Some(home) = place(home, overlay)? else {
        return Ok(());
    };
    if overlay.node(&home)?.is_some() {
        return Ok(());
    }
    make_ancestors(&home, overlay)?;
    let mode = home_mode(overlay)?;
    let inode = overlay.new_inode();
    let mut node = Node::directory(mode, inode);
    node.user = uid.clone();
    node.group = gid.clone();
    overlay.put(&home, node, FileDigest::Unknown, None);
    let skeleton =
        setting(overlay, "/etc/default/useradd", "SKEL", '=')?.unwrap_or_else(|| "/etc/skel".to_owned());
    let mut todo = VecDeque::from([(RootPath::from(skeleton.as_str()), home)]);
    while let Some((from, to)) = todo.pop_front() {
        if !overlay.node(&from)?.is_some_and(|node| node.is_directory()) {
            continue;
        }
        for name in overlay.list(&from)? {
            let (from, to) = (from.join(&name), to.join(&name));
            let Some(mut node) = overlay.node(&from)? else {
                continue;
            };
            node.inode = overlay.new_inode();
            node.user = uid.clone();
            node.group = gid.clone();
            let digest = if node.is_file() {
                overlay.digest(&from)?
            } else {
                FileDigest::Unknown
            };
            if node.is_directory() {
                todo.push_back((from, to.clone()));
            }
            overlay.put(&to, node, digest, None);
        }
    }
    Ok(())
}

/// Where a home stands, the links above it followed; `None` if they lead in a circle.
fn place(home: &RootPath, view: &dyn View) -> Result<Option<RootPath>, ViewError> {
    match crate::view::resolve(view, home) {
        Ok(home) => Ok(Some(home)),
        Err(crate::view::ResolveError::View(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The missing directories above a home: useradd makes them for root, 0755 (create_home in shadow's useradd.c).
fn make_ancestors(home: &RootPath, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    let mut missing = home.parent();
    while let Some(here) = missing {
        if overlay.node(&here)?.is_some() {
            return Ok(());
        }
        let node = Node::directory(0o755, overlay.new_inode());
        overlay.put(&here, node, FileDigest::Unknown, None);
        missing = here.parent();
    }
    Ok(())
}

/// `HOME_MODE` of login.defs, else 0777 without its `UMASK`, else 0755 (useradd(8), login.defs(5)).
fn home_mode(view: &dyn View) -> Result<u32, ViewError> {
    let octal = |text: String| u32::from_str_radix(text.trim_start_matches('0'), 8).ok();
    if let Some(mode) = setting(view, "/etc/login.defs", "HOME_MODE", ' ')?.and_then(octal) {
        return Ok(mode & 0o7777);
    }
    let umask = setting(view, "/etc/login.defs", "UMASK", ' ')?
        .and_then(octal)
        .unwrap_or(0o022);
    Ok(0o777 & !umask)
}

/// The last setting of a name in a file of `NAME=value` or `NAME value` lines.
fn setting(view: &dyn View, path: &str, name: &str, separator: char) -> Result<Option<String>, ViewError> {
    let path = match crate::view::follow(view, &RootPath::from(path)) {
        Ok(path) => path,
        Err(crate::view::ResolveError::View(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let Some(bytes) = view.read(&path, COMPOSE_MAX)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name))
        .filter_map(|rest| {
            if separator == '=' {
                rest.strip_prefix('=')
            } else {
                rest.strip_prefix([' ', '\t'])
            }
        })
        .map(|value| value.trim().trim_matches('"').to_owned())
        .next_back()
        .filter(|value| !value.is_empty()))
}

/// Whether useradd makes a group of the user's name: `USERGROUPS_ENAB` of login.defs, which is off if it is not there.
pub(crate) fn has_private_groups(view: &dyn View) -> Result<bool, ViewError> {
    Ok(setting(view, "/etc/login.defs", "USERGROUPS_ENAB", ' ')?
        .is_some_and(|value| value.eq_ignore_ascii_case("yes")))
}

/// `GROUP` of `etc/default/useradd`, else 100 (useradd(8)).
fn default_group(overlay: &mut Overlay<'_>) -> Result<Owner, ViewError> {
    match setting(overlay, "/etc/default/useradd", "GROUP", '=')? {
        Some(name) => group_id(&name, overlay),
        None => Ok(Owner::Id(100)),
    }
}

fn group_id(name: &str, overlay: &Overlay<'_>) -> Result<Owner, ViewError> {
    if let Some(group) = overlay.group(name)? {
        return Ok(group.gid);
    }
    Ok(name
        .parse()
        .map_or_else(|_| Owner::Account(name.to_owned()), Owner::Id))
}

fn join_groups(user: &str, groups: &[String], overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    for name in groups {
        if let Some(mut group) = overlay.group(name)?
            && !group.members.iter().any(|member| member == user)
        {
            group.members.push(user.to_owned());
            overlay.put_group(name, Some(group));
        }
    }
    Ok(())
}

fn leave_groups(user: &str, groups: &[String], overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    for name in groups {
        if let Some(mut group) = overlay.group(name)? {
            group.members.retain(|member| member != user);
            overlay.put_group(name, Some(group));
        }
    }
    Ok(())
}

fn modify_user(change: &UserChange, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    let Some(mut user) = overlay.user(&change.name)? else {
        return Ok(());
    };
    if let Some(gecos) = &change.gecos {
        user.gecos.clone_from(gecos);
    }
    if let Some(shell) = &change.shell {
        user.shell.clone_from(shell);
    }
    if let Some(group) = &change.primary_group {
        user.gid = group_id(group, overlay)?;
    }
    if !change.groups.is_empty() {
        let old = std::mem::take(&mut user.groups);
        leave_groups(&change.name, &old, overlay)?;
        join_groups(&change.name, &change.groups, overlay)?;
        user.groups.clone_from(&change.groups);
        user.groups.sort();
        user.groups.dedup();
    }
    let old_uid = user.uid.clone();
    if let Some(uid) = change.uid {
        user.uid = Owner::Id(uid);
    }
    if let Some(home) = &change.home {
        move_tree(
            &RootPath::from(user.home.as_str()),
            &RootPath::from(home.as_str()),
            overlay,
        )?;
        user.home.clone_from(home);
    }
    if user.uid != old_uid {
        // usermod gives the home and what the user owned in it to the new uid.
        let (old, new) = (old_uid, user.uid.clone());
        walk(&RootPath::from(user.home.as_str()), overlay, |path, overlay| {
            let (old, new) = (old.clone(), new.clone());
            overlay.update(path, move |node| {
                if node.user == old {
                    node.user = new;
                }
            })
        })?;
    }
    overlay.put_user(&change.name, Some(user));
    Ok(())
}

/// `usermod --move-home`: only if the old home is a directory and the new one is not there.
fn move_tree(from: &RootPath, to: &RootPath, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    let (Some(from), Some(to)) = (&place(from, overlay)?, &place(to, overlay)?) else {
        return Ok(());
    };
    if from == to
        || overlay.node(to)?.is_some()
        || !overlay.node(from)?.is_some_and(|node| node.is_directory())
    {
        return Ok(());
    }
    let mut moved: Vec<(RootPath, Node, FileDigest)> = Vec::new();
    let mut todo = VecDeque::from([(from.clone(), to.clone())]);
    while let Some((from, to)) = todo.pop_front() {
        let Some(node) = overlay.node(&from)? else {
            continue;
        };
        let digest = if node.is_file() {
            overlay.digest(&from)?
        } else {
            FileDigest::Unknown
        };
        if node.is_directory() {
            for name in overlay.list(&from)? {
                todo.push_back((from.join(&name), to.join(&name)));
            }
        }
        moved.push((to, node, digest));
    }
    overlay.remove(from);
    for (path, node, digest) in moved {
        overlay.put(&path, node, digest, None);
    }
    Ok(())
}

/// Visits a directory tree, parents first.
fn walk(
    top: &RootPath,
    overlay: &mut Overlay<'_>,
    mut visit: impl FnMut(&RootPath, &mut Overlay<'_>) -> Result<(), ViewError>,
) -> Result<(), ViewError> {
    let mut todo: VecDeque<RootPath> = place(top, overlay)?.into_iter().collect();
    while let Some(path) = todo.pop_front() {
        let Some(node) = overlay.node(&path)? else {
            continue;
        };
        visit(&path, overlay)?;
        if node.is_directory() {
            for name in overlay.list(&path)? {
                todo.push_back(path.join(&name));
            }
        }
    }
    Ok(())
}

fn delete_user(name: &str, remove_home: bool, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
    let Some(user) = overlay.user(name)? else {
        return Ok(());
    };
    leave_groups(name, &user.groups, overlay)?;
    // userdel removes the private group when nobody else is in it (USERGROUPS_ENAB).
    if has_private_groups(overlay)?
        && overlay
            .group(name)?
            .is_some_and(|group| group.gid == user.gid && group.members.is_empty())
    {
        overlay.put_group(name, None);
    }
    if remove_home && let Some(home) = place(&RootPath::from(user.home.as_str()), overlay)? {
        overlay.remove(&home);
    }
    overlay.put_user(name, None);
    Ok(())
}
