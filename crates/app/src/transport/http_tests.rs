//! What the HTTP transport makes of servers that behave and of servers that do not, over real loopback sockets.

use super::*;
use crate::transport::testing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nx-request-id: r-1\r\ncontent-length: 2\r\n\r\nok";

fn client() -> Http {
    let settings = HttpTransport { connect_timeout: Duration::from_secs(5), ca_file: None };
    Http::open(&settings, 4).unwrap()
}

fn post(url: String) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url,
        headers: vec![("content-type".into(), "text/plain".into()), ("x-secret".into(), "hunter2".into())],
        body: b"hello".to_vec(),
    }
}

fn detail(reply: &Reply, expected: Cause) -> &str {
    match reply {
        Reply::Failed { cause, detail } => {
            assert_eq!(*cause, expected, "{detail}");
            assert!(!detail.contains("hunter2"), "{detail}");
            detail
        }
        other => panic!("a failure was expected: {other:?}"),
    }
}

/// Reads one request with a body of five bytes; empty where the client closed.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 1024];
    while !seen.ends_with(b"\r\n\r\nhello") {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(n) => seen.extend_from_slice(&chunk[..n]),
        }
    }
    String::from_utf8(seen).unwrap()
}

/// A server that answers each connection's first request with `answer` and closes.
async fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_request_arrives_as_it_was_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        request
    });
    let reply = client().exec(post(format!("http://{address}/hook?a=b"))).await;
    let Reply::Http(reply) = reply else { panic!("{reply:?}") };
    assert_eq!((reply.status, reply.header("x-request-id"), &reply.body[..]), (200, Some("r-1"), &b"ok"[..]));
    let seen = seen.await.unwrap();
    assert!(seen.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{seen}");
    for part in ["x-secret: hunter2", &format!("host: {address}"), "content-length: 5"] {
        assert!(seen.contains(part), "{part} is missing in {seen}");
    }
}

#[tokio::test]
async fn a_connection_closed_between_requests_costs_no_attempt() {
    let url = server(OK).await;
    let http = client();
    for _ in 0..20 {
        let reply = http.exec(post(url.clone())).await;
        assert!(matches!(&reply, Reply::Http(reply) if reply.status == 200), "{reply:?}");
        // The server has closed by now or does so at any moment; the client learns it from its socket.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            assert!(read_request(&mut stream).await.starts_with("POST"));
            stream.write_all(OK).await.unwrap();
        }
    });
    let http = client();
    for _ in 0..3 {
        assert!(matches!(http.exec(post(url.clone())).await, Reply::Http(_)));
    }
    served.await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let url = server(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let reply = client().exec(post(url)).await;
    assert!(matches!(&reply, Reply::Http(reply) if reply.status == 302), "{reply:?}");
}

#[tokio::test]
async fn a_body_without_end_is_read_to_the_limit_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        // Ends when the client hangs up.
        while stream.write_all(b"4\r\nxxxx\r\n").await.is_ok() {}
    });
    let reply = client().exec(post(url)).await;
    let Reply::Http(reply) = reply else { panic!("{reply:?}") };
    assert_eq!((reply.status, reply.body.len()), (500, HTTP_REPLY_BYTES_MAX));
    flood.await.unwrap();
}

#[tokio::test]
async fn garbage_and_broken_answers_are_network_failures() {
    let check = async |answer: &'static [u8], words: &str| {
        let reply = client().exec(post(server(answer).await)).await;
        let detail = detail(&reply, Cause::Network);
        assert!(detail.contains(words), "{detail}");
    };
    check(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP/1.1").await;
    check(b"", "before it had answered").await;
    check(b"HTTP/1.1 200 OK\r\nconte", "before it had answered").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "the answer 200 broke off after 3 bytes").await;
}

#[tokio::test]
async fn too_many_headers_fail_the_attempt() {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    (0..=REPLY_HEADERS_MAX).for_each(|n| answer.extend_from_slice(format!("h{n}: v\r\n").as_bytes()));
    answer.extend_from_slice(b"\r\n");
    let reply = client().exec(post(server(answer.leak()).await)).await;
    detail(&reply, Cause::Network);
}

#[tokio::test]
async fn metadata_addresses_are_refused_before_a_connection() {
    for url in ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/", "http://2852039166/", "http://0xa9fea9fe/"]
    {
        let reply = client().exec(post(url.to_owned())).await;
        let detail = detail(&reply, Cause::Schema);
        assert!(detail.contains("serves cloud metadata"), "{detail}");
    }
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reply = client().exec(post(format!("http://{address}/hunter2"))).await;
    let detail = detail(&reply, Cause::Network);
    assert!(detail.contains(&format!("no connection to {address}: Connection refused")), "{detail}");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_a_schema_failure_without_its_secrets() {
    let http = client();
    for url in ["ftp://127.0.0.1/hunter2", "/hunter2", "http:///hunter2", "http://a b/hunter2"] {
        let reply = http.exec(post(url.to_owned())).await;
        detail(&reply, Cause::Schema);
    }
    let mut request = post("http://127.0.0.1:1/".into());
    request.headers[1].1 = "hunter2\r\nx-forged: 1".into();
    let reply = http.exec(request).await;
    assert!(detail(&reply, Cause::Schema).contains("header x-secret"));
}

#[tokio::test]
async fn https_is_accepted_only_from_a_trusted_authority() {
    let address = testing::tls_server(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let open = |ca_file| {
        let settings = HttpTransport { connect_timeout: Duration::from_secs(5), ca_file: Some(ca_file) };
        Http::open(&settings, 1).unwrap()
    };
    let url = format!("https://localhost:{}/", address.port());
    let reply = open(testing::trusted()).exec(post(url.clone())).await;
    assert!(matches!(&reply, Reply::Http(reply) if reply.status == 200), "{reply:?}");
    let reply = open(testing::stranger()).exec(post(url)).await;
    assert!(detail(&reply, Cause::Auth).contains("UnknownIssuer"));
    let reply = open(testing::trusted()).exec(post(format!("https://{address}/"))).await;
    assert!(detail(&reply, Cause::Auth).contains("not valid for name"), "{reply:?}");
}
