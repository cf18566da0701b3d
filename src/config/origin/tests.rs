use super::*;
use crate::config::merge::merge;
use crate::json::Document;

fn document(text: &str) -> (Config, Index) {
    let document = Document::parse(text.as_bytes()).unwrap();
    let config = decode::decode(document.root(), &schema::CONFIG, Version::NEWEST).unwrap();
    (
        config,
        Index::new(
            document.root(),
            Version::NEWEST,
            &document.lines(),
            Detail::Entries,
        ),
    )
}

fn two(parent: &str, child: &str) -> (Config, Origins) {
    let ((parent, first), (child, second)) = (document(parent), document(child));
    let mut origins = Origins::default();
    origins.push("parent", first);
    origins.push("child", second);
    (merge(parent, child), origins)
}

fn pointer(text: &str) -> Pointer {
    text.split('.')
        .fold(Pointer::root(), |pointer, part| match part.parse() {
            Ok(index) => pointer.index(index),
            Err(_) => pointer.key(part.to_owned()),
        })
}

fn found(config: &Config, origins: &Origins, at: &str) -> Option<(String, usize, usize)> {
    let (name, position) = origins.lookup(config, &pointer(at))?;
    Some((name.to_owned(), position.line, position.column))
}

/// One entry in every list and a value in every field, each on its own line.
fn full(shape: &'static Shape, pointers: &mut Vec<String>, at: &str) -> String {
    let members: Vec<String> = shape
        .fields
        .iter()
        .map(|field| {
            let at = format!("{at}.{}", field.name);
            let value = match field.kind {
                Kind::Text => "\"x\"".to_owned(),
                Kind::Flag => "true".to_owned(),
                Kind::Integer => "1".to_owned(),
                Kind::Object(below) => full(below, pointers, &at),
                Kind::Texts(_) => {
                    pointers.push(format!("{at}.0"));
                    "[\n\"x\"]".to_owned()
                }
                Kind::Objects(below, _) => {
                    pointers.push(format!("{at}.0"));
                    format!("[\n{}]", full(below, pointers, &format!("{at}.0")))
                }
            };
            format!("\"{}\": {value}", field.name)
        })
        .collect();
    format!("{{{}}}", members.join(",\n"))
}

#[test]
fn every_entry_of_every_list_is_found() {
    let mut pointers = Vec::new();
    let text = full(&schema::CONFIG, &mut pointers, "$");
    assert!(pointers.len() > 30, "{}", pointers.len());
    let (config, index) = document(&text);
    let json = Document::parse(text.as_bytes()).unwrap();
    let mut origins = Origins::default();
    origins.push("only", index);
    for at in &pointers {
        let at = pointer(at.strip_prefix("$.").unwrap());
        let expected = json.lines().position(
            crate::config::locate::Locator::new(json.root())
                .deepest(&at)
                .report_offset(),
        );
        assert_eq!(origins.lookup(&config, &at), Some(("only", expected)), "{at}");
    }
}

#[test]
fn the_last_document_that_has_it_is_the_origin() {
    let (config, origins) = two(
        "{\"ignition\": {\"timeouts\": {\"httpTotal\": 1,\n\"httpResponseHeaders\": 2}},\n\"storage\": {\"files\": [\n{\"path\": \"/a\"},\n{\"path\": \"/b\"}]}}",
        "{\"ignition\": {\"timeouts\": {\n\"httpTotal\": 3}}, \"storage\": {\"files\": [{\"path\": \"/c\"}, {\"PATH\": \"/a\"}]}}",
    );
    let at = |at: &str| found(&config, &origins, at);
    assert_eq!(at("storage.files.0"), Some(("child".to_owned(), 2, 58)));
    assert_eq!(
        at("storage.files.0.mode"),
        at("storage.files.0"),
        "the nearest enclosing entry"
    );
    assert_eq!(at("storage.files.1"), Some(("parent".to_owned(), 5, 2)));
    assert_eq!(at("storage.files.2.path"), Some(("child".to_owned(), 2, 42)));
    assert_eq!(
        at("ignition.timeouts.httpTotal"),
        Some(("child".to_owned(), 2, 14))
    );
    assert_eq!(
        at("ignition.timeouts.httpResponseHeaders"),
        Some(("parent".to_owned(), 2, 24))
    );
    assert_eq!(at("passwd.users.0"), None);
}

#[test]
fn appended_entries_are_counted() {
    let (config, origins) = two(
        "{\"storage\": {\"files\": [{\"path\": \"/a\", \"append\": [\n{},\n{}]}]}}",
        "{\"storage\": {\"files\": [{\"path\": \"/a\", \"append\": [\n{\"httpHeaders\": [\n{\"name\": \"A\"}]}]}]}}",
    );
    let at = |at: &str| found(&config, &origins, at);
    assert_eq!(at("storage.files.0.append.1"), Some(("parent".to_owned(), 3, 2)));
    assert_eq!(
        at("storage.files.0.append.2.source"),
        Some(("child".to_owned(), 2, 2))
    );
    assert_eq!(
        at("storage.files.0.append.2.httpHeaders.0.name"),
        Some(("child".to_owned(), 3, 2))
    );
    assert_eq!(at("storage.files.0.append.9"), Some(("child".to_owned(), 1, 25)));
}

