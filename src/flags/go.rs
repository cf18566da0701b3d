//! Go's `flag` syntax (spec/cli.md 2).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::{Flag, Parsed, Stop, find, unknown};

/// Parses flags up to the first argument that is none; `--` ends the flags and is dropped.
pub(super) fn parse<A>(
    flags: &'static [Flag<A>],
    arguments: impl IntoIterator<Item = OsString>,
    parsed: &mut Parsed<A>,
) -> Result<(), Stop> {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            break;
        }
        let Some(body) = flag_body(&argument) else {
            parsed.rest.push(argument);
            break;
        };
        if body.is_empty() || body.starts_with(b"-") || body.starts_with(b"=") {
            return Err(Stop::Usage(format!("bad flag syntax: {}", argument.display())));
        }
        let mut parts = body.splitn(2, |byte| *byte == b'=');
        let name = OsStr::from_bytes(parts.next().unwrap_or_default()).to_string_lossy();
        let mut value = parts.next().map(|value| OsString::from_vec(value.to_vec()));
        let Some(flag) = find(flags, &name) else {
            if name == "h" || name == "help" {
                return Err(Stop::Help);
            }
            return Err(unknown("flag provided but not defined", "-", &name, flags));
        };
        if value.is_none() && !flag.is_switch() {
            value = arguments.next();
        }
        flag.apply("-", &mut parsed.args, value.as_deref())
            .map_err(Stop::Usage)?;
        parsed.given.push(flag.name);
    }
    parsed.rest.extend(arguments);
    Ok(())
}

/// What follows the one or two dashes; `None` if the argument is no flag (`-` is none).
fn flag_body(argument: &OsStr) -> Option<&[u8]> {
    let body = argument.as_bytes().strip_prefix(b"-")?;
    if body.is_empty() {
        return None;
    }
    Some(body.strip_prefix(b"-").unwrap_or(body))
}
