//! The command line on a running server and on the data of a stopped one: what it prints, and its exit codes.

use balefire_tests::said::{expect, out};
use balefire_tests::server::Site;
use balefire_tests::sink::Sink;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::process::Stdio;

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn site(sink: &Sink) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: bad, match: ['severity >= high'], to: [hook]}}]\n",
        sink.url()
    ))
}

#[test]
fn an_incident_is_sent_listed_shown_explained_acknowledged_and_resolved_from_the_shell() {
    let sink = Sink::start();
    let site = site(&sink);
    let _server = site.start();
    let send = ["send", "--title", "Disk full", "--severity", "high", "--label", "host=web-1", "--wait"];
    let sent = expect(&site.run(&send), 0);
    assert!(sent.starts_with("accepted "), "{sent}");
    let id = sent.split(' ').nth(1).expect("an id").to_owned();
    assert_eq!(sink.received()[0].json()["incident"]["labels"]["host"], "web-1");
    let listed = json(&expect(&site.run(&["incidents", "list", "--json"]), 0));
    assert_eq!(listed[0]["id"], id.as_str(), "{listed}");
    assert!(expect(&site.run(&["incidents", "list", "--severity", "high"]), 0).contains("Disk full"));
    let shown = expect(&site.run(&["incidents", "show", &id]), 0);
    assert!(shown.contains("Disk full") && shown.contains("web-1"), "{shown}");
    let why = expect(&site.run(&["why", &id]), 0);
    assert!(why.contains("bad") && why.contains("hook") && why.contains("delivered"), "{why}");
    let why = json(&expect(&site.run(&["why", &id, "--json"]), 0));
    assert_eq!(why["deliveries"][0]["status"], "delivered", "{why}");
    expect(&site.run(&["incidents", "ack", &id, "--by", "alice", "--comment", "mine"]), 0);
    expect(&site.run(&["incidents", "resolve", &id, "--by", "alice"]), 0);
    let shown = json(&expect(&site.run(&["incidents", "show", &id, "--json"]), 0));
    assert_eq!(shown["state"], "resolved", "{shown}");
    assert_eq!(shown["changes"].as_array().map(Vec::len), Some(2), "{shown}");
    let nowhere = "01935f1c-7c00-7000-8000-000000000001";
    assert!(expect(&site.run(&["why", nowhere]), 5).contains(nowhere));
}

#[test]
fn what_is_piped_into_send_is_answered_item_by_item_and_a_refusal_is_an_exit_code() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let mut child = site
        .command(&["send", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"{\"title\":\"one\"}\n{\"severity\":\"low\"}\n{\"title\":\"two\"}\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    expect(&output, 4);
    let answer = json(out(&output).lines().next().expect("a line"));
    assert_eq!((&answer["accepted"], &answer["refused"]), (&Value::from(2), &Value::from(1)), "{answer}");
    assert_eq!(server.all_ids().len(), 2);
}

#[test]
fn without_a_server_commands_say_so_and_the_journal_still_speaks() {
    let sink = Sink::start();
    let site = site(&sink);
    let mut server = site.start();
    let id = server.accept(&serde_json::json!({"title": "before the stop", "severity": "critical"}));
    server.wait_for_deliveries(&id, "delivered");
    let rows = server.list("");
    assert!(server.terminate().success());
    let said = expect(&site.run(&["send", "--title", "t", "--timeout", "1s"]), 3);
    assert!(said.contains("balefire.sock"), "it says where it looked: {said}");
    let cat = expect(&site.run(&["journal", "cat", "--kind", "accepted"]), 0);
    assert_eq!(json(cat.trim_end())["record"]["title"], "before the stop");
    let stat = json(&expect(&site.run(&["journal", "stat", "--json", "--count"]), 0));
    assert!(stat.is_object(), "{stat}");
    fs::remove_dir_all(site.path("data/view")).expect("the view is there");
    expect(&site.run(&["rebuild"]), 0);
    assert!(site.path("data/view").exists());
    let server = site.start();
    assert_eq!(server.list(""), rows);
    let said = expect(&site.run(&["rebuild"]), 1);
    assert!(said.contains("in use by process"), "a running server is not disturbed: {said}");
}

#[test]
fn check_and_routes_test_tell_without_a_server_what_would_happen() {
    let sink = Sink::start();
    let site = site(&sink);
    expect(&site.run(&["check"]), 0);
    let test = ["routes", "test", "--title", "t", "--severity", "critical", "--json"];
    let told = expect(&site.run(&test), 0);
    assert!(told.contains("bad") && told.contains("hook"), "{told}");
    let quiet = expect(&site.run(&["routes", "test", "--title", "t", "--severity", "low"]), 0);
    assert!(quiet.contains("no route"), "{quiet}");
    assert_eq!(sink.count(), 0, "nothing is sent");
    assert!(!site.path("data").exists(), "and nothing is made");
    site.configure("chanels: {}\nrouting: plan\n");
    let said = expect(&site.run(&["check"]), 2);
    let all = said + &out(&site.run(&["check"]));
    assert!(all.contains("balefire.yaml:1:") && all.contains("channels"), "{all}");
    // A route behind one that takes everything can do nothing.
    site.configure(
        "channels: {a: {console: {}}}\nrouting: custom\nroutes: [{name: all, to: [a]}, {name: never, to: [a]}]\n",
    );
    expect(&site.run(&["check"]), 0);
    let output = site.run(&["check", "--strict"]);
    expect(&output, 4);
    let told = out(&output) + &String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("never"), "{told}");
    let schema = json(&expect(&site.run(&["check", "--schema"]), 0));
    assert!(schema["properties"]["channels"].is_object(), "an editor can read it: {schema}");
}

#[test]
fn channels_are_listed_and_tried_and_a_reload_is_one_command() {
    let sink = Sink::start();
    let site = site(&sink);
    let server = site.start();
    let listed = expect(&site.run(&["channels", "list"]), 0);
    assert!(listed.contains("hook") && listed.contains("webhook"), "{listed}");
    expect(&site.run(&["channels", "test", "hook"]), 0);
    assert_eq!(sink.count(), 1);
    sink.always(balefire_tests::sink::Reply::status(400));
    expect(&site.run(&["channels", "test", "hook"]), 1);
    assert!(expect(&site.run(&["channels", "test", "hok"]), 5).contains("hook"), "it says what there is");
    site.configure("routing: shipped\nchannels: {screen: {console: {}}}\n");
    expect(&site.run(&["reload"]), 0);
    let id = server.accept(&serde_json::json!({"title": "after the reload", "severity": "info"}));
    assert_eq!(server.wait_for_deliveries(&id, "delivered")["deliveries"][0]["channel"], "screen");
    site.configure("routing: sometimes\n");
    let output = site.run(&["reload"]);
    assert!(!output.status.success());
    let told = out(&output) + &String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("sometimes") && told.contains("balefire.yaml:1:"), "{told}");
}

#[test]
fn help_completions_and_the_manual_page_are_there_and_a_wrong_option_is_exit_code_2() {
    let site = Site::new("routing: custom\n");
    assert!(expect(&site.run(&["--help"]), 0).contains("Exit codes"));
    let man = expect(&site.run(&["man"]), 0);
    assert!(man.contains(".TH") && man.contains("balefire"), "{man}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(expect(&site.run(&["completions", shell]), 0).contains("balefire"), "{shell}");
    }
    assert!(expect(&site.run(&["incidents", "list", "--sverity", "x"]), 2).contains("--severity"));
}
