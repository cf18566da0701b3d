//! What to do about an error. Most errors say it themselves; this is the place that knows which words those are, and
//! what to say for those that do not.
//!
//! An error of an unknown kind has no advice here, so a new kind needs no entry.

use std::error::Error;
use std::io;

use nix::errno::Errno;

use super::causes::chain;
use crate::config::ParseError;
use crate::engine::acquire::AcquireError;
use crate::engine::cache::CacheFileError;
use crate::engine::render::ReferenceError;
use crate::engine::state::StateError;
use crate::engine::system::SystemError;
use crate::exec::ExecError;
use crate::fetch::FetchError;
use crate::fetch::gunzip::GunzipError;
use crate::fetch::hash::HashMismatch;
use crate::fetch::limit::TooLarge;
use crate::fetch::oem::OemError;
use crate::platform::PlatformError;
use crate::stages::Problem;
use crate::sys::accounts::AccountsError;
use crate::sys::runner::RunError;
use crate::sys::{SysrootError, Tool};
use crate::view::{ResolveError, ViewError};

/// What to do about an error: what the first of its chain says that has an advice; at last what the error number says.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    chain(error).find_map(one).or_else(|| {
        chain(error)
            .filter_map(|error| error.downcast_ref().and_then(input_output))
            .last()
    })
}

