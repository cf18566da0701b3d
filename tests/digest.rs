//! What an operator sees of a failure: one digest, on stderr and on every console of an initrd.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::consoles::{fill, seen, terminal, with_consoles};
use crate::support::private;
use crate::support::programs::{self, BINARY, Program, Ran};
use crate::support::root::Root;

/// Columns before a value.
const LABEL: usize = 11;

/// A digest taken apart.
struct Digest {
    text: String,
    fields: Vec<(String, String)>,
}

impl Digest {
    /// The digest at the end of a text; there is exactly one.
    #[track_caller]
    fn at_the_end_of(text: &str) -> Self {
        let first = "ignition: provisioning failed\n";
        assert_eq!(text.matches(first).count(), 1, "{text}");
        let text = &text[text.find(first).unwrap()..];
        assert!(text.ends_with('\n'), "{text}");
        assert!(text.lines().count() <= 15, "{text}");
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines().skip(1) {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            let (label, value) = line.split_at(LABEL);
            match label.trim_end().strip_suffix(':') {
                Some(label) => fields.push((label.to_owned(), value.to_owned())),
                None => {
                    assert_eq!(label.trim(), "", "{line}");
                    let last = &mut fields.last_mut().unwrap().1;
                    last.push(' ');
                    last.push_str(value);
                }
            }
        }
        Self {
            text: text.to_owned(),
            fields,
        }
    }

    fn get(&self, label: &str) -> &str {
        let found = self.fields.iter().find(|(name, _)| name == label);
        found.map_or("", |(_, value)| value.as_str())
    }

    #[track_caller]
    fn expect(&self, label: &str, words: &[&str]) -> &Self {
        for word in words {
            assert!(
                self.get(label).contains(word),
                "{label} does not say {word:?}:\n{}",
                self.text
            );
        }
        self
    }

    #[track_caller]
    fn is(&self, label: &str, value: &str) -> &Self {
        assert_eq!(self.get(label), value, "{label}:\n{}", self.text);
        self
    }
}

/// A boot with everything in one directory beside the root.
struct Boot {
    root: Root,
}

impl Boot {
    fn new(root: Root, config: &str) -> Self {
        root.file_beside("config.ign", config);
        std::os::unix::fs::symlink(BINARY, root.beside().join("ignition")).unwrap();
        Self { root }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.beside().join(name)
    }

    fn quiet(&self, stage: &str) -> Program {
        Program::new(self.at("ignition"))
            .args(["-platform", "file", "-stage", stage])
            .arg("-root")
            .arg(self.root.path())
            .arg("-config-cache")
            .arg(self.at("cache"))
            .arg("-neednet")
            .arg(self.at("neednet"))
            .arg("-state-file")
            .arg(self.at("state"))
            .env("IGNITION_CONFIG_FILE", self.at("config.ign"))
            .env("IGNITION_SYSTEM_CONFIG_DIR", self.at("system"))
            .env("TMPDIR", self.at("tmp"))
    }

    fn stage(&self, stage: &str) -> Program {
        self.quiet(stage).arg("-log-to-stdout")
    }

    fn fetched(self) -> Self {
        self.stage("fetch").run().expect_code(0);
        self
    }

    #[track_caller]
    fn fails(&self, stage: &str) -> Digest {
        failed(&self.stage(stage).run())
    }
}

/// The digest of a run: all that it says on stderr.
#[track_caller]
fn failed(ran: &Ran) -> Digest {
    ran.expect_code(1);
    assert!(ran.stderr.starts_with("ignition: provisioning failed\n"), "{ran}");
    assert!(ran.stdout.contains("CRITICAL :"), "{ran}");
    Digest::at_the_end_of(&ran.stderr)
}

fn sha512_of(path: &Path) -> String {
    let ran = Program::new("sha512sum").arg(path).run();
    ran.expect_code(0);
    ran.stdout[..128].to_owned()
}

/// Answers every request by its path; any other path is not found.
fn server(answers: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => request.extend_from_slice(&buffer[..count]),
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let path = path.split('?').next().unwrap();
            let answer = answers.iter().find(|(known, _)| *known == path);
            let (status, body) = answer.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body.as_str()));
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

/// A config with files, each on a line of its own, from line 3.
fn with_files(files: &[&str]) -> String {
    format!(
        "{{\"ignition\": {{\"version\": \"3.4.0\"}},\n \"storage\": {{\"files\": [\n{}\n]}}}}\n",
        files.join(",\n")
    )
}

