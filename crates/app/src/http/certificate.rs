//! The certificate that the listener shows, and its key.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("{path} holds no usable certificate: {detail}; allowed: PEM, the certificate first, then what signs it")]
    Certificate { path: PathBuf, detail: String },
    #[error("{path} holds no usable private key: {detail}; allowed: PEM, PKCS#8, PKCS#1 or SEC1")]
    Key { path: PathBuf, detail: String },
    #[error("the certificate {path} and its key do not fit")]
    Mismatch {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// An acceptor with the certificate; TLS 1.2 and 1.3, no client certificates.
pub(crate) fn acceptor(cert_file: &Path, key_file: &Path) -> Result<TlsAcceptor, CertificateError> {
    let unusable = |detail| CertificateError::Certificate { path: cert_file.to_owned(), detail };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(format!("{error:?}")))?;
    if chain.is_empty() {
        return Err(unusable("there is none in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| CertificateError::Key { path: key_file.to_owned(), detail: format!("{error:?}") })?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| CertificateError::Mismatch { path: cert_file.to_owned(), source })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
