//! Repeats at the built binary: one message for many events of one kind, another when it gets worse or goes on, an end by
//! an event, by age or by hand; each over a `kill -9`, a restart and a reload.

use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::wait;
use serde_json::{Value, json};

/// One channel for people and one archive, which hear of everything.
fn config(hook: &Sink, dedup: &str) -> String {
    format!(
        "channels:\n  hook: {{webhook: {{url: \"{}\"}}, retry: {{initial: 100ms, cap: 300ms}}}}\n  \
         archive: {{file: {{path: \"{{dir}}/archive.jsonl\"}}}}\ndedup: {{{dedup}}}\nrouting: custom\n\
         routes: [{{name: all, to: [hook, archive]}}]\n",
        hook.url()
    )
}

fn incident(severity: &str) -> Value {
    json!({ "title": "Disk full", "severity": severity, "detected_by": "disk", "labels": { "host": "web-1" } })
}

fn over() -> Value {
    let mut over = incident("info");
    over["status"] = json!("resolved");
    over
}

/// SIGKILL, and a new start on what is left.
fn again(site: &Site, server: &mut Server) {
    server.kill();
    *server = site.start();
}

/// The bodies that people got, without copies: a kill may have one sent twice.
fn told(hook: &Sink) -> Vec<Value> {
    let mut bodies: Vec<Value> = Vec::new();
    for body in hook.received().iter().map(|request| request.json()) {
        if bodies.iter().all(|known| known["delivery"]["id"] != body["delivery"]["id"]) {
            bodies.push(body);
        }
    }
    bodies
}

fn types(hook: &Sink) -> Vec<String> {
    told(hook).iter().map(|body| body["type"].as_str().expect("a native body").to_owned()).collect()
}

fn wait_for_types(hook: &Sink, expected: &[&str]) {
    wait::until(&format!("people heard {expected:?}"), || {
        let types = types(hook);
        if types == expected { Ok(()) } else { Err(format!("{types:?}")) }
    });
}

fn ending(server: &Server, id: &str) -> String {
    server.why(id)["ending"].as_str().expect("an ending").to_owned()
}

/// All that is said in a story.
fn story(server: &Server, id: &str) -> String {
    let why = server.why(id);
    let lines = why["story"].as_array().expect("a story").iter();
    lines.map(|line| line["text"].as_str().expect("a text").to_owned() + "\n").collect()
}

