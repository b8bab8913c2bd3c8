//! Mail servers that greylist, refuse, take their time, or have an expired certificate: what becomes of the mail, and who
//! is told.

use balefire_tests::certificates::Certificates;
use balefire_tests::greylist::Greylist;
use balefire_tests::postfix::{PASSWORD, Postfix, USER};
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::wait;
use serde_json::{Value, json};

/// Mail to one recipient with these further settings, and a webhook beside it that hears of everything.
fn site(port: u16, more: &str, sink: &Sink) -> Site {
    Site::new(&format!(
        "channels:\n  mail: {{email: {{host: localhost, port: {port}, from: balefire@example.org, \
         to: [soc@example.org], {more}}}, retry: {{initial: 200ms, cap: 1s}}}}\n  hook: {{webhook: {{url: \"{}\"}}}}\n\
         routing: custom\nroutes: [{{name: all, to: [mail, hook]}}]\n",
        sink.url()
    ))
}

fn incident() -> Value {
    json!({"title": "Audit log stopped on web-1", "severity": "critical", "detected_by": "audit_log_gap"})
}

fn mail(why: &Value) -> &Value {
    let deliveries = why["deliveries"].as_array().expect("a list");
    deliveries.iter().find(|delivery| delivery["channel"] == "mail").unwrap_or_else(|| panic!("no mail: {why}"))
}

/// Waits until the mail's delivery is as wanted, and gives it.
fn wait_for_mail(server: &Server, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, || {
        let why = server.why(id);
        if holds(mail(&why)) { Ok(mail(&why).clone()) } else { Err(why.to_string()) }
    })
}

/// The incidents by which the server tells of its channels.
fn told(server: &Server, detected_by: &str) -> Vec<Value> {
    let mut rows = server.list("source=balefire");
    rows.retain(|row| row["detected_by"] == detected_by);
    rows
}

/// Waits until the history and the other channel have the incident that the mail channel fails, for this cause.
fn wait_until_told(server: &Server, sink: &Sink, cause: &str) {
    let title = format!("Alert channel mail is failing ({cause})");
    wait::until(&format!("{title:?} is told"), || {
        let told = told(server, "balefire.channel_failing");
        let heard = sink.received().iter().any(|request| request.json()["incident"]["title"] == title.as_str());
        if told.len() == 1 && told[0]["title"] == title.as_str() && heard { Ok(()) } else { Err(format!("{told:?}")) }
    });
}

/// Waits until the history has the incident that it works again.
fn wait_until_taken_back(server: &Server) {
    wait::until("it is told that mail works again", || match told(server, "balefire.channel_recovered").as_slice() {
        [one] if one["title"] == "Alert channel mail works again" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_mail_server_that_greylists_gets_the_mail_later_once_and_is_not_called_failing() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    let greylist = Greylist::start(4);
    postfix.recipients_meet(&greylist.restriction());
    let sink = Sink::start();
    let site = site(postfix.plain.port(), "tls: none", &sink);
    let server = site.start();
    let id = server.accept(&incident());
    let deferred = wait_for_mail(&server, &id, "it was deferred", |mail| mail["last_outcome"]["deferred"].is_object());
    let detail = deferred["last_outcome"]["deferred"]["detail"].as_str().expect("a reply");
    assert!(detail.contains("greylisted, come back later") && detail.contains("soc@example.org"), "{detail}");
    let why = server.wait_for_deliveries(&id, "delivered");
    assert_eq!(mail(&why)["attempts"], 5, "{why}");
    assert_eq!(postfix.wait_for(1).len(), 1, "each once");
    assert_eq!(greylist.asked(), 5);
    assert_eq!(told(&server, "balefire.channel_failing"), Vec::<Value>::new(), "patience is not a failure");
}

#[test]
fn a_mail_server_that_does_not_know_the_recipient_ends_the_mail_with_its_reply_and_is_not_called_failing() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    postfix.recipients_meet("check_recipient_access static:{550 5.1.1 nobody of this name}");
    let sink = Sink::start();
    let site = site(postfix.plain.port(), "tls: none", &sink);
    let server = site.start();
    let ids: Vec<String> = (0..4)
        .map(|nth| {
            let mut incident = incident();
            incident["labels"] = json!({"number": nth.to_string()});
            server.accept(&incident)
        })
        .collect();
    for id in &ids {
        let ended = wait_for_mail(&server, id, "it was given up", |mail| mail["status"]["given_up"].is_object());
        let reason = ended["status"]["given_up"]["reason"].as_str().expect("a reason");
        assert!(reason.contains("550") && reason.contains("nobody of this name"), "{reason}");
        assert_eq!(ended["attempts"], 1, "a refusal for good is not repeated: {ended}");
    }
    assert_eq!(postfix.count(), 0);
    assert_eq!(sink.wait_for(ids.len()).len(), ids.len(), "the other channel has each once, and nothing else");
    assert_eq!(told(&server, "balefire.channel_failing"), Vec::<Value>::new(), "the server itself is well");
}

#[test]
fn a_mail_server_that_does_not_want_us_is_told_of_as_auth_and_the_mail_is_kept() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    // RFC 3463, section 3.8: 5.7.x is about who may send, which a person can change.
    postfix.recipients_meet("check_recipient_access static:{550 5.7.1 not from you}");
    let sink = Sink::start();
    let site = site(postfix.plain.port(), "tls: none", &sink);
    let server = site.start();
    let id = server.accept(&incident());
    wait_until_told(&server, &sink, "auth");
    let kept = wait_for_mail(&server, &id, "it waits", |mail| mail["status"]["retrying"].is_string());
    let detail = kept["last_outcome"]["rejected"]["detail"].as_str().expect("a reply");
    assert!(detail.contains("550") && detail.contains("not from you"), "{detail}");
    assert_eq!(postfix.count(), 0);
}

