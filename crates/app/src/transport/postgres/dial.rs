//! Connections to a PostgreSQL server: the socket, TLS as far as it is asked for, and the login. Knows no statement.

use crate::transport::tls::{self, TlsError};
use balefire_channels::{PostgresEndpoint, PostgresTls, PostgresTransport, is_metadata_address};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls};
use tokio_rustls::TlsConnector;

/// What the protocol is spoken over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// The half of a session that must be polled for the other one, the client, to get answers.
pub(super) type Wires = Connection<Box<dyn Wire>, NoTlsStream>;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The socket, or TLS over it.
    #[error("no connection")]
    Io(#[from] io::Error),
    /// A name leads to an address that must never be called.
    #[error("it resolves to a cloud metadata service, which must never be called")]
    Metadata,
    /// The server has no TLS.
    #[error("the server offers no TLS, and the setting `sslmode` wants it")]
    NoTls,
    /// What is no host's name.
    #[error("the host is no name that a certificate can have")]
    ServerName,
    /// The server answers the first byte in another protocol.
    #[error("it does not answer as a PostgreSQL server does")]
    Stranger,
    /// The login.
    #[error(transparent)]
    Login(#[from] tokio_postgres::Error),
}

/// The certificate check that a channel asks for; none where it uses no TLS.
pub(super) fn connector(settings: &PostgresTransport) -> Result<Option<TlsConnector>, TlsError> {
    let mut config = match settings.tls {
        PostgresTls::Disable => return Ok(None),
        PostgresTls::VerifyFull => tls::client_config(settings.ca_file.as_deref())?,
        PostgresTls::VerifyCa => lenient(Some(chain_verifier(settings)?))?,
        PostgresTls::Prefer | PostgresTls::Require => lenient(None)?,
    };
    if let Some((certificate, key)) = &settings.identity {
        config.client_auth_cert_resolver = tls::identity(certificate, key)?;
    }
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn lenient(chain: Option<Arc<dyn ServerCertVerifier>>) -> Result<ClientConfig, TlsError> {
    let verifier = Lenient { chain, provider: provider() };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Setup)?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

fn chain_verifier(settings: &PostgresTransport) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let Some(path) = &settings.ca_file else {
        return Ok(Arc::new(Verifier::new(provider()).map_err(TlsError::Setup)?));
    };
    let mut roots = RootCertStore::empty();
    for (index, certificate) in tls::authorities(path)?.into_iter().enumerate() {
        let unusable = |source| TlsError::Unusable { path: path.clone(), number: index + 1, source };
        roots.add(certificate).map_err(unusable)?;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let unusable =
        |error: rustls::client::VerifierBuilderError| TlsError::Setup(rustls::Error::General(error.to_string()));
    Ok(builder.build().map_err(unusable)?)
}

/// PostgreSQL's weaker modes: the chain without the name, or nobody's certificate in particular.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at after the chain was found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Connects to one server and logs in. Cancel-safe: what was begun is closed.
pub(super) async fn dial(
    settings: &PostgresTransport,
    connector: Option<&TlsConnector>,
    endpoint: &PostgresEndpoint,
) -> Result<(Client, Wires), DialError> {
    let wire: Box<dyn Wire> = match endpoint {
        PostgresEndpoint::Socket(path) => Box::new(UnixStream::connect(path).await?),
        PostgresEndpoint::Host { name, port } => {
            let stream = connect(name, *port).await?;
            match connector {
                Some(connector) => protect(stream, connector, name, settings.tls).await?,
                None => Box::new(stream),
            }
        }
    };
    let mut config = Config::new();
    config.user(&settings.username).dbname(&settings.database).application_name(&settings.application);
    if let Some(password) = &settings.password {
        config.password(password.expose());
    }
    // TLS, where there is any, is below.
    config.ssl_mode(SslMode::Disable);
    Ok(config.connect_raw(wire, NoTls).await?)
}

async fn connect(name: &str, port: u16) -> Result<TcpStream, DialError> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(format!("{name}:{port}")).await?.collect();
    if addresses.iter().any(|address| is_metadata_address(address.ip())) {
        return Err(DialError::Metadata);
    }
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for TLS (postgresql.org/docs/current/protocol-flow.html, section 54.2.12): one byte says whether the server has it.
async fn protect(
    mut stream: TcpStream,
    connector: &TlsConnector,
    name: &str,
    mode: PostgresTls,
) -> Result<Box<dyn Wire>, DialError> {
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => {
            let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(name).map_err(|_| DialError::ServerName)?;
            Ok(Box::new(connector.connect(name, stream).await?))
        }
        b'N' if mode == PostgresTls::Prefer => Ok(Box::new(stream)),
        b'N' => Err(DialError::NoTls),
        _ => Err(DialError::Stranger),
    }
}

/// Eight bytes long, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
