//! URLs, with the verdicts and the parts of Go's `net/url` (spec/config.md 11.1).
//!
//! A general URL crate follows the WHATWG rules, which accept and repair much that Go refuses (`http://a\b`, ports out of
//! range, spaces), so the config's rules have their own small parser.

use std::fmt;
use std::net::Ipv6Addr;

use thiserror::Error;

use super::hex::hex_digit;

/// Why a text is not a URL. The text is not shown: it may hold credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// A control character before the fragment
    #[error("a URL must not hold control characters")]
    Control,
    /// It begins with `:`
    #[error("the scheme before the ':' is missing")]
    EmptyScheme,
    /// `12:34/x`: a colon where only a scheme could be
    #[error("there is a ':' before the first '/', but no valid scheme before it")]
    ColonWithoutScheme,
    /// A `%` without two hexadecimal digits, or one that the host must not have
    #[error("a '%' escape is not valid in this part of a URL; write '%' itself as %25")]
    Escape,
    /// Characters that user name and password must not hold
    #[error("user name or password hold a character that must be written as %XX")]
    UserInfo,
    /// The host is not one
    #[error("the host is not valid")]
    Host,
    /// The port is not a number
    #[error("the port after the host is not a number")]
    Port,
}

/// Which part is unescaped: hosts and zones have their own rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    Other,
}

/// A URL in its parts. `Debug` and `Display` show the form of [`Url::display`], never credentials or contents.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    raw: String,
    scheme: String,
    opaque: String,
    user: Option<UserInfo>,
    host: Vec<u8>,
    raw_path: String,
    path: Vec<u8>,
    raw_query: String,
    fragment: String,
}

