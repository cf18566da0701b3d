//! Configs and roots that must fail: each names the place in the config, says what is wrong, and leaves the root alone.

use crate::support::programs::{self, Program};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};

struct Case {
    name: &'static str,
    stage: &'static str,
    config: String,
    prepare: fn(&Root),
    /// Where; a path in the config, or `line:column` of the file
    location: &'static str,
    /// What is said, besides
    words: &'static [&'static str],
}

fn nothing(_: &Root) {}

fn case(name: &'static str, config: String, location: &'static str, words: &'static [&'static str]) -> Case {
    Case {
        name,
        stage: "files",
        config,
        prepare: nothing,
        location,
        words,
    }
}

fn on(prepare: fn(&Root), case: Case) -> Case {
    Case { prepare, ..case }
}

fn in_stage(stage: &'static str, case: Case) -> Case {
    Case { stage, ..case }
}

/// A config with one section.
fn with(section: &str, body: &str) -> String {
    format!("{{\"ignition\": {{\"version\": \"3.5.0\"}},\n \"{section}\": {body}}}\n")
}

fn file(body: &str) -> String {
    with("storage", &format!("{{\"files\": [{{{body}}}]}}"))
}

fn directory(body: &str) -> String {
    with("storage", &format!("{{\"directories\": [{{{body}}}]}}"))
}

fn link(body: &str) -> String {
    with("storage", &format!("{{\"links\": [{{{body}}}]}}"))
}

fn user(body: &str) -> String {
    with("passwd", &format!("{{\"users\": [{{{body}}}]}}"))
}

fn group(body: &str) -> String {
    with("passwd", &format!("{{\"groups\": [{{{body}}}]}}"))
}

fn unit(body: &str) -> String {
    with("systemd", &format!("{{\"units\": [{{{body}}}]}}"))
}

const FILE: &str = "storage.files[0].path";

