//! Work that nobody must wait for longer than is told.

use std::time::Duration;

/// Does something in a thread of its own, and stops waiting for it after a while: then there is no result.
pub(super) fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, over) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .spawn(move || {
            // Whoever has stopped waiting does not hear it.
            let _unheard = done.send(work());
        })
        .ok()?;
    over.recv_timeout(patience).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_hangs_is_left() {
        let begin = Instant::now();
        let left = within(Duration::from_millis(50), || {
            std::thread::sleep(Duration::from_secs(20));
        });
        assert_eq!(left, None);
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(
            within(Duration::from_secs(20), || 7),
            Some(7),
            "what ends is waited for"
        );
    }
}
