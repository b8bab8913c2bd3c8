//! The link in a message acknowledges its incident: without an account, for whoever got the message, and for nobody else.

use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use serde_json::{Value, json};

const PUBLIC: &str = "https://balefire.example.org/alerts";

fn site(sink: &Sink, http: &str) -> Site {
    Site::new(&format!(
        "http: {{listen: \"127.0.0.1:0\"{http}}}\nchannels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\n\
         routes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ))
}

/// The path of the link in a message.
fn link(message: &Value) -> String {
    let url = message["delivery"]["ack_url"].as_str().expect("the message has a link");
    url.strip_prefix(PUBLIC).expect("the link begins as the configuration says").to_owned()
}

fn state(server: &Server, id: &str) -> String {
    server.show(id)["state"].as_str().expect("a state").to_owned()
}

#[test]
fn a_link_shows_the_incident_and_its_button_acknowledges_it_once() {
    let sink = Sink::start();
    let site = site(&sink, &format!(", public_url: \"{PUBLIC}/\""));
    let mut server = site.start();
    let id = server.accept(&json!({"title": "<b>shell</b> on web-1", "severity": "high"}));
    let path = link(&sink.wait_for(1)[0].json());

    let page = server.get(&path).expect(200);
    assert!(page.text().contains("&lt;b&gt;shell&lt;/b&gt; on web-1") && page.text().contains("<button>"));
    let policy = page.header("content-security-policy").expect("the page says what it may do");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(state(&server, &id), "open", "looking at it changes nothing");

    // The same link after a restart: the key is kept.
    server.kill();
    let server = site.start();
    assert!(server.post(&path, "").expect(200).text().contains("Acknowledged"));
    let why = server.why(&id);
    assert_eq!(why["state"], "acked");
    assert!(why.to_string().contains("the link sent to hook"), "{why}");
    let again = server.post(&path, "").expect(200).text();
    assert!(again.contains("acked already") && !again.contains("<button>"), "{again}");
}

#[test]
fn a_link_that_was_changed_does_nothing() {
    let sink = Sink::start();
    let site = site(&sink, &format!(", public_url: \"{PUBLIC}\""));
    let server = site.start();
    let first = server.accept(&json!({"title": "first", "severity": "high"}));
    let second = server.accept(&json!({"title": "second", "severity": "high"}));
    let messages = sink.wait_for(2);
    let of_first = messages.iter().map(|message| message.json()).find(|message| message["incident"]["id"] == *first);
    let path = link(&of_first.expect("the first one's message"));
    let expiry = path.split("&e=").nth(1).and_then(|rest| rest.split('&').next()).expect("the link has an end");
    let changed = [
        path.replace(&first, &second),
        path.replace("c=hook", "c=pager"),
        path.replace(expiry, "99999999999"),
        format!("{}0", &path[..path.len() - 1]),
        format!("/ack/{first}"),
        format!("/ack/{first}?c=hook&e={expiry}&s="),
    ];
    // The last digit may have been a 0.
    for bad in changed.iter().filter(|bad| **bad != path) {
        assert_eq!(server.get(bad).status, 403, "{bad}");
        assert_eq!(server.post(bad, "").status, 403, "{bad}");
    }
    assert_eq!((state(&server, &first), state(&server, &second)), ("open".to_owned(), "open".to_owned()));
}

#[test]
fn without_a_public_address_messages_have_no_link() {
    let sink = Sink::start();
    let site = site(&sink, "");
    let server = site.start();
    server.accept(&json!({"title": "no link", "severity": "high"}));
    assert_eq!(sink.wait_for(1)[0].json()["delivery"].get("ack_url"), None);
}