fn output(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_comes_again_is_counted_told_when_it_is_worse_and_over_by_an_event() {
    let hook = Sink::start();
    let site = Site::new(&config(&hook, "window: 1h, realert_after: 1h"));
    let mut server = site.start();
    let first = server.accept(&incident("medium"));
    wait_for_types(&hook, &["incident.opened"]);
    let second = server.accept(&incident("medium"));
    again(&site, &mut server);
    let third = server.accept(&incident("low"));
    for (id, number) in [(&second, 1), (&third, 2)] {
        server.wait_for_deliveries(id, "delivered");
        let story = story(&server, id);
        assert!(story.contains(&format!("repeat {number} of incident {first}, first seen ")), "{story}");
        assert!(story.contains("next message not before "), "{story}");
    }
    let shown = server.show(&first);
    assert_eq!((&shown["repeats"], shown["last_seen"].is_string()), (&json!(2), true), "{shown}");
    assert_eq!(server.show(&third)["repeat_of"], json!(first));
    assert_eq!(types(&hook), ["incident.opened"], "people heard of it once");
    let listed = output(&site, &["incidents", "list"]);
    assert!(listed.contains("  3 times  Disk full") && listed.contains("  repeat  "), "{listed}");
    let open: Vec<Value> = server.list("state=open").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(open, [json!(first)], "a repeat has no state of its own");

    let worse = server.accept(&incident("critical"));
    wait_for_types(&hook, &["incident.opened", "incident.repeated"]);
    let body = told(&hook).remove(1);
    assert_eq!((&body["incident"]["id"], &body["incident"]["severity"]), (&json!(first), &json!("critical")));
    assert_eq!(
        (&body["delivery"]["repeats"]["count"], &body["delivery"]["repeats"]["last"]),
        (&json!(4), &json!(worse))
    );

    let acked = output(&site, &["incidents", "ack", &worse, "--by", "ann"]);
    assert_eq!(acked, format!("acked {first} (incident {worse} is a repeat of it)\n"));
    assert_eq!(server.show(&first)["state"], "acked");

    again(&site, &mut server);
    let end = server.accept(&over());
    wait_for_types(&hook, &["incident.opened", "incident.repeated", "incident.resolved"]);
    assert_eq!(told(&hook)[2]["incident"]["id"], json!(first));
    assert_eq!(server.show(&first)["state"], "resolved");
    assert!(story(&server, &end).contains(&format!("it says that incident {first} is over")));
    let late = server.accept(&over());
    assert!(story(&server, &late).contains("nothing with its fingerprint is open"));

    let new = server.accept(&incident("low"));
    wait_for_types(&hook, &["incident.opened", "incident.repeated", "incident.resolved", "incident.opened"]);
    assert_eq!(told(&hook)[3]["incident"]["id"], json!(new));
    let all = [&first, &second, &third, &worse, &end, &late, &new];
    wait::until("the archive has every event", || {
        let text = std::fs::read_to_string(site.path("archive.jsonl")).map_err(|error| error.to_string())?;
        let missing = all.iter().find(|id| !text.contains(&format!("\"id\":\"{id}\"")));
        missing.map_or(Ok(()), |id| Err(format!("{id} is not in\n{text}")))
    });
}

#[test]
fn what_goes_on_is_told_again_in_time_and_what_stops_is_over_by_itself() {
    let hook = Sink::start();
    let site = Site::new(&config(&hook, "window: 1h, realert_after: 2s, resolve_after: 1h"));
    let mut server = site.start();
    let first = server.accept(&incident("high"));
    for nth in 1..=3 {
        wait::until("it is told again", || {
            server.accept(&incident("high"));
            let types = types(&hook);
            if types.len() > nth { Ok(()) } else { Err(format!("{types:?}")) }
        });
        again(&site, &mut server);
    }
    assert!(types(&hook).iter().skip(1).all(|kind| kind == "incident.repeated"), "{:?}", types(&hook));
    let so_far = server.all_ids().len() as u64;
    assert_eq!(server.show(&first)["repeats"], json!(so_far - 1), "every one is counted, over three kills");

    site.configure(&config(&hook, "window: 1h, realert_after: 1h, resolve_after: 1s"));
    server.post("/api/v1/reload", "").expect(200);
    wait::until("it is over by its age", || {
        let types = types(&hook);
        if types.last().is_some_and(|last| last == "incident.resolved") { Ok(()) } else { Err(format!("{types:?}")) }
    });
    let story = story(&server, &first);
    assert!(story.contains("resolved by balefire: not seen again for 1s"), "{story}");
}

#[test]
fn a_reload_changes_the_window_and_forgets_nothing() {
    let hook = Sink::start();
    let site = Site::new(&config(&hook, "window: 1h"));
    let server = site.start();
    let first = server.accept(&incident("high"));
    let reload = |dedup: &str| {
        site.configure(&config(&hook, dedup));
        server.post("/api/v1/reload", "").expect(200);
    };
    reload("window: off");
    let alone = server.accept(&incident("high"));
    reload("window: 24h");
    let repeat = server.accept(&incident("high"));
    wait_for_types(&hook, &["incident.opened", "incident.opened"]);
    let opened: Vec<Value> = told(&hook).iter().map(|body| body["incident"]["id"].clone()).collect();
    assert_eq!(opened, [json!(first), json!(alone)]);
    server.wait_for_deliveries(&repeat, "delivered");
    assert_eq!(server.show(&repeat)["repeat_of"], json!(first), "what is known from before the reloads");

    let refused = site.run(&["check"]);
    assert!(refused.status.success(), "{}", String::from_utf8_lossy(&refused.stderr));
    site.configure(&config(&hook, "window: soon, realert_after: 0s"));
    let refused = server.post("/api/v1/reload", "").expect(409).text();
    assert!(
        refused.contains("soon") && refused.contains("realert_after") && refused.contains("1s or more"),
        "{refused}"
    );
}

#[test]
fn an_incident_of_which_nobody_hears_says_why() {
    let hook = Sink::start();
    let config = config(&hook, "window: 1h").replace("to: [hook, archive]", "to: [hook]");
    let site = Site::new(&config);
    let server = site.start();
    let first = server.accept(&incident("high"));
    let second = server.accept(&incident("high"));
    let ending = ending(&server, &second);
    assert!(ending.starts_with(&format!("recorded only: repeat 1 of incident {first}, first seen ")), "{ending}");
    assert!(ending.ends_with("unless it is worse than high"), "{ending}");
    let named = json!([{ "title": "T", "incident_id": "1" }, { "title": "T", "incident_id": "2" }]);
    let ids = server.send(&named).expect(202).ids();
    for id in ids {
        server.wait_for_deliveries(&id, "delivered");
    }
}
