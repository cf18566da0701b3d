//! `ignition-rs provision`.

use crate::cli::ProvisionArgs;

/// Provisions an image; 0 or 1.
pub fn provision(_args: &ProvisionArgs) -> u8 {
    crate::log::critical(&"not built yet");
    1
}
