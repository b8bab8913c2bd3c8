//! How mail sessions go with servers that accept, refuse, hang up and hang, spoken by a scripted server on loopback.

use super::*;
use crate::transport::testing;
use balefire_model::text::Secret;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(5);

/// What the server answers where it does not say yes: (beginning of a command, reply).
type Rules = &'static [(&'static str, &'static str)];

const HELLO: &str = "250-test\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS";

fn answer_for(line: &str, rules: Rules) -> &'static str {
    if let Some((_, reply)) = rules.iter().find(|(command, _)| line.starts_with(command)) {
        return reply;
    }
    match line.split(' ').next().unwrap() {
        "EHLO" => HELLO,
        "AUTH" => "235 welcome",
        "DATA" => "354 go on",
        "STARTTLS" => "220 ready",
        "QUIT" => "221 bye",
        _ => "250 ok",
    }
}

/// One session; every command and every line of a message goes into the log. Says whether the client wants TLS now.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greet: bool,
    rules: Rules,
    log: &mpsc::Sender<String>,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greet {
        stream.write_all(b"220 test\r\n").await.unwrap();
    }
    let mut in_message = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            line.push_str("<end>");
        }
        let line = line.trim_end();
        // A closed log: the test has seen what it wanted.
        if log.send(line.to_owned()).await.is_err() || line == "<end>" {
            return None;
        }
        let reply = match (in_message, line) {
            (true, ".") => {
                rules.iter().find(|(command, _)| *command == ".").map_or("250 queued as 4F2B", |(_, reply)| reply)
            }
            (true, _) => continue,
            (false, line) => answer_for(line, rules),
        };
        in_message = reply.starts_with("354");
        match reply {
            "<silence>" => continue,
            "<close>" => return None,
            _ => stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap(),
        }
        if line == "STARTTLS" && reply.starts_with("220") {
            return Some(stream.into_inner());
        }
    }
}

/// A server for plain and STARTTLS sessions; its port and what it heard.
async fn server(rules: Rules) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (log, heard) = mpsc::channel(1000);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Some(stream) = talk(stream, true, rules, &log).await else { continue };
            if let Ok(stream) = testing::acceptor().accept(stream).await {
                talk(stream, false, rules, &log).await;
            }
        }
    });
    (port, heard)
}

fn settings(port: u16, tls: SmtpTls) -> SmtpTransport {
    SmtpTransport {
        host: "localhost".into(),
        port,
        tls,
        credentials: None,
        ca_file: Some(testing::trusted()),
        hello: "alerts.example.org".into(),
        timeout: PATIENCE,
    }
}

fn open(settings: SmtpTransport) -> Smtp {
    Smtp::open(settings, 2).unwrap()
}

fn mail() -> Mail {
    Mail {
        from: "balefire@example.org".into(),
        to: vec!["soc@example.org".into(), "duty@example.org".into()],
        message: b"Subject: x\r\n\r\nbody\r\n.dot\r\n".to_vec(),
        is_patient: true,
    }
}

fn assert_smtp(reply: &Reply, expected: u16, words: &str) {
    let Reply::Smtp { code, text } = reply else { panic!("an answer was expected: {reply:?}") };
    assert_eq!(*code, expected, "{text}");
    assert!(text.contains(words), "{text}");
}

fn assert_failed(reply: &Reply, expected: Cause, words: &str) {
    let Reply::Failed { cause, detail } = reply else { panic!("a failure was expected: {reply:?}") };
    assert_eq!(*cause, expected, "{detail}");
    assert!(detail.contains(words), "{detail}");
    assert!(!detail.contains("hunter2"), "{detail}");
}

fn heard(log: &mut mpsc::Receiver<String>) -> Vec<String> {
    std::iter::from_fn(|| log.try_recv().ok()).collect()
}

#[tokio::test]
async fn a_mail_arrives_whole_and_the_queue_id_comes_back() {
    let (port, mut log) = server(&[]).await;
    let smtp = open(settings(port, SmtpTls::None));
    assert_smtp(&smtp.exec(mail()).await, 250, "queued as 4F2B");
    assert_eq!(
        heard(&mut log),
        [
            "EHLO alerts.example.org",
            "MAIL FROM:<balefire@example.org>",
            "RCPT TO:<soc@example.org>",
            "RCPT TO:<duty@example.org>",
            "DATA",
            "Subject: x",
            "",
            "body",
            "..dot",
            ".",
        ]
    );
}

