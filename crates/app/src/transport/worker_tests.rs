//! That every job gets exactly one outcome: whatever the channel's kind does, in which order the far side answers, and
//! when the worker is told to end.

use super::*;
use crate::transport::{Subject, Terminal, open};
use balefire_channels::{FileTransport, HttpRequest, HttpTransport, Limits, Transport};
use balefire_model::{Incident, Reason};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TERMINAL: Terminal = Terminal { is_terminal: false, width: 80, color: false };

/// A channel whose decisions are given by a function.
struct Scripted {
    limits: Limits,
    transport: Transport,
    step: fn(&Delivery<'_>, &[Reply]) -> Step,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Channel for Scripted {
    fn limits(&self) -> Limits {
        self.limits
    }
    fn transport(&self) -> Transport {
        self.transport.clone()
    }
    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        (self.step)(delivery, replies)
    }
}

/// A job about an incident of this title; its attempt is its number.
pub(in crate::transport) fn job(title: &str, number: u32) -> Job {
    let id = "01935f1c-7c00-7000-8000-000000000001";
    let incident = format!(
        r#"{{"id":"{id}","title":"{title}","severity":"high","detected_by":"t","fingerprint":"f","source":"s","received_at":"2026-11-22T03:00:00Z"}}"#
    );
    let incident: Incident = serde_json::from_str(&incident).unwrap();
    let delivery = DeliveryId::derive(incident.id, "opened", &number.to_string());
    Job {
        delivery,
        told_as: incident.id,
        subject: Subject::Known(Arc::new(incident)),
        reason: Reason::Opened,
        stands_in_for: None,
        resolved_at: None,
        acknowledgement: None,
        repeats: None,
        repeat_of: None,
        plain: false,
        ack_url: None,
        reached: None,
        opened: None,
        run: None,
        attempt: number,
    }
}

/// A running worker.
struct Running {
    jobs: mpsc::Sender<Job>,
    reports: mpsc::Receiver<Finished>,
    cancel: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn start(transport: Transport, in_flight: u32, limit: Duration, step: fn(&Delivery<'_>, &[Reply]) -> Step) -> Running {
    let limits = Limits {
        in_flight,
        message_bytes_max: 1 << 20,
        attempt_timeout: limit,
        follows_up: false,
        has_template: false,
    };
    let worker = open("test", Arc::new(Scripted { limits, transport, step }), None, TERMINAL).unwrap();
    let (jobs, inbox) = mpsc::channel(in_flight as usize);
    let (outbox, reports) = mpsc::channel(1000);
    let (cancel, cancelled) = watch::channel(false);
    let task = tokio::spawn(worker.run(inbox, outbox, cancelled, || Timestamp::UNIX_EPOCH));
    Running { jobs, reports, cancel, task }
}

impl Running {
    /// Sends jobs with these titles, closes the queue, and gives all outcomes by attempt.
    async fn finish(self, titles: &[&str]) -> BTreeMap<u32, Outcome> {
        let Running { jobs, mut reports, cancel, task } = self;
        for (number, title) in titles.iter().enumerate() {
            jobs.send(job(title, u32::try_from(number).unwrap())).await.unwrap();
        }
        drop(jobs);
        let mut outcomes = BTreeMap::new();
        while let Some(finished) = reports.recv().await {
            assert_eq!(finished.delivery, job("", finished.attempt).delivery);
            assert!(outcomes.insert(finished.attempt, finished.outcome).is_none(), "a second outcome");
        }
        task.await.unwrap();
        drop(cancel);
        outcomes
    }
}

const LONG: Duration = Duration::from_secs(20);

fn http() -> Transport {
    Transport::Http(HttpTransport { connect_timeout: LONG, ca_file: None })
}

fn file(path: PathBuf) -> Transport {
    Transport::File(FileTransport { path, rotate_bytes: None, keep: 1 })
}

/// Posts to the URL in the title; delivered with the status as receipt.
fn post(delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
    match replies {
        [] => {
            let url = delivery.incident.title.clone();
            Step::Send(Request::Http(HttpRequest { method: "POST", url, headers: vec![], body: vec![] }))
        }
        [.., Reply::Http(reply)] => delivered(&reply.status.to_string()),
        [.., other] => rejected(Cause::Network, format!("{other:?}")),
    }
}

/// Writes the title as two lines, one after the other.
fn two_lines(delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
    match replies {
        [] | [Reply::Written(_)] => {
            let line = format!("{} {}", delivery.incident.title, replies.len());
            Step::Send(Request::Line(line.into_bytes()))
        }
        [.., Reply::Written(how)] => delivered(how),
        [.., other] => rejected(Cause::Network, format!("{other:?}")),
    }
}

fn panics(delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
    assert!(delivery.incident.title != "bad", "no sense in\n{}", delivery.incident.title);
    two_lines(delivery, replies)
}

fn delivered(receipt: &str) -> Step {
    Step::Done(Outcome::Delivered { receipt: receipt.into() })
}

fn detail(outcome: &Outcome, expected: Cause) -> &str {
    match outcome {
        Outcome::Rejected { cause, detail } if *cause == expected => detail,
        other => panic!("{expected:?} was expected: {other:?}"),
    }
}

#[tokio::test]
async fn ordered_jobs_are_written_in_order_and_each_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let outcomes = start(file(path.clone()), 8, LONG, two_lines).finish(&["a", "b", "c"]).await;
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.values().all(Outcome::is_delivered), "{outcomes:?}");
    let text = std::fs::read_to_string(path).unwrap();
    let of = |title| text.lines().filter(|line| line.starts_with(title)).collect::<Vec<_>>();
    assert_eq!(of("a"), ["a 0", "a 1"]);
    let firsts: Vec<_> = text.lines().filter(|line| line.ends_with('0')).collect();
    assert_eq!(firsts, ["a 0", "b 0", "c 0"]);
}