#[test]
fn a_plan_that_is_refused() {
    let root = Root::system();
    root.file("etc/motd", "there\n", 0o644);
    let config = with_files(&[
        "  {\"path\": \"/etc/fine\"}",
        "  {\"path\": \"/etc/motd\", \"contents\": {\"source\": \"data:,x\"}}",
    ]);
    let boot = Boot::new(root, &config).fetched();
    let digest = boot.fails("files");
    digest
        .is("stage", "files, phase nodes")
        .expect("operation", &["plan", "nothing"])
        .expect("place", &["storage.files[1]"])
        .expect("config", &[":4:"])
        .expect("error", &["/etc/motd"])
        .expect("to do", &["overwrite"])
        .is("log", "above, on standard output")
        .is("sha512", &sha512_of(&boot.at("cache")));
    assert!(!boot.root.at("etc/fine").exists());
}

#[test]
fn a_program_that_fails_tells_its_code_and_its_words() {
    if !programs::privileged() {
        return;
    }
    let config = "{\"ignition\": {\"version\": \"3.4.0\"},\n \"passwd\": {\"users\": [\n\
                  {\"name\": \"fine\"},\n{\"name\": \"clash\", \"uid\": 0}]}}";
    let boot = Boot::new(Root::system(), config).fetched();
    let ran = boot.stage("files").run();
    failed(&ran)
        .is("stage", "files, phase accounts")
        .is("operation", "create user clash")
        .expect("place", &["passwd.users[1]"])
        .expect("config", &[":4:2"])
        .expect("error", &["useradd", "clash", "exit code 4"])
        .expect("stderr", &["UID 0 is not unique"])
        .expect("to do", &["account"]);
    // The log has all that the program wrote.
    assert!(
        ran.stdout
            .contains("the program wrote: useradd: UID 0 is not unique"),
        "{ran}"
    );
}

#[test]
fn contents_that_are_not_there_or_are_others() {
    let url = server(vec![("/there", "other contents\n".into())]);
    for (path, hash, error, to_do) in [
        ("missing", "", &["404"][..], "check the URL"),
        (
            "there",
            &format!("\"hash\": \"sha512-{}\"", "0".repeat(128)),
            &["hash", "sha512-", "verification.hash"],
            "changed on the way",
        ),
    ] {
        let file = format!(
            "  {{\"path\": \"/etc/motd\", \"contents\": {{\"source\": \"{url}/{path}\", \"verification\": {{{hash}}}}}}}"
        );
        let boot = Boot::new(Root::system(), &with_files(&[&file])).fetched();
        let digest = boot.fails("files");
        digest
            .is("stage", "files, phase nodes")
            .is("operation", "create /etc/motd")
            .expect("place", &["storage.files[0]"])
            .expect("config", &[":3:"])
            .expect("error", error)
            .expect("error", &[&format!("{url}/{path}")])
            .expect("to do", &[to_do])
            .is("sha512", &sha512_of(&boot.at("cache")));
    }
}

#[test]
fn a_config_that_is_no_json_or_not_valid() {
    let boot = Boot::new(Root::empty(), "{\n  \"ignition\": {\"version\": \"3.4.0\",}\n}\n");
    let digest = boot.fails("fetch");
    digest
        .is("stage", "fetch")
        .expect("config", &[":2:"])
        .expect("error", &["invalid character '}'"])
        .expect("to do", &["validate"])
        .is("sha512", &sha512_of(&boot.at("config.ign")));

    let bad = |number: usize| format!("  {{\"path\": \"etc/{number}\"}}");
    let files: Vec<String> = (0..7).map(bad).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let boot = Boot::new(Root::empty(), &with_files(&files));
    boot.fails("fetch")
        .is("place", "storage.files[0].path")
        .expect("config", &[":3:"])
        .expect(
            "error",
            &["absolute", "also storage.files[1].path (4:", "and 3 more errors"],
        );
}

