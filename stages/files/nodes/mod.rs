//! Directories, files and links (spec/mount_files.md 6).

use std::collections::HashMap;

use super::contents::{self, Contents};
use super::place::At as _;
use super::planner::{Planner, describe};
use super::{Input, refuse};
use crate::config::types::{Directory, File, Link, NodeOwner};
use crate::plan::{Access, Action, Base, Change, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError, Problem};
use crate::view::{Node, NodeKind, Owner, ResolveError, RootPath, View, follow, resolve};

/// To a file beyond this, a converging run appends without looking whether it has done so before.
const APPENDED_MAX: u64 = 16 << 20;

/// What a config entry asks for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Directory(&'a Directory),
    File(&'a File),
    Link(&'a Link),
}

struct Entry<'a> {
    wanted: Wanted<'a>,
    /// With its parents resolved; the last component is never followed
    path: RootPath,
    pointer: Pointer,
}

/// Plans phase *nodes*.
///
/// All paths are resolved before anything is created. Directories, files and soft links are made parents first, hard
/// links last.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let storage = &input.config.storage;
    let at = |list: &'static str, index: usize| Pointer::root().key("storage").key(list).index(index);
    let mut entries = Vec::new();
    for (index, directory) in storage.directories.iter().enumerate() {
        entries.push((
            Wanted::Directory(directory),
            directory.path.as_str(),
            at("directories", index),
        ));
    }
    for (index, file) in storage.files.iter().enumerate() {
        entries.push((Wanted::File(file), file.path.as_str(), at("files", index)));
    }
    for (index, link) in storage.links.iter().enumerate() {
        entries.push((Wanted::Link(link), link.path.as_str(), at("links", index)));
    }
    let mut planner = Planner::new(view, input);
    let mut placed = Vec::with_capacity(entries.len());
    for (wanted, path, pointer) in entries {
        match place(view, &RootPath::from(path), &storage.directories) {
            Ok(path) => placed.push(Entry {
                wanted,
                path,
                pointer,
            }),
            Err(error) => planner.entry(Err(Problem::from(error).at(pointer.key("path"))))?,
        }
    }
    let mut entries = placed;
    refuse_same_place(&entries)?;
    let is_hard = |entry: &Entry<'_>| matches!(entry.wanted, Wanted::Link(link) if link.hard == Some(true));
    entries.sort_by_key(|entry| {
        if is_hard(entry) {
            usize::MAX
        } else {
            entry.path.depth()
        }
    });

    for Entry {
        wanted,
        path,
        pointer,
    } in entries
    {
        let planned = match wanted {
            Wanted::Directory(directory) => plan_directory(&mut planner, directory, &path, &pointer),
            Wanted::File(file) => plan_file(&mut planner, file, &path, &pointer),
            Wanted::Link(link) if link.hard == Some(true) => {
                plan_hard_link(&mut planner, link, &path, &pointer)
            }
            Wanted::Link(link) => plan_symlink(&mut planner, link, &path, &pointer),
        };
        planner.entry(planned)?;
    }
    planner.finish(Phase::Nodes)
}

/// Resolves an entry's path. Its parent may be a file if a directory of the config takes the file's place.
fn place(view: &dyn View, path: &RootPath, directories: &[Directory]) -> Result<RootPath, ResolveError> {
    let replaced = |parent: &RootPath| {
        directories.iter().any(|directory| {
            directory.overwrite == Some(true)
                && resolve(view, &RootPath::from(directory.path.as_str())).is_ok_and(|found| found == *parent)
        })
    };
    match resolve(view, path) {
        Err(ResolveError::NotADirectory { path: asked, parent }) => match (path.parent(), path.name()) {
            (Some(above), Some(name))
                if follow(view, &above).is_ok_and(|found| found == parent) && replaced(&parent) =>
            {
                Ok(parent.join(name))
            }
            _ => Err(ResolveError::NotADirectory { path: asked, parent }),
        },
        result => result,
    }
}

