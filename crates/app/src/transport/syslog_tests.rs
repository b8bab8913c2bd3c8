//! How syslog frames arrive at receivers that behave, that restart and that hang, over real sockets.

use super::*;
use crate::transport::testing;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};

const PATIENCE: Duration = Duration::from_secs(5);

fn open(to: SyslogTarget, timeout: Duration) -> Syslog {
    Syslog::open("test", SyslogTransport { to, timeout }).unwrap()
}

fn local(path: &Path) -> Syslog {
    open(SyslogTarget::Local(path.to_owned()), PATIENCE)
}

fn messages(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn assert_written(replies: &[Reply], count: usize) {
    assert_eq!(replies.len(), count);
    assert!(replies.iter().all(|reply| matches!(reply, Reply::Written(_))), "{replies:?}");
}

fn assert_failed(replies: &[Reply], expected: Cause, words: &str) {
    for reply in replies {
        let Reply::Failed { cause, detail } = reply else { panic!("a failure was expected: {reply:?}") };
        assert_eq!(*cause, expected, "{detail}");
        assert!(detail.contains(words), "{detail}");
    }
}

async fn receive(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let count = socket.recv(&mut bytes).await.unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin), count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_local_socket_gets_one_datagram_per_message() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let receiver = UnixDatagram::bind(&path).unwrap();
    assert_written(&local(&path).exec(messages(&["<1>a", "<1>b"])).await, 2);
    assert_eq!((receive(&receiver).await, receive(&receiver).await), ("<1>a".into(), "<1>b".into()));
}

#[tokio::test]
async fn a_restarted_local_receiver_is_found_without_a_failure() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let first = UnixDatagram::bind(&path).unwrap();
    let mut syslog = local(&path);
    assert_written(&syslog.exec(messages(&["1"])).await, 1);
    drop(first);
    assert_failed(&syslog.exec(messages(&["2", "2"])).await, Cause::Network, "Connection refused");
    std::fs::remove_file(&path).unwrap();
    assert_failed(&syslog.exec(messages(&["3"])).await, Cause::Network, "No such file");
    let second = UnixDatagram::bind(&path).unwrap();
    assert_written(&syslog.exec(messages(&["4"])).await, 1);
    assert_eq!(receive(&second).await, "4");
    drop(second);
    std::fs::remove_file(&path).unwrap();
    let third = UnixDatagram::bind(&path).unwrap();
    assert_written(&syslog.exec(messages(&["5"])).await, 1);
    assert_eq!(receive(&third).await, "5");
}

#[tokio::test]
async fn a_local_stream_socket_gets_messages_that_end_in_nul() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let listener = UnixListener::bind(&path).unwrap();
    assert_written(&local(&path).exec(messages(&["<1>a", "<1>b"])).await, 2);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(read(&mut stream, 10).await, "<1>a\0<1>b\0");
}

#[tokio::test]
async fn a_message_too_long_for_a_datagram_is_said_to_be_and_the_next_one_goes() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut syslog = open(SyslogTarget::Udp(receiver.local_addr().unwrap().to_string()), PATIENCE);
    let replies = syslog.exec(vec![vec![b'x'; 70_000], b"short".to_vec()]).await;
    assert_failed(&replies[..1], Cause::Size, "takes no message of 70000 bytes");
    assert_written(&replies[1..], 1);
    let mut bytes = [0; 100];
    assert_eq!(receiver.recv(&mut bytes).await.unwrap(), 5);
}

#[tokio::test]
async fn a_closed_udp_port_on_this_machine_is_a_failure() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = receiver.local_addr().unwrap().to_string();
    drop(receiver);
    let mut syslog = open(SyslogTarget::Udp(address), PATIENCE);
    assert_failed(&syslog.exec(messages(&["1", "2"])).await, Cause::Network, "Connection refused");
}

