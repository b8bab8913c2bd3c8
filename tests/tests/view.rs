//! The history and the journal behind it: filters, a view that can be thrown away, and damage that is told.

use balefire_tests::server::{Server, Site, is_debug_build};
use balefire_tests::{left_out, note, wait};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

fn filled() -> (Site, Server) {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    for nth in 0..10 {
        let severity = ["critical", "high", "medium", "low", "info"][nth % 5];
        let incident = json!({
            "title": format!("Incident {nth}"), "severity": severity, "detected_by": "test",
            "description": if nth == 3 { "50% of _everything_" } else { "" }, "labels": {"host": format!("web-{nth}")},
        });
        server.accept(&incident);
    }
    (site, server)
}

fn titles(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["title"].as_str().expect("a title").to_owned()).collect()
}

#[test]
fn the_list_is_filtered_by_severity_text_state_source_and_time_and_comes_in_pages() {
    let (_site, server) = filled();
    let list = |query: &str| titles(&server.list(query));
    assert_eq!(list("severity=critical"), ["Incident 5", "Incident 0"]);
    assert_eq!(list("severity=critical,INFO").len(), 4);
    assert_eq!(list("min_severity=high").len(), 4);
    assert_eq!(list("text=incident%207"), ["Incident 7"]);
    assert_eq!(list("text=host=web-4"), ["Incident 4"]);
    assert_eq!(list("text=50%25%20of%20_e"), ["Incident 3"], "every character stands for itself");
    assert_eq!(list("source=http").len(), 10);
    assert_eq!(list("source=elsewhere").len(), 0);
    assert_eq!(list("since=1h").len(), 10);
    assert_eq!(list("until=1h").len(), 0);
    let ids = server.all_ids();
    let act = server.post(&format!("/api/v1/incidents/{}/ack", ids[0]), "{\"by\":\"alice\",\"comment\":\"mine\"}");
    assert_eq!(act.expect(200).json()["state"], "acked");
    assert_eq!(list("state=acked"), ["Incident 9"]);
    assert_eq!(list("state=open").len(), 9);
    assert_eq!(server.show(&ids[0])["changes"][0]["by"], "alice");
    let first = server.list("limit=4");
    let next = server.list(&format!("limit=4&before={}", first[3]["id"].as_str().expect("an id")));
    assert_eq!(titles(&next), ["Incident 5", "Incident 4", "Incident 3", "Incident 2"]);
    for (query, allowed) in
        [("severity=urgent", "critical"), ("limit=0", "1 to 1000"), ("state=closed", "acked"), ("since=x", "2h")]
    {
        let refused = server.get(&format!("/api/v1/incidents?{query}")).expect(400).text();
        assert!(refused.contains(allowed), "{query}: {refused}");
    }
}

#[test]
fn an_incident_is_found_by_the_beginning_of_its_id() {
    let (_site, server) = filled();
    let id = server.all_ids().remove(0);
    assert_eq!(server.show(&id[..id.len() - 1])["incident"]["id"], id.as_str());
}

#[test]
fn a_view_that_was_deleted_is_made_again_from_the_journal() {
    let (site, mut server) = filled();
    let ids = server.all_ids();
    assert_eq!(
        server.post(&format!("/api/v1/incidents/{}/resolve", ids[2]), "").expect(200).json()["state"],
        "resolved"
    );
    let (rows, shown) = (server.list("limit=100"), server.show(&ids[2]));
    assert!(server.terminate().success());
    fs::remove_dir_all(site.path("data/view")).expect("the view is there");
    let server = site.start();
    assert_eq!(server.list("limit=100"), rows);
    assert_eq!(server.show(&ids[2]), shown);
}

#[test]
fn a_view_that_is_no_database_any_more_does_not_stop_intake() {
    let (site, mut server) = filled();
    let ids = server.all_ids();
    assert!(server.terminate().success());
    for entry in fs::read_dir(site.path("data/view")).expect("the view is there") {
        fs::write(entry.expect("the view is ours").path(), b"no database at all").expect("the view is ours");
    }
    let mut server = site.start();
    let answer = server.send(&json!({"title": "while the view is broken"})).expect(202);
    server.kill();
    fs::remove_dir_all(site.path("data/view")).expect("the view is there");
    let server = site.start();
    assert_eq!(server.all_ids(), [answer.ids(), ids].concat());
}