/// What one error of a chain says, without its causes. Errors that pass another one's words on hide it from the chain.
fn one(error: &(dyn Error + 'static)) -> Option<String> {
    None.or_else(|| error.downcast_ref().and_then(problem))
        .or_else(|| error.downcast_ref().and_then(exec))
        .or_else(|| error.downcast_ref().and_then(acquire))
        .or_else(|| error.downcast_ref().and_then(fetch))
        .or_else(|| error.downcast_ref().and_then(reference))
        .or_else(|| error.downcast_ref().and_then(platform))
        .or_else(|| error.downcast_ref().and_then(sysroot))
        .or_else(|| error.downcast_ref().and_then(run))
        .or_else(|| error.downcast_ref().and_then(view))
        .or_else(|| error.downcast_ref().and_then(cache))
        .or_else(|| error.downcast_ref().and_then(state))
        .or_else(|| error.downcast_ref().and_then(system))
        .or_else(|| error.downcast_ref().and_then(ParseError::advice))
        .or_else(|| error.downcast_ref().and_then(oem))
        .or_else(|| error.downcast_ref().map(|_: &HashMismatch| hash()))
}

fn problem(problem: &Problem) -> Option<String> {
    match problem {
        Problem::Refused { advice, .. } => Some(advice.clone()),
        Problem::Resolve(ResolveError::View(error)) | Problem::View(error) => view(error),
        Problem::Resolve(ResolveError::Loop { .. } | ResolveError::NotADirectory { .. }) => {
            Some("choose another path in the config, or correct what stands there in the root".to_owned())
        }
    }
}

fn view(error: &ViewError) -> Option<String> {
    match error {
        ViewError::Io { source, .. } => input_output(source),
        ViewError::Form { .. } => Some("correct that file of the image".to_owned()),
        ViewError::SeveralDevices { .. } => {
            Some("give one of them another, or name the partition itself".to_owned())
        }
        ViewError::NotMounted { .. } => Some(
            "mount the image's filesystems read-only (losetup --partscan --read-only, mount -o ro) and name the root's \
             directory with --root"
                .to_owned(),
        ),
        ViewError::Unseen { .. } | ViewError::Program { .. } => None,
    }
}

fn exec(error: &ExecError) -> Option<String> {
    match error {
        ExecError::Root(error) | ExecError::Accounts(AccountsError::Sysroot(error)) => sysroot(error),
        ExecError::Run(error) => run(error),
        ExecError::Fetch { source, .. } => fetch(source),
        ExecError::Copy { source, .. } => Some(arriving(source)),
        ExecError::Write { source, .. } => input_output(source),
        ExecError::Stopped => Some("run again to continue where it left off".to_owned()),
        _ => None,
    }
}

fn sysroot(error: &SysrootError) -> Option<String> {
    error
        .advice()
        .map(str::to_owned)
        .or_else(|| input_output(&error.source))
}

fn run(error: &RunError) -> Option<String> {
    match error {
        RunError::NotFound { tool, .. } => {
            Some(format!("put {tool} into the initrd, with what it needs to run"))
        }
        RunError::Failed { command, .. } => {
            let name = command.split(' ').next().unwrap_or_default();
            let account = [
                Tool::Useradd,
                Tool::Usermod,
                Tool::Userdel,
                Tool::Groupadd,
                Tool::Groupmod,
                Tool::Groupdel,
            ];
            if account.iter().any(|tool| tool.name() == name) {
                Some(
                    "correct the account in the config, or what the image has in etc/passwd and etc/group; \
                     what the program wrote says which"
                        .to_owned(),
                )
            } else {
                Some(format!(
                    "see what {name} wrote, and correct the config or the image"
                ))
            }
        }
        _ => None,
    }
}

fn fetch(error: &FetchError) -> Option<String> {
    match error {
        FetchError::NotFound { .. } => Some("check the URL, and that the server has that file".to_owned()),
        FetchError::Status { .. } | FetchError::ProxyStatus { .. } => {
            Some("check the URL and its httpHeaders, and what the server lets this machine have".to_owned())
        }
        FetchError::ProxyUser { .. } | FetchError::Proxy { .. } => {
            Some("correct ignition.proxy in the config".to_owned())
        }
        FetchError::Timeout { limit, .. } => Some(format!(
            "check the network of this machine and that the server answers; to wait longer, raise {limit}"
        )),
        FetchError::Stopped { .. } => Some("run again to continue where it left off".to_owned()),
        FetchError::Redirects { .. } => {
            Some("correct the server's redirects, or name the last URL in the config".to_owned())
        }
        FetchError::NeedNet { .. } => Some("run the stage fetch, which has the network".to_owned()),
        FetchError::Read { source, .. } => Some(arriving(source)),
        FetchError::Data(_) => Some("correct the data: URL in the config".to_owned()),
        FetchError::Invalid { .. } => Some("correct the URL in the config".to_owned()),
        FetchError::Authority { .. } => Some("the source must hold certificates in PEM form".to_owned()),
        _ => None,
    }
}

fn oem(error: &OemError) -> Option<String> {
    match error {
        OemError::Relative | OemError::Nul => Some("write it as oem:///path".to_owned()),
        OemError::Leaves => Some("remove the .. from it".to_owned()),
        OemError::Missing(_) => Some("put it onto the OEM partition".to_owned()),
        OemError::Io { source, .. } => input_output(source),
    }
}

fn hash() -> String {
    "the file at that URL is another one, or was changed on the way: correct the file, or verification.hash in the \
     config"
        .to_owned()
}

fn reference(error: &ReferenceError) -> Option<String> {
    match error {
        ReferenceError::Fetch(error) => fetch(error),
        ReferenceError::Hash(_) => Some(hash()),
        ReferenceError::NoSource => Some("give it a source, or remove the entry".to_owned()),
        ReferenceError::UpperCase => Some("write them in lower case".to_owned()),
        ReferenceError::HashForm(_) => Some("write it as sha512- or sha256- and the digits".to_owned()),
        ReferenceError::TooDeep | ReferenceError::TooMany => {
            Some("remove the reference by which a config refers to itself".to_owned())
        }
    }
}

fn platform(error: &PlatformError) -> Option<String> {
    match error {
        PlatformError::NotBuilt(_) => {
            Some("give the config by ignition.config.url or as user.ign".to_owned())
        }
        PlatformError::Fetch(error) => fetch(error),
        PlatformError::Missing { hint, .. } => Some((*hint).to_owned()),
        PlatformError::Io { source, .. } => input_output(source),
        PlatformError::Module { .. } => Some("put it into the initrd".to_owned()),
        PlatformError::Form { .. } => None,
    }
}

fn acquire(error: &AcquireError) -> Option<String> {
    match error {
        AcquireError::NoProvider => Some(
            "give the config by ignition.config.url on the kernel command line, as user.ign, or by the platform".to_owned()),
        AcquireError::Cache(error) => cache(error),
        AcquireError::NeedNet(error) => fetch(error),
        AcquireError::File { source, .. } => input_output(source),
        AcquireError::Invalid { .. } => Some(
            "each config may be good by itself, and all of them together not: change one of them; plan --fetch shows \
             the same".to_owned()),
        _ => None,
    }
}

fn cache(error: &CacheFileError) -> Option<String> {
    match error {
        CacheFileError::Missing(_) => {
            Some("run the stage fetch-offline or fetch first, or give the config with --config".to_owned())
        }
        CacheFileError::Io { source, .. } => input_output(source),
        CacheFileError::Form { .. } => Some("remove it and run the stage fetch again".to_owned()),
    }
}

fn state(error: &StateError) -> Option<String> {
    match error {
        StateError::Io { source, .. } => input_output(source),
        StateError::Form { .. } => Some("remove it to start anew".to_owned()),
    }
}

fn system(error: &SystemError) -> Option<String> {
    match error {
        SystemError::Io { source, .. } => input_output(source),
        SystemError::Parse { source, .. } => source.advice(),
    }
}

/// What to do about contents that did not come whole.
fn arriving(error: &io::Error) -> String {
    let inner = error.get_ref();
    if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<GunzipError>) {
        return "let the source hold whole gzip data, or take compression out of the config".to_owned();
    }
    if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooLarge>) {
        return "check the source: nothing of that size is meant to be there".to_owned();
    }
    input_output(error).unwrap_or_else(|| {
        "check that the server sends all of it, and the network on the way; then boot again".to_owned()
    })
}

/// What to do about an error of the system; or of a reader that says by one that the hash is another.
fn input_output(error: &io::Error) -> Option<String> {
    if let Some(HashMismatch { .. }) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return Some(hash());
    }
    Some(
        match error.raw_os_error().map(Errno::from_raw)? {
            Errno::EROFS => "mount the filesystem read-write, or choose a path outside the read-only image",
            Errno::ENOSPC => "the filesystem is full: make it larger, or the contents smaller",
            Errno::EDQUOT => "the quota is used up: raise it",
            Errno::EACCES | Errno::EPERM => {
                "run as root; if this is root, look for an immutable file or a security policy"
            }
            Errno::ENOENT => "it, or a directory above it, is missing: correct the path",
            Errno::EISDIR => "a directory stands there: correct the path",
            Errno::ENOTDIR => "something in the path is not a directory: correct the path",
            Errno::EIO | Errno::EUCLEAN | Errno::EBADMSG => {
                "the disk or its filesystem is damaged: see the kernel's messages (dmesg)"
            }
            Errno::ENOMEM => "give the machine more memory",
            Errno::EMFILE | Errno::ENFILE => "too many open files: raise the limit",
            _ => return None,
        }
        .to_owned(),
    )
}
