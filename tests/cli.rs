//! The binary seen from outside: names, exit codes, which stream says what; and that the man pages are those of the
//! flag tables.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run_with(argv0: &str, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ignition-rs"))
        .arg0(argv0)
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _closed = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn run(argv0: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = run_with(argv0, arguments, b"");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// `UPDATE_MAN=1 cargo test man_pages` writes them.
#[test]
fn man_pages_are_those_of_the_tables() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man");
    let pages = ignition_rs::cli::man_pages();
    if std::env::var_os("UPDATE_MAN").is_some() {
        for (name, text) in &pages {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
    let mut found: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<String> = pages.iter().map(|(name, _)| name.clone()).collect();
    expected.sort();
    assert_eq!(found, expected, "docs/man has other pages than the tables");
    for (name, text) in &pages {
        let kept = std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(kept == *text, "docs/man/{name} is stale: run `just man`");
    }
}

#[test]
fn upstream_streams_and_codes() {
    // What Go Ignition does, observed with Debian's 2.14.0.
    for (argv0, arguments, code, on_stdout) in [
        ("ignition", &["-h"][..], 0, false),
        ("ignition", &["-version"], 0, true),
        ("ignition", &[], 2, false),
        ("ignition", &["-zebra"], 2, false),
        ("/x/ignition-validate", &["-version"], 0, true),
        ("/x/ignition-validate", &[], 1, false),
        ("/x/ignition-validate", &["-h"], 0, false),
        ("/x/ignition-validate", &["-zebra"], 2, false),
        ("/x/ignition-validate", &["/nonexistent/file"], 1, false),
        ("/x/ignition-rmcfg", &[], 2, false),
        ("/x/ignition-apply", &[], 1, false),
        (
            "/x/ignition-rmcfg",
            &["--platform", "vmware", "--log-to-stdout"],
            1,
            true,
        ),
    ] {
        let (got, stdout, stderr) = run(argv0, arguments);
        assert_eq!(got, code, "{argv0} {arguments:?}: {stderr}");
        assert_eq!(stdout.is_empty(), !on_stdout, "{argv0} {arguments:?}: {stdout}");
        assert_eq!(stderr.is_empty(), on_stdout, "{argv0} {arguments:?}: {stderr}");
    }
}

#[test]
fn nothing_is_written_when_the_reader_is_gone() {
    // A panic would abort: a signal instead of an exit code.
    let mut child = Command::new(env!("CARGO_BIN_EXE_ignition-rs"))
        .arg("help")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().code().is_some());
}