#[test]
fn two_servers_cannot_share_a_data_directory() {
    let (site, server) = filled();
    let mut second = site.spawn(&[], std::process::Stdio::null());
    let status = second.wait_for_end();
    assert_eq!(status.code(), Some(1), "{}", second.stderr());
    let said = second.stderr();
    assert!(said.contains("in use by process") && said.contains(&server.pid().to_string()), "{said}");
    assert!(said.contains("--data"), "it says what to do: {said}");
    server.accept(&json!({"title": "the first one goes on"}));
    assert!(server.socket().exists(), "the second one has not taken the socket away");
}

fn segments(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.path("data/journal")).expect("the journal is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("the journal is ours").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

#[test]
fn damage_in_the_middle_of_the_journal_stops_the_start_with_segment_offset_and_what_helps() {
    let (site, mut server) = filled();
    let ids = server.all_ids();
    assert!(server.terminate().success());
    let segment = segments(&site).remove(0);
    let whole = fs::read(&segment).expect("the segment is ours");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x20;
    fs::write(&segment, &damaged).expect("the segment is ours");
    let mut broken = site.spawn(&[], std::process::Stdio::null());
    let status = broken.wait_for_end();
    let said = broken.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    let name = segment.file_name().and_then(|name| name.to_str()).expect("segments have plain names");
    assert!(
        said.contains(name) && said.contains("damaged at byte") && said.contains("balefire journal stat"),
        "{said}"
    );
    assert_eq!(fs::read(&segment).expect("the segment is ours"), damaged, "what is damaged is left as it is");
    fs::write(&segment, &whole).expect("the segment is ours");
    assert_eq!(site.start().all_ids(), ids);
}

#[test]
fn a_torn_tail_is_cut_told_and_loses_nothing_acknowledged() {
    let (site, mut server) = filled();
    let ids = server.all_ids();
    server.kill();
    let segment = segments(&site).pop().expect("a segment");
    let mut torn = fs::read(&segment).expect("the segment is ours");
    // The beginning of a batch that never became durable: bytes that look like records, and no end.
    let end = torn.iter().rposition(|byte| *byte != 0).expect("there are records") + 1;
    torn.copy_within(end - 100..end - 43, end);
    fs::write(&segment, &torn).expect("the segment is ours");
    let mut server = site.start();
    assert!(server.logged("unfinished batch was cut off").is_some(), "{}", server.stderr());
    assert_eq!(server.all_ids(), ids);
    let new = server.accept(&json!({"title": "after the cut"}));
    server.kill();
    assert_eq!(site.start().all_ids(), [vec![new], ids].concat());
}

#[test]
fn a_history_of_100_000_incidents_is_idle_in_64_mb() {
    if is_debug_build() {
        return left_out("a debug build says nothing about memory; set BALEFIRE_BIN to a release build");
    }
    let site = Site::new("routing: custom\n");
    let mut server = site.start();
    for batch in 0..100 {
        let items: Vec<Value> = (0..1_000)
            .map(|nth| {
                json!({
                    "title": format!("Incident {batch}-{nth}"), "severity": "low", "detected_by": "test",
                    "description": "x".repeat(400), "labels": {"host": format!("web-{nth}")},
                })
            })
            .collect();
        assert_eq!(server.send(&Value::from(items)).expect(202).json()["accepted"], 1_000);
    }
    wait::until("the view has caught up", || {
        let answer = server.get("/api/v1/incidents?limit=1");
        let behind = answer.status != 200 || answer.json().get("records_behind").is_some();
        if behind { Err(answer.text()) } else { Ok(()) }
    });
    let rest = |server: &Server| {
        wait::until("it is idle in 64 MB", || match server.resident_mb() {
            resident if resident < 64.0 => Ok(resident),
            resident => Err(format!("{resident:.1} MB")),
        })
    };
    let after_intake = rest(&server);
    assert!(server.terminate().success());
    let server = site.start();
    assert_eq!(server.list("text=99-999&limit=1").len(), 1);
    note(&format!("100,000 incidents: {after_intake:.1} MB after intake, {:.1} MB after a restart", rest(&server)));
}
