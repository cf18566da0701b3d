//! The JSON reader alone: every value is walked, and the verdict is that of serde_json.
#![no_main]

use ignition_rs::json::{Document, Kind};
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

const SEEDS: &[&str] = &[
    "{\"a\": [1, {\"x\": [[]]}, 2], \"b\": {}, \"a\": 3}",
    "\"\\b\\f\\n\\r\\t\\\\ \\ud83d\\ude00 \\ud83dx\"",
    "[1.5e-3, -0, null, true, false, 9223372036854775807]",
    "\n[\n]\r\n",
];

fuzz_target!(init: plant(SEEDS, &["\\u", "\\ud83d", "true", "false", "null", "[", "]", "{", "}", "\"a\":"]), |data: &[u8]| {
    let document = match Document::parse(data) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.offset <= data.len());
            // serde_json reads valid UTF-8 only, and fewer levels.
            if let Ok(text) = std::str::from_utf8(data) {
                assert!(serde_json::from_str::<serde_json::Value>(text).is_err());
            }
            return;
        }
    };
    let lines = document.lines();
    let mut open = vec![document.root()];
    while let Some(node) = open.pop() {
        let span = node.span();
        assert!(span.start < span.end && span.end <= data.len());
        let position = lines.position(node.report_offset());
        assert!(position.line > 0 || node.report_offset() >= data.len());
        match node.kind() {
            Kind::Object => {
                for (key, value) in node.members() {
                    assert!(key.as_str().is_some());
                    open.push(value);
                }
            }
            Kind::Array => open.extend(node.elements()),
            Kind::String => assert!(node.as_str().is_some()),
            Kind::Number => {
                let _ = node.as_i64();
            }
            Kind::Null | Kind::False | Kind::True => {}
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
    {
        panic!("serde_json refuses it: {error}");
    }
});
