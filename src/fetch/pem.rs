//! Bundles of certificate authorities, as strict as upstream (spec/fetch.md 8.3): blocks one behind the other, whatever
//! their type word says, and nothing behind the last one.

use base64::Engine as _;

/// What is wrong with a bundle.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No PEM block, or something behind the last one
    #[error("after {blocks} PEM blocks comes something that is none; remove it, empty lines too")]
    Leftover {
        /// How many blocks came before
        blocks: usize,
    },
    /// A block that is no certificate
    #[error("PEM block {number} holds no X.509 certificate")]
    Certificate {
        /// Which block, from 1
        number: usize,
    },
}

/// The certificates of a bundle, in DER. Text before a block is skipped.
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let Some((der, after)) = block(rest) else {
            return Err(PemError::Leftover { blocks: found.len() });
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der.clone().into()).map_err(|_| PemError::Certificate {
            number: found.len().saturating_add(1),
        })?;
        found.push(der);
        rest = after;
        if rest.is_empty() {
            return Ok(found);
        }
    }
}

/// The next block and what follows the line feed of its END line.
fn block(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text;
    loop {
        let (first, after) = line(rest)?;
        rest = after;
        let Some(kind) = armour(first, b"-----BEGIN ") else {
            continue;
        };
        // Headers (`Key: value`) may stand before the digits; they end with the first line without a colon.
        let mut digits = Vec::new();
        let mut ahead = rest;
        loop {
            // Without another END line there is no other block either.
            let (next, after) = line(ahead)?;
            ahead = after;
            if let Some(end) = armour(next, b"-----END ") {
                let decoded = base64::engine::general_purpose::STANDARD.decode(&digits).ok();
                match decoded.filter(|_| end == kind) {
                    Some(der) => return Some((der, ahead)),
                    None => break,
                }
            }
            // A block within a block is no base64. To look for the end from each BEGIN line would take the square of the text.
            if armour(next, b"-----BEGIN ").is_some() {
                break;
            }
            if !(digits.is_empty() && next.contains(&b':')) {
                digits.extend(next.iter().filter(|byte| !byte.is_ascii_whitespace()));
            }
        }
        // A malformed block is skipped like text.
    }
}

/// The next line without its end, and what follows. `None` at the end.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => {
            let (line, rest) = text.split_at_checked(at)?;
            Some((line, rest.get(1..).unwrap_or_default()))
        }
        None => Some((text, &[])),
    }
}

/// The type word of a BEGIN or END line.
fn armour<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.trim_ascii_end().strip_prefix(start)?.strip_suffix(b"-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(kind: &str, der: &[u8]) -> String {
        let digits = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> = digits
            .as_bytes()
            .chunks(64)
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect();
        format!(
            "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
            lines.join("\n")
        )
    }

    fn authority() -> Vec<u8> {
        rcgen::generate_simple_self_signed(vec!["ca.example".to_owned()])
            .unwrap()
            .cert
            .der()
            .to_vec()
    }

    #[test]
    fn blocks_of_any_type_one_behind_the_other() {
        let der = authority();
        let one = bundle("CERTIFICATE", &der);
        let other = bundle("WHATEVER", &der);
        assert_eq!(certificates(one.as_bytes()), Ok(vec![der.clone()]));
        assert_eq!(certificates(one.trim_end().as_bytes()), Ok(vec![der.clone()]));
        assert_eq!(
            certificates(one.replace('\n', "\r\n").as_bytes()),
            Ok(vec![der.clone()])
        );
        let text = format!("issuer: somebody\n{one}# next\n{other}");
        assert_eq!(certificates(text.as_bytes()), Ok(vec![der.clone(), der.clone()]));
        let with_header = one.replacen("-----\n", "-----\nProc-Type: 4\n\n", 1);
        assert_eq!(certificates(with_header.as_bytes()), Ok(vec![der]));
    }

    /// From each of them the END line was looked for, which took hours.
    #[test]
    fn many_begin_lines_take_no_square_of_time() {
        let text = format!(
            "{}-----END OTHER-----\n",
            "-----BEGIN CERTIFICATE-----\n".repeat(1 << 18)
        );
        assert_eq!(
            certificates(text.as_bytes()),
            Err(PemError::Leftover { blocks: 0 })
        );
    }

    #[test]
    fn a_block_in_a_block_is_skipped() {
        let der = authority();
        let text = format!(
            "-----BEGIN CERTIFICATE-----\nMAAA\n{}",
            bundle("CERTIFICATE", &der)
        );
        assert_eq!(certificates(text.as_bytes()), Ok(vec![der]));
    }

    #[test]
    fn leftovers_and_other_contents_are_errors() {
        let one = bundle("CERTIFICATE", &authority());
        let leftover = |blocks| Err(PemError::Leftover { blocks });
        assert_eq!(certificates(b""), leftover(0));
        assert_eq!(certificates(b"no certificate"), leftover(0));
        let endless = "-----BEGIN CERTIFICATE-----\n".repeat(1 << 18);
        assert_eq!(certificates(endless.as_bytes()), leftover(0));
        assert_eq!(certificates(format!("{one}\n").as_bytes()), leftover(1));
        assert_eq!(certificates(format!("{one}{one}text").as_bytes()), leftover(2));
        assert_eq!(
            certificates(one.replace("END C", "END X").as_bytes()),
            leftover(0)
        );
        let empty = bundle("CERTIFICATE", b"not der");
        assert_eq!(
            certificates(format!("{one}{empty}").as_bytes()),
            Err(PemError::Certificate { number: 2 })
        );
    }
}
