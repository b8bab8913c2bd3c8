//! What senders get back: 202 for what is durable, an answer for each item, and an error that says what is allowed.

use balefire_tests::client::Answer;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use serde_json::{Value, json};

fn server() -> (Site, Server) {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    (site, server)
}

fn send_as(server: &Server, query: &str, content_type: &str, body: &str) -> Answer {
    let mut connection = server.connect().expect("the server listens");
    let path = format!("/api/v1/incidents{query}");
    connection.request("POST", &path, &[("content-type", content_type)], body.as_bytes()).expect("an answer comes")
}

fn statuses(answer: &Answer) -> Vec<String> {
    let answer = answer.json();
    let results = answer["results"].as_array().expect("a list").iter();
    results.map(|result| result["status"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn an_accepted_incident_is_in_the_history_is_delivered_and_has_a_story() {
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    let mut server = site.start();
    let id = server.accept(&json!({"title": "Audit log stopped", "severity": "High", "host": {"name": "web-1"}}));
    let why = server.wait_for_deliveries(&id, "delivered");
    assert_eq!(why["severity"], "high");
    let steps: Vec<_> = why["story"].as_array().expect("a list").iter().map(|line| line["step"].clone()).collect();
    assert_eq!(steps, ["accepted", "routed", "attempt_started", "attempt_ended"], "{why}");
    let received = sink.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].json()["incident"]["id"], id.as_str());
    assert_eq!(received[0].json()["incident"]["extra"]["host"]["name"], "web-1");
    assert_eq!(server.list("severity=high")[0]["id"], id.as_str());
    assert!(server.terminate().success(), "{}", server.stderr());
}

#[test]
fn an_object_a_list_and_lines_are_answered_item_by_item_in_order() {
    let (_site, server) = server();
    let one = server.send(&json!({"title": "one"})).expect(202);
    assert_eq!(one.json()["accepted"], 1);
    let list = server.send(&json!([{"title": "a"}, {"title": "b"}, {"title": "c"}])).expect(202);
    assert_eq!(list.json()["accepted"], 3);
    let lines = send_as(&server, "", "application/x-ndjson", "{\"title\":\"d\"}\n\n{\"title\":\"e\"}\n").expect(202);
    assert_eq!(statuses(&lines), ["accepted", "accepted"]);
    let titles: Vec<_> = server.list("").iter().map(|row| row["title"].as_str().expect("a title").to_owned()).collect();
    assert_eq!(titles, ["e", "d", "c", "b", "a", "one"], "newest first");
    assert_eq!(list.ids(), server.all_ids()[2..5].iter().rev().cloned().collect::<Vec<_>>());
}

#[test]
fn bad_items_are_named_with_field_and_what_is_allowed_while_the_good_ones_are_kept() {
    let (_site, server) = server();
    let items = json!([{"title": "good"}, {"severity": "high"}, {"title": "bad label", "labels": {"a": [1]}}]);
    let answer = server.send(&items).expect(400);
    assert_eq!(statuses(&answer), ["accepted", "refused", "refused"], "{}", answer.text());
    let results = answer.json()["results"].clone();
    assert_eq!(results[1]["index"], 1);
    assert_eq!(results[1]["errors"][0]["field"], "title");
    assert!(!results[1]["errors"][0]["allowed"].as_str().unwrap_or_default().is_empty(), "{results}");
    assert_eq!(results[2]["errors"][0]["field"], "labels.a");
    assert_eq!(server.all_ids(), answer.ids(), "what was accepted is in the history, and nothing else");
}

#[test]
fn with_on_error_refuse_one_bad_item_keeps_all_out() {
    let (_site, server) = server();
    let items = json!([{"title": "good"}, {"title": 3}]).to_string();
    let answer = send_as(&server, "?on_error=refuse", "application/json", &items).expect(400);
    assert_eq!(statuses(&answer), ["left_out", "refused"]);
    assert_eq!(server.all_ids(), [""; 0]);
    let kept = send_as(&server, "?on_error=keep", "application/json", &items).expect(400);
    assert_eq!(statuses(&kept), ["accepted", "refused"]);
    let wrong = send_as(&server, "?on_error=maybe", "application/json", &items).expect(400);
    assert!(wrong.text().contains("on_error=keep, on_error=refuse"), "{}", wrong.text());
}

#[test]
fn a_wrong_line_is_named_by_its_number() {
    let (_site, server) = server();
    let body = "{\"title\":\"first\"}\n\n{\"title\":\n{\"title\":\"last\"}\n";
    let answer = send_as(&server, "", "application/x-ndjson", body).expect(400);
    assert_eq!(statuses(&answer), ["accepted", "refused", "accepted"], "{}", answer.text());
    assert_eq!(answer.json()["results"][1]["line"], 3, "{}", answer.text());
}

#[test]
fn a_body_that_claims_too_much_or_grows_too_much_is_refused_with_413_and_the_limit() {
    let site = Site::new("http: {listen: \"127.0.0.1:0\", body_bytes_max: 64KiB}\nrouting: custom\n");
    let server = site.start();
    // Declared: refused before the body is sent.
    let mut declared = server.connect().expect("the server listens");
    let json = [("content-type", "application/json")];
    let head = declared.head("POST", "/api/v1/incidents", &json, &[("content-length", "70000")]);
    declared.write(&head).expect("a head is taken");
    let answer = declared.answer().expect("an answer comes before the body").expect(413);
    assert!(answer.text().contains("65536"), "{}", answer.text());
    // Chunked: refused when it grows past the limit.
    let mut chunked = server.connect().expect("the server listens");
    let head = chunked.head("POST", "/api/v1/incidents", &json, &[("transfer-encoding", "chunked")]);
    chunked.write(&head).expect("a head is taken");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..5 {
        // The server may close as soon as it knows.
        if chunked.write(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let answer = chunked.answer().expect("an answer comes").expect(413);
    assert!(answer.text().contains("65536"), "{}", answer.text());
    // What is as large as allowed is judged by what it holds.
    let exact = format!("{{\"title\":\"fits\",\"extra\":\"{}\"}}", "x".repeat(65_536 - 27));
    assert_eq!(exact.len(), 65_536);
    assert_eq!(server.post("/api/v1/incidents", exact).expect(202).json()["accepted"], 1);
}

#[test]
fn other_media_types_and_encodings_are_refused_with_415_and_the_allowed_ones() {
    let (_site, server) = server();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = send_as(&server, "", content_type, "{\"title\":\"a\"}").expect(415);
        assert!(answer.text().contains("application/x-ndjson"), "{content_type}: {}", answer.text());
    }
    let mut connection = server.connect().expect("the server listens");
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = connection.request("POST", "/api/v1/incidents", &headers, b"{}").expect("an answer comes").expect(415);
    assert!(answer.text().contains("Content-Encoding"), "{}", answer.text());
    assert_eq!(server.all_ids(), [""; 0]);
    send_as(&server, "", "Application/JSON; charset=utf-8", "{\"title\":\"a\"}").expect(202);
}

#[test]
fn unknown_paths_and_methods_get_404_and_405() {
    let (_site, server) = server();
    assert!(server.get("/nothing").expect(404).text().contains("/api/v1/incidents"));
    let mut connection = server.connect().expect("the server listens");
    let answer = connection.request("DELETE", "/api/v1/incidents", &[], b"").expect("an answer comes").expect(405);
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{:?}", answer.headers);
    let id = "01935f1c-7c00-7000-8000-000000000001";
    assert!(server.get(&format!("/api/v1/incidents/{id}")).expect(404).text().contains(id));
}

#[test]
fn the_eight_fields_and_whatever_else_the_sender_wrote_come_out_as_they_went_in() {
    let (_site, server) = server();
    let text = "{\"title\":\"CUI access\",\"severity\":\"CRITICAL\",\"detected_by\":\"correlation_engine\",\
        \"nist_controls\":[\"3.3.4\",\"3.1.1\"],\"description\":\"line 1\\nline 2\",\"cui_involved\":true,\
        \"events\":[{\"n\":1.50}],\"incident_id\":\"INC-7\",\"vendor\":{ \"big\": 12345678901234567890123, \"z\": 1.0 }}";
    let id = server.post("/api/v1/incidents", text).expect(202).ids().remove(0);
    let answer = server.get(&format!("/api/v1/incidents/{id}")).expect(200);
    let incident: Value = answer.json()["incident"].clone();
    assert_eq!(incident["severity"], "critical");
    assert_eq!(incident["severity_original"], "CRITICAL");
    assert_eq!(incident["detected_by"], "correlation_engine");
    assert_eq!(incident["nist_controls"], json!(["3.3.4", "3.1.1"]));
    assert_eq!(incident["description"], "line 1\nline 2");
    assert_eq!(incident["cui_involved"], true);
    assert_eq!(incident["incident_id"], "INC-7");
    assert_eq!(incident["source"], "http");
    // Numbers that JSON parsers would bend stay as they were written.
    assert!(answer.text().contains("{\"n\":1.50}"), "{}", answer.text());
    assert!(answer.text().contains("{ \"big\": 12345678901234567890123, \"z\": 1.0 }"), "{}", answer.text());
}

#[test]
fn an_unknown_severity_becomes_medium_or_what_is_configured_with_a_note_and_is_never_silent() {
    let (_site, server) = server();
    let answer = server.send(&json!([{"title": "odd", "severity": "sev-1"}, {"title": "none"}])).expect(202);
    let results = answer.json()["results"].clone();
    for result in results.as_array().expect("a list") {
        assert_eq!(result["severity"], "medium");
        assert_eq!(result["notes"].as_array().expect("a list").len(), 1, "{results}");
    }
    assert!(results[0]["notes"][0].as_str().unwrap_or_default().contains("sev-1"), "{results}");
    assert_eq!(server.show(&answer.ids()[0])["incident"]["severity_original"], "sev-1");
    let why = server.why(&answer.ids()[0]);
    assert!(why["story"][0]["text"].as_str().unwrap_or_default().contains("medium was assumed"), "{why}");

    let site = Site::new("severity_default: high\nrouting: custom\n");
    let server = site.start();
    let answer = server.send(&json!({"title": "odd", "severity": "sev-1"})).expect(202);
    assert_eq!(answer.json()["results"][0]["severity"], "high");
}
