//! That every job gets exactly one outcome of its own, and that what waits travels together within the bounds.

use super::*;
use crate::transport::mongo::tests::{Answer, server_behind, settings};
use crate::transport::worker::tests::job;
use crate::transport::{Terminal, Worker, open};
use balefire_channels::{Channel, Document, HttpTransport, Limits, MongoTransport, Transport};
use balefire_model::Delivery;
use jiff::Timestamp;
use mongodb::bson::doc;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(20);
const BOUNDS: BulkBounds = BulkBounds { parts_max: 3, bytes_max: 10, exchanges_max: 2, reply_bytes_max: 1000 };

/// Sends parts as they are, one line each, and takes one line for each of them.
struct Lines {
    url: String,
    /// Whether the first request of all is one to make ready.
    prepares: bool,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Channel for Lines {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: 6,
            message_bytes_max: 1 << 20,
            attempt_timeout: LONG,
            follows_up: false,
            has_template: false,
        }
    }
    fn transport(&self) -> Transport {
        Transport::Bulk(HttpTransport { connect_timeout: LONG, ca_file: None })
    }
    fn bulk(&self) -> Option<&dyn Bulk> {
        Some(self)
    }
    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies {
            [] if delivery.incident.title == "over" => Step::Done(Outcome::Unknown),
            [] => Step::Send(Request::Part(format!("{}\n", delivery.incident.title).into_bytes())),
            [.., Reply::Written(words)] => Step::Done(Outcome::Delivered { receipt: words.clone() }),
            [.., other] => Step::Done(Outcome::Rejected { cause: Cause::Network, detail: format!("{other:?}") }),
        }
    }
}

impl Bulk for Lines {
    fn bounds(&self) -> BulkBounds {
        BOUNDS
    }
    fn prepare(&self, _: usize) -> Option<Box<dyn Exchange + '_>> {
        self.prepares.then(|| Box::new(Post { url: &self.url, parts: Vec::new() }) as Box<dyn Exchange>)
    }
    fn exchange(&self, parts: Vec<Vec<u8>>, _: usize) -> Box<dyn Exchange + '_> {
        Box::new(Post { url: &self.url, parts })
    }
}

struct Post<'a> {
    url: &'a str,
    parts: Vec<Vec<u8>>,
}

impl Exchange for Post<'_> {
    fn step(&mut self, reply: Option<Reply>) -> BulkStep {
        let done = |replies| BulkStep::Done { replies, node: 0 };
        match reply {
            None => {
                let (url, body) = (self.url.to_owned(), self.parts.concat());
                let request = HttpRequest { method: "POST", url, headers: vec![], body };
                BulkStep::Send { request, after: Duration::ZERO }
            }
            Some(Reply::Http(reply)) if reply.status == 200 => {
                let text = String::from_utf8(reply.body).unwrap();
                assert!(!text.contains("panic"), "told to");
                done(text.lines().map(|line| Reply::Written(line.to_owned())).collect())
            }
            Some(Reply::Http(reply)) => {
                let refused = Reply::Failed { cause: Cause::Auth, detail: reply.status.to_string() };
                done(vec![refused; self.parts.len().max(1)])
            }
            Some(other) => done(vec![other; self.parts.len()]),
        }
    }
}

/// The bodies that came, and the outcomes by number, where each request is answered by `answer` of its number and body.
async fn check(
    titles: &[&str],
    prepares: bool,
    answer: fn(usize, &str) -> (u16, String),
) -> (Vec<String>, BTreeMap<u32, Outcome>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, answer));
    let terminal = Terminal { is_terminal: false, width: 80, color: false };
    let worker: Worker = open("test", Arc::new(Lines { url, prepares }), None, terminal).unwrap();
    let (jobs, mut inbox) = (mpsc::channel(titles.len().max(1)), mpsc::channel(100));
    for (number, title) in titles.iter().enumerate() {
        jobs.0.send(job(title, u32::try_from(number).unwrap())).await.unwrap();
    }
    drop(jobs.0);
    let (cancel, cancelled) = watch::channel(false);
    let task = tokio::spawn(worker.run(jobs.1, inbox.0, cancelled, || Timestamp::UNIX_EPOCH));
    let mut outcomes = BTreeMap::new();
    while let Some(Finished { attempt, outcome, .. }) = inbox.1.recv().await {
        assert!(outcomes.insert(attempt, outcome).is_none(), "a second outcome");
    }
    task.await.unwrap();
    drop(cancel);
    server.abort();
    (BODIES.take(), outcomes)
}

