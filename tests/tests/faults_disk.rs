//! Disks that fail: read-only ones, ones that answer with an error, and a full one under the view alone. What was
//! acknowledged is there after the restart; the server ends with a message that names the file.

use balefire_tests::deliveries::{nothing_is_lost, wait_until_empty};
use balefire_tests::disk::SmallDisk;
use balefire_tests::injection::Injection;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::storm::Storm;
use balefire_tests::{left_out, note, wait};
use serde_json::json;
use std::process::Stdio;

fn site(sink: &Sink) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ))
}

/// What a fault does to a server under load: it ends with 1 and names the segment; the next start has everything that
/// was acknowledged.
#[track_caller]
fn ends_and_keeps_everything(fault: &str, said: &str) {
    let sink = Sink::start();
    let site = site(&sink);
    let storm = Storm::begin(8);
    let mut server = site.start();
    storm.aim(server.address());
    storm.wait_for(500);
    let segment = site.segments().pop().expect("there is a segment");
    let injection = Injection::begin(server.process(), &segment, fault);
    let status = server.wait_for_end();
    drop(injection);
    let book = storm.end();
    let text = server.stderr();
    assert_eq!(status.code(), Some(1), "{fault}: {text}");
    let name = segment.display().to_string();
    assert!(text.contains("balefire: the journal could not be written"), "{fault}: {text}");
    let told = text.lines().find(|line| line.contains("because:") && line.contains(&name));
    assert!(told.is_some(), "{fault}: {name} is not named: {text}");
    assert!(text.contains(said), "{fault}: {said:?} is not in {text}");

    let server = site.start();
    let new = server.accept(&json!({"title": "after the restart"}));
    let everything: Vec<String> = book.acknowledged.iter().cloned().chain([new]).collect();
    let delivered = nothing_is_lost(&server, &sink, &everything);
    note(&format!(
        "{fault}: {} acknowledged, 0 lost, {} requests unanswered or refused, {} deliveries repeated",
        book.acknowledged.len(),
        book.unanswered + book.refused.values().sum::<usize>(),
        delivered.repeats
    ));
}

#[test]
fn a_sync_that_fails_ends_the_server_names_the_segment_and_loses_nothing_acknowledged() {
    ends_and_keeps_everything("fdatasync:error=EIO:when=3", "Input/output error");
}

#[test]
fn a_write_that_fails_ends_the_server_names_the_segment_and_loses_nothing_acknowledged() {
    ends_and_keeps_everything("pwrite64:error=EIO:when=3", "Input/output error");
}

#[test]
fn a_disk_that_becomes_read_only_ends_the_server_names_the_segment_and_loses_nothing_acknowledged() {
    ends_and_keeps_everything("pwrite64,fdatasync:error=EROFS", "Read-only file system");
}

#[test]
fn a_disk_that_goes_on_failing_is_no_reason_to_believe_anything() {
    ends_and_keeps_everything("fdatasync:error=EIO:when=2+", "Input/output error");
}

#[test]
fn a_read_only_data_directory_stops_the_start_with_its_path_and_works_when_it_is_writable() {
    let sink = Sink::start();
    let site = site(&sink);
    let Some(disk) = SmallDisk::mount(&site.path("data"), 24) else {
        return left_out("this user may not mount a small file system");
    };
    // Once before anything is there, once with a journal.
    let mut acknowledged = Vec::new();
    for nth in 0..2 {
        disk.make_read_only();
        let mut refused = site.spawn(&[], Stdio::null());
        let status = refused.wait_for_end();
        let said = refused.stderr();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        assert!(said.contains(&site.path("data").display().to_string()), "the place is named: {said}");
        disk.make_writable();
        let mut server = site.start();
        acknowledged.push(server.accept(&json!({"title": format!("writable {nth}")})));
        let delivered = nothing_is_lost(&server, &sink, &acknowledged);
        assert_eq!(delivered.repeats, 0);
        server.kill();
    }
}

fn view_is_behind(server: &Server) -> bool {
    let answer = server.get("/api/v1/incidents?limit=1");
    answer.status != 200 || answer.json().get("records_behind").is_some()
}

#[test]
fn a_full_disk_under_the_view_alone_delays_the_history_and_neither_intake_nor_delivery() {
    let sink = Sink::start();
    let site = site(&sink);
    let Some(disk) = SmallDisk::mount(&site.path("data/view"), 8) else {
        return left_out("this user may not mount a small file system");
    };
    let server = site.start();
    disk.fill();
    let storm = Storm::begin(4);
    storm.aim(server.address());
    storm.wait_for(2_000);
    let book = storm.end();
    assert!(book.refused.is_empty() && book.unanswered == 0, "{:?}, {} unanswered", book.refused, book.unanswered);
    wait_until_empty(&server, &sink);
    assert_eq!(balefire_tests::deliveries::count(&sink).incidents, book.acknowledged.iter().cloned().collect());
    wait::until("the view says that it has no room", || {
        let said = server.logged("view cannot follow the journal; trying again");
        said.filter(|_| view_is_behind(&server)).ok_or_else(|| server.stderr())
    });
    disk.empty();
    let delivered = nothing_is_lost(&server, &sink, &book.acknowledged);
    assert_eq!(delivered.repeats, 0);
}
