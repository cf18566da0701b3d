//! The digest of a failure: what the operator of a machine that did not come up has to know, as data and as a few lines.
//!
//! The same data is shown on stderr and the consoles ([`render`]), stands in the run report, and is posted. It never
//! holds anything secret: its texts are those of errors, which hold none.

mod advice;
mod causes;
mod render;

pub use causes::{causes, tool};
pub use render::{Context, MOST_LINES, render};

pub use crate::events::digest::{Digest, ToolOutcome};

impl Digest {
    /// Says what to do about an error, and takes that out of the causes, where it may stand at the end of one.
    pub(super) fn explain(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.advise(advice::of(error));
        self.tool = tool(error);
    }

    /// Says what to do, if that is known.
    pub(super) fn advise(&mut self, advice: Option<String>) {
        let Some(advice) = advice else {
            return;
        };
        for cause in &mut self.causes {
            let length = without(cause, &advice).len();
            cause.truncate(length);
        }
        self.advice = Some(advice);
    }
}

/// A cause without the advice that it ends with, after a semicolon, a colon or in brackets. The advice may say more.
fn without<'c>(cause: &'c str, advice: &str) -> &'c str {
    // Shorter words are found by chance.
    const SHORTEST: usize = 8;
    let told = |tail: &str| tail.len() >= SHORTEST && advice.starts_with(tail);
    let found = ["; ", ": ", " ("].into_iter().find_map(|mark| {
        let tail = |at: usize| cause.get(at.saturating_add(mark.len())..).unwrap_or_default();
        let is_end = |at: usize| match mark {
            " (" => tail(at).strip_suffix(')').is_some_and(told),
            _ => told(tail(at)),
        };
        cause
            .match_indices(mark)
            .map(|(at, _)| at)
            .find(|at| *at > 0 && is_end(*at))
    });
    found.and_then(|at| cause.get(..at)).unwrap_or(cause)
}
