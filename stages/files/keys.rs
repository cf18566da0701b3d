//! Homes and SSH keys (spec/mount_files.md 5.3), once the accounts have their ids.
//!
//! Upstream does this with the ids of the user, so the kernel guards against links that lead elsewhere. This program
//! never changes its ids; the plan refuses what the kernel would have refused.

use crate::config::types::PasswdUser;
use crate::plan::{Access, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError};
use crate::view::{Node, NodeKind, Owner, RootPath, User, View};

use super::place::At as _;
use super::planner::Planner;
use super::{Input, refuse};

/// Plans the keys phase.
///
/// # Errors
///
/// A home or a directory in it that is missing against the config's word, is no directory, or belongs to somebody else.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(view, input);
    for (index, user) in input.config.passwd.users.iter().enumerate() {
        if user.should_exist != Some(false) {
            let at = Pointer::root().key("passwd").key("users").index(index);
            let planned = plan_user(&mut planner, input, user, &at);
            planner.entry(planned)?;
        }
    }
    planner.finish(Phase::Keys)
}

fn plan_user(
    planner: &mut Planner<'_>,
    input: &Input<'_>,
    user: &PasswdUser,
    at: &Pointer,
) -> Result<(), PlanError> {
    let Some(account) = planner.view().user(&user.name).at(at)? else {
        return Err(refuse(
            at.key("name"),
            format!("there is no user {:?} in the root", user.name),
            "the accounts must be made first",
        ));
    };
    if user.no_create_home != Some(true) {
        own_notated_directories(planner, input.state.notated_directories, &account, at)?;
    }
    if user.ssh_authorized_keys.is_empty() {
        return Ok(());
    }
    let at = at.key("sshAuthorizedKeys");
    write_keys(planner, user, &account, input.run.key_fragments, &at)
}

/// Directories that the mount stage had to create for a home get the owner and mode that useradd would give them.
fn own_notated_directories(
    planner: &mut Planner<'_>,
    notated: &[String],
    account: &User,
    at: &Pointer,
) -> Result<(), PlanError> {
    let home = RootPath::clean(&account.home);
    // With `/` for a home, every mount point of the machine would go to that user.
    if home.is_root() {
        return Ok(());
    }
    for path in notated
        .iter()
        .map(RootPath::clean)
        .filter(|path| path.starts_with(&home))
    {
        let path = planner.resolve(&path, at)?;
        let Some(node) = planner.node(&path, at)?.filter(Node::is_directory) else {
            return Err(refuse(
                at.clone(),
                format!("the mount stage created {path}, and now it is not a directory"),
                "run all stages again from the first",
            ));
        };
        planner.set_access(&path, &node, owned(account, 0o700), at)?;
    }
    Ok(())
}

fn write_keys(
    planner: &mut Planner<'_>,
    user: &PasswdUser,
    account: &User,
    fragments: bool,
    at: &Pointer,
) -> Result<(), PlanError> {
    let (directories, file): (&[&str], _) = if fragments {
        (&[".ssh", "authorized_keys.d"], "ignition")
    } else {
        (&[".ssh"], "authorized_keys")
    };
    let mut directory = enter_home(planner, user, account, at)?;
    for name in directories {
        directory = enter(planner, &directory.join(name), account, at)?;
    }
    let mut text = user.ssh_authorized_keys.join("\n");
    text.push('\n');
    planner.put_file(
        &directory.join(file),
        text.into_bytes(),
        owned(account, 0o600),
        at,
    )
}

/// The home, made if it is missing: useradd did not run for a user that was there already, and upstream fails.
fn enter_home(
    planner: &mut Planner<'_>,
    user: &PasswdUser,
    account: &User,
    at: &Pointer,
) -> Result<RootPath, PlanError> {
    let asked = RootPath::clean(&account.home);
    if account.home.is_empty() {
        return Err(refuse(
            at.clone(),
            format!("the user {} has no home directory to put keys in", user.name),
            "set homeDir",
        ));
    }
    let home = planner.follow(&asked, at)?;
    match planner.node(&home, at)? {
        Some(node) => check_directory(&home, &node, account, at)?,
        None if user.no_create_home == Some(true) => {
            return Err(refuse(
                at.clone(),
                format!(
                    "the home {asked} of {} does not exist, and noCreateHome forbids making it",
                    user.name
                ),
                "leave out noCreateHome or the keys, or set homeDir to a directory that exists",
            ));
        }
        None => {
            planner.make_parents(&home, at)?;
            planner.make_levels(&home, &owned(account, 0o700), at)?;
        }
    }
    Ok(home)
}

/// Goes into a directory below the home, and makes it if it is missing.
fn enter(
    planner: &mut Planner<'_>,
    path: &RootPath,
    account: &User,
    at: &Pointer,
) -> Result<RootPath, PlanError> {
    let access = owned(account, 0o700);
    match planner.node(path, at)? {
        None => {
            planner.make_levels(path, &access, at)?;
            Ok(path.clone())
        }
        Some(node) if matches!(node.kind, NodeKind::Symlink { .. }) => {
            let target = planner.follow(path, at)?;
            // Whoever owns the home can put a link there, so it may only lead to what that user owns.
            let (place, owner) = nearest(planner, &target, at)?;
            if !may_be(&owner.user, account) {
                return Err(refuse(
                    at.clone(),
                    format!(
                        "{path} is a link to {target}, and {place} belongs to {}, not to {}",
                        owner.user, account.name
                    ),
                    "remove the link, or give what it leads to to the user",
                ));
            }
            planner.make_levels(&target, &access, at)?;
            Ok(target)
        }
        Some(node) => {
            check_directory(path, &node, account, at)?;
            Ok(path.clone())
        }
    }
}

/// The node at a resolved path or, if that is missing, at the nearest level above that is there.
fn nearest(planner: &Planner<'_>, path: &RootPath, at: &Pointer) -> Result<(RootPath, Node), PlanError> {
    let mut here = path.clone();
    loop {
        if let Some(node) = planner.node(&here, at)? {
            if node.is_directory() {
                return Ok((here, node));
            }
            return Err(not_a_directory(&here, at));
        }
        match here.parent() {
            Some(parent) => here = parent,
            None => return Err(not_a_directory(&here, at)),
        }
    }
}

fn check_directory(path: &RootPath, node: &Node, account: &User, at: &Pointer) -> Result<(), PlanError> {
    if !node.is_directory() {
        return Err(not_a_directory(path, at));
    }
    if node.user == Owner::ROOT || may_be(&node.user, account) {
        return Ok(());
    }
    Err(refuse(
        at.clone(),
        format!(
            "{path} belongs to {}, neither to {} nor to root",
            node.user, account.name
        ),
        "remove it, give it to the user, or set the user's uid to its owner's",
    ))
}

fn not_a_directory(path: &RootPath, at: &Pointer) -> PlanError {
    refuse(
        at.clone(),
        format!("{path} is not a directory, and SSH keys go below it"),
        "remove it",
    )
}

/// Whether an owner is the account, or may turn out to be: in a dry run a new account has no id yet, and the nodes that
/// are there have nothing else.
fn may_be(owner: &Owner, account: &User) -> bool {
    *owner == account.uid || matches!((owner, &account.uid), (Owner::Id(id), Owner::Account(_)) if *id != 0)
}

fn owned(account: &User, mode: u32) -> Access {
    Access {
        user: account.uid.clone(),
        group: account.gid.clone(),
        mode,
    }
}

#[cfg(test)]
mod tests;