#[tokio::test]
async fn a_panic_ends_its_own_attempt_only() {
    let directory = tempfile::tempdir().unwrap();
    let outcomes = start(file(directory.path().join("f")), 8, LONG, panics).finish(&["a", "bad", "c"]).await;
    assert!(outcomes[&0].is_delivered() && outcomes[&2].is_delivered(), "{outcomes:?}");
    assert!(detail(&outcomes[&1], Cause::Schema).ends_with("it panicked: no sense in\\nbad"));

    let outcomes = start(http(), 2, LONG, panics).finish(&["bad"]).await;
    assert!(detail(&outcomes[&0], Cause::Schema).contains("it panicked"));
}

#[tokio::test]
async fn a_request_of_another_kind_fails_and_an_endless_channel_ends() {
    let outcomes = start(http(), 2, LONG, two_lines).finish(&["a"]).await;
    assert!(detail(&outcomes[&0], Cause::Network).contains("cannot go over HTTP"));
    let endless = |_: &Delivery<'_>, _: &[Reply]| Step::Send(Request::Line(b"x".to_vec()));
    let outcomes = start(http(), 2, LONG, endless).finish(&["a"]).await;
    assert!(detail(&outcomes[&0], Cause::Schema).contains("more than 400 requests"));
    let directory = tempfile::tempdir().unwrap();
    let outcomes = start(file(directory.path().join("f")), 2, LONG, post).finish(&["http://a/"]).await;
    assert!(detail(&outcomes[&0], Cause::Network).contains("cannot go over a file"));
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_the_channel_allows() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let running = start(http(), 3, LONG, post);
    let server = tokio::spawn(async move {
        // Nobody is answered before three have come; more cannot come then.
        let mut open = Vec::new();
        for _ in 0..2 {
            while open.len() < 3 {
                open.push(listener.accept().await.unwrap().0);
            }
            for mut stream in open.drain(..) {
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    let outcomes = running.finish(&[url.as_str(); 6]).await;
    server.await.unwrap();
    assert_eq!(outcomes.len(), 6);
    assert!(outcomes.values().all(|outcome| *outcome == Outcome::Delivered { receipt: "204".into() }), "{outcomes:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_fails_in_time_and_disturbs_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let outcomes = start(http(), 2, Duration::from_millis(50), post).finish(&[&url, "http://127.0.0.1:1/", &url]).await;
    assert!(detail(&outcomes[&0], Cause::Network).contains("no answer within 50ms"));
    assert!(detail(&outcomes[&1], Cause::Network).contains("Connection refused"));
    assert!(detail(&outcomes[&2], Cause::Network).contains("no answer within 50ms"));
}

#[tokio::test]
async fn cancelled_work_is_abandoned_without_a_report() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut running = start(http(), 2, LONG, post);
    running.jobs.send(job(&url, 1)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    running.cancel.send(true).unwrap();
    running.task.await.unwrap();
    assert_eq!(running.reports.recv().await, None);
    // The connection is gone with it.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_worker_to_whom_nobody_listens_ends() {
    let directory = tempfile::tempdir().unwrap();
    for transport in [file(directory.path().join("f")), http()] {
        let running = start(transport, 2, LONG, two_lines);
        drop(running.reports);
        running.jobs.send(job("a", 1)).await.unwrap();
        running.task.await.unwrap();
    }
}