/// Two entries that come out at the same place contradict each other.
fn refuse_same_place(entries: &[Entry<'_>]) -> Result<(), PlanError> {
    let mut seen: HashMap<&RootPath, &Pointer> = HashMap::with_capacity(entries.len());
    for entry in entries {
        if let Some(first) = seen.insert(&entry.path, &entry.pointer) {
            return Err(refuse(
                entry.pointer.key("path"),
                format!(
                    "{} is the same place as {first}.path, by way of links in the root",
                    entry.path
                ),
                "remove one of the two entries",
            ));
        }
    }
    Ok(())
}

/// Refuses to put something where a node is that the config does not overwrite.
fn in_the_way(
    planner: &Planner<'_>,
    node: &Node,
    path: &RootPath,
    wanted: &str,
    pointer: &Pointer,
) -> PlanError {
    let advice = format!("set \"overwrite\": true to replace it with {wanted}, or choose another path");
    occupied(planner, node, path, advice, pointer)
}

/// The same with another advice. To a machine that was provisioned before it also says how to run again.
fn occupied(
    planner: &Planner<'_>,
    node: &Node,
    path: &RootPath,
    mut advice: String,
    pointer: &Pointer,
) -> PlanError {
    let at = pointer.key("path");
    match planner.is_provisioned(&at) {
        Err(error) => return error,
        Ok(true) if !planner.converges() => {
            advice += "; or run again with ignition.rerun=converge on the kernel command line";
        }
        Ok(_) => {}
    }
    refuse(
        at,
        format!("{} is there already, at {path}", describe(node)),
        advice,
    )
}

fn plan_directory(
    planner: &mut Planner<'_>,
    wanted: &Directory,
    path: &RootPath,
    pointer: &Pointer,
) -> Result<(), PlanError> {
    let overwrite = wanted.overwrite == Some(true);
    let mode = mode(wanted.mode, &pointer.key("mode"))?;
    let present = match planner.node(path, pointer)? {
        Some(node) if node.is_directory() => {
            if overwrite && !planner.is_empty(path, pointer)? {
                planner.remove(path, &node, pointer)?;
                None
            } else {
                Some(node)
            }
        }
        Some(node) if overwrite || planner.gives_way(path, &node, pointer)? => {
            planner.remove(path, &node, pointer)?;
            None
        }
        Some(node) => {
            return Err(in_the_way(planner, &node, path, "a directory", pointer));
        }
        None => None,
    };
    planner.make_parents(path, pointer)?;
    // An empty directory is not removed and made again, but ends as if it was: with nothing of the old one.
    let place = match &present {
        Some(node) if !overwrite && !planner.progress().made(path) => Place::There(node),
        _ => Place::New(path),
    };
    let new_mode = 0o755 | planner.inherited(path, pointer)?.1;
    let access = access(
        planner,
        &wanted.user,
        &wanted.group,
        mode,
        new_mode,
        place,
        pointer,
    )?;
    if let Some(node) = present {
        return planner.set_access(path, &node, access, pointer);
    }
    let action = Action::MakeDirectory {
        path: path.clone(),
        access,
    };
    planner.push(action, Change::Create, pointer)
}

fn plan_file(
    planner: &mut Planner<'_>,
    wanted: &File,
    path: &RootPath,
    pointer: &Pointer,
) -> Result<(), PlanError> {
    let overwrite = wanted.overwrite == Some(true);
    let mode = mode(wanted.mode, &pointer.key("mode"))?;
    let present = match planner.node(path, pointer)? {
        Some(node) if node.is_file() => Some(node),
        Some(node) if overwrite || planner.gives_way(path, &node, pointer)? => {
            planner.remove(path, &node, pointer)?;
            None
        }
        Some(node) => {
            return Err(in_the_way(planner, &node, path, "a file", pointer));
        }
        None => None,
    };

    let mut parts = contents::of(&wanted.contents, &pointer.key("contents"))?
        .into_iter()
        .collect::<Vec<_>>();
    for (index, fragment) in wanted.append.iter().enumerate() {
        parts.extend(contents::of(fragment, &pointer.key("append").index(index))?);
    }
    let parts = Contents(parts);

    let Some(node) = present else {
        planner.make_parents(path, pointer)?;
        let place = Place::New(path);
        let access = access(planner, &wanted.user, &wanted.group, mode, 0o644, place, pointer)?;
        // Where there is only something to append, a run that continues this one could not tell by the config what is
        // done already, so it is recorded as an append.
        let appends = wanted.contents.source.is_none() && !parts.0.is_empty();
        let action = Action::WriteFile {
            path: path.clone(),
            base: if appends { Base::Existing } else { Base::Nothing },
            contents: parts.0,
            access,
        };
        return planner.push(action, Change::Create, pointer);
    };

    // A file that an unfinished run made has nothing in it that is older, so it is planned as a new one.
    if wanted.contents.source.is_none() && !overwrite && !planner.progress().made(path) {
        let access = access(
            planner,
            &wanted.user,
            &wanted.group,
            mode,
            0o644,
            Place::There(&node),
            pointer,
        )?;
        if parts.0.is_empty() {
            return planner.set_access(path, &node, access, pointer);
        }
        if planner.was_written(path, pointer)? {
            planner.keep_file(
                path,
                &access,
                "appended to by the run that this one continues",
                pointer,
            )?;
            return planner.set_access_if_needed(path, &node, access, pointer);
        }
        if let Some(kept) = planner.kept_before(path, pointer)? {
            // By a run with another config, which may have asked for the same.
            if appended_since(planner, path, kept, &parts, pointer)? {
                planner.keep_file(path, &access, "appended to already", pointer)?;
                return planner.set_access_if_needed(path, &node, access, pointer);
            }
            let action = Action::WriteFile {
                path: path.clone(),
                base: Base::Start(kept),
                contents: parts.0,
                access,
            };
            let what = "what an unfinished run appended gives way".to_owned();
            return planner.push(action, Change::Modify { what }, pointer);
        }
        if planner.converges() && ends_with(planner, path, &parts, pointer)? {
            planner.keep_file(path, &access, "ends with these bytes already", pointer)?;
            return planner.set_access_if_needed(path, &node, access, pointer);
        }
        let size = parts
            .size()
            .map_or_else(String::new, |size| format!(", {size} bytes"));
        let what = format!("appended to{size}");
        let action = Action::WriteFile {
            path: path.clone(),
            base: Base::Existing,
            contents: parts.0,
            access,
        };
        return planner.push(action, Change::Modify { what }, pointer);
    }
    if !overwrite && !planner.gives_way(path, &node, pointer)? {
        let advice = "set \"overwrite\": true to replace it, or leave out \"contents\" to keep its bytes";
        return Err(occupied(planner, &node, path, advice.to_owned(), pointer));
    }
    // From here on the file is replaced as a whole, so nothing of the present one's owner or mode counts.
    let place = Place::New(path);
    let access = access(planner, &wanted.user, &wanted.group, mode, 0o644, place, pointer)?;
    planner.write_file(path, Some(&node), parts, access, pointer)
}

/// Whether a file ends with what is to be appended to it, as far as both are known.
fn ends_with(
    planner: &Planner<'_>,
    path: &RootPath,
    parts: &Contents,
    pointer: &Pointer,
) -> Result<bool, PlanError> {
    let Some(bytes) = parts.bytes() else {
        return Ok(false);
    };
    let there = planner.view().read(path, APPENDED_MAX).at(pointer)?;
    Ok(there.is_some_and(|there| there.ends_with(&bytes)))
}

/// Whether all after the first bytes of a file is what is to be appended to it, as far as both are known.
fn appended_since(
    planner: &Planner<'_>,
    path: &RootPath,
    kept: u64,
    parts: &Contents,
    pointer: &Pointer,
) -> Result<bool, PlanError> {
    let Some(bytes) = parts.bytes() else {
        return Ok(false);
    };
    let there = planner.view().read(path, APPENDED_MAX).at(pointer)?;
    let since = usize::try_from(kept).ok();
    let since = there
        .as_deref()
        .zip(since)
        .and_then(|(there, kept)| there.get(kept..));
    Ok(since == Some(&bytes))
}

fn plan_symlink(
    planner: &mut Planner<'_>,
    wanted: &Link,
    path: &RootPath,
    pointer: &Pointer,
) -> Result<(), PlanError> {
    let overwrite = wanted.overwrite == Some(true);
    let target = link_target(wanted, pointer)?;
    planner.make_parents(path, pointer)?;
    let like = link_owner(planner, path, target, pointer)?;
    // One that leads nowhere is root's, also in a directory with the set-group-id bit.
    let root = RootPath::root();
    let place = like.as_ref().map_or(Place::New(&root), Place::There);
    let owner = access(planner, &wanted.user, &wanted.group, None, 0o777, place, pointer)?;
    if let Some(node) = planner.node(path, pointer)? {
        // Overwriting makes the link anew, with the target as it is written.
        let same = match &node.kind {
            NodeKind::Symlink { target: found } if overwrite => found == target,
            NodeKind::Symlink { target: found } => same_target(found, target),
            _ => false,
        };
        let same_owner = node.user == owner.user && node.group == owner.group;
        let kept = Action::MakeSymlink {
            path: path.clone(),
            target: target.into(),
            user: owner.user.clone(),
            group: owner.group.clone(),
        };
        if same && (same_owner || !(overwrite || planner.progress().made(path))) {
            let reason = "points there already".to_owned();
            return planner.push(kept, Change::Keep { reason }, pointer);
        }
        if !overwrite && !planner.gives_way(path, &node, pointer)? {
            return Err(in_the_way(planner, &node, path, "this link", pointer));
        }
        planner.remove(path, &node, pointer)?;
    }
    let action = Action::MakeSymlink {
        path: path.clone(),
        target: target.into(),
        user: owner.user,
        group: owner.group,
    };
    planner.push(action, Change::Create, pointer)
}

/// Whom a new link belongs to if the config does not say: whoever has what it leads to, else root. Upstream asks by the
/// link's own name, so an absolute target would be one of the running system; it counts as root's here.
fn link_owner(
    planner: &Planner<'_>,
    path: &RootPath,
    target: &str,
    pointer: &Pointer,
) -> Result<Option<Node>, PlanError> {
    match path.parent() {
        Some(parent) if !target.starts_with('/') => match planner.follow(&parent.join(target), pointer) {
            Ok(found) => planner.node(&found, pointer),
            // A loop, or a target below a file: it leads nowhere.
            Err(PlanError {
                problem: Problem::Resolve(ResolveError::Loop { .. } | ResolveError::NotADirectory { .. }),
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        },
        _ => Ok(None),
    }
}

fn plan_hard_link(
    planner: &mut Planner<'_>,
    wanted: &Link,
    path: &RootPath,
    pointer: &Pointer,
) -> Result<(), PlanError> {
    let overwrite = wanted.overwrite == Some(true);
    let place = pointer.key("target");
    let target = planner.resolve(&RootPath::from(link_target(wanted, pointer)?), &place)?;
    let Some(inode) = planner.node(&target, &place)? else {
        return Err(refuse(
            place,
            format!("{target} does not exist, so it cannot be given a second name"),
            "define the target under storage.files, or correct the path (a hard link's target is taken from the root)",
        ));
    };
    if inode.is_directory() {
        return Err(refuse(
            place,
            format!("{target} is a directory, and directories cannot have hard links"),
            "leave out \"hard\" to make a symbolic link",
        ));
    }
    if let Some(node) = planner.node(path, pointer)? {
        if node.inode == inode.inode {
            let action = Action::MakeHardLink {
                path: path.clone(),
                target,
            };
            let reason = "is the same file already".to_owned();
            return planner.push(action, Change::Keep { reason }, pointer);
        }
        if !overwrite && !planner.gives_way(path, &node, pointer)? {
            return Err(in_the_way(planner, &node, path, "this link", pointer));
        }
        if target.starts_with(path) {
            return Err(refuse(
                place,
                format!("{target} lies below {path}, which would be removed first"),
                "choose another path or another target",
            ));
        }
        planner.remove(path, &node, pointer)?;
    }
    planner.make_parents(path, pointer)?;
    planner.push(
        Action::MakeHardLink {
            path: path.clone(),
            target,
        },
        Change::Create,
        pointer,
    )
}

fn link_target<'a>(wanted: &'a Link, pointer: &Pointer) -> Result<&'a str, PlanError> {
    match wanted.target.as_deref() {
        Some(target) if !target.is_empty() => Ok(target),
        _ => Err(refuse(
            pointer.key("target"),
            "the link has no target",
            "give it one",
        )),
    }
}

/// Targets are the same if they are the same after lexical cleaning, without making relative ones absolute.
fn same_target(found: &std::ffi::OsStr, wanted: &str) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    std::str::from_utf8(found.as_bytes()).is_ok_and(|found| {
        crate::config::grammar::path::clean(found) == crate::config::grammar::path::clean(wanted)
    })
}