/// All of them at the drop-in name. What is meant for others is no failure at a boot, as on Flatcar.
#[test]
fn user_data_that_is_something_else() {
    let cases: [(&[u8], i32, &str, &str); 11] = [
        (
            b"{\"ignition\": {\"version\": \"3.99.0\"}}",
            1,
            "\"3.99.0\"",
            "newer image",
        ),
        (
            b"{\"ignition\": {\"version\": \"2.3.0\"}}",
            1,
            "spec 2.x",
            "convert",
        ),
        (b"{\"ignitionVersion\": 1}", 1, "spec 1.x", "convert"),
        (b"{\"ignition\": {\"version\": \"x\"}}", 1, "not a version", "set"),
        (b"variant: flatcar\nversion: 1.1.0\n", 1, "Butane", "butane"),
        (b"<html>\n", 1, "HTML", "login page"),
        (b"\x1f\x8b\x08\0\0\0", 1, "gzip", "decompress"),
        (b"\xff\xfe{\0}\0", 1, "UTF-16", "UTF-8"),
        (b"  \n", 1, "white space", "smallest"),
        (b"#cloud-config\n", 0, "", ""),
        (b"#!/bin/sh\n", 0, "", ""),
    ];
    for (text, code, error, to_do) in cases {
        let boot = Boot::new(Root::empty(), "");
        std::fs::write(boot.at("config.ign"), text).unwrap();
        let ran = boot.stage("fetch").run();
        ran.expect_code(code);
        if code == 0 {
            assert_eq!(ran.stderr, "", "{ran}");
            assert!(ran.stdout.contains("Ignition leaves it alone"), "{ran}");
            assert!(
                ran.stdout
                    .contains("NOTICE   : fetch: the config of the platform"),
                "{ran}"
            );
        } else {
            failed(&ran)
                .is("stage", "fetch")
                .expect("error", &[error])
                .expect("to do", &[to_do])
                .is("sha512", &sha512_of(&boot.at("config.ign")));
        }
    }
}

#[test]
fn the_child_config_is_named_by_its_url() {
    // A child that is no config
    let url = server(vec![
        (
            "/bad.ign",
            "{\n\"ignition\": {\"version\": \"3.4.0\"},\n\"storage\": {\"files\": [{\"path\": \"x\"}]}}"
                .into(),
        ),
        (
            "/good.ign",
            with_files(&["  {\"path\": \"/etc/fine\"}", "  {\"path\": \"/etc/motd\"}"]),
        ),
    ]);
    let parent = |child: &str| {
        format!(
            "{{\"ignition\": {{\"version\": \"3.4.0\", \"config\": {{\n\"merge\": [\n {{\"source\": \"{url}/{child}?token=SECRET\"}}\n]}}}}}}"
        )
    };
    let boot = Boot::new(Root::system(), &parent("bad.ign"));
    let digest = boot.fails("fetch");
    digest
        .is("place", "storage.files[0].path")
        .expect("config", &[&format!("{url}/bad.ign"), ":3:"])
        .expect("error", &["absolute"]);
    assert!(!digest.text.contains("SECRET"), "{}", digest.text);

    // A child that is not there: the parent's line
    let boot = Boot::new(Root::system(), &parent("missing.ign"));
    boot.fails("fetch")
        .is("place", "ignition.config.merge[0]")
        .expect("config", &[":3:3"])
        .expect("error", &["404", "missing.ign"]);

    // A child whose file is refused, in a later process
    let root = Root::system();
    root.dir("etc/motd", 0o755);
    let boot = Boot::new(root, &parent("good.ign")).fetched();
    boot.fails("files")
        .expect("place", &["storage.files[1]"])
        .expect("config", &[&format!("{url}/good.ign:4:")])
        .is("sha512", &sha512_of(&boot.at("cache")));
}

#[test]
fn a_root_that_is_read_only_or_full() {
    if !private::available() {
        return;
    }
    let big = format!(
        "  {{\"path\": \"/opt/big\", \"contents\": {{\"source\": \"data:,{}\"}}}}",
        "x".repeat(300_000)
    );
    for (setup, error, to_do) in [
        (
            "mount --bind ROOT ROOT; mount -o remount,bind,ro ROOT",
            "Read-only file system",
            "read-write",
        ),
        (
            "cp -a ROOT ROOT.copy; mount -t tmpfs -o size=200k tmpfs ROOT; cp -a ROOT.copy/. ROOT",
            "No space left on device",
            "larger",
        ),
    ] {
        let boot = Boot::new(Root::system(), &with_files(&[&big])).fetched();
        let scratch = tempfile::tempdir().unwrap();
        let setup = setup.replace("ROOT", boot.root.path().to_str().unwrap());
        let ran = private::run(scratch.path(), &setup, &boot.stage("files")).run();
        failed(&ran)
            .expect("stage", &["files"])
            .expect("error", &[error])
            .expect("to do", &[to_do])
            .expect("config", &[":3:"]);
    }
}

/// The n-th block of a document between lines of three backticks.
fn block(document: &str, number: usize) -> String {
    let text = document.split("\n```").nth(number * 2 + 1).unwrap();
    text.split_once('\n').unwrap().1.to_owned() + "\n"
}

