//! Go's `time.ParseDuration`.

use std::time::Duration;

/// Not a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, no unit, or something between them
    #[error("not a duration; write it like 2m0s, 1.5h or 300ms")]
    Form,
    /// Units are ns, us, ms, s, m, h
    #[error("a duration needs a unit after each number: ns, us, ms, s, m or h")]
    Unit,
    /// Go counts nanoseconds in 63 bits, about 292 years
    #[error("the duration is too long")]
    TooLong,
    /// A time to wait
    #[error("the duration is negative")]
    Negative,
}

/// Reads `2m0s`, `1.5h`, `300ms`, `0`: numbers, each with a unit, added up. Unlike Go's, a negative one is an error.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Form);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::Form);
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or(DurationError::Form)?;
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationError::Unit),
        };
        let whole: u128 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| DurationError::TooLong)?
        };
        total = whole
            .checked_mul(unit)
            .and_then(|value| value.checked_add(fraction_of(fraction, unit)))
            .and_then(|value| value.checked_add(total))
            .filter(|value| *value <= u128::from(u64::MAX >> 1))
            .ok_or(DurationError::TooLong)?;
        rest = after;
    }
    if negative && total != 0 {
        return Err(DurationError::Negative);
    }
    let nanoseconds = u64::try_from(total).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Nanoseconds in a decimal fraction of a unit, rounded down. More than 18 digits cannot change a nanosecond.
fn fraction_of(digits: &str, unit: u128) -> u128 {
    let mut value: u128 = 0;
    let mut scale: u128 = 1;
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit.wrapping_sub(b'0'));
        scale *= 10;
    }
    value * unit / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("2m0s", 120_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("300ms", 300_000_000),
            ("+5s", 5_000_000_000),
            ("5.s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("0.000000000000000000000000001h", 0),
            ("1.0000000005s", 1_000_000_000),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_nanos(nanoseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refused() {
        for (text, error) in [
            ("", DurationError::Form),
            ("-", DurationError::Form),
            ("3", DurationError::Unit),
            (".s", DurationError::Form),
            ("s", DurationError::Form),
            ("1d", DurationError::Unit),
            ("1 s", DurationError::Unit),
            ("1m2", DurationError::Unit),
            ("-1s", DurationError::Negative),
            ("9223372036854775808ns", DurationError::TooLong),
            (
                "99999999999999999999999999999999999999999h",
                DurationError::TooLong,
            ),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+0-9.a-z\u{b5} ]{0,40}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn whole_milliseconds(milliseconds in 0_u64..1_000_000_000) {
            prop_assert_eq!(parse_duration(&format!("{milliseconds}ms")), Ok(Duration::from_millis(milliseconds)));
        }
    }
}
