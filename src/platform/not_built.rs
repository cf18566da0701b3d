//! A platform that is known, and not built yet.

use super::{Answer, Platform, PlatformError, Provider, Transports};

/// Fails when it is asked for a config.
#[derive(Clone, Copy, Debug)]
pub struct NotBuilt(pub Platform);

impl Provider for NotBuilt {
    fn config(&self, _: &Transports<'_>) -> Result<Answer, PlatformError> {
        Err(PlatformError::NotBuilt(self.0))
    }
}
