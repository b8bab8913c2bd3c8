//! What people do about alerts from the shell, as BT-08 promised it: acknowledge, assign, note, report, count, export, test.

use balefire_tests::said::expect;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use serde_json::{Value, json};
use std::fs;

#[track_caller]
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// High and worse go to the sink.
fn site(sink: &Sink, more: &str) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\n\
         routes: [{{name: bad, match: ['severity >= high'], to: [hook]}}]\n{more}",
        sink.url()
    ))
}

fn incident(server: &Server, title: &str, severity: &str, rule: &str, cui: bool) -> String {
    server.accept(&json!({ "title": title, "severity": severity, "detected_by": rule, "cui_involved": cui }))
}

#[test]
fn an_alert_is_taken_given_back_assigned_and_noted_and_all_of_it_survives_a_rebuild() {
    let sink = Sink::start();
    let site = site(&sink, "people: {anna: {email: anna@example.org}}\n");
    let mut server = site.start();
    let id = incident(&server, "Disk full", "high", "disk", false);
    let other = incident(&server, "Disk full again", "low", "disk", false);
    expect(&site.run(&["alerts", "ack", &id, "--by", "anna"]), 0);
    let said = expect(&site.run(&["alerts", "unack", &id, &other, "--by", "anna", "--comment", "not mine"]), 2);
    assert!(said.contains("open, not acked"), "the second one was never acknowledged: {said}");
    expect(&site.run(&["alerts", "assign", &id, "--to", "anna", "--by", "boss"]), 0);
    let warned = site.run(&["alerts", "assign", &other, "--to", "carl", "--by", "boss"]);
    expect(&warned, 0);
    let warned = String::from_utf8_lossy(&warned.stderr).into_owned();
    assert!(warned.contains("people") && warned.contains("anna"), "{warned}");
    expect(&site.run(&["alerts", "note", &id, &other, "seen\u{1b}[2J before", "--by", "anna"]), 0);
    expect(&site.run(&["alerts", "note", &id, " ", "--by", "anna"]), 2);
    expect(&site.run(&["alerts", "note", &id, &"x".repeat(9_000), "--by", "anna"]), 2);
    expect(&site.run(&["alerts", "assign", &other, "--to", "nobody"]), 0);
    let shown = |site: &Site| expect(&site.run(&["alerts", "show", &id]), 0);
    let told = shown(&site);
    assert!(told.contains("assigned_to       anna") && told.contains("open at"), "{told}");
    assert!(told.contains("by anna: seen\\u{1b}[2J before") && !told.contains('\u{1b}'), "{told}");
    let why = expect(&site.run(&["why", &id]), 0);
    assert!(why.contains("assigned to anna by boss") && why.contains("noted by anna: seen"), "{why}");
    let list = |site: &Site, whose: &str| {
        let listed = expect(&site.run(&["alerts", "list", "--assigned-to", whose, "--rule", "disk", "--json"]), 0);
        parsed(&listed).as_array().expect("a list").iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    let (annas, nobodys) = (list(&site, "anna"), list(&site, "nobody"));
    assert_eq!((annas, nobodys), (vec![json!(id)], vec![json!(other)]));
    assert!(list(&site, "carl").is_empty());
    assert!(server.terminate().success());
    fs::remove_dir_all(site.path("data/view")).expect("the view is there");
    expect(&site.run(&["rebuild"]), 0);
    assert_eq!(shown(&site), told, "without a server, and from the journal alone");
    let server = site.start();
    assert_eq!(shown(&site), told);
    assert_eq!(list(&site, "anna"), [json!(id)]);
    drop(server);
}

#[test]
fn what_is_over_stays_over_and_a_time_is_a_date_too() {
    let sink = Sink::start();
    let site = site(&sink, "");
    let server = site.start();
    let id = incident(&server, "Disk full", "high", "disk", false);
    expect(&site.run(&["alerts", "resolve", &id, "--by", "anna"]), 0);
    let said = expect(&site.run(&["alerts", "ack", &id, "--by", "ben"]), 2);
    assert!(said.contains("it is resolved"), "{said}");
    expect(&site.run(&["alerts", "resolve", &id, "--by", "ben"]), 0);
    let listed = |since: &str| {
        parsed(&expect(&site.run(&["alerts", "list", "--state", "resolved", "--since", since, "--json"]), 0))
    };
    assert_eq!((&listed("2026-01-01")[0]["id"], &listed("2026-01-01 12:30")[0]["id"]), (&json!(id), &json!(id)));
    assert_eq!(listed("2999-01-01"), json!([]));
    let csv = expect(&site.run(&["alerts", "export", "--format", "csv"]), 0);
    assert!(csv.contains(",anna,") && !csv.contains(",ben,"), "who resolved it first: {csv}");
}

#[test]
fn what_must_be_reported_is_counted_down_told_when_it_is_late_and_over_when_it_is_reported() {
    let sink = Sink::start();
    let site = site(&sink, "dfars: {report_within: 12s, remind_before: 11s}\n");
    let server = site.start();
    let id = incident(&server, "Data on a stick", "high", "usb", true);
    incident(&server, "Nothing secret", "high", "usb", false);
    let listed = parsed(&expect(&site.run(&["incidents", "list", "--reportable", "--json"]), 0));
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!((&listed[0]["id"], &listed[0]["dfars_reportable"]), (&json!(id), &json!(true)));
    assert!(listed[0]["report"]["due"].is_string(), "{listed}");
    for found in ["balefire.dfars_due", "balefire.dfars_overdue"] {
        balefire_tests::wait::until(&format!("the channel hears of {found}"), || {
            let heard: Vec<Value> = sink.received().iter().map(|request| request.json()).collect();
            heard.iter().any(|body| body["incident"]["detected_by"] == found).then_some(()).ok_or(format!("{heard:?}"))
        });
    }
    let overdue = parsed(&expect(&site.run(&["incidents", "list", "--rule", "balefire.dfars_overdue", "--json"]), 0));
    assert_eq!((&overdue[0]["severity"], &overdue[0]["state"]), (&json!("critical"), &json!("open")), "{overdue}");
    let reported = ["incidents", "reported", &id, "--by", "anna", "--reference", "2026-1234"];
    expect(&site.run(&reported), 0);
    let shown = parsed(&expect(&site.run(&["incidents", "show", &id, "--json"]), 0));
    assert_eq!((&shown["report"]["reported_by"], &shown["report"]["reference"]), (&json!("anna"), &json!("2026-1234")));
    let overdue = parsed(&expect(&site.run(&["incidents", "list", "--rule", "balefire.dfars_overdue", "--json"]), 0));
    assert_eq!(overdue[0]["state"], "resolved", "what told of it is over: {overdue}");
    let why = expect(&site.run(&["why", &id]), 0);
    assert!(why.contains("must be reported by") && why.contains("reported by anna: 2026-1234"), "{why}");
    drop(server);
}

#[test]
fn alerts_are_counted_and_exported_whole_with_and_without_a_server() {
    let sink = Sink::start();
    let site = site(&sink, "");
    let mut server = site.start();
    let formula = incident(&server, "=HYPERLINK(\"http://x\",\"y\")", "high", "=rule", true);
    let acked = incident(&server, "one, two", "medium", "disk", false);
    for number in 0..450 {
        incident(&server, &format!("low {number}"), "low", "noise", false);
    }
    expect(&site.run(&["alerts", "ack", &acked, "--by", "anna"]), 0);
    expect(&site.run(&["alerts", "resolve", &formula, "--by", "anna"]), 0);
    let check = |site: &Site| {
        let stats = parsed(&expect(&site.run(&["alerts", "stats", "--json"]), 0));
        assert_eq!(stats["total"]["incidents"], 452, "{stats}");
        assert_eq!((&stats["total"]["acked"], &stats["total"]["resolved"]), (&json!(1), &json!(1)), "{stats}");
        assert_eq!(stats["total"]["to_acknowledge"]["count"], 2, "{stats}");
        assert_eq!(stats["by_severity"][0]["response"], json!({ "kept": 1, "missed": 0, "running": 0 }), "{stats}");
        assert_eq!((&stats["by_rule"][0]["rule"], &stats["by_rule"][0]["open"]), (&json!("noise"), &json!(450)));
        assert_eq!(stats["dfars"]["reportable"], 1, "{stats}");
        let rules = parsed(&expect(&site.run(&["alerts", "rules", "--json"]), 0));
        let names: Vec<_> = rules.as_array().expect("a list").iter().map(|rule| rule["rule"].clone()).collect();
        assert_eq!((names.len(), &names[0], &rules[0]["worst"]), (3, &json!("noise"), &json!("low")), "{rules}");
        let csv = site.path("incidents.csv");
        let csv_name = csv.to_str().expect("a path of ours");
        expect(&site.run(&["alerts", "export", "--format", "csv", "-o", csv_name]), 0);
        let text = fs::read_to_string(&csv).expect("it is there");
        assert_eq!(text.matches("\r\n").count(), 453, "a header, and a line an incident");
        assert!(text.contains("\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",'=rule,"), "no cell is a formula");
        assert!(text.contains("\"one, two\",disk,"));
        let all = parsed(&expect(&site.run(&["alerts", "export", "--format", "json"]), 0));
        assert_eq!(all.as_array().map(Vec::len), Some(452));
        let few = expect(&site.run(&["alerts", "export", "--format", "json", "--state", "acked"]), 0);
        assert_eq!(parsed(&few)[0]["incident"]["title"], "one, two");
        let nowhere = site.path("no/such/directory.csv");
        let nowhere = nowhere.to_str().expect("a path of ours");
        assert!(
            expect(&site.run(&["alerts", "export", "--format", "csv", "-o", nowhere]), 1).contains("directory.csv")
        );
    };
    check(&site);
    assert!(server.terminate().success());
    check(&site);
    let unfinished = fs::read_dir(site.path("")).expect("it is ours").filter(|entry| {
        let name = entry.as_ref().expect("it is ours").file_name();
        name.to_string_lossy().contains("unfinished")
    });
    assert_eq!(unfinished.count(), 0, "nothing is left half written");
}

#[test]
fn a_test_goes_through_the_routes_or_to_one_channel() {
    let sink = Sink::start();
    let site = site(&sink, "");
    let _server = site.start();
    let told = expect(&site.run(&["alerts", "test"]), 0);
    assert!(told.contains("hook: delivered"), "{told}");
    let told = expect(&site.run(&["alerts", "test"]), 0);
    assert!(told.contains("hook: delivered"), "a second one is no repeat: {told}");
    let told = expect(&site.run(&["alerts", "test", "--severity", "low"]), 0);
    assert!(told.contains("recorded only"), "{told}");
    let told = parsed(&expect(&site.run(&["alerts", "test", "--channel", "hook", "--json"]), 0));
    assert_eq!(told["deliveries"][0]["status"], "delivered", "{told}");
    assert_eq!(sink.count(), 3);
    assert!(expect(&site.run(&["alerts", "test", "--channel", "hok"]), 5).contains("hook"));
}
