# Recipes for people; CI calls .ci/run.

default:
    @just --list

# Everything that must be green before a push
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo test

# The quick start of the README
demo:
    cp -rT examples/root /tmp/demo
    -cargo run -q -- plan examples/caddy.ign --root /tmp/demo
    cargo run -q -- -stage files -config examples/caddy.ign -root /tmp/demo -log-to-stdout

# Write docs/man from the flag tables
man:
    UPDATE_MAN=1 cargo test --test integration man_pages

# Licences, bans, sources; advisories where the database can be reached
deny:
    cargo deny check licenses bans sources
    -cargo deny check advisories

# Size of the binary as it is shipped
size:
    cargo build --release
    stat -c '%n: %s bytes' target/release/ignition-rs

# The other architecture compiles (docs/packaging.md)
aarch64:
    cargo check --all-targets --target aarch64-unknown-linux-gnu
