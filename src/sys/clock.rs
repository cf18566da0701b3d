//! Time.

use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a wait that can be ended early looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The time, and waiting.
pub trait Clock: Sync {
    /// The time of day as RFC 3339 with seconds and the local zone's offset, `Z` for UTC.
    fn now(&self) -> String;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration);

    /// Waits, but not much longer than until `enough` says so.
    fn sleep_unless(&self, time: Duration, enough: &dyn Fn() -> bool) {
        let _ = enough;
        self.sleep(time);
    }

    /// Whether somebody has asked this process to stop (SIGTERM), so that a long wait must end.
    fn is_stop_asked(&self) -> bool;
}

/// A moment, by the time of day and by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970, UTC
    pub unix: Duration,
    /// Since the kernel started, as its log and the journal count it; 0 if that is not known
    pub uptime: Duration,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        let uptime = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
        Self {
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            uptime: uptime.map(Duration::from).unwrap_or_default(),
        }
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Its monotonic time starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        rfc3339(seconds, local_offset(seconds))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn sleep_unless(&self, time: Duration, enough: &dyn Fn() -> bool) {
        let begun = Instant::now();
        while let Some(left) = time.checked_sub(begun.elapsed()) {
            if enough() {
                return;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }

    fn is_stop_asked(&self) -> bool {
        super::signals::terminated()
    }
}

/// The local zone's offset from UTC at a moment, in seconds; 0 if libc does not know.
fn local_offset(seconds: i64) -> i64 {
    let mut local = MaybeUninit::<libc::tm>::zeroed();
    #[expect(
        unsafe_code,
        reason = "std knows no time zones, and libc's are those of the rest of the system"
    )]
    // SAFETY: both pointers are to live values of the right types. libc reads TZ; this process never changes its
    // environment, so nothing writes to it meanwhile. All-zero is a valid tm, so it may be read whatever happened.
    let local = unsafe {
        libc::localtime_r(&raw const seconds, local.as_mut_ptr());
        local.assume_init()
    };
    local.tm_gmtoff
}

/// A moment (seconds since 1970) as RFC 3339 in UTC.
pub fn utc(seconds: u64) -> String {
    // Not beyond the year 9999, where the form ends.
    rfc3339(i64::try_from(seconds).unwrap_or(i64::MAX).min(253_402_300_799), 0)
}

/// Writes a moment (seconds since 1970, UTC) as RFC 3339 with an offset of whole minutes.
fn rfc3339(seconds: i64, offset: i64) -> String {
    let offset = offset - offset % 60;
    let local = seconds.saturating_add(offset);
    let (year, month, day) = civil(local.div_euclid(86_400));
    let second = local.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let zone = if offset == 0 {
        "Z".to_owned()
    } else {
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March, so that the leap day is the last
/// of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// A clock that moves only when somebody sleeps.
#[derive(Debug)]
pub struct FakeClock {
    slept: Mutex<Vec<Duration>>,
    start: i64,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::starting(1_767_323_045)
    }
}

impl FakeClock {
    /// Starts at 2026-01-02T03:04:05Z.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts at this second since 1970.
    pub fn starting(start: i64) -> Self {
        Self {
            slept: Mutex::default(),
            start,
        }
    }

    /// Every wait so far.
    pub fn slept(&self) -> Vec<Duration> {
        self.waits().clone()
    }

    fn waits(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.slept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for FakeClock {
    fn now(&self) -> String {
        let passed = i64::try_from(self.monotonic().as_secs()).unwrap_or(i64::MAX);
        rfc3339(self.start.saturating_add(passed), 0)
    }

    fn monotonic(&self) -> Duration {
        self.waits()
            .iter()
            .fold(Duration::ZERO, |sum, wait| sum.saturating_add(*wait))
    }

    fn sleep(&self, time: Duration) {
        self.waits().push(time);
    }

    fn is_stop_asked(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc3339() {
        for (seconds, offset, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (951_868_799, 0, "2000-02-29T23:59:59Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (1_767_323_045, 3600, "2026-01-02T04:04:05+01:00"),
            (1_767_323_045, -12_600, "2026-01-01T23:34:05-03:30"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            // Before 1900 zones had odd seconds.
            (0, 53, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds, offset), text);
        }
    }

    #[test]
    fn agrees_with_date() {
        let output = std::process::Command::new("date")
            .args(["-d", "@1000000000", "+%::z"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let parts: Vec<i64> = text
            .trim()
            .trim_start_matches(['+', '-'])
            .split(':')
            .map(|part| part.parse().unwrap())
            .collect();
        let seconds = parts[0] * 3600 + parts[1] * 60 + parts[2];
        assert_eq!(local_offset(1_000_000_000).abs(), seconds);
    }

    #[test]
    fn the_fake_moves_by_sleeping() {
        let clock = FakeClock::new();
        assert_eq!(clock.now(), "2026-01-02T03:04:05Z");
        clock.sleep(Duration::from_secs(60));
        assert_eq!(clock.now(), "2026-01-02T03:05:05Z");
        assert_eq!(clock.monotonic(), Duration::from_secs(60));
        assert_eq!(clock.slept(), [Duration::from_secs(60)]);
    }
}