/// Checks a mode's range: configs that were merged from base fragments are not validated again.
fn mode(mode: Option<i64>, pointer: &Pointer) -> Result<Option<u32>, PlanError> {
    mode.map(|mode| {
        u32::try_from(mode)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| {
                refuse(
                    pointer.clone(),
                    format!("{mode} is not a file mode"),
                    "give a decimal number from 0 to 4095, e.g. 420 for 0644",
                )
            })
    })
    .transpose()
}

/// What a node's owner and mode are completed from.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// The node that stays
    There(&'a Node),
    /// The path of a new one, whose parent is planned
    New(&'a RootPath),
}

/// Completes owner and mode: what the config says, else what is there, else root and the default.
fn access(
    planner: &Planner<'_>,
    user: &NodeOwner,
    group: &NodeOwner,
    mode: Option<u32>,
    default_mode: u32,
    place: Place<'_>,
    pointer: &Pointer,
) -> Result<Access, PlanError> {
    let (present, new_group) = match place {
        Place::There(node) => (Some(node), Owner::ROOT),
        Place::New(path) => (None, planner.inherited(path, pointer)?.0),
    };
    let user_place = pointer.key("user");
    let user = match named(user, &user_place)? {
        Some(Named::Id(id)) => Owner::Id(id),
        Some(Named::Name(name)) => planner.user(name, &user_place.key("name"))?.uid,
        None => present.map_or(Owner::ROOT, |node| node.user.clone()),
    };
    let group_place = pointer.key("group");
    let group = match named(group, &group_place)? {
        Some(Named::Id(id)) => Owner::Id(id),
        Some(Named::Name(name)) => planner.group(name, &group_place.key("name"))?.gid,
        None => present.map_or(new_group, |node| node.group.clone()),
    };
    let mode = mode.or_else(|| present.map(kept_mode)).unwrap_or(default_mode);
    Ok(Access { user, group, mode })
}

/// The mode that a node keeps when its owner is set. Upstream always sets it, and for what is no directory chown(2) then
/// clears setuid, and setgid unless it stands for mandatory locking (no execution by the group).
fn kept_mode(node: &Node) -> u32 {
    if node.is_directory() {
        return node.mode;
    }
    let cleared = if node.mode & 0o010 == 0 { 0o4000 } else { 0o6000 };
    node.mode & !cleared
}

enum Named<'a> {
    Id(u32),
    Name(&'a str),
}

fn named<'a>(owner: &'a NodeOwner, pointer: &Pointer) -> Result<Option<Named<'a>>, PlanError> {
    match (owner.id, owner.name.as_deref()) {
        (Some(id), _) => u32::try_from(id).map(|id| Some(Named::Id(id))).map_err(|_| {
            refuse(
                pointer.key("id"),
                format!("{id} is not an id"),
                "give a number from 0 to 4294967295",
            )
        }),
        (None, Some(name)) if !name.is_empty() => Ok(Some(Named::Name(name))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod again;
#[cfg(test)]
mod tests;
