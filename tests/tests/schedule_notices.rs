//! That a scheduled command begins and ends is told, once each, whatever becomes of it: what routes can match on.

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::Value;
use std::fs;

/// A schedule that never comes by itself during a test, and a channel that hears of its begins and ends.
fn site(script: &str) -> Site {
    Site::new(&format!(
        "channels: {{notices: {{file: {{path: \"{{dir}}/notices.jsonl\"}}}}}}\nrouting: custom\n\
         routes:\n  - {{name: notices, match: [\"detected_by in (balefire.schedule_started, balefire.schedule_ended)\", \
         schedule = audit], to: [notices]}}\n\
         runs: {{schedules: {{audit: {{cron: \"0 0 29 2 *\", cwd: \"{{dir}}\", command: [sh, -c, {}], records: stdout}}}}}}\n",
        serde_json::to_string(script).expect("a text is JSON")
    ))
}

fn start(site: &Site) {
    let output = site.run(&["runs", "start", "audit"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The notices that the channel has got, in their order, once there are so many.
fn notices(site: &Site, count: usize) -> Vec<Value> {
    wait::until(&format!("{count} notices came"), || {
        let text = fs::read_to_string(site.path("notices.jsonl")).unwrap_or_default();
        let whole = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>();
        match whole {
            Ok(lines) if lines.len() >= count => Ok(lines.iter().map(|line| line["incident"].clone()).collect()),
            Ok(lines) => Err(format!("{lines:?}")),
            Err(error) => Err(error.to_string()),
        }
    })
}

fn titles(notices: &[Value]) -> Vec<&str> {
    notices.iter().filter_map(|notice| notice["title"].as_str()).collect()
}

fn text(notice: &Value) -> &str {
    notice["description"].as_str().expect("a notice has a description")
}

/// Waits until nothing is under way.
fn wait_until_idle(server: &Server) {
    wait::until("the command has ended", || {
        let run = server.get("/api/v1/runs").expect(200).json()["runs"][0].clone();
        if run["state"] == "idle" && run["last"].is_object() { Ok(()) } else { Err(run.to_string()) }
    });
}

#[test]
fn a_begin_and_an_end_have_the_fields_of_cloudmarkers_notices_and_say_what_came_of_it() {
    let site = site("echo '{\"title\":\"one\"}'; test ! -e bad");
    let server = site.start();
    start(&site);
    let told = notices(&site, 2);
    assert_eq!(titles(&told), ["Scheduled run audit has begun", "Scheduled run audit has succeeded"]);
    assert!(text(&told[0]).starts_with("About: audit\nStarted: 20"), "{told:?}");
    let lines: Vec<&str> = text(&told[1]).lines().collect();
    let names: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(names, ["About", "Started", "Ended", "Duration", "Records taken", "It succeeded."], "{lines:?}");
    assert!(lines[3].starts_with("Duration: 00 h 0"), "{lines:?}");
    assert_eq!(text(&told[0]).lines().nth(1), Some(lines[1]), "both name the same start");
    assert!(told.iter().all(|notice| notice["severity"] == "info"), "{told:?}");
    wait_until_idle(&server);
    fs::write(site.path("bad"), "").expect("the directory is ours");
    start(&site);
    let told = notices(&site, 4);
    assert_eq!(titles(&told)[2..], ["Scheduled run audit has begun", "Scheduled run audit has failed"]);
    assert!(text(&told[3]).ends_with("Records taken: 1\nIt failed: exit code 1"), "{told:?}");
    wait_until_idle(&server);
    assert_eq!(notices(&site, 4).len(), 4);
}

#[test]
fn a_run_that_a_crash_cut_off_has_its_end_told_once() {
    let site = site("echo x > begun; exec sleep 600");
    let mut server = site.start();
    start(&site);
    wait::until("the command runs", || fs::read_to_string(site.path("begun")).map_err(|error| error.to_string()));
    // What a crash finds under way comes once more: that is not what is looked at here.
    let begun = notices(&site, 1)[0]["id"].as_str().expect("a notice has an id").to_owned();
    server.wait_for_deliveries(&begun, "delivered");
    server.kill();
    let mut server = site.start();
    let told = notices(&site, 2);
    assert_eq!(titles(&told), ["Scheduled run audit has begun", "Scheduled run audit has failed"]);
    assert!(text(&told[1]).contains("balefire ended while it ran"), "{told:?}");
    wait_until_idle(&server);
    server.terminate();
    let server = site.start();
    wait_until_idle(&server);
    assert_eq!(notices(&site, 2).len(), 2);
}
