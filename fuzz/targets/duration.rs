//! Go's durations: no overflow, and adding up is what it does.
#![no_main]

use ignition_rs::flags::parse_duration;
use ignition_rs_fuzz::{plant, text};
use libfuzzer_sys::fuzz_target;

const SEEDS: &[&str] = &[
    "2m0s",
    "1.5h",
    "+5s",
    ".5s",
    "1h2m3s4ms5us6ns",
    "9223372036854775807ns",
    "0.000000000000000000000000001h",
    "1\u{b5}s",
];

fuzz_target!(init: plant(SEEDS, &["ns", "us", "\u{3bc}s", "ms", "s", "m", "h", "9223372036854775807"]), |data: &[u8]| {
    let Some(text) = text(data) else { return };
    if let Ok(duration) = parse_duration(text) {
        assert!(duration.as_nanos() <= u128::from(u64::MAX >> 1));
        assert_eq!(parse_duration(&format!("{}ns", duration.as_nanos())), Ok(duration));
        if text.strip_prefix(['+', '-']).unwrap_or(text) != "0"
            && let Ok(more) = parse_duration(&format!("{text}1ns"))
        {
            assert_eq!(more.as_nanos(), duration.as_nanos() + 1);
        }
    }
});
