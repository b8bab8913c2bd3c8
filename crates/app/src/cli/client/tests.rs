//! The client against a server of a few lines on a socket of its own.

use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

/// Answers one connection after the other with these bytes, and gives what was asked.
fn server(answers: &'static [&'static str]) -> (tempfile::TempDir, Client, JoinHandle<Vec<String>>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let serve = move || {
        let answer = |answer: &&str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut chunk = [0; 4096];
            while !is_whole(&asked) {
                let count = stream.read(&mut chunk).unwrap();
                asked.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        };
        answers.iter().map(answer).collect()
    };
    let thread = std::thread::spawn(serve);
    let client = Client::new(&Reach::default(), || Ok(path)).unwrap();
    (dir, client, thread)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn post(body: &'static str) -> Question {
    let mut question = Question::post("/api/v1/incidents?on_error=keep".to_owned());
    question.body = Some(("application/json", Bytes::from_static(body.as_bytes())));
    question.idempotency_key = Some("k-1".to_owned());
    question
}

#[test]
fn a_question_reaches_the_socket_with_its_headers_and_body() {
    let (_dir, client, server) = server(&["HTTP/1.1 202 Accepted\r\ncontent-length: 13\r\n\r\n{\"results\":1}"]);
    let reply = client.ask(&post("{\"title\":\"a\"}")).unwrap();
    assert_eq!((reply.status, reply.json().unwrap()), (StatusCode::ACCEPTED, serde_json::json!({ "results": 1 })));
    let asked = server.join().unwrap().remove(0);
    assert!(asked.starts_with("POST /api/v1/incidents?on_error=keep HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("idempotency-key: k-1\r\n") && asked.ends_with("{\"title\":\"a\"}"), "{asked}");
}

#[test]
fn a_busy_server_and_a_broken_connection_are_asked_again_with_the_same_key() {
    let (_dir, client, server) = server(&[
        "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 202 Acc",
        "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}",
    ]);
    let reply = client.ask_patiently(&post("{}"), Duration::from_secs(60)).unwrap();
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert!(server.join().unwrap().iter().all(|asked| asked.contains("idempotency-key: k-1\r\n")));
}

#[test]
fn patience_ends_before_its_limit() {
    let (_dir, client, server) = server(&["HTTP/1.1 429 Slow\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n"]);
    let reply = client.ask_patiently(&post("{}"), Duration::from_secs(60)).unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    server.join().unwrap();
}

#[test]
fn where_no_server_is_the_error_says_what_was_tried_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let client = Client::new(&Reach::default(), || Ok(path.clone())).unwrap();
    let failure = Failure::from(client.ask(&Question::get("/".to_owned())).unwrap_err());
    assert_eq!(failure.exit, Exit::Unreachable);
    let text = failure.error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains("balefire serve"), "{text}");
}

#[test]
fn a_bad_answer_is_told_in_the_servers_words_and_ends_with_its_code() {
    let reply =
        |status, body: &'static str| Reply { status, retry_after: None, body: Bytes::from_static(body.as_bytes()) };
    let failure = reply(StatusCode::NOT_FOUND, "{\"detail\":\"there is no incident x\"}").json().unwrap_err();
    assert_eq!((failure.exit, failure.error.to_string().as_str()), (Exit::NotFound, "there is no incident x"));
    assert_eq!(reply(StatusCode::CONFLICT, "{}").json().unwrap_err().exit, Exit::Usage);
    assert_eq!(reply(StatusCode::UNAUTHORIZED, "nonsense").json().unwrap_err().exit, Exit::Failed);
    assert_eq!(reply(StatusCode::OK, "<html>").json().unwrap_err().exit, Exit::Failed);
}

#[test]
fn only_addresses_of_servers_are_taken() {
    let tcp = |is_tls, host: &str, port, prefix: &str| {
        Some(Target::Tcp { is_tls, host: host.to_owned(), port, prefix: prefix.to_owned() })
    };
    assert_eq!(parse_url("http://127.0.0.1:9480"), tcp(false, "127.0.0.1", 9480, ""));
    assert_eq!(parse_url("https://example.org/balefire/"), tcp(true, "example.org", 443, "/balefire"));
    assert_eq!(parse_url("http://[::1]:1/"), tcp(false, "::1", 1, ""));
    for text in ["", "127.0.0.1:9480", "ftp://x", "http://u:p@x", "http://x?y", "http://"] {
        assert_eq!(parse_url(text), None, "{text}");
    }
}

#[test]
fn a_token_is_never_printed() {
    let reach = Reach { url: None, token: Some(TokenText::from("bf_secret".to_owned())) };
    assert!(!format!("{reach:?}").contains("secret"));
    let client = Client::new(&reach, || Ok(PathBuf::new())).unwrap();
    assert!(!format!("{:?}", client.authorization).contains("secret"));
    let broken = Reach { url: None, token: Some(TokenText::from("a\nb".to_owned())) };
    let Err(failure) = Client::new(&broken, || Ok(PathBuf::new())) else { panic!("a line break is in no token") };
    assert_eq!(failure.exit, Exit::Usage);
}
