//! The accept loops. Every connection has a deadline for its head and its handshake, and a place in a bounded number of
//! places: idle or malicious peers cost a place, never the service.

use super::access::Peer;
use super::{App, router};
use crate::config::{Http, Socket};
use crate::listen::lines;
use crate::transport::tls::{TlsError, acceptor};
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How many connections there may be at once; each costs some 20 kB. Further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 16_384;

/// How long a peer may take to send a request's head, idle time between requests included.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// The largest request head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long to rest when the system gives no connection (out of file descriptors).
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot listen on {address}; is another balefire running, or may this user not use that port?")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot make the socket {path}")]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use the certificate")]
    Tls(#[from] TlsError),
}

/// Bound listeners.
pub(crate) struct Server {
    app: App,
    tcp: Option<(TcpListener, Option<TlsAcceptor>)>,
    unix: (UnixListener, PathBuf),
    places: Arc<Semaphore>,
}

impl Server {
    /// Binds the listeners; nothing is accepted yet.
    pub(crate) async fn bind(app: App, http: Option<&Http>, socket: &Socket) -> Result<Server, ServeError> {
        let tcp = match http {
            None => None,
            Some(http) => {
                let address = http.listen;
                let listener = TcpListener::bind(address).await;
                let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
                let tls = http.tls.as_ref().map(|tls| acceptor(&tls.cert_file, &tls.key_file));
                Some((listener, tls.transpose()?))
            }
        };
        let unix = bind_socket(socket).map_err(|source| ServeError::Socket { path: socket.path.clone(), source })?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Ok(Server { app, tcp, unix: (unix, socket.path.clone()), places })
    }

    /// Where TCP is served.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until told to stop, then lets the requests under way finish.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) {
        let router = router(self.app.clone());
        let mut tasks = JoinSet::new();
        if let Some((listener, tls)) = self.tcp {
            tasks.spawn(accept_tcp(listener, tls, router.clone(), self.places.clone(), stop.clone()));
        }
        let (listener, path) = self.unix;
        tasks.spawn(accept_unix(listener, router, self.app.clone(), self.places.clone(), stop));
        while tasks.join_next().await.is_some() {}
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "socket could not be removed");
        }
    }
}

/// A socket that a dead process left behind is replaced; the journal's lock has already proven that none is alive.
fn bind_socket(socket: &Socket) -> io::Result<UnixListener> {
    match std::fs::remove_file(&socket.path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&socket.path)?;
    std::fs::set_permissions(&socket.path, std::fs::Permissions::from_mode(socket.mode))?;
    Ok(listener)
}

async fn accept_tcp(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let place = place(&places).await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok(peer) => {
                connections.spawn(serve_tcp(peer, tls.clone(), router.clone(), stop.clone(), place));
            }
            Err(error) => rest(&error).await,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_tcp(
    (stream, address): (TcpStream, SocketAddr),
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let peer = Peer::Tcp(address);
    let Some(tls) = tls else { return serve(stream, peer, router, stop).await };
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, peer, router, stop).await,
        Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

async fn accept_unix(
    listener: UnixListener,
    router: Router,
    app: App,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let place = place(&places).await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve_unix(stream, router.clone(), app.clone(), stop.clone(), place));
            }
            Err(error) => rest(&error).await,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The socket speaks HTTP, or lines: what begins with a brace is no HTTP method.
async fn serve_unix(
    stream: UnixStream,
    router: Router,
    app: App,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    match tokio::time::timeout(HEAD_TIME_MAX, lines::begins_like_json(&stream)).await {
        Ok(Ok(true)) => lines::serve(stream, &app.reception, stop).await,
        Ok(Ok(false)) => serve(stream, Peer::Unix, router, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "socket closed before its first byte"),
        Err(_) => tracing::debug!("socket was silent"),
    }
}

async fn serve<S>(stream: S, peer: Peer, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.map(axum::body::Body::new)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "connection ended");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An order that can no longer come counts as given.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    places.clone().acquire_owned().await.expect("the semaphore is never closed")
}

async fn rest(error: &io::Error) {
    tracing::warn!(%error, "no connection could be accepted; trying again");
    tokio::time::sleep(ACCEPT_REST).await;
}