thread_local! {
    /// Tests of the current-thread runtime serve on their own thread.
    static BODIES: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

async fn serve(listener: TcpListener, answer: fn(usize, &str) -> (u16, String)) {
    let mut number = 0;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        let body = loop {
            let count = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&request).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
            if body.len() == length {
                break body.to_owned();
            }
        };
        let (status, text) = answer(number, &body);
        number += 1;
        BODIES.with(|bodies| bodies.borrow_mut().push(body));
        let length = text.len();
        let answer = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn echo(_: usize, body: &str) -> (u16, String) {
    (200, body.to_owned())
}

fn receipt(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Delivered { receipt } => receipt,
        Outcome::Rejected { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_waits_travels_together_within_the_bounds_and_each_has_its_own_outcome() {
    let titles = ["a", "b", "c", "four-long", "over", "five-much-longer-than-a-batch", "d"];
    let (mut bodies, outcomes) = check(&titles, false, echo).await;
    bodies.sort();
    // Three at most, ten bytes at most; one alone may be larger. What found no room goes first in the next round.
    assert!(bodies.contains(&"a\nb\nc\n".to_owned()), "{bodies:?}");
    assert!(bodies.contains(&"five-much-longer-than-a-batch\n".to_owned()), "{bodies:?}");
    assert_eq!(bodies.concat().lines().count(), 6, "nothing is sent twice: {bodies:?}");
    assert_eq!(outcomes.len(), titles.len());
    for (number, title) in titles.iter().enumerate().filter(|(_, title)| **title != "over") {
        assert_eq!(receipt(&outcomes[&u32::try_from(number).unwrap()]), *title);
    }
    assert_eq!(outcomes[&4], Outcome::Unknown);
}

#[tokio::test]
async fn a_far_side_that_is_not_ready_gets_nothing_and_is_asked_again() {
    let first_refuses = |number, body: &str| match number {
        0 => (403, String::new()),
        _ => (200, body.to_owned()),
    };
    let (bodies, outcomes) = check(&["a", "b", "c", "d"], true, first_refuses).await;
    let refused = outcomes.values().filter(|outcome| receipt(outcome).contains("403")).count();
    assert!(refused == 3 || refused == 1, "one round hears of it: {outcomes:?}");
    assert_eq!(outcomes.len(), 4);
    assert_eq!(bodies.iter().filter(|body| body.is_empty()).count(), 2, "made ready once: {bodies:?}");
}

#[tokio::test]
async fn a_panic_of_the_kind_and_a_short_answer_end_their_own_round_only() {
    let first = |number, body: &str| match number {
        0 => (200, "panic".to_owned()),
        _ => (200, body.lines().next().unwrap().to_owned()),
    };
    let (_, outcomes) = check(&["a", "b", "c", "d"], false, first).await;
    assert_eq!(outcomes.len(), 4);
    let panicked = outcomes.values().filter(|outcome| receipt(outcome).contains("it panicked")).count();
    assert!(panicked == 3 || panicked == 1, "{outcomes:?}");
}

/// Sends a document for each job, and one of another name where the first is refused.
#[derive(Debug)]
struct Papers(MongoTransport, Duration);

impl Channel for Papers {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: 9,
            message_bytes_max: 1 << 20,
            attempt_timeout: self.1,
            follows_up: false,
            has_template: false,
        }
    }
    fn transport(&self) -> Transport {
        Transport::Mongo(self.0.clone())
    }
    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        let id = match replies {
            [] => delivery.incident.title.clone(),
            [Reply::DocumentRefused { code: 2, .. }] => format!("plain {}", delivery.incident.title),
            [.., Reply::Written(words)] => return Step::Done(Outcome::Delivered { receipt: words.clone() }),
            [.., other] => {
                return Step::Done(Outcome::Rejected { cause: Cause::Schema, detail: format!("{other:?}") });
            }
        };
        let bson = doc! {"_id": &id}.to_vec().unwrap();
        Step::Send(Request::Document(Document { id, bson }))
    }
}

