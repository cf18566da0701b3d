//! Two computations at once.

use std::thread;

/// Does both, `other` on a thread of its own; one after the other if there is no thread to be had.
pub(super) fn beside<A: Send, B>(other: impl Fn() -> A + Send + Sync, work: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &other);
        let worked = work();
        let computed = thread.map_or_else(|_| other(), |thread| thread.join().unwrap_or_else(|_| other()));
        (computed, worked)
    })
}
