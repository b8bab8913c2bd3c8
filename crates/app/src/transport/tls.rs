//! What every transport over TLS shares: the crypto provider, whom we trust, and which failures are the certificate's.
//! Knows no socket and no protocol.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file cannot be read.
    #[error("ca_file {path} cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not PEM.
    #[error("ca_file {path} is not PEM: {detail}; allowed: one or more -----BEGIN CERTIFICATE----- blocks", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. The parser's error is no `std::error::Error` in every build, so its words are kept.
        detail: String,
    },
    /// The file has no certificate.
    #[error("ca_file {path} has no certificate; allowed: one or more -----BEGIN CERTIFICATE----- blocks", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file is not usable as an authority.
    #[error("certificate {number} of ca_file {path} cannot be an authority", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
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

/// A client that trusts the authorities of `ca_file`, and only those; the system's where there is none. Says HTTP/1.1
/// nowhere: ALPN is the caller's.
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

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// As [`client_config`].
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Malformed { path: path.to_owned(), detail: format!("{error:?}") })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(certificates)
}

/// Whether the error, or one that caused it, is that the other side's certificate was not accepted.
pub(super) fn is_certificate_fault(error: &(dyn Error + 'static)) -> bool {
    find::<rustls::Error>(error).is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
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
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn check(content: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        let error = client_config(Some(&path)).unwrap_err();
        super::super::describe(&error).replace(&path.display().to_string(), "CA")
    }

    #[test]
    fn a_bad_authority_file_is_named_with_what_is_allowed() {
        assert_eq!(check(""), "ca_file CA has no certificate; allowed: one or more -----BEGIN CERTIFICATE----- blocks");
        assert!(check("-----BEGIN CERTIFICATE-----\nxx").starts_with("ca_file CA is not PEM: "));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(check(garbage).starts_with("certificate 1 of ca_file CA cannot be an authority"), "{}", check(garbage));
        let error = client_config(Some(Path::new("/nonexistent/ca.pem"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ca.pem cannot be read"));
    }

    #[test]
    fn a_certificate_fault_is_found_inside_an_io_error() {
        let fault = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert!(is_certificate_fault(&std::io::Error::other(std::io::Error::other(fault))));
        assert!(!is_certificate_fault(&std::io::Error::other("else")));
    }
}