/// User name and password of a URL, unescaped.
#[derive(Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// User name
    pub name: Vec<u8>,
    /// Password, if there was a `:`
    pub password: Option<Vec<u8>>,
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl Url {
    /// Parses a URL or a relative reference, as Go's `url.Parse` does (go1.24.11).
    pub fn parse(raw: &str) -> Result<Self, UrlError> {
        let (text, fragment) = raw.split_once('#').unwrap_or((raw, ""));
        let mut url = parse_before_fragment(text)?;
        unescape(fragment, Part::Other)?;
        raw.clone_into(&mut url.raw);
        fragment.clone_into(&mut url.fragment);
        Ok(url)
    }

    /// The scheme in lower case; empty if there is none.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What follows the scheme if that does not begin with `/`, up to the query: `aws:s3:::b/k` of `arn:aws:s3:::b/k`.
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// User name and password.
    pub fn user(&self) -> Option<&UserInfo> {
        self.user.as_ref()
    }

    /// Host with brackets and port, unescaped; empty if there is none.
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// Host without brackets and port. Go's `Hostname`.
    pub fn hostname(&self) -> &[u8] {
        let (name, _) = self.split_host();
        name.strip_prefix(b"[")
            .and_then(|inner| inner.strip_suffix(b"]"))
            .unwrap_or(name)
    }

    /// Port, digits only; `None` if there is none or it is empty. It may be out of the range of ports.
    pub fn port(&self) -> Option<&str> {
        let (_, port) = self.split_host();
        std::str::from_utf8(port).ok().filter(|port| !port.is_empty())
    }

    fn split_host(&self) -> (&[u8], &[u8]) {
        let host = self.host.as_slice();
        let Some(colon) = host.iter().rposition(|byte| *byte == b':') else {
            return (host, b"");
        };
        match host.split_at_checked(colon) {
            Some((name, [_, port @ ..])) if port.iter().all(u8::is_ascii_digit) => (name, port),
            _ => (host, b""),
        }
    }

    /// The path, unescaped; it need not be UTF-8. Empty if there is none or the URL is opaque.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path as it was written.
    pub fn raw_path(&self) -> &str {
        &self.raw_path
    }

    /// What follows the first `?`, as it was written.
    pub fn raw_query(&self) -> &str {
        &self.raw_query
    }

    /// What follows the first `#`, as it was written.
    pub fn fragment(&self) -> &str {
        &self.fragment
    }

    /// The URL as it was written. It may hold credentials: whoever calls this answers for where it goes.
    pub fn reveal(&self) -> &str {
        &self.raw
    }

    /// The first value of a query parameter, unescaped. Pairs that Go's `ParseQuery` refuses are skipped, as there.
    pub fn query_value(&self, wanted: &str) -> Option<Vec<u8>> {
        self.raw_query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'))
            .find_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let key = unescape(&key.replace('+', " "), Part::Other).ok()?;
                let value = unescape(&value.replace('+', " "), Part::Other).ok()?;
                (key == wanted.as_bytes()).then_some(value)
            })
    }

    /// A form fit to be shown: without user name and password, values in the query replaced by `…`, and of a `data:`
    /// URL only its size. Opaque parts other than an `arn:` are left out, because `http:user:password@host` is one, and so is what
    /// stands before an `@` where there is no scheme.
    pub fn display(&self) -> String {
        if self.scheme == "data" {
            let size = super::data_url::decode(&self.raw).map_or(self.raw.len(), |bytes| bytes.len());
            return format!("data:…({size} bytes)");
        }
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text.push_str(&self.scheme);
            text.push(':');
        }
        if !self.opaque.is_empty() {
            text.push_str(if self.scheme == "arn" { &self.opaque } else { "…" });
        } else if !self.host.is_empty() || (!self.scheme.is_empty() && self.raw.contains("://")) {
            text.push_str("//");
            text.push_str(&String::from_utf8_lossy(&self.host));
        }
        match self.raw_path.rsplit_once('@') {
            // Credentials whose scheme was forgotten.
            Some((_, after)) if self.scheme.is_empty() => {
                text.push_str("…@");
                text.push_str(after);
            }
            _ => text.push_str(&self.raw_path),
        }
        let mut separator = '?';
        for pair in self.raw_query.split('&').filter(|pair| !pair.is_empty()) {
            text.push(separator);
            separator = '&';
            if let Some((key, _)) = pair.split_once('=') {
                text.push_str(key);
                text.push('=');
            }
            text.push('…');
        }
        if !self.fragment.is_empty() {
            text.push_str("#…");
        }
        text.chars()
            .map(|character| {
                if character.is_control() {
                    '\u{fffd}'
                } else {
                    character
                }
            })
            .collect()
    }

    /// See [`is_offline`].
    pub fn is_offline(&self) -> bool {
        is_offline(self)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.display())
    }
}

/// Whether it can be had without the network: no scheme (nothing to fetch), or `data:`. `oem:` counts as needing the
/// network although it is a file, as on Flatcar (flatcar.md 2.5).
pub fn is_offline(url: &Url) -> bool {
    matches!(url.scheme(), "" | "data")
}

/// [`Url::display`] of a text that may be no URL at all.
pub fn display(raw: &str) -> String {
    Url::parse(raw).map_or_else(
        |_| format!("<invalid URL, {} bytes>", raw.len()),
        |url| url.display(),
    )
}

fn parse_before_fragment(text: &str) -> Result<Url, UrlError> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(UrlError::Control);
    }
    let (scheme, rest) = split_scheme(text)?;
    let (rest, raw_query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url {
        raw: String::new(),
        scheme: scheme.to_ascii_lowercase(),
        opaque: String::new(),
        user: None,
        host: Vec::new(),
        raw_path: String::new(),
        path: Vec::new(),
        raw_query: raw_query.to_owned(),
        fragment: String::new(),
    };
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            rest.clone_into(&mut url.opaque);
            return Ok(url);
        }
        let segment = rest.split('/').next().unwrap_or_default();
        if segment.contains(':') {
            return Err(UrlError::ColonWithoutScheme);
        }
    }
    let mut path = rest;
    if let Some(after) = rest.strip_prefix("//")
        && (!scheme.is_empty() || !after.starts_with('/'))
    {
        let end = after.find('/').unwrap_or(after.len());
        let (authority, rest) = after.split_at_checked(end).unwrap_or((after, ""));
        (url.user, url.host) = parse_authority(authority)?;
        path = rest;
    }
    url.path = unescape(path, Part::Other)?;
    path.clone_into(&mut url.raw_path);
    Ok(url)
}

