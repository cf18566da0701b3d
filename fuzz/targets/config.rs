//! A document through reader, decoder, validation and translation; what passes is kept and merged.
#![no_main]

use ignition_rs::config::schema::{CONFIG, Kind, Shape};
use ignition_rs::config::version::Version;
use ignition_rs::config::{self, canonical, grammar, merge, origin};
use ignition_rs::engine::neednet;
use ignition_rs::report::{Pointer, chain};
use ignition_rs::view::Digest;
use ignition_rs_fuzz::plant;
use libfuzzer_sys::fuzz_target;

/// Documents whose rules depend on several fields at once.
const SEEDS: &[&str] = &[
    include_str!("../../examples/caddy.ign"),
    r#"{"ignition":{"version":"3.3.0","config":{"merge":[{"source":"data:,x","httpHeaders":[{"name":"a","value":"b"}]}]}}}"#,
    r#"{"ignition":{"version":"3.4.0"},"storage":{"disks":[{"device":"/dev/a","wipeTable":true,"partitions":[
      {"number":1,"label":"a","sizeMiB":10,"startMiB":0,"guid":"01234567-89AB-CDEF-EDCB-A98765432101"},{"number":0}]}],
      "raid":[{"name":"r","level":"raid1","devices":["/dev/a","/dev/b"],"spares":1}],
      "filesystems":[{"device":"/dev/md/r","format":"ext4","path":"/var","mountOptions":["ro"]}],
      "luks":[{"name":"l","device":"/dev/c","clevis":{"tang":[{"url":"http://t","thumbprint":"t"}],"threshold":1}}]}}"#,
    r#"{"ignition":{"version":"3.5.0"},"storage":{"files":[{"path":"/a","mode":420,"append":[{"source":"data:;base64,YQ=="}]}],
      "directories":[{"path":"/d","user":{"id":1},"group":{"name":"g"}}],"links":[{"path":"/l","target":"/a","hard":true}]}}"#,
    r#"{"ignition":{"version":"3.1.0"},"passwd":{"users":[{"name":"u","sshAuthorizedKeys":["k"],"groups":["g"]}],
      "groups":[{"name":"g","gid":5}]},"systemd":{"units":[{"name":"a.service","enabled":true,
      "contents":"[Unit]\nA=b\n[Install]\nWantedBy=c\n","dropins":[{"name":"d.conf","contents":"[Service]\n"}]}]}}"#,
    r#"{"ignitionVersion":1}"#,
    "#cloud-config\n",
    "#!/bin/sh\n",
    "Content-Type: multipart/mixed; boundary=x\n\n",
];

/// The kept form has every field; a document of each version that says something in all of them.
fn full(shape: &Shape, version: Version, out: &mut String) {
    out.push('{');
    for (index, field) in shape.fields_of(version).enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&format!("\"{}\":", field.name));
        match field.kind {
            Kind::Text if field.name == "version" => out.push_str(&format!("\"{version}\"")),
            Kind::Text => out.push_str("\"/a\""),
            Kind::Flag => out.push_str("true"),
            Kind::Integer => out.push('7'),
            Kind::Object(below) => full(below, version, out),
            Kind::Texts(_) => out.push_str("[\"a\"]"),
            Kind::Objects(below, _) => {
                out.push('[');
                full(below, version, out);
                out.push(']');
            }
        }
    }
    out.push('}');
}

fn names(shape: &Shape, words: &mut Vec<String>) {
    for field in shape.fields {
        words.push(format!("\"{}\":", field.name));
        match field.kind {
            Kind::Object(below) | Kind::Objects(below, _) => names(below, words),
            Kind::Text | Kind::Flag | Kind::Integer | Kind::Texts(_) => {}
        }
    }
}

fn seeds() {
    let mut seeds: Vec<String> = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
    let mut words: Vec<String> = [
        "null",
        "true",
        "\\u00e9",
        "\\ud83d\\ude00",
        "9223372036854775807",
        "-1",
        "data:,",
    ]
    .map(str::to_owned)
    .to_vec();
    for version in Version::ALL {
        let mut seed = String::new();
        full(&CONFIG, version, &mut seed);
        seeds.push(seed);
        words.push(format!("\"{version}\""));
    }
    names(&CONFIG, &mut words);
    words.sort();
    words.dedup();
    plant(&seeds, &words);
}

fuzz_target!(init: seeds(), |data: &[u8]| {
    let parsed = match config::parse(data) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = (chain(&error), format!("{error:?}"), error.position());
            return;
        }
    };
    let _ = parsed.report.entries.iter().map(|entry| entry.pointer.dollar()).collect::<Vec<_>>();

    let json = canonical::to_json(&parsed.config).expect("a config can be written");
    let again = canonical::from_cache(&json).expect("what is kept can be read");
    assert_eq!(again, parsed.config, "what is kept is the config");
    assert_eq!(canonical::digest(&parsed.config).expect("likewise"), Digest::of(&json));

    let _ = neednet::needed_for(&parsed.config).map(|at| at.to_string());
    let mut origins = origin::Origins::default();
    origins.push("a", parsed.origins);
    for (at, resource) in neednet::resources(&parsed.config) {
        let _ = origins.lookup(&parsed.config, &at.key("source"));
        if let Some(source) = &resource.source {
            let _ = grammar::url::display(source.reveal());
        }
    }
    let _ = origins.lookup(&parsed.config, &Pointer::root());

    let doubled = merge::merge(parsed.config.clone(), again);
    let json = canonical::to_json(&doubled).expect("a config can be written");
    assert_eq!(canonical::from_cache(&json).expect("what is kept can be read"), doubled);
    // Nothing is the neutral element on both sides.
    assert_eq!(merge::merge(parsed.config.clone(), config::types::Config::default()), parsed.config);
    assert_eq!(merge::merge(config::types::Config::default(), parsed.config.clone()), parsed.config);
});
