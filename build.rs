//! What only the linker can save in a release binary (docs/architecture.md, "Release profile").

#![allow(
    clippy::disallowed_methods,
    reason = "this is no part of the program; cargo speaks through the environment"
)]

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=release.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // rustc links with lld on this target only; other linkers do not know all of this. With debug information, the tables
    // stay for debuggers and profilers.
    let lld = is("TARGET", "x86_64-unknown-linux-gnu");
    if lld && is("PROFILE", "release") && is("DEBUG", "false") {
        let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        for argument in ["--icf=all", "-z,pack-relative-relocs", "--no-eh-frame-hdr"] {
            println!("cargo:rustc-link-arg-bins=-Wl,{argument}");
        }
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{directory}/release.ld");
    }
}
