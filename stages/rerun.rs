//! What a run does about what an earlier one left on the root (docs/operating.md, "Run again").

use std::str::FromStr;

/// The policy, as `ignition.rerun=` on the kernel command line and `-rerun` name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rerun {
    /// What Ignition refuses is refused, before anything is written
    #[default]
    Refuse,
    /// What stands where the config wants something else gives way, as far as nothing is lost that the config does not name
    Converge,
    /// As `Refuse`, and an unfinished run with another config stops this one
    Strict,
}

/// Not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write converge or strict, or leave it out")]
pub struct UnknownRerun;

impl FromStr for Rerun {
    type Err = UnknownRerun;

    fn from_str(text: &str) -> Result<Self, UnknownRerun> {
        match text {
            "converge" => Ok(Self::Converge),
            "strict" => Ok(Self::Strict),
            _ => Err(UnknownRerun),
        }
    }
}
