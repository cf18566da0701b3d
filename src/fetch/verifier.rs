//! A server certificate that is itself one of the config's authorities.
//!
//! `openssl req -x509` makes a certificate that signs itself and says that it is an authority; matchbox and many others
//! use it as the server's own. Go accepts it if it is trusted; webpki never takes an authority for a server.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::http::Trust;

/// What webpki says when the server's certificate is an authority. It says so after it has looked at the dates.
const IS_AUTHORITY: &str = "CaUsedAsEndEntity";

/// webpki's verifier, and behind it: an authority that the config names is also good as the server's own certificate, if
/// dates and name are right.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    trust: Vec<Vec<u8>>,
}

impl Verifier {
    /// `roots` must hold the certificates of `trust`, and must not be empty.
    pub(super) fn new(
        roots: RootCertStore,
        trust: &Trust,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::client::VerifierBuilderError> {
        Ok(Self {
            inner: WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            trust: trust.extra.clone(),
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result =
            self.inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(Error::InvalidCertificate(CertificateError::Other(other))) = &result else {
            return result;
        };
        let named = self.trust.iter().any(|der| der.as_slice() == end_entity.as_ref());
        if !named || other.0.to_string() != IS_AUTHORITY {
            return result;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