/// The scheme, empty if there is none, and what follows its colon.
fn split_scheme(text: &str) -> Result<(&str, &str), UrlError> {
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if position > 0 => {}
            b':' if position == 0 => return Err(UrlError::EmptyScheme),
            b':' => return Ok(text.split_once(':').unwrap_or(("", text))),
            _ => break,
        }
    }
    Ok(("", text))
}

fn parse_authority(authority: &str) -> Result<(Option<UserInfo>, Vec<u8>), UrlError> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Ok((None, parse_host(authority)?));
    };
    let host = parse_host(host)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(allowed) {
        return Err(UrlError::UserInfo);
    }
    let (name, password) = match user.split_once(':') {
        Some((name, password)) => (name, Some(unescape(password, Part::Other)?)),
        None => (user, None),
    };
    let name = unescape(name, Part::Other)?;
    Ok((Some(UserInfo { name, password }), host))
}

fn parse_host(host: &str) -> Result<Vec<u8>, UrlError> {
    // Go looks for the last '[', and forgets what stands before it.
    if let Some((_, bracketed)) = host.rsplit_once('[') {
        let (name, port) = bracketed.rsplit_once(']').ok_or(UrlError::Host)?;
        check_port(port)?;
        // RFC 6874: a zone follows an escaped percent sign.
        let name = match name.find("%25").and_then(|zone| name.split_at_checked(zone)) {
            Some((address, zone)) => {
                let mut name = unescape(address, Part::Host)?;
                name.extend(unescape(zone, Part::Zone)?);
                name
            }
            None => unescape(name, Part::Host)?,
        };
        check_ipv6(&name)?;
        let mut result = vec![b'['];
        result.extend(name);
        result.push(b']');
        result.extend(port.bytes());
        return Ok(result);
    }
    if let Some((_, port)) = host.rsplit_once(':')
        && !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(UrlError::Port);
    }
    unescape(host, Part::Host)
}

/// Nothing, or a colon and any number of digits.
fn check_port(text: &str) -> Result<(), UrlError> {
    let fine = text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if fine { Ok(()) } else { Err(UrlError::Port) }
}

/// An IPv6 address, with a zone that is not empty or none.
fn check_ipv6(text: &[u8]) -> Result<(), UrlError> {
    let mut parts = text.splitn(2, |byte| *byte == b'%');
    let address = parts.next().and_then(|address| std::str::from_utf8(address).ok());
    let zone_is_empty = parts.next().is_some_and(<[u8]>::is_empty);
    match address.map(str::parse::<Ipv6Addr>) {
        Some(Ok(_)) if !zone_is_empty => Ok(()),
        _ => Err(UrlError::Host),
    }
}

/// Whether a byte may stand in a host as it is.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&byte)
}

/// Replaces `%XX`. In hosts only bytes outside ASCII (and `%` itself) may be escaped; a zone may also hold a space.
fn unescape(text: &str, part: Part) -> Result<Vec<u8>, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(hex_digit).ok_or(UrlError::Escape);
            let value = digit()? << 4 | digit()?;
            let fine = match part {
                Part::Host => value >= 0x80 || value == b'%',
                Part::Zone => value == b'%' || value == b' ' || is_host_byte(value),
                Part::Other => true,
            };
            if !fine {
                return Err(UrlError::Escape);
            }
            bytes.push(value);
        } else if part != Part::Other && byte.is_ascii() && !is_host_byte(byte) {
            return Err(UrlError::Host);
        } else {
            bytes.push(byte);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
