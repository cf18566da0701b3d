//! Tests of both parsers over one made-up command.

use super::*;
use proptest::prelude::*;
use std::os::unix::ffi::OsStringExt as _;

#[derive(Debug, Default, PartialEq)]
struct Args {
    root: OsString,
    count: u32,
    loud: bool,
    more: bool,
}

const FLAGS: &[Flag<Args>] = &[
    Flag {
        name: "count",
        value: "N",
        default: Some("7"),
        help: "a number",
        more: "",
        set: Set::Value(|args, value| {
            args.count = text(value)?.parse().map_err(|_| "not a number".to_owned())?;
            Ok(())
        }),
    },
    Flag {
        name: "loud",
        value: "",
        default: None,
        help: "be loud",
        more: "",
        set: Set::Switch(|a, v| a.loud = v),
    },
    Flag {
        name: "more-of-it",
        value: "",
        default: None,
        help: "more",
        more: "",
        set: Set::Switch(|a, v| a.more = v),
    },
    Flag {
        name: "root",
        value: "DIR",
        default: Some("/"),
        help: "where",
        more: "",
        set: Set::Value(|args, value| {
            args.root = value.into();
            Ok(())
        }),
    },
];

const fn command(style: Style) -> Command<Args> {
    Command {
        name: "test",
        section: 8,
        summary: "test",
        synopsis: "[flags]",
        description: &[],
        style,
        flags: FLAGS,
        exit: &[],
        files: &[],
        environment: &[],
        examples: &[],
        see_also: &[],
    }
}

static GO: Command<Args> = command(Style::Go);
static GNU: Command<Args> = command(Style::Gnu);

fn parse(command: &Command<Args>, arguments: &[&str]) -> Result<Parsed<Args>, Stop> {
    command.parse(arguments.iter().map(OsString::from))
}

fn shown(result: Result<Parsed<Args>, Stop>) -> String {
    match result {
        Ok(Parsed { args, rest, given }) => {
            format!(
                "{} {} {} {} {rest:?} {given:?}",
                args.root.display(),
                args.count,
                args.loud,
                args.more
            )
        }
        Err(Stop::Help) => "help".to_owned(),
        Err(Stop::Usage(message)) => message,
    }
}