#[tokio::test]
async fn a_local_receiver_that_reads_nothing_fails_in_time() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let _stuck = UnixDatagram::bind(&path).unwrap();
    let mut syslog = open(SyslogTarget::Local(path), Duration::from_millis(20));
    // More than any queue of datagrams holds (net.unix.max_dgram_qlen is 10 or 512).
    let replies = syslog.exec(vec![vec![b'x'; 8000]; 2000]).await;
    assert_failed(&replies[1999..], Cause::Network, "queue stayed full");
    assert!(matches!(replies[0], Reply::Written(_)));
}

#[tokio::test]
async fn tcp_frames_are_counted_in_octets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut syslog = open(SyslogTarget::Tcp(listener.local_addr().unwrap().to_string()), PATIENCE);
    assert_written(&syslog.exec(messages(&["<1>größe", "<1>b"])).await, 2);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(read(&mut stream, 19).await, "10 <1>größe4 <1>b");
}

#[tokio::test]
async fn a_connection_closed_between_messages_is_replaced_without_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut syslog = open(SyslogTarget::Tcp(listener.local_addr().unwrap().to_string()), PATIENCE);
    for _ in 0..3 {
        assert_written(&syslog.exec(messages(&["a"])).await, 1);
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut stream, 3).await, "1 a");
    }
}

#[tokio::test]
async fn what_a_receiver_says_is_ignored() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut syslog = open(SyslogTarget::Tcp(listener.local_addr().unwrap().to_string()), PATIENCE);
    assert_written(&syslog.exec(messages(&["a"])).await, 1);
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&[b'x'; 5000]).await.unwrap();
    assert_written(&syslog.exec(messages(&["b"])).await, 1);
    assert_eq!(read(&mut stream, 6).await, "1 a1 b");
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_fails_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut syslog = open(SyslogTarget::Tcp(address), Duration::from_millis(50));
    // More than the kernel buffers on both sides.
    let replies = syslog.exec(vec![vec![b'x'; 1 << 20]; 32]).await;
    assert_eq!(replies.len(), 32);
    assert_failed(&replies, Cause::Network, "took nothing for 50ms");
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let replies = open(SyslogTarget::Tcp(address.clone()), PATIENCE).exec(messages(&["1", "2"])).await;
    assert_failed(&replies, Cause::Network, &format!("tcp {address}: Connection refused"));
    assert_eq!(replies.len(), 2);
}

fn over_tls(address: SocketAddr, server_name: &str, ca_file: std::path::PathBuf, timeout: Duration) -> Syslog {
    let target =
        SyslogTarget::Tls { address: address.to_string(), server_name: server_name.into(), ca_file: Some(ca_file) };
    open(target, timeout)
}

#[tokio::test]
async fn tls_frames_arrive_and_a_closed_session_is_replaced() {
    let (seen, mut arrived) = tokio::sync::mpsc::channel(4);
    let address = testing::tls_server(move |mut stream| {
        let seen = seen.clone();
        async move {
            let text = read(&mut stream, 3).await;
            stream.shutdown().await.unwrap();
            drop(stream);
            seen.send(text).await.unwrap();
        }
    })
    .await;
    let mut syslog = over_tls(address, "localhost", testing::trusted(), PATIENCE);
    for text in ["a", "b"] {
        assert_written(&syslog.exec(messages(&[text])).await, 1);
        assert_eq!(arrived.recv().await.unwrap(), format!("1 {text}"));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_names_another_host_is_an_auth_failure() {
    let address = testing::tls_server(|_| async {}).await;
    let replies = over_tls(address, "localhost", testing::stranger(), PATIENCE).exec(messages(&["a"])).await;
    assert_failed(&replies, Cause::Auth, "UnknownIssuer");
    let replies = over_tls(address, "logs.example.org", testing::trusted(), PATIENCE).exec(messages(&["a"])).await;
    assert_failed(&replies, Cause::Auth, "not valid for name");
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_fails_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let replies =
        over_tls(address, "localhost", testing::trusted(), Duration::from_millis(50)).exec(messages(&["a"])).await;
    assert_failed(&replies, Cause::Network, "no connection within 50ms");
}
