//! What went wrong on the network, for somebody who has to do something about it. The types below reqwest are not public,
//! so their texts are looked at where there is no other way. Nothing of an URL but its host is in any of it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use reqwest::Url;
use rustls::CertificateError;

use super::dial::Lost;
use super::http::{HttpError, Request};
use super::proxy::Via;
use crate::sys::clock::utc;

/// The most addresses that are told of.
const MOST_ADDRESSES: usize = 4;

/// What went wrong, with its causes, without the URL.
pub(super) fn tell(error: &reqwest::Error) -> String {
    // Its own text ends with the URL, which its causes do not have.
    let mut text = if error.is_request() {
        "error sending request".to_owned()
    } else if error.is_builder() {
        "builder error".to_owned()
    } else if error.is_decode() || error.is_body() {
        "error reading the body".to_owned()
    } else {
        "error".to_owned()
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Why a name was not resolved. What this machine has to resolve names is added by whoever knows.
pub(super) fn name(name: &str, error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    let advice = if is_unanswered(text) {
        ": no nameserver has answered it"
    } else {
        ": check the host in the URL, or add it to the DNS"
    };
    format!("cannot resolve the name {name} ({text}){advice}")
}

/// Whether this is getaddrinfo's word for "nobody answered, try again".
pub(super) fn is_unanswered(text: &str) -> bool {
    text.contains("Temporary failure in name resolution")
}

/// What becomes of a request that no answer came to. `first`: what was connected to; `url`: what was asked for.
pub(super) fn lost(lost: Lost, first: &Url, url: &Url, request: &Request) -> HttpError {
    let via = request.via.as_ref();
    let through = |text: String| match via {
        Some(via) => format!("through the proxy {via}: {text}"),
        None => text,
    };
    let host = first.host_str().unwrap_or_default();
    match lost {
        Lost::Refused(error) => error,
        Lost::NoHeaders(time) => HttpError::HeaderTimeout(time),
        Lost::NoConnection => HttpError::Transport(through(format!(
            "{host} does not answer: no connection came about in time; a firewall may drop it, or it is down"
        ))),
        Lost::Failed(failed) => match <[_; 1]>::try_from(failed) {
            Ok([(_, error)]) => one(&error, first, url, via),
            Err(failed) => several(&failed, host, first, url, via),
        },
    }
}

/// One address, and why it failed.
fn one(error: &reqwest::Error, first: &Url, url: &Url, via: Option<&Via>) -> HttpError {
    if error.is_builder() {
        return HttpError::Invalid(tell(error));
    }
    let roots = Roots::of(error);
    let text = if let Some(certificate) = roots.certificate {
        format!("invalid peer certificate: {}", self::certificate(certificate))
    } else if let (Some(code), None, true) = (roots.code, via, error.is_connect()) {
        let host = first.host_str().unwrap_or_default();
        let port = first.port_or_known_default().unwrap_or_default();
        format!("cannot connect to {host}:{port}: {}", reason(code))
    } else {
        let text = tell(error);
        match advice(&text) {
            Some(advice) => format!("{advice} ({text})"),
            None => text,
        }
    };
    let text = match via {
        None => text,
        Some(via) => tell_of_proxy(&text, via, error.is_connect() && url.scheme() != "https"),
    };
    if roots.certificate.is_some() {
        HttpError::Certificate(text)
    } else if roots.code.is_some_and(is_unreachable) {
        HttpError::Unreachable(text)
    } else {
        HttpError::Transport(text)
    }
}

/// Several addresses, of which none led anywhere.
fn several(
    failed: &[(Option<SocketAddr>, reqwest::Error)],
    host: &str,
    first: &Url,
    url: &Url,
    via: Option<&Via>,
) -> HttpError {
    let mut parts = Vec::new();
    let mut unreachable = true;
    for (address, error) in failed {
        let single = one(error, first, url, via);
        if let HttpError::Certificate(_) = single {
            // What was reached counts more than what was not.
            return single;
        }
        unreachable &= matches!(single, HttpError::Unreachable(_));
        let why = match Roots::of(error).code {
            Some(code) => reason(code),
            None => single.to_string(),
        };
        let address = address.map_or_else(String::new, |address| address.to_string());
        parts.push(format!("{address}: {why}"));
    }
    let more = parts.len() > MOST_ADDRESSES;
    parts.truncate(MOST_ADDRESSES);
    let mut text = format!("cannot connect to {host}: {}", parts.join("; "));
    if more {
        text.push_str("; ...");
    }
    if let Some(via) = via {
        text = tell_of_proxy(&text, via, true);
    }
    if unreachable {
        HttpError::Unreachable(text)
    } else {
        HttpError::Transport(text)
    }
}

/// Whether the system says that it knows no way.
fn is_unreachable(code: i32) -> bool {
    matches!(
        code,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL
    )
}

/// An error of connect(2).
fn reason(code: i32) -> String {
    let text = io::Error::from_raw_os_error(code);
    match code {
        libc::ECONNREFUSED => format!("{text}: nothing listens there, or not yet"),
        libc::ENETUNREACH => format!("{text}: this machine has no route there"),
        libc::EHOSTUNREACH => format!("{text}: nobody on the network answers for it"),
        _ => text.to_string(),
    }
}

/// What some texts of hyper mean.
fn advice(text: &str) -> Option<&'static str> {
    [
        (
            "invalid HTTP version parsed",
            "what listens there does not speak HTTP: check the port",
        ),
        (
            "InvalidContentType",
            "what listens there does not speak TLS: check the port, or write http: instead of https:",
        ),
        (
            "received fatal alert: HandshakeFailure",
            "the server and this program know no common way of TLS: it takes TLS 1.2 or 1.3, and a certificate whose key is \
             RSA, P-256, P-384 or Ed25519 (not P-521)",
        ),
        (
            "connection closed before message completed",
            "the server closed the connection without an answer",
        ),
    ]
    .into_iter()
    .find(|(part, _)| text.contains(part))
    .map(|(_, advice)| advice)
}

/// Why a certificate is not accepted, with its dates if it is about them.
fn certificate(error: &CertificateError) -> String {
    let advice = match error {
        CertificateError::ExpiredContext { time, not_after } => {
            return format!(
                "certificate expired on {}, and the clock of this machine says {}: renew it, or set the clock",
                utc(not_after.as_secs()),
                utc(time.as_secs())
            );
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            return format!(
                "certificate is not valid before {}, and the clock of this machine says {}: set the clock",
                utc(not_before.as_secs()),
                utc(time.as_secs())
            );
        }
        // Another authority of the same name is found to have signed badly.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "; name its authority in ignition.security.tls.certificateAuthorities"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "; use a host that the certificate has, or get one for this host"
        }
        CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "; a certificate that is an authority is accepted if it is itself named in \
             ignition.security.tls.certificateAuthorities"
        }
        _ => "",
    };
    format!("{error}{advice}")
}