#[test]
fn a_mail_server_that_takes_too_long_fails_as_network_is_told_of_and_keeps_the_mail() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    postfix.recipients_meet("sleep 5, permit");
    let sink = Sink::start();
    let site = site(postfix.plain.port(), "tls: none, timeout: 1s", &sink);
    let server = site.start();
    let id = server.accept(&incident());
    wait_until_told(&server, &sink, "network");
    let waiting = wait_for_mail(&server, &id, "it waits", |mail| mail["status"]["retrying"].is_string());
    let detail = waiting["last_outcome"]["rejected"]["detail"].as_str().expect("words");
    assert!(detail.contains("did not answer within 1s"), "{detail}");
    assert_eq!(waiting["last_outcome"]["rejected"]["cause"], "network", "{waiting}");
    postfix.recipients_meet("permit");
    server.wait_for_deliveries(&id, "delivered");
    wait_until_taken_back(&server);
    // What was abandoned before the recipient was taken is no mail.
    assert_eq!(postfix.wait_for_mails_about(&id, 1), 1, "each once");
}

#[test]
fn a_mail_server_with_an_expired_certificate_gets_nothing_is_told_of_as_auth_and_the_mail_is_kept() {
    let expired = Certificates::expired();
    let postfix = Postfix::start(&expired);
    let sink = Sink::start();
    let tls = |mode: &str| {
        let authority = expired.authority();
        let authority = authority.display();
        format!("tls: {mode}, ca_file: \"{authority}\", username: {USER}, password: \"{PASSWORD}\"")
    };
    for (mode, port) in [("starttls", postfix.submission.port()), ("tls", postfix.implicit.port())] {
        let site = site(port, &tls(mode), &sink);
        let server = site.start();
        let id = server.accept(&incident());
        let waiting = wait_for_mail(&server, &id, "it waits", |mail| mail["last_outcome"].is_object());
        assert_eq!(waiting["last_outcome"]["rejected"]["cause"], "auth", "{mode}: {waiting}");
        let detail = waiting["last_outcome"]["rejected"]["detail"].as_str().expect("words");
        assert!(detail.to_lowercase().contains("expired"), "{mode}: {detail}");
        assert!(waiting["status"]["retrying"].is_string(), "{mode}: the work is kept: {waiting}");
        wait_until_told(&server, &sink, "auth");
    }
    assert_eq!(postfix.count(), 0);
    assert!(!postfix.log().contains("sasl_username"), "no password went over it: {}", postfix.log());
}
