//! The MongoDB transport against a server that answers by script: what each document of a command hears. The real server
//! is in the end-to-end tests; this one refuses whole commands, loses its primary and its majority.

use super::*;
use balefire_model::text::Secret;
use mongodb::bson::{Document as Bson, doc};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

/// What the server says to an insert of these ids; none: it closes the connection.
pub(in crate::transport) type Answer = fn(&[String]) -> Option<Bson>;

/// The ids of each insert that came, in order.
type Seen = Arc<Mutex<Vec<Vec<String>>>>;

async fn server(answer: Answer) -> (SocketAddr, Seen) {
    server_behind(answer, 1).await
}

/// A server that answers no insert before so many are there.
pub(in crate::transport) async fn server_behind(answer: Answer, together: usize) -> (SocketAddr, Seen) {
    let gate = Arc::new(Barrier::new(together));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let shared = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, shared.clone(), gate.clone()));
        }
    });
    (address, seen)
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: Seen, gate: Arc<Barrier>) -> std::io::Result<()> {
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head).await?;
        let word = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(word(0)).unwrap() - 16];
        stream.read_exact(&mut body).await?;
        // The first message of a connection is OP_QUERY (2004) or OP_MSG (2013); both are answered with what both read.
        let ids = if word(12) == 2013 { inserted(&body) } else { None };
        let said = match ids {
            Some(ids) => {
                seen.lock().unwrap().push(ids.clone());
                gate.wait().await;
                match answer(&ids) {
                    Some(said) => said,
                    None => return Ok(()),
                }
            }
            None => doc! {
                "ok": 1.0, "ismaster": true, "isWritablePrimary": true, "helloOk": true, "minWireVersion": 0,
                "maxWireVersion": 21, "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000,
                "maxWriteBatchSize": 100_000,
            },
        };
        let said = said.to_vec().unwrap();
        let (code, prefix) = if word(12) == 2013 { (2013, vec![0; 5]) } else { (1, one_document()) };
        let length = i32::try_from(16 + prefix.len() + said.len()).unwrap();
        let mut message = Vec::new();
        for word in [length, 1, word(4), code] {
            message.extend(word.to_le_bytes());
        }
        message.extend(prefix);
        message.extend(said);
        stream.write_all(&message).await?;
    }
}

/// What stands before the document of an OP_REPLY: flags, no cursor, from the start, one document.
fn one_document() -> Vec<u8> {
    let mut prefix = vec![0; 16];
    prefix.extend(1_i32.to_le_bytes());
    prefix
}

/// The ids of the documents of an insert: a section of kind 0 with the command, one of kind 1 with the documents.
fn inserted(body: &[u8]) -> Option<Vec<String>> {
    let mut rest = &body[4..];
    let mut ids = None;
    while let Some((kind, section)) = rest.split_first() {
        let length = usize::try_from(i32::from_le_bytes(section[..4].try_into().unwrap())).unwrap();
        let (section, after) = section.split_at(length);
        match kind {
            0 => {
                let command = Bson::from_reader(section).unwrap();
                ids = ids.or_else(|| command.contains_key("insert").then(Vec::new));
            }
            _ => {
                let mut documents = &section[4 + b"documents\0".len()..];
                let mut found = Vec::new();
                while !documents.is_empty() {
                    found.push(Bson::from_reader(&mut documents).unwrap().get_str("_id").unwrap().to_owned());
                }
                ids = Some(found);
            }
        }
        rest = after;
    }
    ids
}

pub(in crate::transport) fn settings(address: SocketAddr) -> MongoTransport {
    MongoTransport {
        uri: Secret::new(format!("mongodb://{address}/?directConnection=true&retryWrites=false")),
        hosts: address.to_string(),
        database: "d".to_owned(),
        collection: "c".to_owned(),
        tls: false,
        ca_file: None,
        // The driver looks for a server again half a second after it has lost it.
        connect_timeout: Duration::from_secs(10),
        majority_timeout: Duration::from_secs(5),
        bounds: BulkBounds { parts_max: 3, bytes_max: 1 << 20, exchanges_max: 2, reply_bytes_max: 0 },
    }
}

fn documents(ids: &[&str]) -> Vec<Document> {
    let document = |id: &&str| Document { id: (*id).to_owned(), bson: doc! {"_id": *id}.to_vec().unwrap() };
    ids.iter().map(document).collect()
}

