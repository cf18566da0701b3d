//! Accounts of the running system, by its own name service. It counts only when the root is `/` (`ignition-apply` in a
//! container): there NSS is right, and files are only a part of it. In another root its modules are not loaded.

use users::os::unix::{GroupExt as _, UserExt as _};

use crate::view::{Group, Owner, User};

/// A user that the name service knows.
pub fn user(name: &str) -> Option<User> {
    let found = users::get_user_by_name(name)?;
    Some(User {
        name: name.to_owned(),
        uid: Owner::Id(found.uid()),
        gid: Owner::Id(found.primary_group_id()),
        gecos: found.gecos().to_string_lossy().into_owned(),
        home: found.home_dir().to_string_lossy().into_owned(),
        shell: found.shell().to_string_lossy().into_owned(),
        groups: Vec::new(),
        local: false,
    })
}

/// A group that the name service knows.
pub fn group(name: &str) -> Option<Group> {
    let found = users::get_group_by_name(name)?;
    Some(Group {
        name: name.to_owned(),
        gid: Owner::Id(found.gid()),
        members: found
            .members()
            .iter()
            .map(|member| member.to_string_lossy().into_owned())
            .collect(),
        local: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_everywhere() {
        let root = user("root").unwrap();
        assert_eq!((root.uid, root.gid), (Owner::Id(0), Owner::Id(0)));
        assert_eq!(group("root").unwrap().gid, Owner::Id(0));
        assert!(user("nobody-has-this-name").is_none());
        assert!(group("nobody-has-this-name").is_none());
    }
}
