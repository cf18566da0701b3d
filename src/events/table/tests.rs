use std::fmt::Write as _;

use super::*;

fn begin(stage: &str, boot: &str, at: u64) -> String {
    format!(
        r#"{{"event":"stage-begins","format":"ignition-rs report","version":1,"stage":"{stage}","time":"2026-01-02T03:04:05.678Z","at":{at},"bootId":"{boot}","engine":"0.1.0","platform":"qemu"}}"#
    )
}

fn step(rest: &str) -> String {
    format!(r#"{{"event":"step","stage":"files","time":"t","at":1,{rest}}}"#)
}

fn end(rest: &str) -> String {
    format!(r#"{{"event":"stage-ends","stage":"files","time":"t","at":1,{rest}}}"#)
}

fn shown(lines: &[String], all: bool) -> String {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    let mut out = String::new();
    write(&mut out, &Report::parse(text.as_bytes()), all);
    out
}

/// Two stages of a boot; the second fails while it fetches.
fn boot() -> Vec<String> {
    let mut lines = vec![
        begin("fetch", "one", 1_000_000),
        r#"{"event":"fetch-begins","stage":"fetch","kind":"provider","source":"http://192.0.2.1/a.ign"}"#.into(),
        r#"{"event":"fetch","stage":"fetch","kind":"provider","source":"http://192.0.2.1/a.ign","outcome":"done","duration":412345,"bytes":1204,"attempts":3}"#.into(),
        r#"{"event":"fetch","stage":"fetch","kind":"reference","source":"data:…","outcome":"done","duration":12,"bytes":17}"#.into(),
        step(r#""phase":"config","action":"writeHostFile","what":"/run/ignition.json","change":"create","cause":"","outcome":"done","duration":900,"bytes":1100"#),
        end(r#""outcome":"done","duration":450000"#),
        begin("files", "one", 3_000_000),
        step(r#""phase":"accounts","action":"createUser","what":"user web","change":"create","cause":"passwd.users[0]","outcome":"done","duration":210400"#),
        step(r#""phase":"accounts","action":"modifyUser","what":"user core","change":"keep","cause":"passwd.users[1]","outcome":"kept","duration":0"#),
    ];
    for index in 0..1200 {
        lines.push(step(&format!(
            r#""phase":"nodes","action":"writeFile","what":"/srv/{index}","change":"create","cause":"storage.files[{index}]","outcome":"done","duration":{},"bytes":1000"#,
            10 + index % 7
        )));
    }
    lines.push(step(
        r#""phase":"nodes","action":"writeFile","what":"/opt/big","change":"replace","cause":"storage.files[1200]","sources":["http://192.0.2.1/big"],"outcome":"failed","error":"cannot fetch http://192.0.2.1/big: the server refuses it with status 403","duration":8,"attempts":2"#,
    ));
    lines.push(end(
        r#""outcome":"failed","duration":1234567,"failure":{"stage":"files","phase":"nodes","operation":"replace /opt/big","pointer":"storage.files[1200]","config":"http://192.0.2.1/a.ign","line":12,"column":7,"causes":["cannot fetch http://192.0.2.1/big","the server refuses it with status 403"],"also":["another"],"further":2,"tool":{"command":"useradd --root /sysroot web","exitCode":9,"stderr":["useradd: no","go away"]},"advice":"check the URL","configSha512":"00ff"}"#,
    ));
    lines
}

#[test]
fn a_boot() {
    insta::assert_snapshot!(shown(&boot(), false));
}

#[test]
fn every_step_and_every_boot() {
    let mut lines = vec![begin("files", "zero", 5), end(r#""outcome":"done","duration":5"#)];
    // Few of the many.
    lines.extend(
        boot()
            .into_iter()
            .filter(|line| !line.contains("/srv/") || line.contains("/srv/7\"")),
    );
    insta::assert_snapshot!(shown(&lines, true));
    assert!(shown(&lines, false).starts_with("1 earlier boot is left out; --all shows everything\n"));
}

#[test]
fn a_stage_that_was_killed_and_lines_that_are_none() {
    let begun = r#"{"event":"step-begins","stage":"files","at":3500000,"phase":"accounts","action":"createUser","what":"user web","change":"create","cause":"passwd.users[0]"}"#;
    let later = begin("files", "one", 9).replace("\"version\":1", "\"version\":2");
    let lines = [
        begin("files", "one", 3_000_000),
        "spoilt".into(),
        begun.into(),
        later,
        "{\"ev".into(),
    ];
    insta::assert_snapshot!(shown(&lines, false), @r"
    boot one, platform qemu, ignition-rs 0.1.0

    files  did not end: killed, or still running, began 2026-01-02T03:04:05.678Z
      not over   create user web (passwd.users[0]), begun 500.0 ms after the stage

    Stages of version 2 of the format are left out: a newer ignition-rs reads them.
    2 lines are malformed and left out.
    ");
    let mut out = String::new();
    write(
        &mut out,
        &Report::parse(format!("{}\n{{\"ev", lines[0]).as_bytes()),
        false,
    );
    assert!(out.contains("The last line is cut"), "{out}");
}

#[test]
fn nothing_in_it_drives_a_terminal() {
    let evil = r"\u001b[2J\n\u009b\u202e";
    let lines = [
        begin(evil, evil, 1),
        format!(
            r#"{{"event":"fetch","kind":"{evil}","source":"{evil}","error":"{evil}","outcome":"failed"}}"#
        ),
        step(&format!(
            r#""phase":"{evil}","what":"{evil}","change":"{evil}","cause":"{evil}","sources":["{evil}"],"outcome":"failed","error":"{evil}""#
        )),
        end(&format!(
            r#""outcome":"{evil}","failure":{{"operation":"{evil}","pointer":"{evil}","config":"{evil}","causes":["{evil}"],"tool":{{"command":"{evil}","stderr":["{evil}"]}},"advice":"{evil}","configSha512":"{evil}"}}"#
        )),
    ];
    for all in [false, true] {
        let text = shown(&lines, all);
        let bad = |letter: &char| letter.is_control() && *letter != '\n' || *letter == '\u{202e}';
        assert_eq!(text.chars().find(bad), None, "{text:?}");
    }
}

#[test]
fn times() {
    for (micros, text) in [
        (0, "0 us"),
        (999, "999 us"),
        (1_000, "1.0 ms"),
        (12_345, "12.3 ms"),
        (999_999, "999.9 ms"),
        (1_000_000, "1.00 s"),
        (61_239_999, "61.23 s"),
        (u64::MAX, "18,446,744,073,709.55 s"),
    ] {
        assert_eq!(time(micros), text);
    }
}
