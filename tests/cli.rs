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

const TYPO: &[u8] =
    br#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/a", "content": {}, "user": {"name": "nobody-here"}}]}}"#;

#[test]
fn validate_reads_stdin_files_and_a_root() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my.ign");
    std::fs::write(&file, TYPO).unwrap();
    let file = file.to_str().unwrap();

    let (code, stdout, stderr) = run("ignition-rs", &["validate", file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        stdout.starts_with("warning: unused key content") && stdout.contains("^^^"),
        "{stdout}"
    );

    let (code, stdout, _) = run("ignition-rs", &["validate", "--strict", "--format=text", file]);
    assert_eq!((code, stdout.lines().count()), (1, 1), "{stdout}");

    let root = directory.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    let root = root.to_str().unwrap();
    let (code, stdout, stderr) = run(
        "ignition-rs",
        &["validate", "--strict", "--format=text", "--root", root, file],
    );
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(
        stdout.contains("error at $.storage.files.0.user.name, line 1 col"),
        "{stdout}"
    );

    let (code, stdout, stderr) = run(
        "ignition-rs",
        &["validate", "--strict", "--root", "/nonexistent", file],
    );
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("ignition-rs validate: --root: "), "{stderr}");

    let output = run_with("ignition-validate", &["-"], TYPO);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output
            .stdout
            .starts_with(b"warning at $.storage.files.0.content, line 1 col ")
    );
    let output = run_with("ignition-validate", &["-"], b"");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..])
    );
}

#[test]
fn the_examples_are_strictly_valid() {
    let mut examples = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ign") {
            let (code, stdout, stderr) =
                run("ignition-rs", &["validate", "--strict", path.to_str().unwrap()]);
            assert_eq!(
                (code, stdout.as_str(), stderr.as_str()),
                (0, "", ""),
                "{}",
                path.display()
            );
            examples += 1;
        }
    }
    assert!(examples > 0);
}

#[test]
fn validate_fails_when_its_verdict_cannot_be_written() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ignition-rs"))
        .args(["validate", "--format=json", "-"])
        .stdin(Stdio::piped())
        .stdout(full)
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(br#"{"ignition": {"version": "3.3.0"}}"#)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// Runs in a process of its own, started by the next test.
#[test]
#[ignore = "it aborts; panics_are_logged_and_abort starts it"]
fn panicking_child() {
    if std::env::var_os("IGNITION_RS_TEST_CHILD").is_some() {
        ignition_rs::log::start(ignition_rs::log::Destination::Stdout);
        let secret = "canary".to_owned();
        panic!("made of {secret}");
    }
}

#[test]
fn panics_are_logged_and_abort() {
    use std::os::unix::process::ExitStatusExt as _;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cli::panicking_child", "--ignored", "--nocapture"])
        .env("IGNITION_RS_TEST_CHILD", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("CRITICAL : panic at tests/cli.rs:"), "{text}");
    assert!(text.contains("message withheld; this is a bug"), "{text}");
    assert!(
        !text.contains("canary") && !String::from_utf8_lossy(&output.stderr).contains("canary"),
        "{text}"
    );
    assert_eq!(output.status.signal(), Some(6), "{:?}", output.status);
}

/// All files below a directory of the repository whose names end like this.
fn sources(directory: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn documents_name_tests_and_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code: String = ["src", "stages", "tests"]
        .iter()
        .flat_map(|directory| sources(&root.join(directory), ".rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let deviations = std::fs::read_to_string(root.join("docs/deviations.md")).unwrap();
    let mut tests = 0;
    for row in deviations.lines().filter(|line| line.starts_with('|')) {
        let last = row.trim_end_matches(['|', ' ']).rsplit(" | ").next().unwrap();
        for name in last.split('`').filter(|word| word.contains("::")) {
            let function = name.rsplit("::").next().unwrap();
            assert!(
                code.contains(&format!("fn {function}(")),
                "docs/deviations.md: there is no test {name}"
            );
            tests += 1;
        }
    }
    assert!(tests > 5);

    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/packaging.md",
    ] {
        let path = root.join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.starts_with("http") {
                assert!(
                    path.parent().unwrap().join(link).exists(),
                    "{document}: {link} does not exist"
                );
            }
        }
    }
}
