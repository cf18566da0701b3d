//! GNU-style flags: long ones only, before and after the arguments.

use std::ffi::OsString;

use lexopt::Arg;

use super::{Flag, Parsed, Stop, find, unknown};

/// Parses flags wherever they stand; `--` makes the rest arguments.
pub(super) fn parse<A>(
    flags: &'static [Flag<A>],
    arguments: impl IntoIterator<Item = OsString>,
    parsed: &mut Parsed<A>,
) -> Result<(), Stop> {
    let usage = |error: lexopt::Error| Stop::Usage(error.to_string());
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(usage)? {
        let name = match argument {
            Arg::Value(value) => {
                parsed.rest.push(value);
                continue;
            }
            Arg::Short('h') | Arg::Long("help") => return Err(Stop::Help),
            Arg::Short(short) => {
                return Err(Stop::Usage(format!(
                    "unknown flag: -{short}; flags have two dashes here, as in --help"
                )));
            }
            Arg::Long(name) => name.to_owned(),
        };
        let Some(flag) = find(flags, &name) else {
            return Err(unknown("unknown flag", "--", &name, flags));
        };
        let value = if flag.is_switch() {
            parser.optional_value()
        } else {
            parser.value().ok()
        };
        flag.apply("--", &mut parsed.args, value.as_deref())
            .map_err(Stop::Usage)?;
        parsed.given.push(flag.name);
    }
    Ok(())
}
