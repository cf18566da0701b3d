//! Asking a fetch on another thread to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often who waits on the network looks whether to stop: what is asked for is done within this time.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Shared by whoever fetches and whoever may have enough of it. The default is never asked for.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Everything that was begun with this ends soon, with an error; what is begun with it later does at once.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether that was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
