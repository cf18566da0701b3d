//! URLs in a form that may be shown: no user info, no query, no fragment, nothing of a `data:` URL.

use std::fmt::Write as _;

/// What stands for the part that is not shown.
const HIDDEN: char = '…';

/// The form of `url` that logs, plans and errors show.
///
/// What does not look like an URL is hidden rather than shown: the secret may stand anywhere in it.
pub fn display(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once(':') else {
        let shown = url.split(['?', '#', '@']).next().unwrap_or_default();
        return tidy(shown, shown.len() != url.len());
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each));
    if !is_scheme {
        return HIDDEN.to_string();
    }
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "data" {
        return format!("data:{HIDDEN}");
    }
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    let cut = shown.len() != rest.len();
    let Some(after) = shown.strip_prefix("//") else {
        // Opaque, or a path without a host.
        return match scheme.as_str() {
            "arn" | "oem" => format!("{scheme}:{}", tidy(shown, cut)),
            _ => format!("{scheme}:{HIDDEN}"),
        };
    };
    let (authority, path) = match after.find('/') {
        Some(slash) => after.split_at(slash),
        None => (after, ""),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if !is_host(host) {
        return format!("{scheme}://{HIDDEN}");
    }
    format!("{scheme}://{host}{}", tidy(path, cut))
}

/// Whether it is a host with or without a port, and not, say, the front half of a password with a slash in it.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':').unwrap_or(port)),
            None => return false,
        },
        None => text.split_once(':').unwrap_or((text, "")),
    };
    host.chars()
        .all(|each| each.is_alphanumeric() || "-._~%:".contains(each))
        && port.chars().all(|each| each.is_ascii_digit())
}

/// Control characters escaped, and a mark if something was cut off.
fn tidy(text: &str, cut: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for each in text.chars() {
        if each.is_control() {
            let _ = write!(shown, "{}", each.escape_default());
        } else {
            shown.push(each);
        }
    }
    if cut {
        shown.push(HIDDEN);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::display;

    #[test]
    fn shows_scheme_host_and_path_only() {
        let table = [
            ("http://host/a/b", "http://host/a/b"),
            ("HTTPS://host:8443/a", "https://host:8443/a"),
            ("http://user:canary@host/a?token=canary#canary", "http://host/a…"),
            ("http://user:can@ary@host/a", "http://host/a"),
            ("http://user:canary/x@host/a", "http://…"),
            ("http://[fe80::1%25eth0]:80/a", "http://[fe80::1%25eth0]:80/a"),
            ("http:canary", "http:…"),
            ("http:///a", "http:///a"),
            ("data:,canary", "data:…"),
            ("DATA:text/plain;base64,canary", "data:…"),
            ("oem:///etc/a?canary", "oem:///etc/a…"),
            (
                "arn:aws:s3:::bucket/key?versionId=canary",
                "arn:aws:s3:::bucket/key…",
            ),
            ("s3://bucket/key", "s3://bucket/key"),
            ("plain/path?canary", "plain/path…"),
            ("can\nary:x", "…"),
            ("http://host/a\nb", "http://host/a\\nb"),
            ("", ""),
        ];
        for (url, want) in table {
            assert_eq!(display(url), want, "{url}");
        }
    }
}
