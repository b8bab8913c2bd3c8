//! The PostgreSQL transport against a server that answers by script: which rows hear what, which sessions are used again,
//! and what is asked. The real server is in the end-to-end tests.

use super::*;
use balefire_channels::{PostgresEndpoint, PostgresTable, PostgresTls};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server says to the list of a statement: the rows of its answer, or an error's SQLSTATE.
type Answer = fn(&Value) -> Result<Vec<[String; 4]>, &'static str>;

/// What came: how many sessions, and what each statement was about, `look` or how many are in its list.
#[derive(Default)]
struct Seen {
    sessions: usize,
    statements: Vec<String>,
}

async fn server(answer: Answer) -> (Postgres, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.lock().unwrap().sessions += 1;
            tokio::spawn(serve(stream, answer, shared.clone()));
        }
    });
    (Postgres::open(settings(address)).unwrap(), seen)
}

fn settings(address: SocketAddr) -> PostgresTransport {
    let table =
        PostgresTable { schema: "s".into(), name: "t".into(), create: None, may_repeat: false, makes_incidents: true };
    PostgresTransport {
        endpoints: vec![PostgresEndpoint::Host { name: address.ip().to_string(), port: address.port() }],
        username: "u".to_owned(),
        password: None,
        database: "d".to_owned(),
        application: "balefire".to_owned(),
        table,
        poll: None,
        bounds: BulkBounds { parts_max: 1000, bytes_max: 8 << 20, exchanges_max: 2, reply_bytes_max: 0 },
        tls: PostgresTls::Disable,
        ca_file: None,
        identity: None,
        connect_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(30),
    }
}

/// What the catalogue says of a table that takes everything.
fn catalogue() -> String {
    let column = |kind: &str| {
        json!({"type": kind, "length": null, "must_be_given": false, "is_unique": kind == "uuid", "may_insert": true,
            "may_select": true, "may_update": true, "refers": null})
    };
    let text = || column("text");
    json!({"is_standby": false, "rules": null, "incidents": null, "columns": {
        "alert_id": column("uuid"), "rule_id": text(), "severity": text(), "title": text(), "description": text(),
        "created_at": column("timestamp with time zone"), "acknowledged": column("boolean"), "acknowledged_by": text(),
        "acknowledged_at": column("timestamp with time zone"),
    }})
    .to_string()
}

/// Speaks as much of the protocol as we use (postgresql.org/docs/current/protocol-message-formats.html).
async fn serve(mut stream: TcpStream, answer: Answer, seen: Arc<Mutex<Seen>>) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await?;
    stream.write_all(&[message(b'R', &[0; 4]), message(b'Z', b"I")].concat()).await?;
    let (mut query, mut said) = (String::new(), Vec::new());
    loop {
        let kind = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        match kind {
            b'Q' => said.extend([message(b'C', b"DONE\0"), message(b'Z', b"I")].concat()),
            // Nameless: the text follows.
            b'P' => query = text(&body[1..]),
            b'B' => said.extend(answered(&query, &body, answer, &seen)),
            b'S' => said.extend(message(b'Z', b"I")),
            b'X' => return Ok(()),
            _ => {}
        }
        if matches!(kind, b'Q' | b'S') {
            stream.write_all(&said).await?;
            said.clear();
        }
    }
}

/// Everything that follows a parsed statement and its parameters.
fn answered(query: &str, bind: &[u8], answer: Answer, seen: &Mutex<Seen>) -> Vec<u8> {
    let is_look = query.contains("pg_catalog");
    // The parameters of a look are names.
    let list: Value = serde_json::from_str(&parameter(bind)).unwrap_or_default();
    let count = list.as_array().map_or(0, Vec::len);
    seen.lock().unwrap().statements.push(if is_look { "look".to_owned() } else { count.to_string() });
    let rows =
        if is_look { Ok(vec![[catalogue(), String::new(), String::new(), String::new()]]) } else { answer(&list) };
    match rows {
        Err(state) => message(b'E', format!("SERROR\0C{state}\0Mno\0\0").as_bytes()),
        Ok(rows) => {
            let column = |name: &str| [name.as_bytes(), &[0; 7], &25_u32.to_be_bytes(), &[255; 6], &[0; 2]].concat();
            let columns = ["a", "b", "c", "d"].map(column).concat();
            let mut said = [message(b'1', b""), message(b'2', b""), message(b't', &[0, 0])].concat();
            said.extend(message(b'T', &[&[0, 4], &columns[..]].concat()));
            for row in rows {
                let cell = |cell: String| [&u32::try_from(cell.len()).unwrap().to_be_bytes(), cell.as_bytes()].concat();
                said.extend(message(b'D', &[&[0, 4], &row.map(cell).concat()[..]].concat()));
            }
            said.extend(message(b'C', b"DONE\0"));
            said
        }
    }
}