/// What is at the bottom of an error.
#[derive(Default)]
struct Roots<'a> {
    /// Of the system
    code: Option<i32>,
    certificate: Option<&'a CertificateError>,
}

impl<'a> Roots<'a> {
    fn of(error: &'a reqwest::Error) -> Self {
        let mut roots = Self::default();
        let mut cause = error.source();
        while let Some(error) = cause {
            cause = error.source();
            if let Some(error) = error.downcast_ref::<io::Error>() {
                roots.code = roots.code.or(error.raw_os_error());
                // An error that wraps another passes over it when it is asked for its source.
                if let Some(inner) = error.get_ref() {
                    cause = Some(inner);
                }
            }
            if let Some(rustls::Error::InvalidCertificate(error)) = error.downcast_ref() {
                roots.certificate = Some(error);
            }
        }
        roots
    }
}

/// Adds the proxy to what went wrong, and what can be done if it is the proxy's affair. `at_proxy`: it is known that no
/// connection to the proxy came about.
fn tell_of_proxy(text: &str, via: &Via, at_proxy: bool) -> String {
    // The types of these errors are not public.
    let has = |part: &str| text.contains(part);
    let advice = if has("proxy authorization required") {
        match via.authorization {
            None => "; it wants user and password: write them into its URL, http://user:password@host:port",
            Some(_) => "; it does not accept user and password of its URL: check them",
        }
    } else if has("tunnel error: unsuccessful") {
        "; it does not let this through, does not know the user of its URL, or cannot reach the server: ask who runs it, \
         or list the host in ignition.proxy.noProxy"
    } else if has("failed to create underlying connection") || (at_proxy && !has("certificate")) {
        "; the proxy itself cannot be reached: check its URL"
    } else {
        ""
    };
    format!("through the proxy {via}: {text}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::UnixTime;
    use std::time::Duration;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn certificates_say_what_to_do() {
        for (error, want) in [
            (
                CertificateError::ExpiredContext {
                    time: at(1_767_323_045),
                    not_after: at(1_577_836_800),
                },
                "certificate expired on 2020-01-01T00:00:00Z, and the clock of this machine says 2026-01-02T03:04:05Z: \
                 renew it, or set the clock",
            ),
            (
                CertificateError::NotValidYetContext {
                    time: at(60),
                    not_before: at(1_577_836_800),
                },
                "certificate is not valid before 2020-01-01T00:00:00Z, and the clock of this machine says \
                 1970-01-01T00:01:00Z: set the clock",
            ),
            (
                CertificateError::UnknownIssuer,
                "UnknownIssuer; name its authority in ignition.security.tls.certificateAuthorities",
            ),
        ] {
            assert_eq!(certificate(&error), want);
        }
    }

    #[test]
    fn names() {
        let failed = |text: &str| name("host.example", &io::Error::other(text));
        assert_eq!(
            failed("failed to lookup address information: Temporary failure in name resolution"),
            "cannot resolve the name host.example (Temporary failure in name resolution): no nameserver has answered it"
        );
        assert_eq!(
            failed("failed to lookup address information: Name or service not known"),
            "cannot resolve the name host.example (Name or service not known): check the host in the URL, or add it to \
             the DNS"
        );
    }
}
