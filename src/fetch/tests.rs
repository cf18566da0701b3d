use super::fake::FakeHttp;
use super::hash::{Function, Hash, HashMismatch};
use super::*;
use crate::config::types::{HttpHeader, Security, Timeouts, Tls, Verification};
use crate::sys::clock::FakeClock;
use crate::sys::host::FakeHost;
use std::time::Duration;

fn resource(source: &str) -> Resource {
    Resource {
        source: Some(source.into()),
        ..Resource::default()
    }
}

struct World {
    http: FakeHttp,
    files: FakeHost,
    clock: FakeClock,
}

impl World {
    fn new() -> Self {
        Self {
            http: FakeHttp::default(),
            files: FakeHost::new().file("/oem/a b", "from oem"),
            clock: FakeClock::new(),
        }
    }

    fn fetch(&self) -> Fetch<'_> {
        let settings = Settings::at_start(Duration::from_secs(5));
        Fetch::new(&self.http, &self.files, &self.clock, "/oem".into(), settings)
    }
}

fn get(fetch: &Fetch<'_>, resource: &Resource) -> Result<String, FetchError> {
    let bytes = read_all(fetch.open(resource)?, 1 << 20, &shown(resource))?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} / {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn each_scheme_gives_its_bytes_or_a_clear_error() {
    let world = World::new();
    world.http.answer(200, b"from http");
    let fetch = world.fetch();
    for (source, want) in [
        ("", Ok("")),
        ("no-scheme", Ok("")),
        ("data:,from%20data", Ok("from data")),
        ("oem:///a%20b", Ok("from oem")),
        ("http://h/", Ok("from http")),
        ("oem:///missing", Err("put it onto the OEM partition")),
        ("oem:///../etc/shadow", Err("leaves the OEM directory")),
        ("tftp://h/x", Err("not built yet")),
        ("s3://b/k", Err("not built yet")),
        ("arn:aws:s3:::b/k", Err("not built yet")),
        ("gs://b/o", Err("not built yet")),
        ("ftp://h/x", Err("scheme is")),
        ("data:nothing", Err("cannot decode")),
    ] {
        match (get(&fetch, &resource(source)), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{source}"),
            (Err(error), Err(part)) => assert!(chain(&error).contains(part), "{source}: {}", chain(&error)),
            (got, _) => panic!("{source}: {got:?}"),
        }
    }
}

#[test]
fn offline_everything_remote_needs_the_net() {
    let world = World::new();
    let mut fetch = world.fetch();
    fetch.offline = true;
    for source in [
        "http://h/",
        "https://h/",
        "tftp://h/",
        "s3://b/k",
        "arn:aws:s3:::b/k",
        "gs://b/k",
        "oem:///a",
    ] {
        assert!(
            fetch
                .open(&resource(source))
                .map(|_| ())
                .unwrap_err()
                .is_need_net(),
            "{source}"
        );
    }
    for source in ["", "data:,x"] {
        assert!(fetch.open(&resource(source)).is_ok(), "{source}");
    }
    assert!(world.http.requests().is_empty());
}

#[test]
fn nothing_is_neither_decompressed_nor_checked() {
    let world = World::new();
    let resource = Resource {
        compression: Some("gzip".to_owned()),
        verification: Verification {
            hash: Some(Hash::of(Function::Sha256, b"something").to_string()),
        },
        ..resource("")
    };
    assert_eq!(get(&world.fetch(), &resource).unwrap(), "");
}

#[test]
fn a_wrong_hash_fails_the_read_and_names_both() {
    let world = World::new();
    let wanted = Hash::of(Function::Sha256, b"other");
    let resource = Resource {
        verification: Verification {
            hash: Some(wanted.to_string().to_uppercase().replace("SHA", "sha")),
        },
        ..resource("data:,canary")
    };
    let error = get(&world.fetch(), &resource).unwrap_err();
    let text = chain(&error);
    assert!(text.contains(&wanted.to_string()), "{text}");
    assert!(
        text.contains(&Hash::of(Function::Sha256, b"canary").to_string()),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
    let FetchError::Read { source, .. } = error else {
        panic!("{error}");
    };
    assert!(source.get_ref().unwrap().is::<HashMismatch>());
}

#[test]
fn too_much_is_refused() {
    let world = World::new();
    let fetch = world.fetch();
    let open = || fetch.open(&resource("data:,12345")).unwrap();
    assert!(read_all(open(), 5, "x").is_ok());
    assert!(read_all(open(), 4, "x").is_err());
}

fn ignition(authorities: Vec<Resource>, total: Option<i64>) -> Ignition {
    Ignition {
        security: Security {
            tls: Tls {
                certificate_authorities: authorities,
            },
        },
        timeouts: Timeouts {
            http_total: total,
            ..Timeouts::default()
        },
        ..Ignition::default()
    }
}

#[test]
fn authorities_are_fetched_once_and_stay_when_none_are_named() {
    let world = World::new();
    let certificate = rcgen::generate_simple_self_signed(vec!["ca".to_owned()])
        .unwrap()
        .cert;
    world.http.answer(200, certificate.pem().as_bytes());
    let mut fetch = world.fetch();
    let authority = Resource {
        http_headers: vec![HttpHeader {
            name: "X-Key".to_owned(),
            value: Some("value".into()),
        }],
        ..resource("http://h/ca.pem")
    };
    for _ in 0..2 {
        fetch
            .configure(&ignition(vec![authority.clone()], Some(7)))
            .unwrap();
    }
    fetch.configure(&ignition(vec![], None)).unwrap();
    let requests = world.http.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].headers.iter().any(|(name, _)| name == "X-Key"));
    assert_eq!(fetch.settings.trust.extra, [certificate.der().to_vec()]);
    assert_eq!(fetch.settings.total, None);
}

#[test]
fn what_is_no_authority_is_refused_by_name() {
    let world = World::new();
    let mut fetch = world.fetch();
    let error = fetch
        .configure(&ignition(vec![resource("data:,canary")], None))
        .unwrap_err();
    assert!(chain(&error).contains("no bundle"), "{}", chain(&error));
    assert!(!chain(&error).contains("canary"));
}
