//! What every transport over TLS shares: the crypto provider, whom we trust, and which failures are the certificate's.
//! Knows no socket and no protocol.

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_platform_verifier::Verifier;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not PEM.
    #[error("{path} is not PEM: {detail}; allowed: blocks such as -----BEGIN CERTIFICATE-----", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, in the parser's words.
        detail: String,
    },
    /// A file has no certificate.
    #[error("{path} has no certificate; allowed: one or more -----BEGIN CERTIFICATE----- blocks", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key.
    #[error("{path} has no private key; allowed: one -----BEGIN PRIVATE KEY----- block without a password", path = path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file is not usable as an authority.
    #[error("certificate {number} of {path} cannot be an authority", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// Certificate and key of a server do not go together.
    #[error("{certificate} and {key} cannot serve TLS", certificate = certificate.display(), key = key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        #[source]
        source: rustls::Error,
    },
    /// Certificate and key of a client do not go together.
    #[error("{certificate} and {key} cannot show who we are", certificate = certificate.display(), key = key.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        #[source]
        source: rustls::Error,
    },
    /// rustls refuses its own settings.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// The mail library refuses its settings.
    #[error("TLS for mail cannot be set up")]
    Mail(#[source] lettre::transport::smtp::Error),
}

/// Makes ring the process's crypto provider. Call it before anything else; a second call changes nothing.
pub fn install_provider() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider was already installed");
    }
}

/// A client that trusts the authorities of `ca_file`, and only those; the system's where there is none. ALPN is the
/// caller's to set.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it. A machine without any authority is no error: a channel that
/// uses no TLS works there; every handshake fails, and a warning says why.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let Some(path) = ca_file else {
        return Ok(match Verifier::new(provider) {
            Ok(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            Err(error) => {
                warn_of_no_authorities(&error);
                builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
            }
        });
    };
    let mut roots = RootCertStore::empty();
    for (index, certificate) in authorities(path)?.into_iter().enumerate() {
        let unusable = |source| TlsError::Unusable { path: path.to_owned(), number: index + 1, source };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Says once per channel that no certificate can be checked on this machine.
pub(super) fn warn_of_no_authorities(error: &dyn Error) {
    tracing::warn!(%error, "the system has no certificate authorities: no TLS server can be trusted; install ca-certificates or set ca_file");
}

/// An acceptor for HTTP/1.1 with a certificate chain (the server's own first) and its private key.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it.
pub(crate) fn acceptor(cert_file: &Path, key_file: &Path) -> Result<TlsAcceptor, TlsError> {
    let chain = authorities(cert_file)?;
    let key = private_key(key_file)?;
    let pair = |source| TlsError::Pair { certificate: cert_file.to_owned(), key: key_file.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a client shows of itself: a certificate chain (its own first) and its private key.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it.
pub(super) fn identity(cert_file: &Path, key_file: &Path) -> Result<Arc<dyn ResolvesClientCert>, TlsError> {
    let (chain, key) = (authorities(cert_file)?, private_key(key_file)?);
    let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
    let pair = |source| TlsError::Identity { certificate: cert_file.to_owned(), key: key_file.to_owned(), source };
    Ok(Arc::new(SingleCertAndKey::from(certified.map_err(pair)?)))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        error => malformed(path, &error),
    })
}

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// As [`client_config`].
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(path, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn malformed(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Malformed { path: path.to_owned(), detail: error.to_string() }
}

/// Whether the error, or one that caused it, is that the other side's certificate was not accepted.
pub(super) fn is_certificate_fault(error: &(dyn Error + 'static)) -> bool {
    find::<rustls::Error>(error).is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

/// Whether the other side does not accept our own certificate, or misses one.
pub(super) fn is_refused_identity(error: &(dyn Error + 'static)) -> bool {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        UnknownCA, UnsupportedCertificate,
    };
    find::<rustls::Error>(error).is_some_and(|error| {
        matches!(
            error,
            rustls::Error::AlertReceived(
                AccessDenied
                    | BadCertificate
                    | CertificateExpired
                    | CertificateRequired
                    | CertificateRevoked
                    | CertificateUnknown
                    | UnknownCA
                    | UnsupportedCertificate
            )
        )
    })
}

/// The first error of a type in a chain of causes. Looks into `std::io::Error`, which hides what it wraps from
/// `source()`.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::transport::{describe, testing};

    fn check(content: &str, load: impl Fn(&Path) -> Result<(), TlsError>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.pem");
        std::fs::write(&path, content).unwrap();
        describe(&load(&path).unwrap_err()).replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn a_bad_authority_file_is_named_with_what_is_allowed() {
        let check = |content| check(content, |path| client_config(Some(path)).map(drop));
        assert_eq!(check(""), "FILE has no certificate; allowed: one or more -----BEGIN CERTIFICATE----- blocks");
        assert!(check("-----BEGIN CERTIFICATE-----\nxx").starts_with("FILE is not PEM: "));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(check(garbage).starts_with("certificate 1 of FILE cannot be an authority: "), "{}", check(garbage));
        let error = client_config(Some(Path::new("/nonexistent/ca.pem"))).unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/ca.pem cannot be read");
    }

    #[test]
    fn a_server_without_its_own_key_is_refused_by_name() {
        let (certificate, key) = testing::server_files();
        assert!(acceptor(&certificate, &key).is_ok());
        let no_key = check("", |path| acceptor(&certificate, path).map(drop));
        assert!(no_key.starts_with("FILE has no private key"), "{no_key}");
        let stranger = acceptor(&testing::stranger(), &key).map(drop).unwrap_err();
        assert!(describe(&stranger).contains("stranger.pem and "), "{}", describe(&stranger));
    }

    #[test]
    fn what_a_client_shows_of_itself_must_go_together() {
        let (certificate, key) = testing::server_files();
        assert!(identity(&certificate, &key).is_ok());
        let no_key = check("", |path| identity(&certificate, path).map(drop));
        assert!(no_key.starts_with("FILE has no private key"), "{no_key}");
        let stranger = identity(&testing::stranger(), &key).map(drop).unwrap_err();
        assert!(describe(&stranger).contains("cannot show who we are"), "{}", describe(&stranger));
    }

    #[test]
    fn a_certificate_fault_is_found_inside_an_io_error() {
        let fault = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert!(is_certificate_fault(&std::io::Error::other(std::io::Error::other(fault))));
        assert!(!is_certificate_fault(&std::io::Error::other("else")));
    }
}