#[test]
fn what_is_saved_has_entries_and_no_secrets() {
    let (config, mut origins) = two(
        "{}",
        "{\"ignition\": {\"config\": {\"merge\": [{\"source\": \"http://u:canary@h/?t=canary\"}]}}}",
    );
    origins.push("https://user:canary@host:80/p?q=canary#canary", Index::default());
    origins.push("data:,canary", Index::default());
    let saved = serde_json::to_string(&origins).unwrap();
    assert!(!saved.contains("canary") && !saved.contains("user"), "{saved}");
    assert!(saved.contains("https://host:80/p"), "{saved}");
    let read: Origins = serde_json::from_str(&saved).unwrap();
    assert_eq!(
        found(&config, &read, "ignition.config.merge.0"),
        Some(("child".to_owned(), 1, 37))
    );
}

#[test]
fn names_of_documents() {
    let table = [
        (
            "fw_cfg opt/org.flatcar-linux/config",
            "fw_cfg opt/org.flatcar-linux/config",
        ),
        ("/usr/lib/ignition/base.d/a?b@c", "/usr/lib/ignition/base.d/a?b@c"),
        ("http://host", "http://host"),
        ("http://a@b:c@host?x=/y", "http://host"),
        ("s3://bucket/key?versionId=1", "s3://bucket/key"),
        ("DATA:,x", "a data: URL"),
    ];
    for (name, expected) in table {
        assert_eq!(displayed(name), expected);
    }
}

/// Found by fuzzing (`fuzz/targets/url.rs`): such a URL was shown whole.
#[test]
fn names_hide_credentials_of_urls_without_slashes() {
    for (name, expected) in [
        ("http:user:canary@host/x", "http:…"),
        ("oem::canary@", "oem:…"),
        ("http:u:canary@h/?x=http://h", "http:…"),
        ("user:canary@host", "user:…"),
        ("us_er:canary@host", "a URL that is not valid"),
        ("us_er:canary@host/http://x", "a URL that is not valid"),
        ("/a:b@c", "/a:b@c"),
    ] {
        assert_eq!(displayed(name), expected);
    }
}

fn detailed(name: &str, text: &str) -> (Config, Origins) {
    let parsed = crate::config::parse_in_detail(text.as_bytes(), Detail::Values).unwrap();
    let mut origins = Origins::default();
    origins.push(name, parsed.origins);
    (parsed.config, origins)
}

/// All of them, and what counts is the last.
#[test]
fn every_document_that_says_something_is_told() {
    let texts = [
        r#"{"ignition": {"version": "3.4.0"}, "storage": {
            "files": [{"path": "/a", "mode": 1, "append": [{"source": "data:,0"}]}, {"path": "/b", "mode": 2}],
            "links": [{"path": "/c", "target": "x"}]}, "kernelArguments": {"shouldExist": ["q", "r"]}}"#,
        r#"{"ignition": {"version": "3.4.0"}, "storage": {"links": [{"path": "/b", "target": "y"}],
            "files": [{"path": "/a", "append": [{"source": "data:,1"}]}]}, "kernelArguments": {"shouldNotExist": ["q"]}}"#,
        r#"{"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/b"}, {"path": "/a", "mode": 3}]},
            "kernelArguments": {"shouldExist": ["q"]}}"#,
    ];
    let (mut config, mut origins) = (Config::default(), Origins::default());
    for (index, text) in texts.iter().enumerate() {
        let (next, from) = detailed(&index.to_string(), text);
        config = merge(config, next);
        origins.append(from);
    }
    let told = |at: &str| -> String {
        let said = origins.said(&config, &pointer(at));
        let lookup = origins
            .lookup(&config, &pointer(at))
            .map(|(document, _)| document.to_owned());
        if let (Some(last), Some(found)) = (said.last(), lookup) {
            assert_eq!(last.document, found, "{at}");
        }
        let words = said.iter().map(|said| {
            let line = said
                .text
                .split(|byte| *byte == b'\n')
                .nth(said.position.line - 1)
                .unwrap();
            let there = &line[said.position.column - 1..];
            let end = there.iter().position(|byte| b",}]".contains(byte)).unwrap();
            format!("{}={}", said.document, String::from_utf8_lossy(&there[..end]))
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let files: Vec<&str> = config
        .storage
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(files, ["/a", "/b"]);
    for (at, want) in [
        ("storage.files.0.mode", "0=1 2=3"),
        ("storage.files.0.append.0.source", "0=\"data:"),
        ("storage.files.0.append.1.source", "1=\"data:"),
        // The second makes it a link, and what the first says of the file is gone with that.
        ("storage.files.1", "2=\"path\": \"/b\""),
        ("storage.files.1.mode", ""),
        ("storage.links.0.target", "0=\"x\""),
        ("kernelArguments.shouldExist.0", "0=\"r\""),
        ("kernelArguments.shouldExist.1", "2=\"q\""),
        (
            "storage.files",
            "0={\"path\": \"/a\" 1={\"path\": \"/a\" 2={\"path\": \"/b\"",
        ),
        ("storage.files.7", ""),
    ] {
        assert_eq!(told(at), want, "{at}");
    }
}
