//! What the transports' tests share: a TLS server on loopback and the authorities that know or do not know it. The
//! certificates in `testdata/` are for `localhost` and are valid until 2126; nothing outside the tests trusts them.

use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

fn testdata(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/transport/testdata", name].iter().collect()
}

/// The authority that signed the server's certificate.
pub(super) fn trusted() -> PathBuf {
    testdata("ca.pem")
}

/// An authority that signed nothing.
pub(super) fn stranger() -> PathBuf {
    testdata("stranger.pem")
}

/// The server's certificate and key.
pub(super) fn server_files() -> (PathBuf, PathBuf) {
    (testdata("server.pem"), testdata("server.key"))
}

/// Accepts TLS as `localhost`.
pub(super) fn acceptor() -> TlsAcceptor {
    let (certificate, key) = server_files();
    super::tls::acceptor(&certificate, &key).unwrap()
}

/// Serves each TLS connection with `talk`, one after the other; a failed handshake is the client's to report.
pub(super) async fn tls_server<F>(talk: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor().accept(stream).await {
                talk(stream).await;
            }
        }
    });
    address
}
