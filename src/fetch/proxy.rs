//! Which proxy a request goes through, by the rules of Go's `httpproxy` (spec/fetch.md 8.4). Pure: nothing is looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use crate::config::grammar;
use crate::config::types::{Hidden, Proxy};

use super::web;

/// A proxy of the config that cannot be used. Nothing of its URL is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ignition.proxy.{key} is no proxy: {problem}; write http://host:port")]
pub struct ProxyError {
    /// `httpProxy` or `httpsProxy`
    pub key: &'static str,
    /// What is wrong
    pub problem: String,
}

/// How a request reaches its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Straight
    Direct,
    /// Through a proxy
    Via(Via),
}

/// A proxy. Shown as its URL without user info, and the key of the config that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Where it is: scheme, host and port, nothing else
    pub url: Url,
    /// Value of `Proxy-Authorization`, if its URL holds user info
    pub authorization: Option<Hidden>,
    /// `httpProxy` or `httpsProxy`
    pub key: &'static str,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_str();
        write!(
            f,
            "{} (ignition.proxy.{})",
            url.strip_suffix('/').unwrap_or(url),
            self.key
        )
    }
}

/// The way to `url`. A proxy for `http:` does not count for `https:`, nor the other way round. What never goes through a
/// proxy is decided before the proxy's URL is looked at.
pub fn route(proxy: &Proxy, url: &Url) -> Result<Route, ProxyError> {
    let (asked, key) = match url.scheme() {
        "https" => (&proxy.https_proxy, "httpsProxy"),
        _ => (&proxy.http_proxy, "httpProxy"),
    };
    let text = asked.as_ref().map_or("", Hidden::reveal);
    if text.is_empty() {
        return Ok(Route::Direct);
    }
    let target = Target::of(url);
    let mut items = proxy.no_proxy.iter().flat_map(|item| item.split(','));
    if target.is_local() || items.any(|item| target.is_excluded_by(item)) {
        return Ok(Route::Direct);
    }
    parse(text, key).map(Route::Via)
}

/// Reads a proxy's URL. Without a scheme it is one of `http:`.
fn parse(text: &str, key: &'static str) -> Result<Via, ProxyError> {
    let failed = |problem: String| ProxyError { key, problem };
    let known = |url: &grammar::Url| matches!(url.scheme(), "http" | "https");
    let (full, parts) = match grammar::Url::parse(text) {
        Ok(url) if known(&url) => (text.to_owned(), url),
        Ok(_) if text.contains("://") => {
            return Err(failed("its scheme is neither http nor https".to_owned()));
        }
        Err(error) if text.contains("://") => return Err(failed(error.to_string())),
        Ok(_) | Err(_) => {
            let full = format!("http://{text}");
            let url = grammar::Url::parse(&full).map_err(|error| failed(error.to_string()))?;
            (full, url)
        }
    };
    let mut url = web::parse(&full).map_err(failed)?;
    // reqwest reads the host once more, by other rules, and would go past a proxy that it cannot read.
    let named = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    if !url
        .host_str()
        .is_some_and(|host| host.starts_with('[') || named(host))
    {
        return Err(failed("its host is not valid".to_owned()));
    }
    let authorization = parts.user().map(|user| {
        let mut pair = user.name.clone();
        pair.push(b':');
        pair.extend(user.password.as_deref().unwrap_or_default());
        Hidden(format!("Basic {}", STANDARD.encode(pair)))
    });
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(failed("it names no host".to_owned()));
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(Via {
        url,
        authorization,
        key,
    })
}

/// The server of a request, as the items of `noProxy` see it.
struct Target {
    /// Lower case, without brackets
    name: String,
    /// If the name is one; IPv4 in the form of IPv6 counts as IPv4
    address: Option<IpAddr>,
    port: String,
}

impl Target {
    fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let name = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host)
            .to_ascii_lowercase();
        Self {
            address: address(&name),
            name,
            port: url
                .port_or_known_default()
                .map_or_else(String::new, |port| port.to_string()),
        }
    }

    fn is_local(&self) -> bool {
        self.name == "localhost" || self.address.is_some_and(|address| address.is_loopback())
    }

    /// Whether one item of `noProxy` speaks of this server. An item that is malformed speaks of none.
    fn is_excluded_by(&self, item: &str) -> bool {
        let item = item.trim().to_lowercase();
        if item == "*" {
            return true;
        }
        if let Some(network) = Network::parse(&item) {
            return self.address.is_some_and(|address| network.contains(address));
        }
        let (name, port) = split_port(&item).unwrap_or((&item, ""));
        if name.is_empty() || !(port.is_empty() || port == self.port) {
            return false;
        }
        if let Some(address) = address(name) {
            return self.address == Some(address);
        }
        // The dot stays: with it only what is below the domain counts.
        let name = ascii(if name.starts_with("*.") {
            name.trim_start_matches('*')
        } else {
            name
        });
        if name.starts_with('.') {
            return self.name.ends_with(&name);
        }
        self.name
            .strip_suffix(name.as_str())
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Host and port of `host:port` or `[address]:port`; `None` if it is not of that form.
fn split_port(item: &str) -> Option<(&str, &str)> {
    let brackets = ['[', ']'];
    let (host, port) = match item.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':')?)
        }
        None => item.split_once(':')?,
    };
    let whole = !host.contains(brackets) && !port.contains(brackets) && !port.contains(':');
    whole.then_some((host, port))
}

/// A domain as it stands in an URL: names beyond ASCII are encoded. What cannot be encoded stays, and matches nothing.
fn ascii(name: &str) -> String {
    if name.is_ascii() || name.contains(['/', '\\', '?', '#', '@', ':', '%']) {
        return name.to_owned();
    }
    let (dot, bare) = name.strip_prefix('.').map_or(("", name), |bare| (".", bare));
    let encoded = Url::parse(&super::idn::ascii(&format!("http://{bare}/")))
        .ok()
        .and_then(|url| url.host_str().map(|host| format!("{dot}{host}")));
    encoded.unwrap_or_else(|| name.to_owned())
}

/// Addresses with a common beginning.
enum Network {
    /// IPv4 and the length of the beginning in bits, at most 32
    V4(Ipv4Addr, u32),
    /// IPv6 and the length of the beginning in bits, at most 128
    V6(Ipv6Addr, u32),
}

impl Network {
    /// Reads `address/length`.
    fn parse(item: &str) -> Option<Self> {
        let (address, length) = item.split_once('/')?;
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let length = length.parse::<u32>().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(address) if length <= 32 => Some(Self::V4(address, length)),
            IpAddr::V6(address) if length <= 128 => {
                let start = Ipv6Addr::from_bits(address.to_bits() & mask_v6(length));
                Some(match start.to_ipv4_mapped() {
                    // All 96 bits of the mapping are in the beginning, or this would not be one.
                    Some(start) => Self::V4(start, length.saturating_sub(96)),
                    None => Self::V6(start, length),
                })
            }
            _ => None,
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(start, length), IpAddr::V4(address)) => {
                let mask = mask_v4(*length);
                start.to_bits() & mask == address.to_bits() & mask
            }
            (Self::V6(start, length), IpAddr::V6(address)) => {
                let mask = mask_v6(*length);
                start.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

fn mask_v4(length: u32) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0)
}

fn mask_v6(length: u32) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0)
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
