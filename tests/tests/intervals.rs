//! Time intervals on routes: a muted route takes its incidents and sends nothing, and `why` names the interval.

use balefire_tests::server::Site;
use serde_json::{Value, json};
use std::process::Output;

/// One interval that every moment lies in, and one that lies in the past.
const INTERVALS: &str = "time_intervals:\n  \
     - {name: always, intervals: [{times: [{start_time: '00:00', end_time: '24:00'}], location: Pacific/Auckland}]}\n  \
     - {name: long-ago, intervals: [{years: ['1999'], months: ['december']}]}\n";

const CHANNELS: &str = "channels: {out: {file: {path: \"{dir}/out.jsonl\"}}, late: {file: {path: \"{dir}/late.jsonl\"}}}\n\
     routing: custom\n";

fn site(routes: &str) -> Site {
    Site::new(&format!("{CHANNELS}{INTERVALS}routes:\n{routes}"))
}

fn incident(host: &str) -> Value {
    json!({"title": format!("on {host}"), "severity": "high", "detected_by": "t", "labels": {"host": host}})
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_muted_route_sends_nothing_and_why_names_the_interval_while_the_others_deliver() {
    let site = site(
        "  - {name: muted, match: [host = muted], to: [out], mute_time_intervals: [long-ago, always], escalate: [{after: 1h, to: [late]}]}\n  \
           - {name: asleep, match: [host = asleep], to: [out], active_time_intervals: [long-ago]}\n  \
           - {name: awake, match: [host = awake], to: [out], active_time_intervals: [always], mute_time_intervals: [long-ago]}\n",
    );
    let server = site.start();
    let muted = server.accept(&incident("muted"));
    let asleep = server.accept(&incident("asleep"));
    let awake = server.accept(&incident("awake"));
    server.wait_for_deliveries(&awake, "delivered");

    let cases = [
        (&muted, "muted", "always", "muted by time interval always"),
        (&asleep, "asleep", "outside long-ago", "muted outside time interval long-ago"),
    ];
    for (id, route, muted_by, told) in cases {
        let why = server.why(id);
        assert_eq!(why["ending"], format!("recorded only: route `{route}` is {told}"), "{why}");
        assert_eq!(why["deliveries"], json!([]), "{why}");
        let routed = why["story"].as_array().expect("a list").iter().find(|step| step["step"] == "routed");
        let routed = routed.expect("it was routed");
        assert!(routed["text"].as_str().expect("a text").contains(&format!("): {told}; recorded only")), "{routed}");
        assert_eq!(routed["facts"]["routes"][0]["muted_by"], muted_by, "{routed}");
        assert_eq!(routed["facts"].get("escalations"), None, "{routed}");
        let printed = said(&site.run(&["why", id]));
        assert!(printed.contains(told), "{printed}");
    }
    let out = std::fs::read_to_string(site.path("out.jsonl")).expect("the channel has written");
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains(&awake), "{out}");
}

#[test]
fn whether_later_routes_are_asked_does_not_depend_on_the_hour() {
    let site = site(
        "  - {name: first, to: [late], mute_time_intervals: always, continue: true}\n  \
           - {name: second, to: [out], active_time_intervals: always, mute_time_intervals: long-ago}\n",
    );
    let server = site.start();
    let id = server.accept(&incident("any"));
    server.wait_for_deliveries(&id, "delivered");
    let shown = server.show(&id);
    let routes: Vec<_> = shown["routes"].as_array().expect("a list").iter().map(|route| &route["route"]).collect();
    assert_eq!(routes, ["first", "second"], "{shown}");
    assert_eq!(shown["deliveries"].as_array().map(Vec::len), Some(1), "{shown}");
}

#[test]
fn routes_test_shows_what_a_route_does_at_a_moment_of_ones_choice() {
    let site = site(
        "  - {name: millennium, to: [out], active_time_intervals: long-ago, continue: true}\n  \
           - {name: rest, to: [late], mute_time_intervals: long-ago}\n",
    );
    let at = |at: &str| said(&site.run(&["routes", "test", "--title", "t", "--at", at]));
    let then = at("1999-12-31T23:59:59Z");
    assert!(then.contains("millennium: the route has no conditions -> out; goes on"), "{then}");
    assert!(then.contains("rest: the route has no conditions -> muted by time interval long-ago\n"), "{then}");
    assert!(then.contains("goes to: out\n"), "{then}");
    let later = at("1999-12-31T23:59:59-00:01");
    assert!(later.contains("-> muted outside time interval long-ago; goes on"), "{later}");
    assert!(later.contains("goes to: late\n"), "{later}");
    let now = said(&site.run(&["routes", "test", "--title", "t", "--json"]));
    let now: Value = serde_json::from_str(&now).unwrap_or_else(|error| panic!("{error}: {now}"));
    assert_eq!(now["steps"][0]["verdict"]["matched"]["muted_by"], "outside long-ago", "{now}");
    assert_eq!(now["steps"][1]["verdict"]["matched"].get("muted_by"), None, "{now}");
    let refused = site.run(&["routes", "test", "--title", "t", "--at", "yesterday"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("allowed: a time with its offset"), "{}", said(&refused));
}

#[test]
fn a_wrong_interval_stops_the_start_with_its_line_and_an_unused_one_is_found() {
    let wrong = Site::new(&format!(
        "{CHANNELS}time_intervals:\n  - name: nights\n    intervals: [{{times: [{{start_time: '22:00', end_time: '06:00'}}]}}]\n\
         routes: [{{name: a, to: [out, late], mute_time_intervals: [night]}}]\n"
    ));
    let output = wrong.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let told = said(&output);
    for words in [
        "balefire.yaml:",
        "22:00 to 24:00 and 00:00 to 06:00",
        "there is no time interval \"night\"",
        "did you mean `nights`?",
    ] {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
    let unused = said(&site("  - {name: a, to: [out, late], mute_time_intervals: always}\n").run(&["check"]));
    assert!(unused.contains("long-ago: no route names this time interval"), "{unused}");
    assert!(!unused.contains("always: no route"), "{unused}");
}