#[test]
fn go_syntax() {
    for (arguments, expected) in [
        (&[][..], r"/ 7 false false [] []"),
        (
            &["-root", "/a", "--count=3"],
            r#"/a 3 false false [] ["root", "count"]"#,
        ),
        (
            &["--root=/a=b", "-loud"],
            r#"/a=b 7 true false [] ["root", "loud"]"#,
        ),
        (&["-root", ""], r#" 7 false false [] ["root"]"#),
        (&["-root="], r#" 7 false false [] ["root"]"#),
        (&["-root", "-loud"], r#"-loud 7 false false [] ["root"]"#),
        (
            &["-root", "--", "-loud"],
            r#"-- 7 true false [] ["root", "loud"]"#,
        ),
        (
            &["-loud=false", "-more-of-it=T"],
            r#"/ 7 false true [] ["loud", "more-of-it"]"#,
        ),
        (
            &["-loud", "false", "-more-of-it"],
            r#"/ 7 true false ["false", "-more-of-it"] ["loud"]"#,
        ),
        (&["-loud", "-loud=0"], r#"/ 7 false false [] ["loud", "loud"]"#),
        (&["x", "-loud"], r#"/ 7 false false ["x", "-loud"] []"#),
        (&["-", "-loud"], r#"/ 7 false false ["-", "-loud"] []"#),
        (&["", "-loud"], r#"/ 7 false false ["", "-loud"] []"#),
        (&["--", "-loud"], r#"/ 7 false false ["-loud"] []"#),
        (&["-h"], "help"),
        (&["--help"], "help"),
        (&["-help=x"], "help"),
        (&["-H"], "flag provided but not defined: -H"),
        (
            &["-Loud"],
            "flag provided but not defined: -Loud; did you mean -loud?",
        ),
        (
            &["-rot=/"],
            "flag provided but not defined: -rot; did you mean -root?",
        ),
        (&["-zebra"], "flag provided but not defined: -zebra"),
        (&["---loud"], "bad flag syntax: ---loud"),
        (&["-=x"], "bad flag syntax: -=x"),
        (&["--=x"], "bad flag syntax: --=x"),
        (&["-root"], "flag needs an argument: -root"),
        (
            &["-count", "x"],
            r#"invalid value "x" for flag -count: not a number"#,
        ),
        (
            &["-loud=maybe"],
            r#"invalid boolean value "maybe" for -loud: write true or false"#,
        ),
        (
            &["-loud="],
            r#"invalid boolean value "" for -loud: write true or false"#,
        ),
    ] {
        assert_eq!(shown(parse(&GO, arguments)), expected, "{arguments:?}");
    }
}

#[test]
fn gnu_syntax() {
    for (arguments, expected) in [
        (&[][..], r"/ 7 false false [] []"),
        (
            &["a", "--root", "/a", "b", "--loud"],
            r#"/a 7 true false ["a", "b"] ["root", "loud"]"#,
        ),
        (&["--root=", "-"], r#" 7 false false ["-"] ["root"]"#),
        (&["--loud", "false"], r#"/ 7 true false ["false"] ["loud"]"#),
        (
            &["--loud=false", "--", "--root"],
            r#"/ 7 false false ["--root"] ["loud"]"#,
        ),
        (&["--help"], "help"),
        (&["x", "-h"], "help"),
        (
            &["-root"],
            "unknown flag: -r; flags have two dashes here, as in --help",
        ),
        (&["--lout"], "unknown flag: --lout; did you mean --loud?"),
        (&["--root"], "flag needs an argument: --root"),
        (
            &["--count=x"],
            r#"invalid value "x" for flag --count: not a number"#,
        ),
        (
            &["--loud=2"],
            r#"invalid boolean value "2" for --loud: write true or false"#,
        ),
    ] {
        assert_eq!(shown(parse(&GNU, arguments)), expected, "{arguments:?}");
    }
}

#[test]
fn values_need_not_be_text() {
    let odd = OsString::from_vec(b"/a\xff".to_vec());
    for command in [&GO, &GNU] {
        let parsed = command
            .parse(["--root".into(), odd.clone(), "--loud".into()])
            .unwrap();
        assert_eq!((parsed.args.root, parsed.args.loud), (odd.clone(), true));
        let joined = command
            .parse([OsString::from_vec(b"--root=/a\xff".to_vec())])
            .unwrap();
        assert_eq!(joined.args.root, odd);
        let refused = command.parse(["--count".into(), odd.clone()]).unwrap_err();
        assert!(refused.to_string().ends_with("-count: not UTF-8"), "{refused}");
    }
}

#[test]
fn booleans() {
    for text in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(parse_bool(OsStr::new(text)), Some(true), "{text}");
    }
    for text in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(parse_bool(OsStr::new(text)), Some(false), "{text}");
    }
    for text in ["", "yes", "tRUE", " true", "2"] {
        assert_eq!(parse_bool(OsStr::new(text)), None, "{text}");
    }
}

proptest! {
    #[test]
    fn parsers_never_panic(arguments in proptest::collection::vec("[-=a-z/]{0,8}", 0..8)) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let _ = parse(&GO, &arguments);
        let _ = parse(&GNU, &arguments);
    }

    // What both styles share means the same in both.
    #[test]
    fn styles_agree_on_flags_with_equals(count in any::<u32>(), loud in any::<bool>(), root in "/[a-z=]{0,9}") {
        let arguments = [format!("--count={count}"), format!("--loud={loud}"), format!("--root={root}")];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (go, gnu) = (parse(&GO, &arguments).unwrap(), parse(&GNU, &arguments).unwrap());
        prop_assert_eq!(go.args, gnu.args);
    }
}
