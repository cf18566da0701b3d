//! `ignition.fetch.deadline=` on the kernel command line: when all fetching of a stage must be over.

use std::time::Duration;

use super::cmdline;
use super::edges::Edges;
use crate::fetch::web::DEADLINE;
use crate::flags::parse_duration;

/// Time that a stage has for all its fetching, from its start; `None` = without end. What cannot be read is warned about
/// and counts as none.
pub(super) fn of(edges: &Edges) -> Option<Duration> {
    let line = edges.kernel_command_line().ok()?;
    let text = cmdline::value(&line, DEADLINE)?;
    match parse(&text) {
        Ok(time) => {
            tracing::info!(
                "all fetching of this stage ends after {} s ({DEADLINE})",
                time.as_secs()
            );
            Some(time)
        }
        Err(problem) => {
            tracing::warn!("{DEADLINE}={text} on the kernel command line is ignored: {problem}");
            None
        }
    }
}

/// Reads seconds (`90`) or a duration as Go writes it (`1m30s`).
fn parse(text: &str) -> Result<Duration, String> {
    let advice = "write seconds, or a duration such as 1m30s";
    let time = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().map_err(|_| format!("it is too long; {advice}"))?)
    } else {
        parse_duration(text).map_err(|error| format!("{error}; {advice}"))?
    };
    if time.is_zero() {
        return Err(format!("no time at all is left by it; {advice}"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_durations() {
        for (text, want) in [
            ("90", Some(90_000)),
            ("1", Some(1_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5h", Some(5_400_000)),
            ("0", None),
            ("0s", None),
            ("", None),
            ("-5", None),
            ("-5s", None),
            ("soon", None),
            ("5x", None),
            ("\u{665}", None),
            ("99999999999999999999999", None),
        ] {
            let got = parse(text);
            assert_eq!(
                got.as_ref().ok().copied(),
                want.map(Duration::from_millis),
                "{text}: {got:?}"
            );
        }
    }
}
