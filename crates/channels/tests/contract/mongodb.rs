//! The mongodb kind from outside: its settings, its secrets, and what it does with a database's refusals.

use crate::scene::{channel, delivery, incident, request, resolve_node, sample};
use balefire_channels::{Kind, Reply, Request, Step, Transport};
use balefire_model::{Cause, Outcome};
use std::time::Duration;

fn kind() -> &'static Kind {
    Kind::find("mongodb").expect("a kind")
}

#[test]
fn its_settings_that_cannot_work_are_told() {
    let check = |settings: &[(&'static str, &str)], expected: &str| {
        let (_, problems) = resolve_node(kind(), &sample(kind(), settings));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|problem| problem.contains(expected)), "{settings:?}: {told:?}");
        assert!(!told.iter().any(|problem| problem.contains("hunter2")), "{told:?}");
    };
    check(&[("uri", "hunter2")], "is no mongodb:// address");
    check(
        &[("uri", "mongodb+srv://u:hunter2@cluster.example.org/")],
        "mongodb://host1,host2/?replicaSet=NAME&tls=true",
    );
    check(&[("uri", "mongodb://u:hunter2@db/?w=0")], "has the option w");
    check(
        &[("uri", "mongodb://u:hunter2@db/"), ("username", "u"), ("password", "hunter2")],
        "`username` stands beside",
    );
    check(&[("uri", "mongodb://u:hunter2@metadata.google.internal/")], "metadata");
    check(&[("username", "u")], "without `password`");
    check(&[("password", "hunter2")], "without `username`");
    check(&[("ca_file", "/ca.pem")], "`tls: true` beside it");
    check(&[("tls", "true"), ("uri", "mongodb://db/?tls=false")], "says otherwise");
    check(&[("database", "a.b")], "no name that MongoDB takes");
    check(&[("collection", "system.users")], "no name that MongoDB takes");
    check(&[("body", "bson")], "record");
    check(&[("collecton", "x")], "did you mean `collection`");
}

#[test]
fn its_password_shows_nowhere() {
    for settings in
        [&[("username", "u"), ("password", "hunter2")][..], &[("uri", "mongodb://u:hunter2@db1,db2/?replicaSet=r")][..]]
    {
        let channel = channel(kind(), settings);
        let Transport::Mongo(transport) = channel.transport() else { panic!("no MongoDB") };
        assert!(transport.uri.expose().starts_with("mongodb://u:hunter2@"), "the driver gets it");
        let shown = format!("{channel:?} {transport:?} {:?}", request(channel.as_ref(), &delivery(&incident("x"))));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_majority_may_take_half_of_the_time_of_an_attempt() {
    let channel = channel(kind(), &[("timeout", "8s"), ("uri", "mongodb://a,b:2/?tls=true")]);
    let Transport::Mongo(transport) = channel.transport() else { panic!("no MongoDB") };
    assert_eq!(
        (transport.majority_timeout, channel.limits().attempt_timeout),
        (Duration::from_secs(4), Duration::from_secs(8))
    );
    assert_eq!((transport.hosts.as_str(), transport.tls), ("a,b:2", true));
}

#[test]
fn what_the_server_has_already_is_done_and_every_refusal_ends_with_the_right_cause() {
    let channel = channel(kind(), &[]);
    let incident = incident("a.b");
    let first = delivery(&incident);
    let Request::Document(document) = request(channel.as_ref(), &first) else { panic!("no document") };
    assert_eq!(document.id, first.id.to_string());
    let refused = |code: i32| Reply::DocumentRefused { code, text: "\r\n\0E11000 duplicate key".to_owned() };
    let done = |replies: &[Reply]| match channel.step(&first, replies) {
        Step::Done(outcome) => outcome,
        Step::Send(_) => panic!("still sending after {replies:?}"),
    };
    assert!(done(&[refused(11_000)]).is_delivered());
    // The incident has a label with a dot: it comes once more with plainer names, and that was it.
    assert!(
        matches!(channel.step(&first, &[refused(2)]), Step::Send(Request::Document(again)) if again.id == document.id)
    );
    for (code, expected) in [(121, Cause::Schema), (13, Cause::Auth), (10_107, Cause::Network), (10_334, Cause::Size)] {
        for reply in [refused(code), Reply::CommandRefused { code, text: String::new() }] {
            let Outcome::Rejected { cause, .. } = done(std::slice::from_ref(&reply)) else { panic!("{reply:?}") };
            assert_eq!(cause, expected, "{reply:?}");
        }
    }
}
