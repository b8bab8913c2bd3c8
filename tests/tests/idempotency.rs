//! `Idempotency-Key`: a request that is sent again gets the ids of the first time, also after a crash.

use balefire_tests::client::Answer;
use balefire_tests::server::{Server, Site};
use serde_json::json;
use std::thread;

fn send(server: &Server, key: &str, title: &str) -> Answer {
    let body = json!([{"title": title}, {"title": format!("{title}, too")}]).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let mut connection = server.connect().expect("the server listens");
    connection.request("POST", "/api/v1/incidents", &headers, body.as_bytes()).expect("an answer comes")
}

#[test]
fn the_same_key_and_body_give_the_same_ids_and_one_history() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let first = send(&server, "k1", "one").expect(202);
    assert_eq!(first.header("idempotency-replayed"), None);
    let second = send(&server, "k1", "one").expect(202);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.ids(), second.ids());
    assert_eq!(server.all_ids().len(), 2);
    let other = send(&server, "k2", "one").expect(202);
    assert_ne!(first.ids(), other.ids(), "another key is another request");
    assert_eq!(server.all_ids().len(), 4);
}

#[test]
fn another_body_under_a_used_key_is_refused_with_422_and_changes_nothing() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let first = send(&server, "k1", "one").expect(202);
    let refused = send(&server, "k1", "two").expect(422);
    assert!(refused.text().contains("Idempotency-Key"), "{}", refused.text());
    assert_eq!(server.all_ids().len(), first.ids().len());
    for key in ["", &"k".repeat(256)] {
        let refused = send(&server, key, "one").expect(400);
        assert!(refused.text().contains("1 to 255"), "{}", refused.text());
    }
}

#[test]
fn concurrent_repeats_become_one() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    for round in 0..5 {
        let key = format!("k{round}");
        let answers: Vec<Answer> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| send(&server, &key, "same").expect(202))).collect();
            threads.into_iter().map(|thread| thread.join().expect("each sender got a 202")).collect()
        });
        assert!(answers.iter().all(|answer| answer.ids() == answers[0].ids()));
        let firsts = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
        assert_eq!(firsts, 1, "one of them was the first");
        assert_eq!(server.all_ids().len(), 2 * (round + 1));
    }
}

#[test]
fn a_key_is_remembered_over_a_kill_and_a_stop() {
    let site = Site::new("routing: custom\n");
    let mut server = site.start();
    let first = send(&server, "k1", "one").expect(202);
    server.kill();
    let mut server = site.start();
    let second = send(&server, "k1", "one").expect(202);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.ids(), second.ids());
    assert!(server.terminate().success());
    let server = site.start();
    assert_eq!(send(&server, "k1", "one").expect(202).ids(), first.ids());
    send(&server, "k1", "two").expect(422);
    assert_eq!(server.all_ids().len(), 2);
}
