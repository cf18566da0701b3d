//! A real server.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ignition_rs::config::types::{HttpHeader, Resource};
use ignition_rs::fetch::hash::{Function, Hash};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use super::netns::{self, FAR, FAR_V6};
use super::{Client, resource, tls};

/// nginx with all that the tests ask of it. It ends with the test.
struct Nginx {
    child: Child,
    directory: TempDir,
    /// Whom to trust for its certificates
    authority: Vec<u8>,
    /// Its certificate that is an authority itself
    own: Vec<u8>,
}

const SLOW: usize = 24 << 10;

impl Nginx {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        let authority = tls::authority();
        let signed = |name: &str, change: fn(&mut CertificateParams)| {
            let key = KeyPair::generate().unwrap();
            let mut params = tls::params(&[FAR, FAR_V6]);
            change(&mut params);
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(at(&format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(at(&format!("{name}.key")), key.serialize_pem()).unwrap();
        };
        signed("good", |_| {});
        signed("expired", |params| {
            params.not_after = rcgen::date_time_ymd(2021, 2, 3)
        });
        signed("early", |params| {
            params.not_before = rcgen::date_time_ymd(3021, 2, 3)
        });
        signed("other", |params| {
            params.subject_alt_names = tls::params(&["other.example"]).subject_alt_names;
        });
        let own = {
            let key = KeyPair::generate().unwrap();
            let mut params = tls::params(&[FAR]);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap();
            fs::write(at("own.pem"), certificate.pem()).unwrap();
            fs::write(at("own.key"), key.serialize_pem()).unwrap();
            certificate.der().to_vec()
        };
        // Keys on P-521 are not what ring makes.
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-nodes",
                "-days",
                "30",
                "-subj",
                "/CN=large",
            ])
            .args(["-pkeyopt", "ec_paramgen_curve:secp521r1", "-addext"])
            .arg(format!("subjectAltName=IP:{FAR}"))
            .arg("-keyout")
            .arg(at("large.key"))
            .arg("-out")
            .arg(at("large.pem"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::create_dir(at("www")).unwrap();
        fs::write(at("www/file"), "contents").unwrap();
        fs::write(at("www/text.txt"), "text that packs well ".repeat(500)).unwrap();
        fs::write(at("www/slow"), vec![b'x'; SLOW]).unwrap();
        fs::write(at("conf"), configuration(&directory)).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(at("conf"))
            .arg("-e")
            .arg(at("error"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect((FAR, 8444)).is_err() {
            let log = fs::read_to_string(at("error")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(10), "nginx: {log}");
            thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            authority: authority.der().to_vec(),
            own,
            directory,
        }
    }

    fn client(&self) -> Client {
        Client {
            trust: vec![self.authority.clone()],
            ..Client::new()
        }
    }

    /// Requests so far: `METHOD path scheme user-agent accept-encoding x-auth`.
    fn requests(&self) -> Vec<String> {
        fs::read_to_string(self.directory.path().join("access"))
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &TempDir) -> String {
    let home = directory.path().display();
    let secure = |port: u16, name: &str, protocols: &str| {
        format!(
            "server {{ listen {FAR}:{port} ssl; listen [{FAR_V6}]:{port} ssl; ssl_certificate {home}/{name}.pem; \
             ssl_certificate_key {home}/{name}.key; ssl_protocols {protocols}; root {home}/www; \
             location = /down {{ return 302 http://{FAR}/file; }} }}\n"
        )
    };
    let servers = [
        secure(443, "good", "TLSv1.2 TLSv1.3"),
        secure(1443, "good", "TLSv1.2"),
        secure(8441, "expired", "TLSv1.3"),
        secure(8442, "early", "TLSv1.3"),
        secure(8443, "other", "TLSv1.3"),
        secure(8445, "large", "TLSv1.2 TLSv1.3"),
        secure(8444, "own", "TLSv1.3"),
    ]
    .concat();
    let redirects: String = [301, 302, 303, 307, 308]
        .map(|status| format!("location = /{status} {{ return {status} https://{FAR}/file; }}\n"))
        .concat();
    format!(
        "daemon off; master_process off; user root; pid {home}/pid; error_log {home}/error;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n\
         log_format short '$request_method $uri $scheme \"$http_user_agent\" \"$http_accept_encoding\" \
         \"$http_x_auth\"';\n\
         access_log {home}/access short;\n\
         client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;\n\
         uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5; absolute_redirect off;\n\
         gzip on; gzip_min_length 1; gzip_types *;\n\
         {servers}\
         server {{ listen {FAR}:80; listen [{FAR_V6}]:80; root {home}/www;\n\
         {redirects}\
         location = /relative {{ return 302 sub/../file; }}\n\
         location = /none {{ return 204; }}\n\
         location = /busy {{ return 503; }}\n\
         location = /many {{ return 429; }}\n\
         location = /slow {{ limit_rate 16k; }}\n\
         }} }}\n"
    )
}

fn with_header(url: &str) -> Resource {
    Resource {
        http_headers: vec![HttpHeader {
            name: "X-Auth".to_owned(),
            value: Some("canary".into()),
        }],
        ..resource(url)
    }
}

#[test]
fn redirects_lead_from_http_to_https_and_back_without_headers() {
    netns::alone(&["nginx"], || {
        let nginx = Nginx::start();
        for status in [301, 302, 303, 307, 308] {
            let url = format!("http://{FAR}/{status}");
            assert_eq!(
                nginx.client().get(&with_header(&url)).unwrap(),
                b"contents",
                "{status}"
            );
        }
        for url in [format!("http://{FAR}/relative"), format!("https://{FAR}/down")] {
            assert_eq!(
                nginx.client().get(&with_header(&url)).unwrap(),
                b"contents",
                "{url}"
            );
        }
        let requests = nginx.requests();
        assert_eq!(requests.len(), 14, "{requests:?}");
        let agent = format!("Ignition/2.26.0 ignition-rs/{}", env!("CARGO_PKG_VERSION"));
        for pair in requests.chunks(2) {
            assert!(
                pair[0].ends_with(&format!("\"{agent}\" \"identity\" \"canary\"")),
                "{pair:?}"
            );
            assert!(
                pair[1].starts_with("GET /file ") && pair[1].ends_with("\"-\" \"-\" \"-\""),
                "{pair:?}"
            );
        }
        assert!(requests[1].contains(" https ") && requests[13].contains(" http "));
    });
}

#[test]
fn statuses_and_bodies() {
    netns::alone(&["nginx"], || {
        let nginx = Nginx::start();
        let url = |path: &str| resource(&format!("http://{FAR}{path}"));
        let client = nginx.client();
        assert_eq!(client.get(&url("/none")).unwrap(), b"");
        let error = client.error(&url("/missing?canary"));
        assert!(
            error.contains("not found") && !error.contains("canary"),
            "{error}"
        );
        let error = client.error(&url("/many"));
        assert!(error.contains("status 429"), "{error}");
        let hasty = Client {
            total: Duration::from_secs(1),
            ..nginx.client()
        };
        let error = hasty.error(&url("/busy"));
        assert!(
            error.contains("status 503") && error.contains("gave up on"),
            "{error}"
        );
        // What would be packed for others comes as it is.
        let text = client.get(&url("/text.txt")).unwrap();
        assert!(text.starts_with(b"text that packs") && text.len() == 10_500);
        let v6 = resource(&format!("http://[{FAR_V6}]/file"));
        assert_eq!(client.get(&v6).unwrap(), b"contents");
        // A body that takes longer than the time for headers, with its hash.
        let started = Instant::now();
        let client = Client {
            headers: Duration::from_millis(400),
            ..nginx.client()
        };
        let mut slow = url("/slow");
        slow.verification.hash = Some(Hash::of(Function::Sha512, &vec![b'x'; SLOW]).to_string());
        assert_eq!(client.get(&slow).unwrap().len(), SLOW);
        assert!(
            started.elapsed() > Duration::from_millis(800),
            "{:?}",
            started.elapsed()
        );
        let hasty = Client {
            total: Duration::from_millis(500),
            ..client
        };
        let error = hasty.error(&slow);
        assert!(
            error.contains("the time for it is over") && error.contains("24576 bytes"),
            "{error}"
        );
    });
}

#[test]
fn certificates() {
    netns::alone(&["nginx"], || {
        let nginx = Nginx::start();
        let at = |port: u16| resource(&format!("https://{FAR}:{port}/file?canary"));
        for url in [at(443), at(1443), resource(&format!("https://[{FAR_V6}]/file"))] {
            assert_eq!(nginx.client().get(&url).unwrap(), b"contents");
        }
        let hasty = |trust: &[u8]| Client {
            total: Duration::from_millis(700),
            trust: (!trust.is_empty()).then(|| trust.to_vec()).into_iter().collect(),
            ..Client::new()
        };
        assert_eq!(hasty(&nginx.own).get(&at(8444)).unwrap(), b"contents");
        for (port, trust, parts) in [
            (
                8441,
                &nginx.authority,
                ["certificate expired on 2021-02-03T00:00:00Z", "renew it"],
            ),
            (
                8442,
                &nginx.authority,
                ["not valid before 3021-02-03T00:00:00Z", "set the clock"],
            ),
            (
                8443,
                &nginx.authority,
                ["not valid for name", "use a host that the certificate has"],
            ),
            (
                8444,
                &nginx.authority,
                ["CaUsedAsEndEntity", "certificateAuthorities"],
            ),
            (443, &Vec::new(), ["UnknownIssuer", "certificateAuthorities"]),
            (8445, &nginx.authority, ["HandshakeFailure", "not P-521"]),
            (80, &nginx.own, ["does not speak TLS", "write http:"]),
        ] {
            let error = hasty(trust).error(&at(port));
            for part in parts {
                assert!(error.contains(part), "{port}: {part}: {error}");
            }
            assert!(!error.contains("canary"), "{error}");
        }
    });
}
