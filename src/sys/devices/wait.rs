//! Waiting for devices.

use std::time::Duration;

use crate::sys::Clock;

/// How often is looked.
const AGAIN: Duration = Duration::from_millis(100);

/// How often the log says what is missing.
const SAY: Duration = Duration::from_secs(10);

/// A path that cannot be used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) path: String,
    /// Whether it leads to a block device that udev has not dealt with yet
    pub(super) there: bool,
}

/// How a wait ended that did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) missing: Vec<String>,
    pub(super) waited: Duration,
    /// SIGTERM
    pub(super) stopped: bool,
}

/// Looks until nothing lacks, at most as long as said. A device that is there counts at the end, although udev has not
/// dealt with it.
pub(super) fn wait(
    clock: &dyn Clock,
    limit: Duration,
    look: &mut dyn FnMut() -> Vec<Lack>,
) -> Result<(), Ended> {
    let begin = clock.monotonic();
    let mut said = begin;
    loop {
        let lacks = look();
        if lacks.is_empty() {
            return Ok(());
        }
        let now = clock.monotonic();
        let waited = now.saturating_sub(begin);
        let stopped = clock.is_stop_asked();
        if waited >= limit || stopped {
            let missing: Vec<String> = lacks
                .iter()
                .filter(|lack| !lack.there || stopped)
                .map(|lack| lack.path.clone())
                .collect();
            if missing.is_empty() {
                tracing::warn!(
                    "udev has not dealt with {} within {} s; going on",
                    list(&lacks),
                    waited.as_secs()
                );
                return Ok(());
            }
            return Err(Ended {
                missing,
                waited,
                stopped,
            });
        }
        if now.saturating_sub(said) >= SAY {
            said = now;
            crate::log::notice(&format_args!(
                "waiting for {} ({} s of {} s)",
                list(&lacks),
                waited.as_secs(),
                limit.as_secs()
            ));
        }
        clock.sleep(AGAIN);
    }
}

fn list(lacks: &[Lack]) -> String {
    let words: Vec<String> = lacks
        .iter()
        .map(|lack| {
            if lack.there {
                format!("{} (udev)", lack.path)
            } else {
                lack.path.clone()
            }
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::FakeClock;

    fn lack(path: &str, there: bool) -> Lack {
        Lack {
            path: path.to_owned(),
            there,
        }
    }

    #[test]
    fn it_ends_when_nothing_lacks() {
        let clock = FakeClock::new();
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            if looks < 4 {
                vec![lack("/dev/x", false)]
            } else {
                Vec::new()
            }
        };
        wait(&clock, Duration::from_secs(90), &mut look).unwrap();
        assert_eq!(clock.monotonic(), Duration::from_millis(300));
    }

    #[test]
    fn it_ends_at_the_limit_with_what_is_missing() {
        let clock = FakeClock::new();
        let mut look = || vec![lack("/dev/x", false), lack("/dev/y", true)];
        let ended = wait(&clock, Duration::from_secs(90), &mut look).unwrap_err();
        assert_eq!(ended.missing, ["/dev/x"]);
        assert_eq!(ended.waited, Duration::from_secs(90));
        assert!(!ended.stopped);
        let mut look = || vec![lack("/dev/y", true)];
        wait(&clock, Duration::from_secs(90), &mut look).unwrap();
        let mut look = || vec![lack("/dev/x", false)];
        assert!(
            wait(&clock, Duration::ZERO, &mut look).is_err(),
            "one look, no wait"
        );
    }

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> String {
            String::new()
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _time: Duration) {
            panic!("a stop ends the wait at once");
        }
        fn is_stop_asked(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_stop_ends_it() {
        let mut look = || vec![lack("/dev/y", true)];
        let ended = wait(&Stopped, Duration::from_secs(90), &mut look).unwrap_err();
        assert!(ended.stopped);
        assert_eq!(ended.missing, ["/dev/y"]);
    }
}