fn cases() -> Vec<Case> {
    let long_hash = format!("sha512-{}", "0".repeat(128));
    vec![
        // The text of the config
        case("empty file", String::new(), "", &["empty"]),
        case(
            "cut short",
            "{\"ignition\": {\"version\": \"3.5.0\"".into(),
            "unexpected end",
            &[],
        ),
        case(
            "trailing comma",
            "{\n  \"ignition\": {\"version\": \"3.5.0\",}\n}".into(),
            "line 2 col",
            &[],
        ),
        case(
            "second document",
            format!("{} {{}}", with("storage", "{}").trim()),
            "line 2 col",
            &[],
        ),
        case(
            "a string for a number",
            file("\"path\": \"/a\",\n \"mode\": \"0644\""),
            "line 3 col",
            &["storage.files[0].mode"],
        ),
        case("no version", "{\"storage\": {}}".into(), "", &["version"]),
        case(
            "unknown version",
            "{\"ignition\": {\"version\": \"9.9.9\"}}".into(),
            "",
            &["version"],
        ),
        // Validation
        case("relative path", file("\"path\": \"etc/x\""), FILE, &["absolute"]),
        case(
            "twice the same path",
            with("storage", "{\"files\": [{\"path\": \"/a\"}, {\"path\": \"/a\"}]}"),
            "storage.files[1]",
            &["same path"],
        ),
        case(
            "unknown scheme",
            file("\"path\": \"/a\", \"contents\": {\"source\": \"gopher://x/\"}"),
            "storage.files[0].contents.source",
            &[],
        ),
        case(
            "broken data URL",
            file("\"path\": \"/a\", \"contents\": {\"source\": \"data:;base64,!!\"}"),
            "storage.files[0].contents.source",
            &[],
        ),
        case(
            "hash of the wrong length",
            file(
                "\"path\": \"/a\", \"contents\": {\"source\": \"data:,a\", \"verification\": {\"hash\": \"sha512-00\"}}",
            ),
            "storage.files[0].contents.verification.hash",
            &[],
        ),
        case(
            "hash of no known kind",
            file(
                "\"path\": \"/a\", \"contents\": {\"source\": \"data:,a\", \"verification\": {\"hash\": \"md5-00\"}}",
            ),
            "storage.files[0].contents.verification.hash",
            &[],
        ),
        case(
            "unknown compression",
            file("\"path\": \"/a\", \"contents\": {\"source\": \"data:,a\", \"compression\": \"xz\"}"),
            "storage.files[0].contents.compression",
            &[],
        ),
        case(
            "mode out of range",
            file("\"path\": \"/a\", \"mode\": 99999"),
            "storage.files[0].mode",
            &[],
        ),
        case(
            "owner by id and name",
            file("\"path\": \"/a\", \"user\": {\"id\": 1, \"name\": \"x\"}"),
            "storage.files[0].user",
            &[],
        ),
        case(
            "link without target",
            link("\"path\": \"/a\""),
            "storage.links[0].target",
            &[],
        ),
        case(
            "a unit that is no unit",
            unit("\"name\": \"web\""),
            "systemd.units[0].name",
            &[],
        ),
        case(
            "a unit elsewhere",
            unit("\"name\": \"../../x.service\", \"contents\": \"[Unit]\\n\""),
            "systemd.units[0].name",
            &[],
        ),
        case(
            "a drop-in elsewhere",
            unit("\"name\": \"a.service\", \"dropins\": [{\"name\": \"../../x.conf\", \"contents\": \"\"}]"),
            "systemd.units[0].dropins[0].name",
            &[],
        ),
        case(
            "unit text that is none",
            unit("\"name\": \"a.service\", \"contents\": \"[Unit\\n\""),
            "systemd.units[0].contents",
            &[],
        ),
        // What does not fit the contents
        case(
            "other bytes than the hash says",
            file(&format!(
                "\"path\": \"/a\", \"contents\": {{\"source\": \"data:,a\", \"verification\": {{\"hash\": \"{long_hash}\"}}}}"
            )),
            "storage.files[0].contents",
            &["hash"],
        ),
        case(
            "not compressed",
            file("\"path\": \"/a\", \"contents\": {\"source\": \"data:,plain\", \"compression\": \"gzip\"}"),
            "storage.files[0].contents",
            &["gzip"],
        ),
        // What is there
        on(
            |root| {
                root.file("etc/there", "x", 0o644);
            },
            case(
                "file is there",
                file("\"path\": \"/etc/there\", \"contents\": {\"source\": \"data:,y\"}"),
                FILE,
                &["overwrite", "1 bytes"],
            ),
        ),
        on(
            |root| {
                root.file("etc/there", "x", 0o644);
            },
            case(
                "empty contents over a file",
                file("\"path\": \"/etc/there\", \"contents\": {\"source\": \"\"}"),
                FILE,
                &["overwrite"],
            ),
        ),
        on(
            |root| {
                root.dir("etc/there", 0o755);
            },
            case(
                "directory is there",
                file("\"path\": \"/etc/there\""),
                FILE,
                &["directory", "overwrite"],
            ),
        ),
        on(
            |root| {
                root.link("etc/there", "nowhere");
            },
            case(
                "dangling link is there",
                file("\"path\": \"/etc/there\", \"contents\": {\"source\": \"data:,y\"}"),
                FILE,
                &["link to nowhere", "overwrite"],
            ),
        ),
        on(
            |root| {
                root.pipe("etc/there");
            },
            case("pipe is there", file("\"path\": \"/etc/there\""), FILE, &["pipe"]),
        ),
        on(
            |root| {
                root.file("etc/there", "", 0o644);
            },
            case(
                "no directory",
                directory("\"path\": \"/etc/there\""),
                "storage.directories[0].path",
                &["overwrite"],
            ),
        ),
        on(
            |root| {
                root.link("etc/there", "/srv");
            },
            case(
                "a link for a directory",
                directory("\"path\": \"/etc/there\""),
                "storage.directories[0].path",
                &["link to /srv"],
            ),
        ),
        on(
            |root| {
                root.link("etc/there", "a");
            },
            case(
                "other link is there",
                link("\"path\": \"/etc/there\", \"target\": \"b\""),
                "storage.links[0].path",
                &["overwrite"],
            ),
        ),
        on(
            |root| {
                root.file("etc/there", "", 0o644);
            },
            case(
                "parent is a file",
                file("\"path\": \"/etc/there/below\""),
                FILE,
                &["/etc/there"],
            ),
        ),
        on(
            |root| {
                root.link("a", "b").link("b", "a");
            },
            case("links in a circle", file("\"path\": \"/a/x\""), FILE, &[]),
        ),
        on(
            |root| {
                root.link("a", "srv");
            },
            case(
                "the same place by a link",
                with(
                    "storage",
                    "{\"files\": [{\"path\": \"/srv/x\"}, {\"path\": \"/a/x\"}]}",
                ),
                "storage.files[1].path",
                &["same place"],
            ),
        ),
        case(
            "the root itself removed",
            directory("\"path\": \"/\", \"overwrite\": true"),
            "storage.directories[0]",
            &[],
        ),
        case(
            "the program's own record",
            file("\"path\": \"/.ignition-progress\""),
            "storage.files[0]",
            &["own"],
        ),
        case(
            "hard link to nothing",
            link("\"path\": \"/h\", \"target\": \"/none\", \"hard\": true"),
            "storage.links[0].target",
            &["does not exist"],
        ),
        case(
            "hard link to a directory",
            link("\"path\": \"/h\", \"target\": \"/etc\", \"hard\": true"),
            "storage.links[0].target",
            &["director"],
        ),
        // Accounts
        case(
            "unknown owner",
            file("\"path\": \"/a\", \"user\": {\"name\": \"whoever\"}"),
            "storage.files[0].user.name",
            &["whoever", "passwd.users"],
        ),
        case(
            "unknown group",
            directory("\"path\": \"/a\", \"group\": {\"name\": \"whoever\"}"),
            "storage.directories[0].group.name",
            &["whoever", "passwd.groups"],
        ),
        case(
            "unknown supplementary group",
            user("\"name\": \"a\", \"groups\": [\"sudo\", \"none\"]"),
            "passwd.users[0].groups[1]",
            &["none"],
        ),
        case(
            "name that is an option",
            user("\"name\": \"--root\""),
            "passwd.users[0].name",
            &[],
        ),
        case(
            "comment with a colon",
            user("\"name\": \"a\", \"gecos\": \"x:0:0\""),
            "passwd.users[0].gecos",
            &[],
        ),
        case(
            "private group is there",
            user("\"name\": \"docker\""),
            "passwd.users[0].name",
            &["primaryGroup"],
        ),
        case(
            "group of the image removed",
            group("\"name\": \"kvm\", \"shouldExist\": false"),
            "passwd.groups[0].shouldExist",
            &["image"],
        ),
        case(
            "keys without a home",
            user("\"name\": \"a\", \"noCreateHome\": true, \"sshAuthorizedKeys\": [\"k\"]"),
            "passwd.users[0].sshAuthorizedKeys",
            &["home"],
        ),
        on(
            |root| {
                root.dir("home/core/.ssh", 0o700)
                    .own("home/core/.ssh", 4444, 4444);
            },
            case(
                "somebody else's .ssh",
                user("\"name\": \"core\", \"sshAuthorizedKeys\": [\"k\"]"),
                "passwd.users[0].sshAuthorizedKeys",
                &["4444"],
            ),
        ),
        on(
            |root| {
                std::fs::remove_file(root.at("etc/passwd")).unwrap();
                root.dir("etc/passwd", 0o755);
            },
            case(
                "a passwd that cannot be read",
                user("\"name\": \"core\""),
                "passwd.users[0]",
                &["/etc/passwd"],
            ),
        ),
        // Units and the result
        on(
            |root| {
                root.dir("etc/systemd/system/a.service", 0o755);
            },
            case(
                "directory for a unit",
                unit("\"name\": \"a.service\", \"contents\": \"[Unit]\\n\""),
                "systemd.units[0]",
                &["directory"],
            ),
        ),
        on(
            |root| {
                root.file("etc/systemd/system/a.service.d", "", 0o644);
            },
            case(
                "file for a drop-in directory",
                unit("\"name\": \"a.service\", \"dropins\": [{\"name\": \"a.conf\", \"contents\": \"\"}]"),
                "systemd.units[0].dropins[0]",
                &["a.service.d"],
            ),
        ),
        in_stage(
            "mount",
            case(
                "mount point below a file",
                with(
                    "storage",
                    "{\"filesystems\": [{\"device\": \"/dev/sdx\", \"format\": \"ext4\", \"path\": \"/etc/passwd/x\"}]}",
                ),
                "storage.filesystems[0].path",
                &["/etc/passwd is a file"],
            ),
        ),
        on(
            |root| {
                root.link("data", "var");
            },
            in_stage(
                "mount",
                case(
                    "mount point that is a link",
                    with(
                        "storage",
                        "{\"filesystems\": [{\"device\": \"/dev/sdx\", \"format\": \"ext4\", \"path\": \"/data\"}]}",
                    ),
                    "storage.filesystems[0].path",
                    &["/data is a link to var", "links are not followed"],
                ),
            ),
        ),
    ]
}

