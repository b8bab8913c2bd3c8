//! Syslog messages over a local socket, UDP (RFC 5426), TCP with octet counting (RFC 6587, section 3.4.1) or TLS (RFC
//! 5425). Knows framing and connections, not what a message says.

use super::{OpenError, describe, no_answer, tls};
use balefire_channels::{Reply, SyslogTarget, SyslogTransport};
use balefire_model::Cause;
use rustix::io::Errno;
use rustix::net::{RecvFlags, sockopt};
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The syslog sender of one channel.
pub(super) struct Syslog {
    to: SyslogTarget,
    timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    link: Option<Link>,
}

/// A connection.
enum Link {
    Datagram(UnixDatagram),
    Udp(UdpSocket),
    Stream(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Syslog {
    /// Reads the certificate authorities; connects nothing.
    ///
    /// # Errors
    /// [`OpenError`] for authorities or a server name that cannot be used.
    pub(super) fn open(channel: &str, settings: SyslogTransport) -> Result<Syslog, OpenError> {
        let tls = match &settings.to {
            SyslogTarget::Tls { server_name, ca_file, .. } => {
                let config = tls::client_config(ca_file.as_deref())
                    .map_err(|error| OpenError::Tls { channel: channel.to_owned(), source: Box::new(error) })?;
                let name = ServerName::try_from(server_name.clone())
                    .map_err(|_| OpenError::ServerName { channel: channel.to_owned(), name: server_name.clone() })?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            _ => None,
        };
        Ok(Syslog { to: settings.to, timeout: settings.timeout, tls, link: None })
    }

    /// Sends messages in order; one reply each. After the first that finds no receiver the others are not tried.
    /// Cancel-safe: a connection with half a frame in it is closed.
    pub(super) async fn exec(&mut self, messages: Vec<Vec<u8>>) -> Vec<Reply> {
        if self.link.is_none() {
            match self.connect().await {
                Ok(link) => self.link = Some(link),
                Err(reply) => return vec![reply; messages.len()],
            }
        }
        if matches!(self.link, Some(Link::Datagram(_) | Link::Udp(_))) {
            self.datagrams(messages).await
        } else {
            vec![self.stream(&messages).await; messages.len()]
        }
    }

    async fn datagrams(&mut self, messages: Vec<Vec<u8>>) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(messages.len());
        for message in &messages {
            let reply = self.datagram(message).await;
            let lost = matches!(reply, Reply::Failed { cause: Cause::Network, .. });
            replies.push(reply);
            if lost {
                break;
            }
        }
        if let Some(last) = replies.last().cloned() {
            replies.resize(messages.len(), last);
        }
        replies
    }

    /// One message as one datagram. A local receiver that was restarted is found again once.
    async fn datagram(&mut self, message: &[u8]) -> Reply {
        let mut fresh = false;
        loop {
            // Taken out and put back only where it is still sound.
            let link = match self.link.take() {
                Some(link) => link,
                None => {
                    fresh = true;
                    match self.connect().await {
                        Ok(link) => link,
                        Err(reply) => return reply,
                    }
                }
            };
            let sent = match tokio::time::timeout(self.timeout, link.send(message)).await {
                Ok(sent) => sent,
                Err(_) => return no_answer(format!("{}: its queue stayed full for {:?}", self.place(), self.timeout)),
            };
            let error = match sent {
                Ok(()) => {
                    self.link = Some(link);
                    return Reply::Written(format!("sent to {}, which confirms nothing", self.place()));
                }
                Err(error) => error,
            };
            if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) {
                self.link = Some(link);
                let detail = format!("{} takes no message of {} bytes", self.place(), message.len());
                return Reply::Failed { cause: Cause::Size, detail };
            }
            // Over UDP a refusal is about an earlier datagram, and a new socket would only forget it.
            if fresh || matches!(link, Link::Udp(_)) {
                return self.failed(&error);
            }
        }
    }

    /// All messages in one write. Written means: handed to the kernel, and the receiver had not hung up by then; neither
    /// TCP nor TLS syslog confirms more.
    async fn stream(&mut self, messages: &[Vec<u8>]) -> Reply {
        let place = self.place();
        let idle = match self.link.take() {
            // A connection that was closed since the last message has taken nothing of this one.
            Some(mut link) => link.check().await.is_ok().then_some(link),
            None => None,
        };
        let mut link = match idle {
            Some(link) => link,
            None => match self.connect().await {
                Ok(link) => link,
                Err(reply) => return reply,
            },
        };
        let bytes = link.frame(messages);
        match tokio::time::timeout(self.timeout, link.write(&bytes)).await {
            Ok(Ok(())) => {
                self.link = Some(link);
                Reply::Written(format!("written to {place}, which confirms nothing"))
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => no_answer(format!("{place} took nothing for {:?}", self.timeout)),
        }
    }

    async fn connect(&self) -> Result<Link, Reply> {
        match tokio::time::timeout(self.timeout, self.dial()).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(no_answer(format!("{}: no connection within {:?}", self.place(), self.timeout))),
        }
    }

    async fn dial(&self) -> io::Result<Link> {
        match &self.to {
            SyslogTarget::Local(path) => {
                let socket = UnixDatagram::unbound()?;
                match socket.connect(path) {
                    Ok(()) => Ok(Link::Datagram(socket)),
                    // It is a stream socket.
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTOTYPE) => {
                        Ok(Link::Stream(UnixStream::connect(path).await?))
                    }
                    Err(error) => Err(error),
                }
            }
            SyslogTarget::Udp(address) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in tokio::net::lookup_host(address).await? {
                    match udp(address).await {
                        Ok(socket) => return Ok(Link::Udp(socket)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            SyslogTarget::Tcp(address) => Ok(Link::Tcp(self.tcp(address).await?)),
            SyslogTarget::Tls { address, .. } => {
                let (connector, name) = self.tls.as_ref().expect("open() made it for this target");
                let stream = self.tcp(address).await?;
                Ok(Link::Tls(Box::new(connector.connect(name.clone(), stream).await?)))
            }
        }
    }

    /// A connection that notices a silent death: the kernel gives up on unacknowledged bytes after the timeout, and
    /// probes when there are none.
    async fn tcp(&self, address: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let limit_ms = u32::try_from(self.timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, limit_ms)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, Duration::from_secs(30))?;
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(10))?;
        Ok(stream)
    }

    fn failed(&self, error: &io::Error) -> Reply {
        let cause = if tls::is_certificate_fault(error) { Cause::Auth } else { Cause::Network };
        Reply::Failed { cause, detail: format!("{}: {}", self.place(), describe(error)) }
    }

    fn place(&self) -> String {
        match &self.to {
            SyslogTarget::Local(path) => path.display().to_string(),
            SyslogTarget::Udp(address) => format!("udp {address}"),
            SyslogTarget::Tcp(address) => format!("tcp {address}"),
            SyslogTarget::Tls { address, .. } => format!("tls {address}"),
        }
    }
}

async fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

impl Link {
    async fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Link::Datagram(socket) => socket.send(message).await.map(drop),
            Link::Udp(socket) => {
                socket.send(message).await?;
                // On this machine the refusal (ICMP port unreachable) is there already; from afar it comes later and fails
                // the next message.
                socket.take_error()?.map_or(Ok(()), Err)
            }
            Link::Stream(_) | Link::Tcp(_) | Link::Tls(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "a stream takes no datagram"))
            }
        }
    }

    fn frame(&self, messages: &[Vec<u8>]) -> Vec<u8> {
        let size = messages.iter().map(|message| message.len() + 12).sum();
        let mut bytes = Vec::with_capacity(size);
        for message in messages {
            if let Link::Stream(_) = self {
                // As glibc's syslog(3) does on a stream socket.
                bytes.extend_from_slice(message);
                bytes.push(0);
            } else {
                bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
                bytes.extend_from_slice(message);
            }
        }
        bytes
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Stream(stream) => write_all(stream, bytes).await?,
            Link::Tcp(stream) => write_all(stream, bytes).await?,
            Link::Tls(stream) => write_all(stream, bytes).await?,
            Link::Datagram(_) | Link::Udp(_) => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "a datagram socket takes no stream"));
            }
        }
        self.check().await
    }

    /// Whether the receiver still listens. What it says is thrown away: syslog has no answers.
    async fn check(&mut self) -> io::Result<()> {
        loop {
            // Asked of the kernel: the runtime may not have heard of the end yet.
            let waiting = match self {
                Link::Stream(stream) => peek(stream),
                Link::Tcp(stream) => peek(stream),
                Link::Tls(stream) => peek(stream.get_ref().0),
                Link::Datagram(_) | Link::Udp(_) => return Ok(()),
            }?;
            if !waiting {
                return Ok(());
            }
            match self {
                Link::Stream(stream) => {
                    stream.readable().await?;
                    discard(stream).await?
                }
                Link::Tcp(stream) => {
                    stream.readable().await?;
                    discard(stream).await?
                }
                Link::Tls(stream) => {
                    stream.get_ref().0.readable().await?;
                    discard(&mut **stream).await?
                }
                Link::Datagram(_) | Link::Udp(_) => return Ok(()),
            }
        }
    }
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the receiver closed the connection")
}

/// Whether bytes are waiting to be read.
fn peek(socket: &impl AsFd) -> io::Result<bool> {
    let mut byte = [0; 1];
    match rustix::net::recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Err(hung_up()),
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads once without waiting.
async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bytes = [0; 1024];
    let mut buffer = ReadBuf::new(&mut bytes);
    let read = poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut buffer))).await;
    match read {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(hung_up()),
        Poll::Ready(result) => result,
    }
}

#[cfg(test)]
#[path = "syslog_tests.rs"]
mod tests;
