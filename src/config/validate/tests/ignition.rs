use serde_json::{Value, json};

use super::Version::{V3_0, V3_1, V3_2, V3_3, V3_4, V3_7};
use super::check_table;

#[test]
fn ignition_section() {
    let merge = |resource: Value| json!({"ignition": {"config": {"merge": [resource]}}});
    let authority =
        |resource: Value| json!({"ignition": {"security": {"tls": {"certificateAuthorities": [resource]}}}});
    let item = "error $.ignition.config.merge.0";
    let source = "error $.ignition.config.merge.0.source";
    let ca = "error $.ignition.security.tls.certificateAuthorities.0";
    let ca_source = "error $.ignition.security.tls.certificateAuthorities.0.source";
    check_table(vec![
        (V3_0, V3_0, merge(json!({})), &[]),
        (V3_1, V3_7, merge(json!({})), &[item]),
        (V3_1, V3_7, merge(json!({"source": ""})), &[item]),
        (V3_0, V3_0, merge(json!({"source": "x:y"})), &[source]),
        (V3_1, V3_7, merge(json!({"source": "x:y"})), &[item, source]),
        (V3_0, V3_0, authority(json!({})), &[ca_source]),
        (V3_1, V3_7, authority(json!({})), &[ca]),
        (V3_1, V3_7, authority(json!({"source": "x:y"})), &[ca, ca_source]),
        (V3_0, V3_7, authority(json!({"source": "data:,x"})), &[]),
        (
            V3_0,
            V3_7,
            json!({"ignition": {"config": {"replace": {"source": ""}}}}),
            &[],
        ),
        (
            V3_0,
            V3_7,
            json!({"ignition": {"config": {"replace": {"source": ":"}}}}),
            &["error $.ignition.config.replace.source"],
        ),
        // 3.0 knows verification here, but not the rule that it needs a source.
        (
            V3_0,
            V3_0,
            json!({"ignition": {"config": {"replace": {"verification": {"hash": "x"}}}}}),
            &["error $.ignition.config.replace.verification.hash"],
        ),
        (
            V3_1,
            V3_7,
            json!({"ignition": {"config": {"replace": {"verification": {"hash": "x"}}}}}),
            &["error $.ignition.config.replace.verification.hash"; 2],
        ),
    ]);
}

#[test]
fn proxies() {
    let proxy = |key: &str, value: &str| json!({"ignition": {"proxy": {key: value}}});
    check_table(vec![
        (V3_1, V3_7, proxy("httpProxy", "http://h"), &[]),
        (V3_1, V3_7, proxy("httpsProxy", "https://h"), &[]),
        (
            V3_1,
            V3_7,
            proxy("httpsProxy", "http://h"),
            &["warning $.ignition.proxy.httpsProxy"],
        ),
        (
            V3_1,
            V3_7,
            proxy("httpProxy", ""),
            &["error $.ignition.proxy.httpProxy"],
        ),
        (
            V3_1,
            V3_7,
            proxy("httpProxy", "socks5://h"),
            &["error $.ignition.proxy.httpProxy"],
        ),
        (
            V3_1,
            V3_7,
            proxy("httpsProxy", "http://[h"),
            &["error $.ignition.proxy.httpsProxy"],
        ),
    ]);
}

#[test]
fn resources() {
    let contents = |resource: Value| json!({"storage": {"files": [{"path": "/f", "contents": resource}]}});
    let at = |key: &str| format!("error $.storage.files.0.contents.{key}");
    let (compression, hash, source, headers) = (
        at("compression"),
        at("verification.hash"),
        at("source"),
        at("httpHeaders"),
    );
    let (name, value) = (at("httpHeaders.0.name"), at("httpHeaders.0.value"));
    let sha256 = format!("sha256-{}", "0".repeat(64));
    let sha512 = format!("sha512-{}", "G".repeat(128));
    let header = json!([{"name": "A", "value": "b"}]);
    check_table(vec![
        (V3_0, V3_7, contents(json!({"compression": ""})), &[]),
        (V3_0, V3_7, contents(json!({"compression": "gzip"})), &[]),
        (
            V3_0,
            V3_7,
            contents(json!({"compression": "xz"})),
            &[&compression],
        ),
        (
            V3_0,
            V3_7,
            contents(json!({"source": "", "verification": {"hash": sha512}})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            contents(json!({"verification": {"hash": sha512}})),
            &[&hash],
        ),
        (
            V3_0,
            V3_0,
            contents(json!({"source": "", "verification": {"hash": sha256}})),
            &[&hash],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "", "verification": {"hash": sha256}})),
            &[],
        ),
        (V3_0, V3_7, contents(json!({"source": "/f"})), &[&source]),
        (V3_0, V3_1, contents(json!({"source": "gs://b/k"})), &[&source]),
        (V3_2, V3_7, contents(json!({"source": "gs://b/k"})), &[]),
        (
            V3_0,
            V3_3,
            contents(json!({"source": "arn:aws:s3:::b/k"})),
            &[&source],
        ),
        (V3_4, V3_7, contents(json!({"source": "arn:aws:s3:::b/k"})), &[]),
        (V3_0, V3_7, contents(json!({"source": "oem:///f"})), &[]),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "http://h", "httpHeaders": header})),
            &[],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "data:,", "httpHeaders": header})),
            &[&headers],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "", "httpHeaders": header})),
            &[&headers],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": ":", "httpHeaders": header})),
            &[&source, &headers],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "http://h", "httpHeaders": [{"name": "", "value": ""}]})),
            &[&name, &value],
        ),
        (
            V3_1,
            V3_7,
            contents(json!({"source": "http://h", "httpHeaders": [{"name": "a"}]})),
            &[],
        ),
        // In the order in which upstream walks.
        (
            V3_1,
            V3_7,
            contents(json!({"compression": "x", "verification": {"hash": "x"}, "httpHeaders": [{}]})),
            &[&compression, &hash, &headers, &name, &hash],
        ),
    ]);
}
