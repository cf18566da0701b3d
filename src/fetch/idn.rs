//! International host names in URLs (RFC 3492), without the Unicode tables that normalising and checking them takes:
//! labels are lower-cased and encoded as they stand. Go does more (UTS 46): what is not composed (NFC), or written with
//! characters that only look like others, gives another name here.

use std::borrow::Cow;

/// The URL with its host in ASCII. What is no URL with a host stays as it is.
pub(super) fn ascii(url: &str) -> Cow<'_, str> {
    if url.is_ascii() {
        return Cow::Borrowed(url);
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Cow::Borrowed(url);
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let Some(host) = host_in_ascii(host) else {
        return Cow::Borrowed(url);
    };
    let user = user.map_or(String::new(), |user| format!("{user}@"));
    Cow::Owned(format!("{scheme}://{user}{host}{path}"))
}

/// `None` if a label is too long to be encoded.
fn host_in_ascii(host: &str) -> Option<String> {
    let labels = host.split(['.', '\u{3002}']).map(|label| {
        if label.is_ascii() {
            return Some(label.to_owned());
        }
        // A port stands in the last one.
        let (label, port) = match label.rsplit_once(':') {
            Some((label, port)) => (label, format!(":{port}")),
            None => (label, String::new()),
        };
        let lower = label.to_lowercase();
        Some(format!("xn--{}{port}", punycode(&lower)?))
    });
    Some(labels.collect::<Option<Vec<_>>>()?.join("."))
}

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;

/// Section 6.3 of the RFC.
fn punycode(label: &str) -> Option<String> {
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias) = (128_u32, 0_u32, 72_u32);
    let mut handled = basic;
    while let Some(next) = label.chars().map(u32::from).filter(|code| *code >= n).min() {
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for code in label.chars().map(u32::from) {
            if code < n {
                delta = delta.checked_add(1)?;
            }
            if code != n {
                continue;
            }
            let mut rest = delta;
            let mut k = BASE;
            loop {
                let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
                if rest < threshold {
                    break;
                }
                out.push(digit(threshold + (rest - threshold) % (BASE - threshold))?);
                rest = (rest - threshold) / (BASE - threshold);
                k += BASE;
            }
            out.push(digit(rest)?);
            bias = adapt(delta, handled + 1, handled == basic);
            delta = 0;
            handled += 1;
        }
        delta = delta.checked_add(1)?;
        n = n.checked_add(1)?;
    }
    Some(out)
}

fn digit(value: u32) -> Option<char> {
    char::from_digit(value.checked_sub(26).unwrap_or(value + 10), BASE)
}

/// Section 6.1.
fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_ascii_and_the_rest_stays() {
        for (url, want) in [
            ("http://h/x", "http://h/x"),
            ("http://bücher.example/ü?ü", "http://xn--bcher-kva.example/ü?ü"),
            (
                "https://ü:pä@BÜCHER.example:8080/x",
                "https://ü:pä@xn--bcher-kva.example:8080/x",
            ),
            ("http://例え.テスト", "http://xn--r8jz45g.xn--zckzah"),
            (
                "http://пример.испытание:80",
                "http://xn--e1afmkfd.xn--80akhbyknj4f:80",
            ),
            ("http://例え。jp/", "http://xn--r8jz45g.jp/"),
            ("http://faß.de/", "http://xn--fa-hia.de/"),
            ("http://ascii.example/ü", "http://ascii.example/ü"),
            ("ü", "ü"),
        ] {
            assert_eq!(ascii(url), want, "{url}");
        }
    }

    #[test]
    fn the_url_crate_takes_what_comes_out() {
        let url = reqwest::Url::parse(&ascii("http://bücher.example/ü")).unwrap();
        assert_eq!(url.as_str(), "http://xn--bcher-kva.example/%C3%BC");
        // If it can do it itself one day, this module can go.
        assert!(reqwest::Url::parse("http://bücher.example/").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_there_nothing_panics(host in "\\PC{0,80}", rest in "\\PC{0,20}") {
            let url = format!("http://{host}/{rest}");
            proptest::prop_assert!(ascii(&url).starts_with("http://"));
        }
    }
}
