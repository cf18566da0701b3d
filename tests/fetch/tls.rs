//! Whom HTTPS trusts.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use ignition_rs::fetch::http::Trust;
use ignition_rs::fetch::network::Network;
use ignition_rs::fetch::settings::Settings;
use ignition_rs::fetch::{Fetch, Fetcher as _};
use ignition_rs::sys::clock::FakeClock;
use ignition_rs::sys::host::Host;

use super::server::{Server, answer};
use super::{Client, resource};

/// What a server with this certificate needs.
pub(super) fn config(certificate: &Certificate, key: &KeyPair) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

fn server(certificate: &Certificate, key: &KeyPair, answers: usize) -> Server {
    let script = vec![answer(200, "", b"secret"); answers];
    Server::tls_at("127.0.0.1", script, config(certificate, key))
}

pub(super) fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

pub(super) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn client(trust: &[u8]) -> Client {
    Client {
        total: Duration::from_secs(1),
        trust: vec![trust.to_vec()],
        ..Client::new()
    }
}

#[test]
fn an_authority_of_the_config_is_trusted_and_no_other() {
    let (ours, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["localhost", "127.0.0.1"])
        .signed_by(&key, &ours)
        .unwrap();
    let server = server(&certificate, &key, 20);
    for host in ["localhost", "127.0.0.1"] {
        let got = client(ours.der()).get(&resource(&server.https(host, "/")));
        assert_eq!(got.unwrap(), b"secret", "{host}");
    }
    let error = client(other.der()).error(&resource(&server.https("localhost", "/?canary")));
    assert!(
        error.contains("certificate") && !error.contains("canary"),
        "{error}"
    );
}

#[test]
fn the_name_must_be_in_the_certificate() {
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["other.example"]).signed_by(&key, &ours).unwrap();
    let server = server(&certificate, &key, 20);
    let error = client(ours.der()).error(&resource(&server.https("localhost", "/")));
    assert!(error.contains("certificate"), "{error}");
}

/// What `openssl req -x509` makes: it signs itself, and says that it is an authority.
fn own(name: &str, year: i32) -> (Certificate, KeyPair) {
    let mut params = params(&[name]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

#[test]
fn a_server_whose_certificate_is_itself_the_authority() {
    let table = [
        // certificate, trusted, what comes of it
        (own("127.0.0.1", 4000), true, None),
        (own("127.0.0.1", 4000), false, Some("CaUsedAsEndEntity")),
        (own("127.0.0.2", 4000), true, Some("not valid for name")),
        (own("127.0.0.1", 2020), true, Some("expired")),
    ];
    for ((certificate, key), trusted, refused) in table {
        let server = server(&certificate, &key, 20);
        let (other, _) = own("127.0.0.1", 4000);
        let trust = if trusted { certificate.der() } else { other.der() };
        let resource = resource(&server.https("127.0.0.1", "/"));
        match refused {
            None => assert_eq!(client(trust).get(&resource).unwrap(), b"secret"),
            Some(part) => {
                let error = client(trust).error(&resource);
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}

/// The certificate is judged by the real clock here; what is said about the machine's clock comes from the fake one.
#[test]
fn a_machine_whose_clock_begins_in_1970_is_told_so() {
    let (certificate, key) = own("127.0.0.1", 2020);
    let server = server(&certificate, &key, 20);
    let resource = resource(&server.https("127.0.0.1", "/?canary"));
    for (clock, said) in [(FakeClock::starting(90), true), (FakeClock::new(), false)] {
        let network = Network::new(Vec::new);
        let mut settings = Settings::at_start(Duration::from_secs(2));
        settings.trust = Arc::new(Trust {
            extra: vec![certificate.der().to_vec()],
        });
        let fetch = Fetch::new(&network, &Host, &clock, "/oem".into(), settings);
        let error = fetch.open(&resource).unwrap_err().to_string();
        assert!(
            error.contains("certificate expired on 2020-01-01T00:00:00Z"),
            "{error}"
        );
        assert_eq!(
            error.contains("the clock of this machine says 1970-01-01T00:01:"),
            said,
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
    }
}