/// The inserts that came, and the outcomes by number, where no insert is answered before so many are there.
async fn check_documents(
    titles: &[&str],
    together: usize,
    limit: Duration,
    answer: Answer,
) -> (Vec<Vec<String>>, BTreeMap<u32, Outcome>) {
    let (address, seen) = server_behind(answer, together).await;
    let terminal = Terminal { is_terminal: false, width: 80, color: false };
    let worker: Worker = open("test", Arc::new(Papers(settings(address), limit)), None, terminal).unwrap();
    let (jobs, mut inbox) = (mpsc::channel(titles.len()), mpsc::channel(100));
    for (number, title) in titles.iter().enumerate() {
        jobs.0.send(job(title, u32::try_from(number).unwrap())).await.unwrap();
    }
    drop(jobs.0);
    let (cancel, cancelled) = watch::channel(false);
    let task = tokio::spawn(worker.run(jobs.1, inbox.0, cancelled, || Timestamp::UNIX_EPOCH));
    let mut outcomes = BTreeMap::new();
    while let Some(Finished { attempt, outcome, .. }) = inbox.1.recv().await {
        assert!(outcomes.insert(attempt, outcome).is_none(), "a second outcome");
    }
    task.await.unwrap();
    drop(cancel);
    let seen = seen.lock().unwrap().clone();
    (seen, outcomes)
}

#[tokio::test]
async fn two_inserts_are_under_way_at_once_and_no_document_goes_twice() {
    let answer: Answer = |ids| Some(doc! {"ok": 1.0, "n": i32::try_from(ids.len()).unwrap()});
    let (mut seen, outcomes) = check_documents(&["a", "b", "c", "d", "e", "f"], 2, LONG, answer).await;
    seen.sort();
    assert_eq!(seen, [["a", "b", "c"], ["d", "e", "f"]]);
    assert!(outcomes.len() == 6 && outcomes.values().all(Outcome::is_delivered), "{outcomes:?}");
}

#[tokio::test]
async fn a_document_that_is_refused_goes_once_more_in_its_other_form_without_those_that_are_there() {
    let answer: Answer = |ids| {
        let errors = ids.iter().enumerate().filter(|(_, id)| *id == "b");
        let errors: Vec<_> =
            errors.map(|(index, _)| doc! {"index": i32::try_from(index).unwrap(), "code": 2, "errmsg": "no"}).collect();
        Some(doc! {"ok": 1.0, "n": i32::try_from(ids.len() - errors.len()).unwrap(), "writeErrors": errors})
    };
    let (seen, outcomes) = check_documents(&["a", "b", "c"], 1, LONG, answer).await;
    assert_eq!(seen, [vec!["a", "b", "c"], vec!["plain b"]]);
    assert!(outcomes.len() == 3 && outcomes.values().all(Outcome::is_delivered), "{outcomes:?}");
}

#[tokio::test]
async fn inserts_without_an_answer_in_time_are_refused_as_network_each_document_for_itself() {
    // One insert waits for another one that never comes.
    let answer: Answer = |_| None;
    let (_, outcomes) = check_documents(&["a", "b"], 2, Duration::from_millis(300), answer).await;
    let late = |outcome: &Outcome| matches!(outcome, Outcome::Rejected { cause: Cause::Network, .. });
    assert!(outcomes.len() == 2 && outcomes.values().all(late), "{outcomes:?}");
}