/// The example in docs/debugging.md is what comes of the config beside it.
#[test]
fn the_example_in_the_docs_is_real() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/debugging.md");
    let page = std::fs::read_to_string(page).unwrap();
    let root = Root::system();
    root.file("etc/motd", "there\n", 0o644);
    let digest = Boot::new(root, &block(&page, 0)).fetched().fails("files");
    let here = digest
        .text
        .replace("platform file", "platform qemu")
        .replace("above, on standard output", "journalctl -t ignition");
    assert_eq!(block(&page, 1), here);
}

#[test]
fn a_terminal_gets_one_line() {
    let root = Root::system();
    root.file("etc/motd", "there\n", 0o644);
    let config = root.file_beside(
        "config.ign",
        with_files(&["  {\"path\": \"/etc/motd\", \"contents\": {\"source\": \"data:,x\"}}"]),
    );
    let plan = programs::plan(&config, root.path()).run();
    let dry = programs::files_stage(&config, root.path()).arg("--dry-run").run();
    for ran in [plan, dry] {
        ran.expect_code(1);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
        assert!(
            ran.stderr.starts_with("ignition: files: storage.files[0]"),
            "{ran}"
        );
        assert!(ran.stderr.contains("config.ign:3:"), "{ran}");
    }
    // On a workstation a real run is told like a boot, with the config's own name and digest.
    let ran = programs::files_stage(&config, root.path()).run();
    failed(&ran)
        .expect("config", &["config.ign:3:"])
        .is("sha512", &sha512_of(&config));
}

#[test]
fn every_console_of_an_initrd_gets_the_digest() {
    if !private::available() {
        return;
    }
    let (mut first, first_line) = terminal();
    let (mut second, second_line) = terminal();
    let (_stuck, stuck_line) = terminal();
    let stuck = fill(&stuck_line);
    let consoles = [
        ("ttyS7", None),
        ("ttyS8", Some(stuck_line.as_path())),
        ("ttyS9", Some(first_line.as_path())),
        ("hvc9", Some(second_line.as_path())),
    ];
    let boot = Boot::new(
        Root::empty(),
        &with_files(&["  {\"path\": \"etc/CANARY\", \"contents\": {\"source\": \"data:,CANARYCONTENTS\"}}"]),
    );
    for initrd in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let setup = with_consoles(&consoles, initrd);
        let begin = Instant::now();
        // Without -log-to-stdout, and nobody takes the log: the kernel's is not there either.
        let ran = private::run(scratch.path(), &setup, &boot.quiet("fetch")).run();
        let took = begin.elapsed();
        let on_stderr = failed(&ran);
        // The stuck one costs a second.
        assert!(
            !initrd || took >= Duration::from_secs(1),
            "it was not stuck: {took:?}"
        );
        assert!(took < Duration::from_secs(5), "{took:?}");
        for terminal in [&mut first, &mut second] {
            let text = seen(terminal);
            if initrd {
                let digest = Digest::at_the_end_of(&text);
                assert_eq!(digest.text, on_stderr.text);
                assert!(!text.contains("CANARYCONTENTS"), "{text}");
            } else {
                assert_eq!(text, "");
            }
        }
    }
    drop(stuck);
}

/// Somebody pressed Ctrl-S, or nobody reads: systemd may give such a console to a unit.
#[test]
fn a_stuck_stderr_does_not_hang_the_run() {
    if !private::available() {
        return;
    }
    let (_stuck, stuck_line) = terminal();
    let _full = fill(&stuck_line);
    let (mut other, line) = terminal();
    let scratch = tempfile::tempdir().unwrap();
    let boot = Boot::new(Root::empty(), "no config");
    let consoles = [
        ("ttyS9", Some(stuck_line.as_path())),
        ("hvc9", Some(line.as_path())),
    ];
    let setup = with_consoles(&consoles, true) + "exec 2>/dev/ttyS9\n";
    let begin = Instant::now();
    private::run(scratch.path(), &setup, &boot.quiet("fetch"))
        .run()
        .expect_code(1);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    Digest::at_the_end_of(&seen(&mut other));
}

#[test]
fn a_console_that_is_stderr_gets_it_once() {
    if !private::available() {
        return;
    }
    let (mut master, line) = terminal();
    let scratch = tempfile::tempdir().unwrap();
    let boot = Boot::new(Root::empty(), "no config");
    let setup = with_consoles(&[("ttyS9", Some(&line))], true) + "exec 2>/dev/ttyS9\n";
    private::run(scratch.path(), &setup, &boot.quiet("fetch"))
        .run()
        .expect_code(1);
    Digest::at_the_end_of(&seen(&mut master));
}
