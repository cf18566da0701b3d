//! The kernel command line: any bytes are one, and the last parameter counts.
#![no_main]

use ignition_rs::config::grammar::url;
use ignition_rs::engine::cmdline::{URL_KEYS, config_url, value};
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

const SEEDS: &[&[u8]] = &[
    b"root=x quiet\n",
    b"ignition.config.url=http://a/b?c=d\n",
    b"ignition.config.url=one flatcar.config.url=two",
    b"flatcar.config.url=one\tx coreos.config.url=two",
    b"ignition.config.url=\"a b\" ignition.rerun=strict",
    b"\xff\xfe ignition.config.url=data:,x",
];

const WORDS: &[&str] = &[
    "ignition.config.url=",
    "flatcar.config.url=",
    "coreos.config.url=",
    "ignition.rerun=strict",
    " ",
];

fuzz_target!(init: plant(SEEDS, WORDS), |data: &[u8]| {
    if let Some(found) = config_url(data) {
        assert!(!found.is_empty() && !found.contains(' '));
        let _ = url::display(&found);
    }
    let last = URL_KEYS.iter().filter_map(|key| value(data, key)).count();
    if last == 0 {
        assert_eq!(config_url(data), None);
    }
    let _ = value(data, "ignition.rerun");
    for key in URL_KEYS {
        let appended = [data, format!(" {key}=last").as_bytes()].concat();
        assert_eq!(config_url(&appended).as_deref(), Some("last"));
        assert_eq!(value(&appended, key).as_deref(), Some("last"));
    }
});
