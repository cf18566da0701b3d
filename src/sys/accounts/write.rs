//! Changing the account files of a root, under the lock that the shadow tools take too.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::edit::{self, Edit, EditError};
use super::{PLACES, files};
use crate::plan::Secret;
use crate::sys::sysroot::{Sysroot, SysrootError};
use crate::view::{Account, Owner, RootPath};

/// The largest account file that is read, in bytes.
pub const LIMIT: u64 = 64 * 1024 * 1024;

/// How long the lock is waited for, as lckpwdf(3) does.
pub(super) const WAIT: Duration = Duration::from_secs(15);

/// How often the lock is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// The account files could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// A file of the root could not be read or written.
    #[error(transparent)]
    Sysroot(#[from] SysrootError),
    /// The change is not possible.
    #[error("cannot change the account {name} in {path}")]
    Edit {
        /// Whose
        name: String,
        /// The file that should have it
        path: RootPath,
        /// Why
        #[source]
        source: EditError,
    },
    /// Somebody else holds the lock.
    #[error("the account files are locked by another process ({path} for {} s); end it and run again", WAIT.as_secs())]
    Locked {
        /// The lock's file
        path: RootPath,
    },
    /// A file is larger than an account file can reasonably be.
    #[error("{path} has more than {LIMIT} bytes: is it an account file?")]
    TooLarge {
        /// Which
        path: RootPath,
    },
}

/// Sets an account's password field in the root; an account that is not in `etc/` is an error: adopt it first. Says
/// whether anything had to change.
pub fn set_password(
    sysroot: &Sysroot,
    account: Account<'_>,
    hash: &Secret<String>,
) -> Result<bool, AccountsError> {
    let _lock = lock(sysroot, WAIT)?;
    let (public, secret) = local(account);
    let old_public = read(sysroot, &public)?.unwrap_or_default();
    let old_secret = read(sysroot, &secret)?;
    let edit = edit::set_password(account, &old_public, old_secret.as_deref(), hash.reveal())
        .map_err(|source| failed(account, &public, source))?;
    put(sysroot, (&public, &secret), (&public, &secret), &edit)
}

/// Copies an account from the image's files into `etc/`. Says whether anything had to change.
pub fn adopt(sysroot: &Sysroot, account: Account<'_>) -> Result<bool, AccountsError> {
    let _lock = lock(sysroot, WAIT)?;
    let (public, secret) = local(account);
    let (public_name, secret_name, name) = files(account);
    let (old_public, old_secret) = (read(sysroot, &public)?, read(sysroot, &secret)?);
    for place in PLACES.into_iter().skip(1) {
        let place = RootPath::from(place);
        let image_paths = (place.join(public_name), place.join(secret_name));
        let Some(image) = read(sysroot, &image_paths.0)? else {
            continue;
        };
        if edit::password(&image, name.as_bytes()).is_none() {
            continue;
        }
        let image_secret = read(sysroot, &image_paths.1)?;
        let edit = edit::adopt(
            account,
            (&image, image_secret.as_deref()),
            old_public.as_deref(),
            old_secret.as_deref(),
        )
        .map_err(|source| failed(account, &public, source))?;
        return put(
            sysroot,
            (&public, &secret),
            (&image_paths.0, &image_paths.1),
            &edit,
        );
    }
    if old_public.is_some_and(|public| edit::password(&public, name.as_bytes()).is_some()) {
        return Ok(false);
    }
    Err(failed(
        account,
        &RootPath::from("/usr").join(public_name),
        EditError::NoAccount,
    ))
}

fn local(account: Account<'_>) -> (RootPath, RootPath) {
    let (public, secret, _) = files(account);
    let place = RootPath::from(PLACES[0]);
    (place.join(public), place.join(secret))
}

fn failed(account: Account<'_>, path: &RootPath, source: EditError) -> AccountsError {
    AccountsError::Edit {
        name: files(account).2.to_owned(),
        path: path.clone(),
        source,
    }
}

/// Reads an account file of the root; links are followed inside the root. `None` if it is missing.
pub fn read(sysroot: &Sysroot, path: &RootPath) -> Result<Option<Vec<u8>>, AccountsError> {
    let path = sysroot.follow(path)?;
    match sysroot.read(&path, LIMIT)? {
        Some(bytes) => Ok(Some(bytes)),
        None if sysroot.node(&path)?.is_none() => Ok(None),
        None => Err(AccountsError::TooLarge { path }),
    }
}

/// Writes what changed, each file whole or not at all: the secret one first, since the public one points to it. A file
/// keeps its owner and mode; a new one gets those of its model, but never lets all read secrets.
fn put(
    sysroot: &Sysroot,
    paths: (&RootPath, &RootPath),
    models: (&RootPath, &RootPath),
    edit: &Edit,
) -> Result<bool, AccountsError> {
    for (path, model, bytes, mode, new_mode) in [
        (paths.1, models.1, &edit.secret, 0o640, 0o600),
        (paths.0, models.0, &edit.public, 0o644, 0o644),
    ] {
        let Some(bytes) = bytes else { continue };
        let path = sysroot.follow(path)?;
        let access = match (sysroot.node(&path)?, sysroot.node(&sysroot.follow(model)?)?) {
            (Some(node), _) => Some((node.user, node.group, node.mode)),
            (None, Some(node)) => Some((node.user, node.group, node.mode & mode)),
            (None, None) => None,
        };
        let (uid, gid, mode) = match access {
            Some((Owner::Id(uid), Owner::Id(gid), mode)) => (uid, gid, mode),
            _ => (0, 0, new_mode),
        };
        let mut staged = sysroot.stage_file(&path)?;
        staged
            .write_all(bytes)
            .map_err(|source| SysrootError::new("write", &path, source))?;
        staged.commit(uid, gid, mode)?;
    }
    Ok(edit.public.is_some() || edit.secret.is_some())
}

/// Takes the lock of lckpwdf(3), which the shadow tools hold while they write. It is released when the file is closed.
pub(super) fn lock(sysroot: &Sysroot, wait: Duration) -> Result<File, AccountsError> {
    let path = RootPath::from(PLACES[0]).join(".pwd.lock");
    let file = sysroot.open_lock_file(&path, 0o600)?;
    let begin = Instant::now();
    let whole_file = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    loop {
        match fcntl(&file, FcntlArg::F_SETLK(&whole_file)) {
            Ok(_) => return Ok(file),
            Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => {}
            Err(errno) => return Err(SysrootError::new("lock", &path, io::Error::from(errno)).into()),
        }
        if begin.elapsed() >= wait {
            return Err(AccountsError::Locked { path });
        }
        std::thread::sleep(AGAIN);
    }
}
