//! The small languages inside a config (spec/config.md 11): URLs, `data:` URLs, hashes, paths, GUIDs, versions, unit
//! files. All pure, each a parser of its own, with Go's verdicts.

pub mod arn;
pub mod data_url;
pub mod guid;
pub mod hash;
pub(crate) mod hex;
pub mod path;
pub mod semver;
pub mod source;
pub mod unit;
pub mod url;

pub use self::url::{Url, is_offline};
