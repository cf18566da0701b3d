//! Tests of the command line as a whole: names, verbs, exit codes, safety rules.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::stages::{Rerun, Stage};

fn run(line: &[&str]) -> Invocation {
    let mut words = line.iter().map(OsString::from);
    let name = words.next().unwrap_or_default();
    parse(&name, words, &|path: &Path| {
        path == Path::new("/") || path == Path::new("/self")
    })
}

fn code(line: &[&str]) -> u8 {
    match run(line) {
        Invocation::Say(say) => {
            assert_eq!(
                say.to_stderr,
                say.code != 0 || say.text.contains("Flags:"),
                "{line:?}: {say:?}"
            );
            assert!(say.text.ends_with('\n'), "{line:?}");
            say.code
        }
        other => panic!("{line:?} is accepted: {other:?}"),
    }
}

fn complaint(line: &[&str]) -> String {
    match run(line) {
        Invocation::Say(say) if say.to_stderr => say.text,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn engine_args(line: &[&str]) -> EngineArgs {
    match run(line) {
        Invocation::Engine(args) => args,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn names() {
    for (argv0, name) in [
        ("ignition", Name::Engine),
        ("/usr/bin/ignition", Name::Engine),
        ("whatever", Name::Engine),
        ("", Name::Engine),
        ("/usr/libexec/ignition-apply", Name::Apply),
        ("./ignition-rmcfg", Name::Rmcfg),
        ("ignition-validate", Name::Validate),
        ("target/debug/ignition-rs", Name::Own),
        ("ignition-rs-0.1.0-x86_64", Name::Own),
        ("ignition-rsx", Name::Engine),
    ] {
        assert_eq!(Name::of(OsStr::new(argv0)), name, "{argv0}");
    }
}

#[test]
fn the_harness_calls_it_like_this() {
    let args = engine_args(&[
        "ignition",
        "-platform",
        "file",
        "-stage",
        "fetch",
        "-root",
        "",
        "-log-to-stdout",
        "-config-cache",
        "/c",
        "-neednet",
        "/n",
        "-state-file",
        "/s",
    ]);
    assert_eq!(
        args,
        EngineArgs {
            stage: Stage::Fetch,
            platform: Some("file".into()),
            root: "".into(),
            config_cache: "/c".into(),
            fetch_timeout: Duration::from_secs(120),
            neednet: "/n".into(),
            state_file: "/s".into(),
            log_to_stdout: true,
            config: None,
            dry_run: false,
            fetch: false,
            plan_format: PlanFormat::Text,
            rerun: None,
        }
    );
}

#[test]
fn the_initrd_calls_it_like_this() {
    let args = engine_args(&[
        "/usr/bin/ignition",
        "--root=/sysroot",
        "--platform=qemu",
        "--stage=files",
        "--log-to-stdout",
    ]);
    assert_eq!(args.root, Path::new("/sysroot"));
    assert_eq!(args.config_cache, Path::new("/run/ignition.json"));
    assert_eq!(args.neednet, Path::new("/run/ignition/neednet"));
    assert_eq!(args.state_file, Path::new("/run/ignition/state"));
    assert_eq!((args.stage, args.log_to_stdout), (Stage::Files, true));
}

#[test]
fn extra_arguments_of_the_engine_are_ignored() {
    // Upstream ignores them; so flags after the first are not seen.
    let args = engine_args(&[
        "ignition",
        "-platform=file",
        "-stage=files",
        "plan",
        "-log-to-stdout",
    ]);
    assert!(!args.log_to_stdout);
}

#[test]
fn exit_codes() {
    for (expected, line) in [
        (0, &["ignition", "-h"][..]),
        (0, &["ignition", "-stage", "files", "--help"]),
        (0, &["ignition", "-version"]),
        (0, &["ignition", "-version", "-platform", "file"]),
        (2, &["ignition"]),
        (2, &["ignition", "-zebra"]),
        (2, &["ignition", "-platform", "file"]),
        (2, &["ignition", "-stage", "files"]),
        (2, &["ignition", "-stage", "nope", "-platform", "file"]),
        (2, &["ignition", "-stage", "", "-platform", "file"]),
        (2, &["ignition", "-stage", "files", "-platform", "nope"]),
        (2, &["ignition", "-stage", "files", "-platform", "equinixmetal"]),
        (2, &["ignition", "-stage", "files", "-platform", ""]),
        (
            2,
            &[
                "ignition",
                "-fetch-timeout",
                "3",
                "-stage",
                "files",
                "-platform",
                "file",
            ],
        ),
        (2, &["ignition", "plan", "x.ign"]),
        (2, &["ignition", "-version=maybe"]),
        (0, &["ignition-apply", "--version"]),
        (1, &["ignition-apply"]),
        (1, &["ignition-apply", "a", "b"]),
        (2, &["ignition-apply", "--zebra", "a"]),
        (2, &["ignition-rmcfg"]),
        (2, &["ignition-rmcfg", "--platform", "nope"]),
        (2, &["ignition-rmcfg", "--platform", "vmware", "x"]),
        (0, &["ignition-rmcfg", "--version"]),
        (0, &["ignition-validate", "-version"]),
        (0, &["ignition-validate", "-h"]),
        (1, &["ignition-validate"]),
        (1, &["ignition-validate", "a", "b"]),
        (2, &["ignition-validate", "-strict", "a"]),
        (2, &["ignition-rs"]),
        (0, &["ignition-rs", "help"]),
        (0, &["ignition-rs", "--help"]),
        (0, &["ignition-rs", "-version"]),
        (2, &["ignition-rs", "-zebra"]),
        (1, &["ignition-rs", "zebra"]),
        (1, &["ignition-rs", "plan"]),
        (1, &["ignition-rs", "plan", "--zebra", "x"]),
        (1, &["ignition-rs", "plan", "a", "b"]),
        (1, &["ignition-rs", "validate"]),
        (1, &["ignition-rs", "validate", "--format", "xml", "a"]),
        (1, &["ignition-rs", "validate", "--root", "/", "a"]),
        (1, &["ignition-rs", "validate", "-", "-"]),
        (1, &["ignition-rs", "explain"]),
        (1, &["ignition-rs", "explain", "storage"]),
        (1, &["ignition-rs", "explain", "storage", "-", "-"]),
        (1, &["ignition-rs", "explain", "--format", "yaml", "storage", "a"]),
        (1, &["ignition-rs", "apply", "--zebra", "x"]),
    ] {
        if let Invocation::Say(say) = run(line) {
            assert_eq!(say.code, expected, "{line:?}: {say:?}");
            assert!(say.text.ends_with('\n'), "{line:?}");
        } else {
            panic!("{line:?} is accepted");
        }
    }
}

#[test]
fn verbs_that_are_not_built_yet_say_so() {
    for verb in ["pack", "butane", "convert"] {
        assert_eq!(
            complaint(&["ignition-rs", verb, "x"]),
            format!("ignition-rs {verb}: not built yet\n")
        );
        assert_eq!(code(&["ignition-rs", verb]), 1);
    }
}

#[test]
fn versions() {
    let Invocation::Say(say) = run(&["ignition", "--version"]) else {
        panic!()
    };
    assert_eq!(say.text, format!("Ignition 2.26.0 (ignition-rs {VERSION})\n"));
    let Invocation::Say(say) = run(&["ignition-rs", "--version"]) else {
        panic!()
    };
    assert_eq!(say.text, format!("ignition-rs {VERSION} (Ignition 2.26.0)\n"));
}

#[test]
fn mistakes_say_what_was_meant() {
    for (line, part) in [
        (&["ignition-rs", "plna", "x"][..], "did you mean plan?"),
        (
            &["ignition-rs", "plan", "--rot", "/", "x"],
            "did you mean --root?",
        ),
        (&["ignition", "-plattform", "x"], "did you mean -platform?"),
        (&["ignition", "-platform", "equinixmetal"], "did you mean packet?"),
        (&["ignition", "-platform", "qemo"], "did you mean qemu?"),
        (
            &["ignition", "-platform", "stackit"],
            "platforms are akamai aliyun",
        ),
        (
            &["ignition", "-stage", "file", "-platform", "x"],
            "stages are fetch-offline",
        ),
    ] {
        let text = complaint(line);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn nothing_happens_by_accident() {
    let real = ["ignition-rs", "-config", "x.ign", "-stage"];
    let with = |rest: &[&'static str]| [&real[..], rest].concat();
    for (rest, part) in [
        (&["files"][..], "say where with -root DIR"),
        (&["files", "-root", "/"], "is the running system"),
        (&["files", "-root", "/self"], "is the running system"),
        (&["files", "-root", ""], "is the running system"),
        (&["disks", "-root", "/tmp/x"], "-this-machine"),
        (&["mount", "-root", "/tmp/x"], "-this-machine"),
        (&["umount", "-root", "/tmp/x"], "-this-machine"),
        (&["kargs", "-root", "/tmp/x"], "-this-machine"),
        (
            &["disks", "-root", "/tmp/x", "-this-machine=false"],
            "-this-machine",
        ),
        (&["files", "-root", "/", "-this-machine"], "is the running system"),
        (
            &["files", "-root", "/tmp/x", "-fetch"],
            "-fetch belongs to -dry-run",
        ),
        (
            &["files", "-root", "/tmp/x", "-plan-format", "json"],
            "-plan-format belongs to -dry-run",
        ),
    ] {
        let text = complaint(&with(rest));
        assert!(text.contains(part), "{rest:?}: {text}");
        assert_eq!(code(&with(rest)), 2);
    }
    for rest in [
        &["files", "-root", "/tmp/x"][..],
        &["disks", "-root", "/tmp/x", "-this-machine"],
        &["files", "-dry-run"],
        &["disks", "-root", "/", "-dry-run", "-fetch", "-plan-format=json"],
    ] {
        let args = engine_args(&with(rest));
        assert_eq!(args.config.as_deref(), Some(Path::new("x.ign")));
        assert_eq!(args.platform, None);
    }
}

#[test]
fn plan_flags() {
    let Invocation::Plan(args) = run(&[
        "ignition-rs",
        "plan",
        "x.ign",
        "--root",
        "/r",
        "--format=json",
        "--fetch",
    ]) else {
        panic!()
    };
    assert_eq!(
        args,
        PlanArgs {
            config: Input::File("x.ign".into()),
            root: Some("/r".into()),
            image: None,
            platform: None,
            fetch: true,
            format: PlanFormat::Json,
            rerun: Rerun::default(),
        }
    );
    let Invocation::Plan(args) = run(&["ignition-rs", "plan", "x.ign"]) else {
        panic!()
    };
    assert_eq!(args.root, Some("/".into()));
}

#[test]
fn image_flags() {
    let line = "plan x.ign --image d.img --map /dev/sda --map /dev/sdb=b.img --sector-size 4096";
    let words: Vec<&str> = std::iter::once("ignition-rs").chain(line.split(' ')).collect();
    let Invocation::Plan(args) = run(&words) else {
        panic!()
    };
    assert_eq!(args.root, None, "it is on the image");
    let map = |device: &str, file: Option<&str>| Map {
        device: device.to_owned(),
        file: file.map(PathBuf::from),
    };
    let image = ImageArgs {
        image: "d.img".into(),
        map: vec![map("/dev/sda", None), map("/dev/sdb", Some("b.img"))],
        root_label: "ROOT".to_owned(),
        sector_size: Some(4096),
    };
    assert_eq!(args.image, Some(image));
    let Invocation::Provision(args) = run(&[
        "ignition-rs",
        "provision",
        "--image=d.img",
        "--root-label=root",
        "-",
    ]) else {
        panic!()
    };
    assert_eq!(
        (args.config, args.image.root_label.as_str()),
        (Input::Stdin, "root")
    );
    for wrong in [
        "plan x.ign --map /dev/sda",
        "plan x.ign --root-label x",
        "plan x.ign --image d.img --platform qemu",
        "plan x.ign --image d.img --map sda",
        "plan x.ign --image d.img --map /dev/sda=",
        "plan x.ign --image d.img --sector-size 1024",
        "provision x.ign",
        "provision --image d.img",
        "provision --image d.img --root-label= x.ign",
    ] {
        let words: Vec<&str> = std::iter::once("ignition-rs").chain(wrong.split(' ')).collect();
        let Invocation::Say(say) = run(&words) else {
            panic!("{wrong}")
        };
        assert_eq!((say.code, say.to_stderr), (1, true), "{wrong}");
    }
}

#[test]
fn validate_flags() {
    let Invocation::Validate(args) = run(&["ignition-rs", "validate", "a", "--strict", "-", "--root=/r"])
    else {
        panic!()
    };
    assert_eq!(args.inputs, [Input::File("a".into()), Input::Stdin]);
    assert_eq!(
        (args.strict, args.root.as_deref(), args.drop_in),
        (true, Some(Path::new("/r")), false)
    );
    assert_eq!(args.format, validate::ReportFormat::Pretty);
    let Invocation::Validate(args) = run(&["ignition-validate", "a"]) else {
        panic!()
    };
    assert_eq!(
        (args.strict, args.drop_in, args.format),
        (false, true, validate::ReportFormat::Text)
    );
}

#[test]
fn apply_and_rmcfg_flags() {
    for line in [
        &[
            "ignition-apply",
            "a",
            "--offline",
            "--root",
            "r",
            "--ignore-unsupported=false",
        ][..],
        &["ignition-rs", "apply", "--offline=true", "--root=r", "a"],
    ] {
        let Invocation::Apply(args) = run(line) else {
            panic!()
        };
        assert_eq!(
            args,
            ApplyArgs {
                config: Input::File("a".into()),
                root: "r".into(),
                ignore_unsupported: false,
                offline: true,
            }
        );
    }
    let Invocation::Rmcfg(args) = run(&["ignition-rmcfg", "--platform=vmware"]) else {
        panic!()
    };
    assert_eq!(
        args,
        RmcfgArgs {
            platform: "vmware".into(),
            log_to_stdout: false
        }
    );
}

/// Defaults are parsed when a command is; flags are sorted, named once, and described.
fn check_table<A: Default>(command: &Command<A>) {
    assert!(command.parse([]).is_ok(), "{}", command.name);
    let names: Vec<&str> = command.flags.iter().map(|flag| flag.name).collect();
    assert!(
        names.is_sorted_by(|left, right| left < right),
        "{}: {names:?}",
        command.name
    );
    for flag in command.flags {
        assert!(
            !flag.help.is_empty() && !flag.help.ends_with('.'),
            "{}",
            flag.name
        );
        assert_eq!(flag.value.is_empty(), flag.is_switch(), "{}", flag.name);
    }
    let help = crate::flags::document::help(command);
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    assert!(!command.exit.is_empty());
}

#[test]
fn tables_are_sound() {
    check_table(&engine::ENGINE);
    check_table(&plan::PLAN);
    check_table(&validate::VALIDATE);
    check_table(&validate::IGNITION_VALIDATE);
    check_table(&apply::APPLY);
    check_table(&apply::IGNITION_APPLY);
    check_table(&rmcfg::IGNITION_RMCFG);
}

#[test]
fn reports() {
    for (line, want, all) in [
        (
            &["ignition-rs", "report"][..],
            "/run/ignition/report.jsonl",
            false,
        ),
        (
            &["ignition-rs", "report", "--all"],
            "/run/ignition/report.jsonl",
            true,
        ),
        (&["ignition-rs", "report", "old", "--all"], "old", true),
        (&["ignition-rs", "report", "-"], "-", false),
    ] {
        match run(line) {
            Invocation::Report(args) => {
                assert_eq!(args.report, Input::from(OsString::from(want)), "{line:?}");
                assert_eq!(args.all, all, "{line:?}");
            }
            other => panic!("{line:?}: {other:?}"),
        }
    }
    assert_eq!(code(&["ignition-rs", "report", "one", "two"]), 1);
    // Upstream's program knows no verbs.
    assert_eq!(code(&["ignition", "report"]), 2);
}
