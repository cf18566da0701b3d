//! What the shadow tools leave behind when they are killed.

use std::ffi::OsStr;

use super::PLACES;
use super::write::{AccountsError, WAIT, lock};
use crate::sys::sysroot::Sysroot;
use crate::view::RootPath;

/// Files that the shadow tools lock and write anew.
const FILES: [&str; 6] = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];

/// Removes locks and temporary files of shadow tools that were killed, and says how many there were.
///
/// A lock file names a process. After a restart another one has that number, and the tools take the lock for held. They
/// hold lckpwdf(3)'s lock too, which the kernel releases: whoever has that knows that the lock files are nobody's.
pub fn remove_leftovers(sysroot: &Sysroot) -> Result<usize, AccountsError> {
    let directory = RootPath::from(PLACES[0]);
    let names = match sysroot.list(&directory) {
        Ok(names) => names,
        Err(error) if error.is_missing() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let found: Vec<_> = names.iter().filter(|name| is_leftover(name)).collect();
    if found.is_empty() {
        return Ok(0);
    }
    let _lock = lock(sysroot, WAIT)?;
    for name in &found {
        sysroot.remove_tree(&directory.join(name))?;
    }
    Ok(found.len())
}

/// `passwd.lock`, `passwd.4711` (the lock before it gets its name) and `passwd+` (the new file before it does), but not
/// the backup `passwd-`.
fn is_leftover(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    FILES
        .iter()
        .filter_map(|file| name.strip_prefix(file))
        .any(|rest| {
            rest == "+"
                || rest == ".lock"
                || rest.strip_prefix('.').is_some_and(|digits| {
                    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_tools_leave() {
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let kept = [
            "passwd",
            "passwd-",
            "passwd.d",
            "group.",
            "shadow.conf",
            "shadows.1",
            "hosts.lock",
        ];
        let gone = ["passwd.lock", "passwd.4711", "gshadow+", "subgid.lock"];
        for name in kept.iter().chain(&gone) {
            std::fs::write(etc.join(name), "1").unwrap();
        }
        let sysroot = Sysroot::open(directory.path()).unwrap();
        assert_eq!(remove_leftovers(&sysroot).unwrap(), gone.len());
        assert_eq!(remove_leftovers(&sysroot).unwrap(), 0);
        for name in kept {
            assert!(etc.join(name).exists(), "{name}");
        }
        for name in gone {
            assert!(!etc.join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_root_without_accounts_has_none_and_gets_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let sysroot = Sysroot::open(directory.path()).unwrap();
        assert_eq!(remove_leftovers(&sysroot).unwrap(), 0);
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        assert_eq!(remove_leftovers(&sysroot).unwrap(), 0);
        assert_eq!(
            std::fs::read_dir(directory.path().join("etc")).unwrap().count(),
            0
        );
    }
}
