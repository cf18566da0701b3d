//! Small bodies that become large, and roots that are too small for them.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::fetch_stage;
use super::netns::{self, FAR, Machine};
use super::server::{Server, answer};
use crate::support::programs::files_stage;
use crate::support::root::Root;

/// So many megabytes of zeroes, packed: a member of 64 MB, over and over.
fn zeroes(megabytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let megabyte = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&megabyte).unwrap();
    }
    encoder.finish().unwrap().repeat(megabytes / 64)
}

#[test]
fn a_config_of_ten_gigabytes_is_refused_quickly_and_in_little_memory() {
    netns::alone(&[], || {
        let server = Server::plain_at(FAR, vec![answer(200, "", &zeroes(10 << 10))]);
        let machine = Machine::new("", "", "");
        let directory = TempDir::new().unwrap();
        let config = json!({"ignition": {"version": "3.4.0", "config": {
            "replace": {"source": server.url("/bomb"), "compression": "gzip"},
        }}});
        let program = machine.with(
            fetch_stage(directory.path(), &config),
            // In kilobytes: the limit of a config, twice while it grows, and the program.
            "ulimit -v 800000; exec \"$@\"",
        );
        let started = Instant::now();
        let ran = program.run();
        ran.expect_code(1);
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{:?}",
            started.elapsed()
        );
        assert!(ran.stderr.contains("more than 268435456 bytes"), "{ran}");
    });
}

#[test]
fn contents_that_fill_the_disk_leave_nothing() {
    netns::alone(&[], || {
        let server = Server::plain_at(FAR, vec![answer(200, "", &zeroes(64)); 4]);
        let root = Root::system();
        let machine = Machine::new("", "", "");
        let config = json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"files": [
                {"path": "/opt/zeroes", "contents": {"source": server.url("/bomb"), "compression": "gzip"}},
            ]},
        });
        let config = root.file_beside("config.ign", config.to_string());
        let after = root.beside().join("after");
        let (opt, list) = (root.at("opt"), after.display());
        let opt = opt.display();
        let shell = format!(
            "mount -t tmpfs -o size=8m none {opt}; set +e; \"$@\"; code=$?; find {opt} -mindepth 1 > {list}; \
             df --output=used {opt} >> {list}; exit $code"
        );
        let ran = machine.with(files_stage(&config, root.path()), &shell).run();
        ran.expect_code(1);
        assert!(
            ran.stdout.contains("No space left on device") && ran.stdout.contains("/opt/zeroes"),
            "{ran}"
        );
        let after = fs::read_to_string(after).unwrap();
        let lines: Vec<&str> = after.split_whitespace().collect();
        assert_eq!(lines, ["Used", "0"], "{after}");
    });
}