#[tokio::test]
async fn the_next_mail_uses_the_same_session_and_rest_ends_it_politely() {
    let (port, mut log) = server(&[]).await;
    let smtp = open(settings(port, SmtpTls::None));
    assert_smtp(&smtp.exec(mail()).await, 250, "");
    assert_smtp(&smtp.exec(mail()).await, 250, "");
    smtp.rest().await;
    let log = heard(&mut log);
    assert_eq!(log.iter().filter(|line| line.starts_with("EHLO")).count(), 1);
    assert_eq!(log.last().unwrap(), "QUIT");
}

#[tokio::test]
async fn a_session_that_the_server_ended_meanwhile_costs_no_attempt() {
    let (port, mut log) = server(&[("NOOP", "<close>")]).await;
    let smtp = open(settings(port, SmtpTls::None));
    for _ in 0..3 {
        assert_smtp(&smtp.exec(mail()).await, 250, "");
    }
    assert_eq!(heard(&mut log).iter().filter(|line| line.starts_with("EHLO")).count(), 3);
}

#[tokio::test]
async fn a_recipient_who_is_refused_is_named_and_the_others_get_the_mail() {
    let (port, mut log) = server(&[("RCPT TO:<duty", "550 5.1.1 no such user")]).await;
    let smtp = open(settings(port, SmtpTls::None));
    let reply = smtp.exec(mail()).await;
    assert_smtp(&reply, 250, "queued as 4F2B; not taken: 550 5.1.1 no such user (about <duty@example.org>)");
    assert!(heard(&mut log).iter().any(|line| line == "DATA"));
    // Patience for one is patience for all, until it has lasted too long.
    let (port, mut log) = server(&[("RCPT TO:<duty", "452 4.2.2 mailbox full")]).await;
    let smtp = open(settings(port, SmtpTls::None));
    assert_smtp(&smtp.exec(mail()).await, 452, "4.2.2 mailbox full (about <duty@example.org>)");
    assert!(!heard(&mut log).iter().any(|line| line == "DATA"));
    let impatient = Mail { is_patient: false, ..mail() };
    assert_smtp(&smtp.exec(impatient).await, 250, "not taken: 452 4.2.2 mailbox full (about <duty@example.org>)");
}

#[tokio::test]
async fn a_mail_that_nobody_may_get_is_refused_and_the_session_lives_on() {
    let (port, mut log) = server(&[("RCPT TO:<duty", "550 5.1.1 no such user")]).await;
    let smtp = open(settings(port, SmtpTls::None));
    let mut nobody = mail();
    nobody.to.remove(0);
    assert_smtp(&smtp.exec(nobody).await, 550, "5.1.1 no such user (about <duty@example.org>)");
    let first = heard(&mut log);
    assert!(!first.iter().any(|line| line == "DATA"), "{first:?}");
    assert_eq!(first.last().unwrap(), "RSET");
    let mut other = mail();
    other.to.truncate(1);
    assert_smtp(&smtp.exec(other).await, 250, "");
    assert!(!heard(&mut log).iter().any(|line| line.starts_with("EHLO")));
}

#[tokio::test]
async fn answers_of_the_server_come_back_with_their_code() {
    let check = async |rules: Rules, code: u16, words: &str| {
        let (port, _log) = server(rules).await;
        assert_smtp(&open(settings(port, SmtpTls::None)).exec(mail()).await, code, words);
    };
    check(&[("MAIL", "452 4.3.1 disk full")], 452, "4.3.1 disk full").await;
    check(&[("DATA", "451 4.7.1 greylisted")], 451, "4.7.1 greylisted").await;
    check(&[(".", "552-5.3.4 too\r\n552 5.3.4 large")], 552, "5.3.4 too large").await;
    check(&[("EHLO", "421 4.3.2 closing")], 421, "4.3.2 closing").await;
}

