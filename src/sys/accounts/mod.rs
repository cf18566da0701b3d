//! The target's account files: passwd, group, shadow and gshadow.
//!
//! Names are looked up in files only, in three places: `etc/`, then the image's own `usr/share/baselayout/` (Flatcar),
//! then `usr/lib/` (ostree systems). The shadow tools see `etc/` alone, so [`adopt`] copies an entry there before it is
//! changed. Passwords are set by [`set_password`], since the tools take them only in their arguments.

mod database;
pub mod edit;
mod leftovers;
mod lookup;
pub mod running;
mod write;

pub use database::{GroupEntry, Malformed, PasswdEntry, groups, users};
pub use leftovers::remove_leftovers;
pub use lookup::{PLACES, Read, group, has_password, user};
pub use write::{AccountsError, LIMIT, adopt, read, set_password};

use crate::view::Account;

/// The two files of an account database: one that all may read, and one for its secrets.
fn files(account: Account<'_>) -> (&'static str, &'static str, &str) {
    match account {
        Account::User(name) => ("passwd", "shadow", name),
        Account::Group(name) => ("group", "gshadow", name),
    }
}

#[cfg(test)]
mod tests;
