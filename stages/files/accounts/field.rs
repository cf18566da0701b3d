//! Values of `passwd` that must not reach the tools: they would be read as options, break a line, or wrap around.

use crate::config::types::Hidden;
use crate::report::Pointer;
use crate::stages::PlanError;
use crate::stages::files::refuse;

/// Names go into argv and into files whose lines are split at colons, and name a home directory.
pub(super) fn check_name(name: &str, at: &Pointer) -> Result<(), PlanError> {
    let what = if name.is_empty() {
        "the name is empty".to_owned()
    } else if name.starts_with('-') {
        format!("the name {name:?} begins with a dash and would be read as an option")
    } else if matches!(name, "." | "..") {
        format!("{name:?} is not a name")
    } else if let Some(bad) = name
        .chars()
        .find(|c| matches!(c, ':' | '/' | ',') || c.is_control() || c.is_whitespace())
    {
        format!("the name {name:?} contains {bad:?}")
    } else {
        return Ok(());
    };
    Err(refuse(at.clone(), what, "use letters, digits, `_` and `-`"))
}

pub(super) fn check_field(value: &str, at: &Pointer) -> Result<(), PlanError> {
    match value.chars().find(|c| *c == ':' || c.is_control()) {
        None => Ok(()),
        Some(bad) => Err(refuse(
            at.clone(),
            format!("the value contains {bad:?}, which a line of etc/passwd cannot hold"),
            "leave that character out",
        )),
    }
}

/// As [`check_field`], but never shows what it is about.
pub(super) fn check_hash<'a>(hash: Option<&'a Hidden>, at: &Pointer) -> Result<Option<&'a str>, PlanError> {
    let hash = hash.map(Hidden::reveal);
    match hash {
        Some(text) if text.chars().any(|c| c == ':' || c.is_control()) => Err(refuse(
            at.clone(),
            "the hash contains a colon or a control character, which a line of etc/shadow cannot hold",
            "give the output of mkpasswd, without a line feed",
        )),
        _ => Ok(hash),
    }
}

/// Ids are 32 bits without sign; the highest means "no id" to the kernel. Upstream lets others wrap around.
pub(super) fn check_id(id: Option<i64>, at: &Pointer) -> Result<Option<u32>, PlanError> {
    let Some(number) = id else { return Ok(None) };
    match u32::try_from(number) {
        Ok(id) if id != u32::MAX => Ok(Some(id)),
        _ => Err(refuse(
            at.clone(),
            format!("{number} is not an id"),
            format!("ids are from 0 to {}", u32::MAX - 1),
        )),
    }
}