#[tokio::test]
async fn credentials_go_out_before_the_mail_and_stay_out_of_words() {
    let with = |port| {
        let mut settings = settings(port, SmtpTls::StartTls);
        settings.credentials = Some(("soc".into(), Secret::new("hunter2".into())));
        open(settings)
    };
    let (port, mut log) = server(&[]).await;
    assert_smtp(&with(port).exec(mail()).await, 250, "");
    let log = heard(&mut log);
    // "\0soc\0hunter2", RFC 4616.
    assert_eq!(
        log[..4],
        ["EHLO alerts.example.org", "STARTTLS", "EHLO alerts.example.org", "AUTH PLAIN AHNvYwBodW50ZXIy"]
    );

    let (port, _log) = server(&[("AUTH", "535 5.7.8 no")]).await;
    assert_smtp(&with(port).exec(mail()).await, 535, "5.7.8 no");
    let (port, _log) = server(&[("EHLO", "250-test\r\n250 STARTTLS")]).await;
    assert_failed(&with(port).exec(mail()).await, Cause::Auth, "neither AUTH PLAIN nor AUTH LOGIN");
}

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    let (port, mut log) = server(&[("EHLO", "250 test")]).await;
    let reply = open(settings(port, SmtpTls::StartTls)).exec(mail()).await;
    assert_failed(&reply, Cause::Network, "does not offer STARTTLS");
    assert!(!heard(&mut log).iter().any(|line| line.starts_with("MAIL")));
}

#[tokio::test]
async fn only_a_trusted_certificate_for_the_host_gets_mail() {
    let check = async |ca_file: PathBuf, host: &str, words: &str| {
        let (port, _log) = server(&[]).await;
        let mut settings = settings(port, SmtpTls::StartTls);
        settings.ca_file = Some(ca_file);
        settings.host = host.into();
        assert_failed(&open(settings).exec(mail()).await, Cause::Auth, words);
    };
    check(testing::stranger(), "localhost", "UnknownIssuer").await;
    check(testing::trusted(), "127.0.0.1", "not valid for name").await;
}

#[tokio::test]
async fn implicit_tls_is_spoken_from_the_first_byte() {
    let (log, mut heard_lines) = mpsc::channel(100);
    let address = testing::tls_server(move |stream| {
        let log = log.clone();
        async move {
            talk(stream, true, &[], &log).await;
        }
    })
    .await;
    let reply = open(settings(address.port(), SmtpTls::Implicit)).exec(mail()).await;
    assert_smtp(&reply, 250, "queued as 4F2B");
    assert_eq!(heard(&mut heard_lines)[1], "MAIL FROM:<balefire@example.org>");
}

#[tokio::test]
async fn silence_hang_ups_and_garbage_are_network_failures() {
    let check = async |rules: Rules, words: &str| {
        let (port, _log) = server(rules).await;
        let mut settings = settings(port, SmtpTls::None);
        settings.timeout = Duration::from_millis(100);
        assert_failed(&open(settings).exec(mail()).await, Cause::Network, words);
    };
    check(&[("EHLO", "<silence>")], "did not answer within 100ms").await;
    check(&[("RCPT", "<silence>")], "did not answer within 100ms").await;
    check(&[("MAIL", "<close>")], "incomplete response").await;
    check(&[(".", "<close>")], "incomplete response").await;
    check(&[("EHLO", "HTTP/1.1 400 Bad Request")], "localhost").await;
}

#[tokio::test]
async fn an_exchange_given_up_in_the_middle_is_not_continued_by_the_next_mail() {
    let (port, mut log) = server(&[("DATA", "<silence>")]).await;
    let smtp = open(settings(port, SmtpTls::None));
    let given_up = tokio::time::timeout(Duration::from_millis(100), smtp.exec(mail())).await;
    assert!(given_up.is_err());
    assert!(smtp.idle.lock().await.is_empty());
    while log.recv().await.unwrap() != "<end>" {}
}

#[tokio::test]
async fn text_beyond_ascii_needs_a_server_that_takes_it() {
    let mut wide = mail();
    wide.message = "Subject: x\r\n\r\ngrößer".into();
    let (port, mut log) = server(&[]).await;
    assert_smtp(&open(settings(port, SmtpTls::None)).exec(wide.clone()).await, 250, "");
    assert!(heard(&mut log).contains(&"MAIL FROM:<balefire@example.org> BODY=8BITMIME".to_owned()));
    let (port, _log) = server(&[("EHLO", "250 test")]).await;
    assert_failed(&open(settings(port, SmtpTls::None)).exec(wide).await, Cause::Schema, "8BITMIME");
}

#[tokio::test]
async fn what_is_no_address_is_never_sent() {
    let (port, mut log) = server(&[]).await;
    let smtp = open(settings(port, SmtpTls::None));
    for to in [vec!["soc@example.org>\r\nDATA".to_owned()], vec!["nobody".to_owned()], vec![]] {
        let reply = smtp.exec(Mail { to, ..mail() }).await;
        assert!(matches!(reply, Reply::Failed { cause: Cause::Schema, .. }), "{reply:?}");
    }
    assert!(heard(&mut log).is_empty());
}