/// The first parameter of a Bind message: two names, the formats, the count, then each with its length.
fn parameter(bind: &[u8]) -> String {
    let formats = usize::from(u16::from_be_bytes([bind[2], bind[3]]));
    let rest = &bind[4 + 2 * formats + 2..];
    let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
    String::from_utf8(rest[4..4 + length].to_vec()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

fn parts(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{{\"n\":{number}}}").into_bytes()).collect()
}

fn statements_seen(seen: &Mutex<Seen>) -> (usize, Vec<String>) {
    let mut seen = seen.lock().unwrap();
    (seen.sessions, std::mem::take(&mut seen.statements))
}

#[tokio::test]
async fn a_row_that_is_refused_is_found_by_halves_and_the_session_goes_on() {
    let (postgres, seen) = server(|list| match list.as_array().unwrap().iter().any(|part| part["n"] == 5) {
        true => Err("23514"),
        false => Ok(Vec::new()),
    })
    .await;
    let replies = postgres.exec(parts(8)).await;
    for (number, reply) in replies.iter().enumerate() {
        let expected = if number == 5 { "SqlRefused" } else { "Written" };
        assert!(format!("{reply:?}").starts_with(expected), "{number}: {reply:?}");
    }
    assert_eq!(statements_seen(&seen), (1, ["look", "8", "4", "4", "2", "1", "1", "2"].map(str::to_owned).to_vec()));
    postgres.exec(parts(2)).await;
    assert_eq!(statements_seen(&seen), (1, vec!["2".to_owned()]));
}

#[tokio::test]
async fn what_is_about_no_row_ends_the_rest_and_its_session() {
    let (postgres, seen) = server(|_| Err("53200")).await;
    for sessions in 1..=2 {
        let replies = postgres.exec(parts(3)).await;
        let refused = |reply: &Reply| matches!(reply, Reply::SqlRefused { state, .. } if state == "53200");
        assert!(replies.len() == 3 && replies.iter().all(refused), "{replies:?}");
        assert_eq!(statements_seen(&seen), (sessions, vec!["look".to_owned(), "3".to_owned()]));
    }
}

#[tokio::test]
async fn a_table_that_has_changed_is_looked_at_once_more() {
    let (postgres, seen) = server(|_| Err("42703")).await;
    let replies = postgres.exec(parts(2)).await;
    assert!(replies.iter().all(|reply| matches!(reply, Reply::SqlRefused { .. })), "{replies:?}");
    assert_eq!(statements_seen(&seen).1, ["look", "2", "look", "2"]);
}

#[tokio::test]
async fn rows_are_asked_about_in_bounded_lists_and_their_words_come_as_they_are() {
    let (postgres, seen) = server(|list| {
        let row = |id: &Value| {
            [id.as_str().unwrap().to_owned(), "ann\u{1b}\r\n".to_owned(), String::new(), "true".to_owned()]
        };
        Ok(list.as_array().unwrap().iter().take(1).map(row).collect())
    })
    .await;
    let ids: Vec<String> = (0..2500).map(|number| number.to_string()).collect();
    let found = postgres.acknowledged(&ids).await.unwrap();
    assert_eq!(statements_seen(&seen), (1, ["look", "1000", "1000", "500"].map(str::to_owned).to_vec()));
    let said: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(said, ["0", "1000", "2000"]);
    assert!(found.iter().all(|row| row.by == "ann\u{1b}\r\n" && row.at.is_empty() && row.is_partial), "{found:?}");
}

#[tokio::test]
async fn a_row_and_what_changes_another_go_in_statements_of_one_transaction() {
    let (postgres, seen) = server(|_| Ok(Vec::new())).await;
    let id = "01935f1c-7c00-7000-8000-000000000001";
    let does = |does: &str| format!("{{\"id\":\"{id}\",\"does\":\"{does}\"}}").into_bytes();
    let replies = postgres.exec(vec![does("add"), does("ack"), does("unack")]).await;
    assert!(replies.iter().all(|reply| matches!(reply, Reply::Written(_))), "{replies:?}");
    assert_eq!(statements_seen(&seen), (1, ["look", "1", "0", "2"].map(str::to_owned).to_vec()));
    postgres.exec(vec![does("ack")]).await;
    assert_eq!(statements_seen(&seen), (1, ["0", "1"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_question_that_fails_is_an_error_and_its_session_is_not_used_again() {
    let (postgres, seen) = server(|_| Err("57014")).await;
    for sessions in 1..=2 {
        let asked = postgres.acknowledged(&["x".to_owned()]).await;
        assert!(matches!(asked, Err(Reply::SqlRefused { .. })), "{asked:?}");
        assert_eq!(statements_seen(&seen).0, sessions);
    }
}

#[test]
fn what_is_large_goes_in_several_statements_and_what_is_largest_alone() {
    let of = |sizes: &[usize]| statements(&sizes.iter().map(|size| vec![b' '; *size]).collect::<Vec<_>>());
    assert!(of(&[]).is_empty());
    assert_eq!(of(&[1, 2, 3]).first(), Some(&(0..3)));
    let half = STATEMENT_BYTES_MAX / 2;
    assert_eq!(of(&[half, half, 1, 2 * STATEMENT_BYTES_MAX, 1]), [4..5, 3..4, 2..3, 0..2]);
}
