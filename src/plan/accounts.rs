//! Arguments of the shadow tools (spec/mount_files.md 5.2, 5.3). Never a password hash: `useradd` locks the account,
//! and the hash is written to the shadow file in a step of its own.

use std::ffi::OsString;

use super::{GroupChange, UserChange};

fn option(args: &mut Vec<OsString>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        args.push(name.into());
        args.push(value.into());
    }
}

fn switch(args: &mut Vec<OsString>, name: &str, given: bool) {
    if given {
        args.push(name.into());
    }
}

/// `groupadd`
pub(super) fn groupadd(group: &GroupChange) -> Vec<OsString> {
    let mut args = Vec::new();
    option(
        &mut args,
        "--gid",
        group.gid.map(|gid| gid.to_string()).as_deref(),
    );
    switch(&mut args, "--system", group.system);
    args.push(group.name.clone().into());
    args
}

/// `groupmod`
pub(super) fn groupmod(group: &GroupChange) -> Vec<OsString> {
    groupadd(&GroupChange {
        system: false,
        ..group.clone()
    })
}

/// `useradd`
pub(super) fn useradd(user: &UserChange) -> Vec<OsString> {
    let mut args = Vec::new();
    option(&mut args, "--home-dir", user.home.as_deref());
    args.push(
        if user.create_home {
            "--create-home"
        } else {
            "--no-create-home"
        }
        .into(),
    );
    switch(&mut args, "--no-user-group", user.no_user_group);
    switch(&mut args, "--system", user.system);
    switch(&mut args, "--no-log-init", user.no_log_init);
    option(&mut args, "--password", Some("*"));
    common(&mut args, user);
    args
}

/// `usermod`
pub(super) fn usermod(user: &UserChange) -> Vec<OsString> {
    let mut args = Vec::new();
    option(&mut args, "--home", user.home.as_deref());
    switch(&mut args, "--move-home", user.home.is_some());
    common(&mut args, user);
    args
}

/// `userdel`
pub(super) fn userdel(name: &str, remove_home: bool) -> Vec<OsString> {
    let mut args = Vec::new();
    switch(&mut args, "--remove", remove_home);
    args.push(name.into());
    args
}

fn common(args: &mut Vec<OsString>, user: &UserChange) {
    option(args, "--uid", user.uid.map(|uid| uid.to_string()).as_deref());
    option(args, "--comment", user.gecos.as_deref());
    option(args, "--gid", user.primary_group.as_deref());
    if !user.groups.is_empty() {
        option(args, "--groups", Some(&user.groups.join(",")));
    }
    option(args, "--shell", user.shell.as_deref());
    args.push(user.name.clone().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(args: &[OsString]) -> String {
        args.iter()
            .map(|arg| arg.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn as_upstream_calls_them() {
        let all = UserChange {
            name: "caddy".into(),
            uid: Some(990),
            gecos: Some("web server".into()),
            home: Some("/srv/www".into()),
            primary_group: Some("www".into()),
            groups: vec!["docker".into(), "wheel".into()],
            shell: Some("/sbin/nologin".into()),
            create_home: false,
            no_user_group: true,
            system: true,
            no_log_init: true,
        };
        assert_eq!(
            text(&useradd(&all)),
            "--home-dir /srv/www --no-create-home --no-user-group --system --no-log-init --password * --uid 990 \
             --comment web server --gid www --groups docker,wheel --shell /sbin/nologin caddy"
        );
        assert_eq!(
            text(&usermod(&all)),
            "--home /srv/www --move-home --uid 990 --comment web server --gid www --groups docker,wheel \
             --shell /sbin/nologin caddy"
        );
        let plain = UserChange {
            name: "core".into(),
            create_home: true,
            ..UserChange::default()
        };
        assert_eq!(text(&useradd(&plain)), "--create-home --password * core");
        assert_eq!(text(&userdel("core", true)), "--remove core");
        let group = GroupChange {
            name: "g".into(),
            gid: Some(7),
            system: true,
        };
        assert_eq!(text(&groupadd(&group)), "--gid 7 --system g");
        assert_eq!(text(&groupmod(&group)), "--gid 7 g");
    }
}
