//! `data:` URLs: what is accepted comes out the same when it is written anew, and is never shown.
#![no_main]

use ignition_rs::config::grammar::{Url, data_url, source, url};
use ignition_rs::config::version::Version;
use ignition_rs::fetch;
use ignition_rs_fuzz::{plant, text};
use libfuzzer_sys::fuzz_target;

const SEEDS: &[&str] = &[
    "data:,a%20b",
    "data:text/plain;charset=utf-8,a%20b",
    "data:;charset=utf-8;base64,YQ==",
    "data:;a=\"b,c\\\"d\";e=f,a",
    "data:;a=\"\\x41\\101\\u0041\\U00000041\\n\",a",
    "data:;a=\"\";b=%zz,a",
    "data:;base64,Y\nQ==",
    "DATA:,x",
];

const WORDS: &[&str] = &[
    "data:",
    ";base64,",
    "text/",
    "x-",
    "application/",
    "%41",
    "=\"",
    "\\u0041",
    "\\x41",
    "\\U0010ffff",
];

fuzz_target!(init: plant(SEEDS, WORDS), |data: &[u8]| {
    let Some(text) = text(data) else { return };
    let decoded = data_url::decode(text);
    assert_eq!(data_url::check(text).is_ok(), decoded.is_ok());
    let _ = url::display(text);
    if let Ok(url) = Url::parse(text) {
        let _ = fetch::data::decode(&url).map_err(|error| error.to_string());
        if decoded.is_ok() {
            assert_eq!(fetch::data::decode(&url), decoded);
            assert!(source::check(text, Version::NEWEST).is_ok());
            assert!(url.is_offline());
            let size = decoded.as_ref().map_or(0, Vec::len);
            assert_eq!(url.display(), format!("data:…({size} bytes)"));
        }
    }
    if let Ok(bytes) = decoded {
        assert!(bytes.len() <= text.len());
        let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(data_url::decode(&format!("data:,{escaped}")), Ok(bytes));
    }
});
