//! Hash strings, digests, base64, GUIDs, spec versions: what is accepted is written the same again.
#![no_main]

use ignition_rs::config::grammar::{arn, data_url, guid, hash, path, semver};
use ignition_rs::config::version::Version;
use ignition_rs::fetch::hash::Hash;
use ignition_rs::view::Digest;
use ignition_rs_fuzz::{plant, text};
use libfuzzer_sys::fuzz_target;

const SEEDS: &[&str] = &[
    "sha256-0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789ABCDEF",
    "sha512-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "01234567-89AB-CDEF-EDCB-A98765432101",
    "3.4.0-experimental+x",
    "arn:aws:s3:us-west-1:123456789012:accesspoint/a/object/b",
    "YWJj\nZGVm\nYQ==",
    "/a/../b//c/./d/",
];

fuzz_target!(init: plant(SEEDS, &["sha256-", "sha512-", "arn:aws:s3:::", "accesspoint/", "/object/", "==", "../"]), |data: &[u8]| {
    let Some(text) = text(data) else { return };
    match Hash::parse(text) {
        Ok(hash) => assert_eq!(hash.to_string(), text.to_ascii_lowercase()),
        Err(error) => {
            let _ = error.to_string();
        }
    }
    if let Ok(hash) = hash::Hash::parse(text) {
        assert_eq!(hash.to_string(), text);
        assert_eq!(hash.expected().is_ok(), Hash::parse(text).is_ok());
    }
    if let Some(digest) = Digest::from_hex(text) {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(bytes) = data_url::decode(&format!("data:;base64,{text}")) {
        let digits = text.bytes().filter(|byte| !matches!(byte, b'=' | b'\n')).count();
        assert_eq!(bytes.len(), digits * 3 / 4);
    }
    assert!(!guid::is_guid(text) || text.len() == 36);
    if let Ok(version) = semver::Semver::parse(text) {
        let _ = version.version();
    }
    let _ = Version::declared(text);
    if let Ok(arn) = arn::Arn::parse(text) {
        let _ = arn.check_s3_object();
    }
    let clean = path::clean(text);
    assert_eq!(path::clean(&clean), clean, "a clean path stays as it is");
    assert_eq!(path::check(text).is_ok(), path::is_absolute(text) && clean == text);
    assert_eq!(path::join("/a", text), path::clean(&path::join("/a", text)));
    let _ = path::extension(text);
});
