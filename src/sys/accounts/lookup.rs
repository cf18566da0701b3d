//! Looking names up in the three places.

use std::rc::Rc;

use super::{database, edit, files};
use crate::view::{Account, Group, Owner, RootPath, User, ViewError};

/// Where account files are, in the order in which they count. The first is the one that the shadow tools see.
pub const PLACES: [&str; 3] = ["/etc", "/usr/share/baselayout", "/usr/lib"];

/// Reads an account file; `None` if it is missing.
pub type Read<'a> = &'a dyn Fn(&RootPath) -> Result<Option<Rc<Vec<u8>>>, ViewError>;

/// A user by name.
pub fn user(read: Read<'_>, name: &str) -> Result<Option<User>, ViewError> {
    for place in PLACES {
        let path = RootPath::from(place).join("passwd");
        let Some(bytes) = read(&path)? else { continue };
        let found = database::users(&bytes)
            .flatten()
            .find(|entry| entry.name == name.as_bytes());
        if let Some(entry) = found {
            let text = |field: &[u8], problem: &str| match std::str::from_utf8(field) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(ViewError::Form {
                    path: path.to_string(),
                    line: edit::line_of(&bytes, name.as_bytes()).unwrap_or_default(),
                    problem: format!("{problem} of {name} is not UTF-8"),
                }),
            };
            return Ok(Some(User {
                name: name.to_owned(),
                uid: Owner::Id(entry.uid),
                gid: Owner::Id(entry.gid),
                gecos: text(entry.gecos, "the comment")?,
                home: text(entry.home, "the home directory")?,
                shell: text(entry.shell, "the shell")?,
                groups: groups_of(read, name)?,
                local: place == PLACES[0],
            }));
        }
    }
    Ok(None)
}

/// A group by name.
pub fn group(read: Read<'_>, name: &str) -> Result<Option<Group>, ViewError> {
    for place in PLACES {
        let Some(bytes) = read(&RootPath::from(place).join("group"))? else {
            continue;
        };
        let found = database::groups(&bytes)
            .flatten()
            .find(|entry| entry.name == name.as_bytes());
        if let Some(entry) = found {
            let members = entry
                .members()
                .map(|member| String::from_utf8_lossy(member).into_owned());
            return Ok(Some(Group {
                name: name.to_owned(),
                gid: Owner::Id(entry.gid),
                members: members.collect(),
                local: place == PLACES[0],
            }));
        }
    }
    Ok(None)
}

/// Names of the groups that list a user, sorted. A group in an earlier place hides one of the same name in a later one.
fn groups_of(read: Read<'_>, user: &str) -> Result<Vec<String>, ViewError> {
    let mut seen: Vec<(Vec<u8>, bool)> = Vec::new();
    for place in PLACES {
        let Some(bytes) = read(&RootPath::from(place).join("group"))? else {
            continue;
        };
        let hidden = seen.len();
        for entry in database::groups(&bytes).flatten() {
            let earlier = seen.get(..hidden).unwrap_or_default();
            if !earlier.iter().any(|(name, _)| name == entry.name) {
                let listed = entry.members().any(|member| member == user.as_bytes());
                seen.push((entry.name.to_vec(), listed));
            }
        }
    }
    let listed = seen.into_iter().filter(|(_, listed)| *listed);
    let mut names: Vec<String> = listed
        .map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether an account's password is this hash already, so that [`super::set_password`] would change nothing.
pub fn has_password(read: Read<'_>, account: Account<'_>, hash: &str) -> Result<bool, ViewError> {
    let (public, secret, name) = files(account);
    for place in PLACES {
        let place = RootPath::from(place);
        let Some(public) = read(&place.join(public))? else {
            continue;
        };
        let Some(field) = edit::password(&public, name.as_bytes()) else {
            continue;
        };
        return Ok(match read(&place.join(secret))? {
            None => field == hash.as_bytes(),
            Some(secret) => {
                field == edit::IN_SHADOW && edit::password(&secret, name.as_bytes()) == Some(hash.as_bytes())
            }
        });
    }
    Ok(false)
}
