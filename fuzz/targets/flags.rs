//! Command lines: the engine's (Go's syntax) and those of the verbs and the other names. Nothing is carried out.
#![no_main]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use ignition_rs::cli;
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 5] = [
    "ignition-rs",
    "ignition",
    "ignition-validate",
    "ignition-apply",
    "ignition-rmcfg",
];

/// Arguments are separated by NUL, as in the system's own list.
const SEEDS: &[&str] = &[
    "-platform\0qemu\0-stage=fetch\0-root=/sysroot\0-log-to-stdout",
    "--platform=metal\0--stage\0files\0-fetch-timeout\x002m0s",
    "plan\0--root\0/mnt\0config.ign",
    "validate\0--\0-x",
    "apply\0--root=/mnt\0-",
    "-version\0-clear-cache=false",
    "--help\0-h",
];

const WORDS: &[&str] = &[
    "-stage=",
    "-platform=",
    "-root=",
    "\0",
    "--",
    "=false",
    "=T",
    "-fetch-timeout=",
    "plan\0",
    "validate\0",
    "apply\0",
    "help\0",
];

fuzz_target!(init: plant(SEEDS, WORDS), |data: &[u8]| {
    for name in NAMES {
        let arguments = data.split(|byte| *byte == 0).map(|argument| OsString::from(OsStr::from_bytes(argument)));
        let invocation = cli::parse(OsStr::new(name), arguments, &|path| path == std::path::Path::new("/"));
        let _ = std::hint::black_box(invocation);
    }
});
