//! Account files: looked up in three places, changed in one; what is not meant stays as it is.
#![no_main]

use std::rc::Rc;

use ignition_rs::sys::accounts::edit::{self, Edit};
use ignition_rs::sys::accounts::{self, PLACES};
use ignition_rs::view::{Account, RootPath, ViewError};
use ignition_rs_fuzz::{parts, plant};
use libfuzzer_sys::fuzz_target;

/// Name, hash, then passwd (or group), shadow (or gshadow), and the image's two, separated by 0xff.
const SEEDS: &[&[u8]] = &[
    b"core\xff$6$a$b\xffroot:x:0:0:root:/root:/bin/bash\ncore:x:500:500:local:/home/core:/bin/bash\n\xffcore:*:1::::::\nb:c\xff\xff",
    b"core\xff!\xffcore:x:500:a,b\nwheel:x:10:core, admin,,\xffcore:!::a\xffdocker:x:233:core\xffdocker:*::",
    b"ntp\xff*\xff\n# comment\n+::::::\nshort:x:1:2\n bent:x:3:4::/h:\nbad:x:y:0\n:x:5:5\nalone\xff\xffntp:x:203:203::/:/sbin/nologin\nntp:x:9:9\xffntp:*:15887:0:::::\n",
    b"a\xffhash\xffa\na:\na:b\na::c\n\xffa:",
];

/// Lines of a file with the account's first one taken out, and that one.
fn without<'a>(bytes: &'a [u8], name: &str) -> (Vec<&'a [u8]>, Option<&'a [u8]>) {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let found = edit::line_of(bytes, name.as_bytes()).map(|line| lines.remove(line - 1));
    (lines, found)
}

/// A changed file differs from the one before in the account's line alone.
fn others_stay(before: &[u8], after: &[u8], name: &str) {
    let (old, was_there) = without(before, name);
    let (new, is_there) = without(after, name);
    assert_eq!(old, new, "other lines stay");
    let is_there = is_there.expect("the account has a line afterwards");
    let Some(was_there) = was_there else { return };
    let fields = |line: &[u8]| {
        line.split(|byte| *byte == b':')
            .skip(2)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(was_there), fields(is_there), "other fields stay");
    assert_eq!(before.ends_with(b"\n"), after.ends_with(b"\n"));
}

fn check(account: Account<'_>, name: &str, hash: &str, files: [&[u8]; 4]) {
    let [public, secret, image_public, image_secret] = files;
    for secret in [Some(secret), None] {
        let Ok(edit) = edit::set_password(account, public, secret, hash) else {
            continue;
        };
        let _ = format!("{edit:?}");
        for (before, after) in [(Some(public), &edit.public), (secret, &edit.secret)] {
            if let (Some(before), Some(after)) = (before, after) {
                others_stay(before, after, name);
            }
        }
        let public = edit.public.as_deref().unwrap_or(public);
        let secret = secret.map(|secret| edit.secret.as_deref().unwrap_or(secret));
        let field = edit::password(secret.unwrap_or(public), name.as_bytes());
        assert_eq!(field, Some(hash.as_bytes()), "the password is set");
        assert_eq!(
            edit::set_password(account, public, secret, hash),
            Ok(Edit::default()),
            "and stays"
        );
    }
    for (public, secret) in [(Some(public), Some(secret)), (None, None)] {
        let image = (image_public, Some(image_secret));
        let Ok(edit) = edit::adopt(account, image, public, secret) else {
            continue;
        };
        for (before, after) in [(public, &edit.public), (secret, &edit.secret)] {
            if let Some(after) = after {
                let before = before.unwrap_or_default();
                assert!(
                    edit::line_of(before, name.as_bytes()).is_none(),
                    "what is there stays"
                );
                others_stay(before, after, name);
                assert!(after.starts_with(before));
            }
        }
        let public = edit.public.as_deref().or(public);
        let secret = edit.secret.as_deref().or(secret);
        assert_eq!(
            edit::adopt(account, image, public, secret),
            Ok(Edit::default()),
            "and stays"
        );
    }
}

fuzz_target!(init: plant(SEEDS, &["\n", ":x:0:0:", "::::::", "root", "+", "4294967295", ","]), |data: &[u8]| {
    let [name, hash, public, secret, image_public, image_secret] = parts(data);
    let (Ok(name), Ok(hash)) = (std::str::from_utf8(name), std::str::from_utf8(hash)) else { return };
    for bytes in [public, image_public] {
        let users = accounts::users(bytes).count();
        let groups = accounts::groups(bytes).flatten().map(|group| group.members().count()).count();
        let lines = bytes.split(|byte| *byte == b'\n').count();
        assert!(users <= lines && groups <= lines);
    }
    let read = |path: &RootPath| -> Result<Option<Rc<Vec<u8>>>, ViewError> {
        let path = path.to_string();
        let bytes = match path.strip_prefix(PLACES[0]) {
            Some("/passwd" | "/group") => public,
            Some(_) => secret,
            None if path.starts_with(PLACES[1]) => match path.strip_prefix(PLACES[1]) {
                Some("/passwd" | "/group") => image_public,
                _ => image_secret,
            },
            None => return Ok(None),
        };
        Ok(Some(Rc::new(bytes.to_vec())))
    };
    if let Ok(Some(user)) = accounts::user(&read, name) {
        assert_eq!(user.name, name);
        assert!(user.groups.is_sorted());
    }
    if let Ok(Some(group)) = accounts::group(&read, name) {
        assert_eq!(group.name, name);
    }
    // A name is checked before it gets here (it goes to useradd first); one with a line feed or colon is no name.
    if name.contains([':', '\n']) {
        return;
    }
    for account in [Account::User(name), Account::Group(name)] {
        let _ = accounts::has_password(&read, account, hash);
        check(account, name, hash, [public, secret, image_public, image_secret]);
    }
});