/// What each of these documents hears, in one word, and the inserts that it took.
async fn check(answer: Answer, ids: &[&str], expected: &[&str]) -> Vec<Vec<String>> {
    let (address, seen) = server(answer).await;
    let replies = Mongo::open(settings(address)).unwrap().exec(documents(ids)).await;
    let word = |reply: &Reply| match reply {
        Reply::Written(words) => words.clone(),
        Reply::DocumentRefused { code, .. } => format!("document {code}"),
        Reply::CommandRefused { code, .. } => format!("command {code}"),
        Reply::Failed { cause, .. } => cause.as_str().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(replies.iter().map(word).collect::<Vec<_>>(), expected, "{replies:?}");
    seen.lock().unwrap().clone()
}

const DONE: &str = "in d.c";

#[tokio::test]
async fn each_document_hears_its_own_fate_in_one_command() {
    let answer: Answer = |ids| {
        let errors = ids.iter().enumerate().filter(|(_, id)| id.starts_with('x'));
        let errors: Vec<_> = errors
            .map(|(index, _)| doc! {"index": i32::try_from(index).unwrap(), "code": 121, "errmsg": "no"})
            .collect();
        Some(doc! {"ok": 1.0, "n": i32::try_from(ids.len() - errors.len()).unwrap(), "writeErrors": errors})
    };
    let seen = check(answer, &["a", "x1", "b", "x2"], &[DONE, "document 121", DONE, "document 121"]).await;
    assert_eq!(seen, [["a", "x1", "b", "x2"]]);
}

#[tokio::test]
async fn a_command_that_is_refused_for_one_document_fails_that_one_only() {
    let answer: Answer = |ids| {
        Some(match ids.iter().any(|id| id == "x") {
            true => doc! {"ok": 0.0, "code": 2, "codeName": "BadValue", "errmsg": "bad"},
            false => doc! {"ok": 1.0, "n": i32::try_from(ids.len()).unwrap()},
        })
    };
    let seen = check(answer, &["a", "b", "x", "c", "d"], &[DONE, DONE, "command 2", DONE, DONE]).await;
    assert_eq!(seen.len(), 5, "all, two halves, and the halves of the second: {seen:?}");
}

#[tokio::test]
async fn a_document_on_which_the_server_hangs_up_holds_nobody_back() {
    let answer: Answer =
        |ids| (!ids.iter().any(|id| id == "x")).then(|| doc! {"ok": 1.0, "n": i32::try_from(ids.len()).unwrap()});
    check(answer, &["a", "x", "b", "c"], &[DONE, "network", DONE, DONE]).await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_done_not_even_what_was_there() {
    let answer: Answer = |_| {
        let duplicate = doc! {"index": 0, "code": 11_000, "errmsg": "E11000"};
        let concern =
            doc! {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out"};
        Some(doc! {"ok": 1.0, "n": 1, "writeErrors": [duplicate], "writeConcernError": concern})
    };
    check(answer, &["a", "b"], &["command 64", "command 64"]).await;
}

#[tokio::test]
async fn a_server_that_is_not_the_primary_any_more_refuses_all_at_once() {
    let answer: Answer =
        |_| Some(doc! {"ok": 0.0, "code": 10_107, "codeName": "NotWritablePrimary", "errmsg": "not primary"});
    let seen = check(answer, &["a", "b", "c"], &["command 10107", "command 10107", "command 10107"]).await;
    assert_eq!(seen.len(), 1, "halves would hear the same: {seen:?}");
}

#[tokio::test]
async fn nobody_there_is_told_once_for_all_without_secrets() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut settings = settings(address);
    settings.connect_timeout = Duration::from_millis(500);
    settings.uri = Secret::new(format!("mongodb://u:hunter2@{address}/"));
    let replies = Mongo::open(settings).unwrap().exec(documents(&["a", "b"])).await;
    let words = format!("{replies:?}");
    assert!(replies.iter().all(|reply| matches!(reply, Reply::Failed { cause: Cause::Network, .. })), "{words}");
    assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_told_before_anything_is_sent() {
    let mut settings = settings("127.0.0.1:1".parse().unwrap());
    settings.ca_file = Some("/nonexistent/ca.pem".into());
    let Err(error) = Mongo::open(settings) else { panic!("it cannot be read") };
    assert_eq!(error.to_string(), "/nonexistent/ca.pem cannot be read");
}

#[test]
fn documents_go_together_as_far_as_one_command_carries_them() {
    let of = |megabytes: &[usize]| {
        let document = |megabytes: &usize| {
            let bytes = doc! {"_id": "x", "fill": "x".repeat(megabytes << 20)}.to_vec().unwrap();
            RawDocumentBuf::from_bytes(bytes).unwrap()
        };
        let ranges = commands(&megabytes.iter().map(document).collect::<Vec<_>>());
        ranges.into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), []);
    assert_eq!(of(&[1, 1, 1]), [(0, 3)]);
    assert_eq!(of(&[15, 15, 15, 1, 1]), [(2, 5), (0, 2)]);
    assert_eq!(of(&[40, 1]), [(1, 2), (0, 1)]);
}
