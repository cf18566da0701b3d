//! What a run has done is on the disk before anything says that it is over (flatcar.md 1.5: units of the real root read the
//! result file, and the first-boot flag goes after the stage).

use serde_json::json;

use super::{config, files_stage, read};
use crate::rerun::stages::mode;
use crate::support::programs;
use crate::support::root::Root;
use crate::support::strace;

#[test]
fn everything_is_synced_before_the_record_goes() {
    if !programs::privileged() || !programs::traceable() {
        return;
    }
    let root = Root::system();
    let trace = root.beside().join("trace");
    let config = config(json!({
        "passwd": {"users": [{"name": "web"}]},
        "storage": {"files": [{"path": "/opt/file", "contents": {"source": "data:,x"}}]},
    }));
    let calls = "trace=renameat,renameat2,syncfs,fsync,fdatasync,unlinkat";
    files_stage(&root, &config)
        .under([
            "strace",
            "-qq",
            "-e",
            "signal=none",
            "-s",
            "200",
            "-e",
            calls,
            "-o",
            trace.to_str().unwrap(),
        ])
        .run()
        .expect_code(0);
    let calls = strace::read(&trace);
    let last = |name: &str, words: &str| {
        calls
            .iter()
            .rposition(|call| call.name.starts_with(name) && format!("{call:?}").contains(words))
            .unwrap_or_else(|| panic!("no {name} of {words}"))
    };
    let result = last("renameat", ".ignition-result.json");
    let synced = last("syncfs", "");
    let record = last("unlinkat", ".ignition-progress");
    assert!(result < synced && synced < record, "{result} {synced} {record}");
    // That the record is gone is durable, too: were it there at a later run, that one would take files for its own.
    assert!(
        calls[record..].iter().any(|call| call.name == "fsync"),
        "the removal is not synced"
    );
    // Nothing is written after the sync.
    let late: Vec<_> = calls[synced..]
        .iter()
        .filter(|call| call.name.starts_with("rename") && !call.rest.contains("/tmp/"))
        .collect();
    assert!(late.is_empty(), "{late:?}");
}

/// Names, order, forms and mode: spec/mount_files.md 9.
#[test]
fn the_result_file_to_the_letter() {
    if !programs::privileged() {
        return;
    }
    let root = Root::system();
    let run = || {
        files_stage(&root, &config(json!({}))).run().expect_code(0);
        read(&root.at("etc/.ignition-result.json"))
    };
    let first = run();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.trim();
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines.len(), 5, "{first}");
    assert_eq!(lines[0], "{");
    assert_eq!(lines[1], format!("  \"provisioningBootID\": \"{boot}\","));
    let date = lines[2]
        .strip_prefix("  \"provisioningDate\": \"")
        .unwrap()
        .strip_suffix("\",")
        .unwrap();
    assert_eq!(lines[3], "  \"userConfigProvided\": true");
    assert_eq!(lines[4], "}");
    assert!(first.ends_with("}\n"));
    // 2026-11-30T20:00:00Z, or with an offset: what RFC 3339 allows, with seconds and no fractions.
    let shape: String = date
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    assert!(
        [
            "0000-00-00T00:00:00Z",
            "0000-00-00T00:00:00+00:00",
            "0000-00-00T00:00:00-00:00"
        ]
        .contains(&shape.as_str()),
        "{date}"
    );
    assert_eq!(mode(&root.at("etc/.ignition-result.json")), 0o600);
    assert_eq!(
        std::os::unix::fs::MetadataExt::uid(
            &std::fs::metadata(root.at("etc/.ignition-result.json")).unwrap()
        ),
        0
    );
    let second = run();
    assert!(
        second.contains(&format!("true,\n  \"previousReport\": {{\n    \"provisioningBootID\": \"{boot}\",\n    \"provisioningDate\": \"{date}\"")),
        "{second}"
    );
    let third = run();
    assert_eq!(third.matches("previousReport").count(), 2, "{third}");
}
