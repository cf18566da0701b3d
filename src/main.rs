//! `ignition-rs`

fn main() {}
