//! The file channel: an archive whose lines are whole, once each, and byte for byte what the sender wrote, also while the
//! file is rotated, moved or deleted under it.

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

fn site(settings: &str) -> Site {
    Site::new(&format!(
        "channels: {{archive: {{file: {{path: \"{{dir}}/archive/out.jsonl\"{settings}}}, \
         retry: {{initial: 200ms, cap: 1s}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [archive]}}]\n"
    ))
}

fn started(site: &Site) -> Server {
    fs::create_dir_all(site.path("archive")).expect("the directory is ours");
    site.start()
}

/// How often each incident stands in the files of the archive's directory; every line must be a whole JSON object.
fn archived(site: &Site) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(site.path("archive")).expect("the directory is ours") {
        let path = entry.expect("the directory can be listed").path();
        let text = fs::read_to_string(&path).expect("the archive is UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in half a line", path.display());
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let id = value["incident"]["id"].as_str().expect("a line names its incident");
            *counts.entry(id.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn send_batch(server: &Server, batch: usize, size: usize) -> Vec<String> {
    let incident = |nth: usize| json!({"title": format!("{batch}-{nth}"), "severity": "low", "detected_by": "t", "description": "x".repeat(500)});
    let incidents: Vec<Value> = (0..size).map(incident).collect();
    server.send(&json!(incidents)).expect(202).ids()
}

fn wait_for_each_once(site: &Site, ids: &BTreeSet<String>) {
    let counts = wait::until("every incident is archived", || {
        let counts = archived(site);
        if counts.len() >= ids.len() { Ok(counts) } else { Err(format!("{} of {}", counts.len(), ids.len())) }
    });
    let found: BTreeSet<String> = counts.keys().cloned().collect();
    assert_eq!(found, *ids);
    let repeated: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
}

#[test]
fn what_the_sender_added_is_archived_byte_for_byte() {
    let site = site("");
    let server = started(&site);
    let extra =
        r#""ratio":1.0,"big":12345678901234567890123,"tiny":1e-400,"nested":{"b":1,"a":[1.50,null,"\u0041\n"]}"#;
    let body = format!(r#"{{"title":"exact\nly","severity":"info","detected_by":"t",{extra}}}"#);
    let answer = server.post("/api/v1/incidents", body).expect(202);
    server.wait_for_deliveries(&answer.ids()[0], "delivered");
    let text = fs::read_to_string(site.path("archive/out.jsonl")).expect("it is there");
    assert_eq!(text.lines().count(), 1, "{text}");
    for member in extra.split(",\"").map(|member| member.trim_start_matches('"')) {
        assert!(text.contains(member), "{member} is not in {text}");
    }
    serde_json::from_str::<Value>(&text).expect("a line is JSON");
}

#[test]
fn rotation_while_writing_loses_and_repeats_nothing() {
    let site = site(", rotate: 64KiB, keep: 1000");
    let server = started(&site);
    let mut ids = BTreeSet::new();
    for batch in 0..20 {
        ids.extend(send_batch(&server, batch, 50));
    }
    wait_for_each_once(&site, &ids);
    let sizes: Vec<u64> = fs::read_dir(site.path("archive"))
        .expect("the directory is ours")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("the directory can be listed").len())
        .collect();
    assert!(sizes.len() > 10, "it was rotated: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 64 * 1024), "{sizes:?}");
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew_and_the_moved_one_keeps_its_lines() {
    let site = site("");
    let server = started(&site);
    let mut ids = BTreeSet::new();
    for batch in 0..5 {
        let sent = send_batch(&server, batch, 40);
        server.wait_for_deliveries(&sent[0], "delivered");
        // In the middle of a batch, as logrotate does it.
        let moved = site.path(&format!("archive/moved.{batch}"));
        fs::rename(site.path("archive/out.jsonl"), moved).expect("the file is there");
        ids.extend(sent);
        ids.extend(send_batch(&server, 100 + batch, 1));
        wait::until("the file is there again", || match site.path("archive/out.jsonl").exists() {
            true => Ok(()),
            false => Err("no file".to_owned()),
        });
    }
    wait_for_each_once(&site, &ids);
}

#[test]
fn a_file_that_was_deleted_is_made_again_with_the_next_incident() {
    let site = site("");
    let server = started(&site);
    let first = server.accept(&json!({"title": "first", "severity": "low"}));
    server.wait_for_deliveries(&first, "delivered");
    fs::remove_file(site.path("archive/out.jsonl")).expect("the file is there");
    let second = server.accept(&json!({"title": "second", "severity": "low"}));
    server.wait_for_deliveries(&second, "delivered");
    assert_eq!(archived(&site), BTreeMap::from([(second, 1)]));
}

#[test]
fn a_directory_that_is_not_there_yet_keeps_the_work_and_loses_nothing() {
    let site = site("");
    let server = site.start();
    let id = server.accept(&json!({"title": "early", "severity": "low"}));
    wait::until("an attempt has failed", || {
        let why = server.why(&id);
        let cause = &why["deliveries"][0]["last_outcome"]["rejected"]["cause"];
        if cause == "network" { Ok(()) } else { Err(why.to_string()) }
    });
    fs::create_dir_all(site.path("archive")).expect("the directory is ours");
    server.wait_for_deliveries(&id, "delivered");
    assert_eq!(archived(&site), BTreeMap::from([(id, 1)]));
}
