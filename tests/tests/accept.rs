//! What senders get back: 202 for what is durable, and an answer for each item.

use balefire_tests::server::Site;
use balefire_tests::sink::Sink;
use serde_json::json;

#[test]
fn an_accepted_incident_is_in_the_history_is_delivered_and_has_a_story() {
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    let mut server = site.start();
    let answer = server.send(&json!({"title": "Audit log stopped", "severity": "High"})).expect(202);
    let id = answer.ids().remove(0);
    let why = server.wait_for_deliveries(&id, "delivered");
    assert_eq!(why["severity"], "high");
    let received = sink.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].json()["incident"]["id"].as_str().unwrap(), id);
    assert_eq!(server.list("severity=high")[0]["id"].as_str().unwrap(), id);
    assert!(server.terminate().success(), "{}", server.stderr());
    assert!(server.logged("stopped").is_some(), "{}", server.stderr());
}
