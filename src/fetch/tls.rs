//! Who is trusted: the system's bundle and what the config adds (spec/fetch.md 8.3). An empty set is legal: an initrd
//! without a bundle still fetches over plain HTTP.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::http::Trust;
use super::verifier::Verifier;
use crate::sys::HostFiles;

/// Where systems keep their bundle, the first that is there counts; in Go's order.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The most that a bundle of the system may hold, in bytes.
const LIMIT: u64 = 64 << 20;

/// Where systems keep certificates one by one, asked if there is no bundle.
const DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// The system's certificates, PEM: the file of `SSL_CERT_FILE` if that is set, else the first of the usual ones; and all
/// files of the directories of `SSL_CERT_DIR`. If that is not set and there is no bundle, of the usual directories (Go
/// reads those in any case, and finds in them what is in the bundle). None at all is fine.
pub fn system_bundle(
    files: &dyn HostFiles,
    ssl_cert_file: Option<&Path>,
    ssl_cert_dir: Option<&OsStr>,
) -> Vec<u8> {
    let places: Vec<PathBuf> = match ssl_cert_file {
        Some(path) => vec![path.to_path_buf()],
        None => BUNDLES.iter().map(PathBuf::from).collect(),
    };
    let mut bundle = places
        .iter()
        .find_map(|place| read(files, place))
        .unwrap_or_default();
    let directories: Vec<PathBuf> = match ssl_cert_dir {
        Some(list) => list
            .as_bytes()
            .split(|byte| *byte == b':')
            .map(|path| PathBuf::from(OsStr::from_bytes(path)))
            .collect(),
        None if bundle.is_empty() => DIRECTORIES.iter().map(PathBuf::from).collect(),
        None => Vec::new(),
    };
    for directory in directories {
        let names = files.list(&directory).unwrap_or_else(|error| {
            tracing::warn!("cannot read {}: {error}", directory.display());
            None
        });
        for name in names.unwrap_or_default() {
            if let Some(bytes) = read(files, &directory.join(name)) {
                bundle.push(b'\n');
                bundle.extend(bytes);
            }
        }
    }
    bundle
}

fn read(files: &dyn HostFiles, path: &Path) -> Option<Vec<u8>> {
    files.read(path, LIMIT).unwrap_or_else(|error| {
        // There may be directories among the certificates.
        if error.kind() != std::io::ErrorKind::IsADirectory {
            tracing::warn!("cannot read {}: {error}", path.display());
        }
        None
    })
}

/// A TLS configuration that trusts the certificates of `bundle` (PEM; what is none is skipped, as Go does) and `trust`.
pub fn config(bundle: &[u8], trust: &Trust) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok));
    for der in &trust.extra {
        roots.add(CertificateDer::from(der.clone()))?;
    }
    // The provider is named here: there is none for the whole process, and rustls would panic without one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    if trust.extra.is_empty() {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let verifier =
        Verifier::new(roots, trust, provider).map_err(|error| rustls::Error::General(error.to_string()))?;
    // "Dangerous" is what rustls calls every verifier that is not its own; this one asks rustls' own first.
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host::FakeHost;

    #[test]
    fn the_first_bundle_counts_and_the_variable_replaces_the_list() {
        let files = FakeHost::new()
            .file(BUNDLES[1], "second")
            .file(BUNDLES[2], "third")
            .file("/own", "own");
        assert_eq!(system_bundle(&files, None, None), b"second");
        assert_eq!(system_bundle(&files, Some(Path::new("/own")), None), b"own");
        assert_eq!(system_bundle(&FakeHost::new(), None, None), b"");
        assert_eq!(system_bundle(&files.deny(BUNDLES[0]), None, None), b"second");
    }

    #[test]
    fn directories_count_if_they_are_named_or_nothing_else_is_there() {
        let files = || {
            FakeHost::new()
                .file("/etc/ssl/certs/a.pem", "a")
                .file("/etc/ssl/certs/b.pem", "b")
                .file("/named/c.pem", "c")
                .file("/more/d.pem", "d")
        };
        assert_eq!(system_bundle(&files(), None, None), b"\na\nb");
        let named = Some(OsStr::new("/named:/missing:/more"));
        assert_eq!(system_bundle(&files(), None, named), b"\nc\nd");
        let files = files().file(BUNDLES[0], "bundle");
        assert_eq!(system_bundle(&files, None, None), b"bundle");
        assert_eq!(system_bundle(&files, None, named), b"bundle\nc\nd");
        assert_eq!(
            system_bundle(&files, Some(Path::new("/missing")), Some(OsStr::new(""))),
            b""
        );
    }

    #[test]
    fn no_roots_at_all_are_legal() {
        assert!(config(b"", &Trust::default()).is_ok());
        assert!(config(b"junk", &Trust::default()).is_ok());
    }
}