/// A place as validation reports write it: `$.storage.files.0.path`.
fn in_reports(location: &str) -> String {
    format!("$.{}", location.replace('[', ".").replace(']', ""))
}

/// `line 2 col` as digests have it; other words are as they are.
fn in_digests(words: &str) -> String {
    let line = words
        .strip_prefix("line ")
        .and_then(|rest| rest.strip_suffix(" col"));
    line.map_or_else(|| words.to_owned(), |line| format!("/config.ign:{line}:"))
}

#[test]
fn each_names_its_place_and_leaves_the_root_alone() {
    if !crate::support::programs::privileged() {
        return;
    }
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let root = Root::system();
        (case.prepare)(&root);
        let config = root.file_beside("config.ign", &case.config);
        let before = Snapshot::of(root.path(), Look::Strict);
        let stage = Program::ignition_rs()
            .args(["--stage", case.stage, "--log-to-stdout", "--config"])
            .arg(&config)
            .arg("--root")
            .arg(root.path())
            .env("TMPDIR", root.beside().join("tmp"))
            // Stages that touch real disks ask for it; nothing of the kind is reached here.
            .args(if matches!(case.stage, "disks" | "mount" | "umount" | "kargs") {
                &["--this-machine"][..]
            } else {
                &[]
            });
        for (how, program) in [
            ("run", stage.clone()),
            ("dry run", stage.arg("--dry-run")),
            ("plan", programs::plan(&config, root.path())),
        ] {
            let ran = program.run();
            let mut complain = |what: String| wrong.push(format!("{}, {how}: {what}\n{ran}", case.name));
            if ran.code != Some(1) {
                complain(format!("exit code {:?} instead of 1", ran.code));
            }
            let output = ran.output().replace(&in_reports(case.location), case.location);
            for words in case.words.iter().chain([&case.location]) {
                if !output.contains(words) && !output.contains(&in_digests(words)) {
                    complain(format!("it does not say {words:?}"));
                }
            }
            if output.contains("please report") && !case.words.contains(&"own") {
                complain("it takes itself for broken".to_owned());
            }
            if output.contains("panicked") {
                complain("it panicked".to_owned());
            }
            let diff = before.diff(&Snapshot::of(root.path(), Look::Strict));
            if !diff.is_empty() {
                complain(format!("the root was changed:\n{diff}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} complaints:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    eprintln!(
        "refusals: {} configs and roots, each run, dry and planned",
        cases.len()
    );
}
