//! What only the linker can save in a release binary (docs/architecture.md, "Release profile").
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is no part of the program; cargo speaks through the environment"
)]

use std::env;
use std::process::Command;

/// rustc links with lld for this target, and does so since this version. Other linkers do not know all of the flags.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const SINCE: u32 = 90;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=release.ld");
    // A target directory that was copied along names the script of the other tree.
    println!("cargo:rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // With debug information, the tables stay for debuggers and profilers.
    let release = is("TARGET", TARGET) && is("PROFILE", "release") && is("DEBUG", "false");
    if release && minor_version().is_some_and(|minor| minor >= SINCE) {
        let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        for argument in [
            "-O2",
            "--hash-style=gnu",
            "--icf=all",
            "-z,pack-relative-relocs",
            "--no-eh-frame-hdr",
        ] {
            println!("cargo:rustc-link-arg-bins=-Wl,{argument}");
        }
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{directory}/release.ld");
    }
}

/// The 95 of `rustc 1.95.0 (…)`.
fn minor_version() -> Option<u32> {
    let said = Command::new(env::var_os("RUSTC")?)
        .arg("--version")
        .output()
        .ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.split('.').nth(1)?.parse().ok()
}
