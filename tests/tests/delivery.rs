//! Delivery that cannot fail quietly, at the built binary: failing channels are told, others step in, dead letters wait
//! for a person, ends and escalations follow; each over a `kill -9` and a restart.

use balefire_tests::deliveries;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::{Received, Reply, Sink};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::process::Output;
use std::time::{Duration, Instant};

/// `whsec_` and the base64 of "a signing key of thirty-two byte".
const SECRET: &str = "whsec_YSBzaWduaW5nIGtleSBvZiB0aGlydHktdHdvIGJ5dGU=";

const TOKEN: &str = "correct-horse-battery-staple";

fn incident(title: &str, severity: &str) -> Value {
    json!({ "title": title, "severity": severity })
}

/// Channels as `name: settings beside the webhook` with their sinks, and the lines of the routes.
fn site(channels: &[(&str, &Sink, &str)], routes: &str) -> Site {
    let channel = |(name, sink, more): &(&str, &Sink, &str)| {
        format!("  {name}: {{webhook: {{url: \"{}\"}}, retry: {{initial: 100ms, cap: 300ms}}{more}}}\n", sink.url())
    };
    let lines: String = channels.iter().map(channel).collect();
    Site::new(&format!("channels:\n{lines}routing: custom\nroutes:\n{routes}\n"))
}

/// SIGKILL, and a new start on what is left.
fn again(site: &Site, server: &mut Server) {
    server.kill();
    *server = site.start();
}

/// What a receiver of native bodies got of one type.
fn of_type(sink: &Sink, kind: &str) -> Vec<Received> {
    sink.received().into_iter().filter(|request| request.json()["type"] == kind).collect()
}

fn wait_for_type(sink: &Sink, kind: &str) -> Received {
    wait::until(&format!("{kind} has come"), || {
        let all: Vec<Value> = sink.received().iter().map(|request| request.json()["type"].clone()).collect();
        of_type(sink, kind).into_iter().next().ok_or_else(|| format!("{all:?}"))
    })
}

fn wait_for_detector(sink: &Sink, detected_by: &str) -> Value {
    wait::until(&format!("{detected_by} has come"), || {
        let mut bodies = sink.received().into_iter().map(|request| request.json());
        bodies.find(|body| body["incident"]["detected_by"] == detected_by).ok_or_else(|| format!("{}", sink.count()))
    })
}

fn queue(server: &Server, channel: &str) -> Value {
    let channels = server.get("/api/v1/channels").expect(200).json();
    let all = channels["channels"].as_array().expect("a list").clone();
    let found = all.into_iter().find(|known| known["name"] == channel);
    found.unwrap_or_else(|| panic!("{channel}: {channels}"))["queue"].clone()
}

fn has_metric(server: &Server, line: &str) -> bool {
    server.get("/metrics").expect(200).text().lines().any(|known| known == line)
}

fn standard_output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn standard_error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn dead_letters(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/v1/dead-letters{query}")).expect(200).json();
    answer["dead_letters"].as_array().expect("a list").clone()
}

fn wait_for_dead_letters(server: &Server, count: usize) -> Vec<Value> {
    wait::until(&format!("{count} dead letters are there"), || {
        let letters = dead_letters(server, "");
        if letters.len() == count { Ok(letters) } else { Err(format!("{letters:?}")) }
    })
}

#[test]
fn refused_credentials_are_told_at_once_elsewhere_and_the_work_is_kept() {
    let (hook, ops) = (Sink::start(), Sink::start());
    hook.always(Reply::status(401));
    let routes = "  - {name: own, match: 'detected_by =~ \"balefire.*\"', to: [ops]}\n  - {name: all, to: [hook]}";
    let site = site(&[("hook", &hook, ""), ("ops", &ops, "")], routes);
    let mut server = site.start();
    let sent = Instant::now();
    let first = server.accept(&incident("first", "high"));
    let told = wait_for_detector(&ops, "balefire.channel_failing");
    assert!(sent.elapsed() < Duration::from_secs(20), "at once, not after {:?}", sent.elapsed());
    assert_eq!(told["incident"]["labels"], json!({ "cause": "auth", "channel": "hook" }));

    let standing = queue(&server, "hook");
    assert!(standing["failing_since"].is_string() && standing["oldest_since"].is_string(), "{standing}");
    assert_eq!((&standing["cause"], &standing["depth"]), (&json!("auth"), &json!(1)), "{standing}");
    assert!(has_metric(&server, "balefire_channel_failing{channel=\"hook\"} 1"));
    let ready = server.get("/readyz").expect(200).text();
    assert!(ready.contains("failing: hook (auth, since "), "{ready}");
    let listed = standard_output(&site.run(&["channels", "list"]));
    assert!(listed.lines().any(|line| line.starts_with("hook") && line.contains("auth")), "{listed}");

    again(&site, &mut server);
    assert_eq!(queue(&server, "hook")["cause"], "auth", "a restart does not forget it");
    hook.always(Reply::status(204));
    let second = server.accept(&incident("second", "high"));
    server.wait_for_deliveries(&second, "delivered");
    let over = wait::until("it is taken back", || {
        let mut bodies = ops.received().into_iter().map(|request| request.json());
        bodies.find(|body| body["type"] == "incident.resolved").ok_or_else(|| format!("{}", ops.count()))
    });
    assert_eq!(over["incident"]["id"], told["incident"]["id"], "as the end of what was told");
    assert!(has_metric(&server, "balefire_channel_failing{channel=\"hook\"} 0"));
    // Refused credentials are not hammered: the next attempt comes a minute after the first.
    wait::within(Duration::from_secs(120), "the first is delivered, too", || {
        let why = server.why(&first);
        if why["ending"] == "1 delivered, 0 still to come, 0 given up" { Ok(()) } else { Err(why.to_string()) }
    });
    assert_eq!(ops.count(), 2, "it was told once, and taken back once");
}

#[test]
fn a_server_none_of_whose_channels_works_says_that_it_is_not_ready() {
    let hook = Sink::start();
    hook.always(Reply::status(403));
    let site = site(&[("hook", &hook, "")], "  - {name: all, to: [hook]}");
    let server = site.start();
    server.accept(&incident("T", "high"));
    let problem = wait::until("/readyz tells it", || match server.get("/readyz") {
        answer if answer.status == 503 => Ok(answer.text()),
        answer => Err(answer.text()),
    });
    assert!(problem.contains("every channel fails") && problem.contains("hook (auth, since "), "{problem}");
    server.accept(&incident("still accepted", "high"));
    hook.always(Reply::status(204));
    server.accept(&incident("and again", "high"));
    wait::until("/readyz says 200", || match server.get("/readyz") {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.text()),
    });
}

#[test]
fn another_channel_steps_in_after_its_time_and_says_for_whom() {
    let (hook, backup) = (Sink::start(), Sink::start());
    hook.always(Reply::status(500));
    let fallback = ", fallback: [{channel: backup, after: 2s}]";
    let site = site(&[("hook", &hook, fallback), ("backup", &backup, "")], "  - {name: all, to: [hook]}");
    let mut server = site.start();
    let sent = Instant::now();
    let id = server.accept(&incident("T", "high"));
    wait_for_detector(&backup, "balefire.channel_failing");
    again(&site, &mut server);
    let request = wait_for_type(&backup, "incident.fallback");
    assert!(sent.elapsed() >= Duration::from_millis(1_900), "too early: {:?}", sent.elapsed());
    let body = request.json();
    assert_eq!(body["delivery"]["stands_in_for"], "hook");
    assert_eq!(body["incident"]["id"], id);
    again(&site, &mut server);
    hook.always(Reply::status(204));
    let why = server.wait_for_deliveries(&id, "delivered");
    assert_eq!(why["ending"], "2 delivered, 0 still to come, 0 given up", "{why}");
    let story = standard_output(&site.run(&["why", &id]));
    assert!(story.contains("channel backup steps in"), "{story}");
    assert!(story.contains("backup (stands in for hook): delivered"), "{story}");
    let ids: Vec<_> =
        of_type(&backup, "incident.fallback").iter().map(|r| r.header("webhook-id").map(str::to_owned)).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one message, however often it comes: {ids:?}");
}

#[test]
fn a_refused_message_is_a_dead_letter_until_it_is_redriven_under_the_same_id() {
    let hook = Sink::start();
    let refusal = Reply::Answer { status: 400, headers: Vec::new(), body: b"no such field: title".to_vec() };
    hook.always(refusal);
    let url = format!("{}?key={TOKEN}", hook.url());
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{url}\", secret: \"{SECRET}\", token: {TOKEN}}}}}}}\nrouting: custom\n\
         routes: [{{name: all, to: [hook]}}]\n"
    ));
    let mut server = site.start();
    let id = server.accept(&incident("Refused", "high"));
    let letter = wait_for_dead_letters(&server, 1).remove(0);
    assert_eq!((&letter["incident"], &letter["cause"]), (&json!(id), &json!("schema")), "{letter}");
    let delivery = letter["delivery"].as_str().expect("an id").to_owned();
    assert!(has_metric(&server, "balefire_dead_letters{channel=\"hook\"} 1"));

    again(&site, &mut server);
    assert_eq!(wait_for_dead_letters(&server, 1)[0]["delivery"], delivery.as_str(), "a restart does not forget it");
    assert!(dead_letters(&server, "?cause=auth").is_empty() && dead_letters(&server, "?channel=other").is_empty());
    assert_eq!(dead_letters(&server, &format!("?incident={}&before=0s", &id[..13])).len(), 1);

    let shown = standard_output(&site.run(&["dead-letters", "show", &delivery]));
    for expected in ["no such field: title", "authorization: ***", "webhook-signature: ***", "?key=***", "Refused"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let all = server.get(&format!("/api/v1/dead-letters/{delivery}")).expect(200).text();
    assert!(!shown.contains(TOKEN) && !all.contains(TOKEN) && !all.contains("v1,"), "{all}");
    let sent = hook.received().remove(0);
    assert_eq!(all_body(&all), String::from_utf8_lossy(&sent.body), "it is the request that was made");

    hook.always(Reply::status(204));
    let redriven = site.run(&["dead-letters", "redrive", "--channel", "hook", "--by", "ann"]);
    assert!(redriven.status.success(), "{}", standard_error(&redriven));
    assert_eq!(standard_output(&redriven), "1 sent on their way again\n");
    again(&site, &mut server);
    let why = server.wait_for_deliveries(&id, "delivered");
    assert!(why.to_string().contains("sent on its way again by ann"), "{why}");
    let ids: Vec<_> = hook.received().iter().map(|request| request.header("webhook-id").map(str::to_owned)).collect();
    assert!(ids.len() >= 2 && ids.iter().all(|id| id.as_deref() == Some(delivery.as_str())), "{ids:?}");
    assert!(dead_letters(&server, "").is_empty());
    let nothing = site.run(&["dead-letters", "redrive", &delivery]);
    assert_eq!(nothing.status.code(), Some(5), "{}", standard_error(&nothing));
    assert!(standard_error(&nothing).contains("there is no dead letter"), "{}", standard_error(&nothing));
}

fn all_body(shown: &str) -> String {
    let shown: Value = serde_json::from_str(shown).expect("the answer is JSON");
    shown["request"]["body"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
}

#[test]
fn dead_letters_are_purged_only_by_name_and_for_a_reason() {
    let hook = Sink::start();
    hook.always(Reply::status(410));
    let site = site(&[("hook", &hook, "")], "  - {name: all, to: [hook]}");
    let mut server = site.start();
    let ids: Vec<String> = (0..3).map(|nth| server.accept(&incident(&format!("T {nth}"), "low"))).collect();
    wait_for_dead_letters(&server, 3);
    for (body, expected) in [
        (json!({ "reason": "old" }), "this names no dead letters"),
        (json!({ "all": true }), "reason: is missing"),
        (json!({ "all": true, "reason": " " }), "reason: is missing"),
        (json!({ "cause": "bad", "reason": "old" }), "allowed: auth, quota, size, schema, gone, network"),
        (json!({ "deliveries": ["x"], "reason": "old" }), "a delivery's id"),
        (json!({ "every": true, "reason": "old" }), "unknown field"),
    ] {
        let refused = server.post("/api/v1/dead-letters/purge", body.to_string()).expect(400).text();
        assert!(refused.contains(expected), "{body}: {refused}");
    }
    assert_eq!(site.run(&["dead-letters", "purge", "--reason", "old"]).status.code(), Some(2));
    assert_eq!(dead_letters(&server, "").len(), 3, "a refusal changes nothing");

    let purged = site.run(&["dead-letters", "purge", "--incident", &ids[0], "--reason", "obsolete", "--by", "ann"]);
    assert!(purged.status.success(), "{}", standard_error(&purged));
    again(&site, &mut server);
    assert_eq!(wait_for_dead_letters(&server, 2).len(), 2);
    let story = standard_output(&site.run(&["why", &ids[0]]));
    assert!(story.contains("dead letter to hook purged by ann: obsolete"), "{story}");
    let all = json!({ "all": true, "reason": "decommissioned" });
    let answer = server.post("/api/v1/dead-letters/purge", all.to_string()).expect(200).json();
    assert_eq!((&answer["moved"], &answer["left"]), (&json!(2), &json!(0)));
    assert_eq!(site.run(&["dead-letters", "purge", "--all", "--reason", "x"]).status.code(), Some(5));
}

#[test]
fn whoever_heard_of_an_incident_hears_of_its_end_after_it() {
    // While one channel works, a start is ready whatever becomes of the other.
    let (hook, spare) = (Sink::start(), Sink::start());
    let site = site(&[("hook", &hook, ""), ("spare", &spare, "")], "  - {name: all, to: [hook]}");
    let mut server = site.start();
    let told = server.accept(&incident("told", "high"));
    server.wait_for_deliveries(&told, "delivered");
    server.post(&format!("/api/v1/incidents/{told}/resolve"), "{\"by\": \"ann\"}").expect(200);
    assert_eq!(wait_for_type(&hook, "incident.resolved").json()["incident"]["id"], told);

    hook.always(Reply::status(500));
    let retried = server.accept(&incident("retried", "high"));
    hook.wait_for(4);
    server.post(&format!("/api/v1/incidents/{retried}/resolve"), "").expect(200);
    let story = standard_output(&site.run(&["why", &retried]));
    assert!(story.contains("the delivery to hook waits until delivery "), "{story}");
    again(&site, &mut server);
    assert_eq!(of_type(&hook, "incident.resolved").len(), 1, "the end waits for the beginning");
    hook.always(Reply::status(204));
    server.wait_for_deliveries(&retried, "delivered");
    let types: Vec<Value> = hook
        .received()
        .iter()
        .map(Received::json)
        .filter(|body| body["incident"]["id"] == retried)
        .map(|body| body["type"].clone())
        .collect();
    let (last, before) = types.split_last().expect("it was delivered");
    assert_eq!(last, "incident.resolved");
    assert!(before.iter().all(|kind| kind == "incident.opened"), "{types:?}");
}

#[test]
fn an_incident_that_nobody_acknowledges_escalates_and_one_that_somebody_did_does_not() {
    let (hook, boss) = (Sink::start(), Sink::start());
    let routes = "  - {name: all, to: [hook], escalate: [{after: 3s, to: [boss]}]}";
    let site = site(&[("hook", &hook, ""), ("boss", &boss, "")], routes);
    let mut server = site.start();
    let acked = server.accept(&incident("acked", "critical"));
    server.post(&format!("/api/v1/incidents/{acked}/ack"), "{\"by\": \"ann\"}").expect(200);
    let sent = Instant::now();
    let missed = server.accept(&incident("missed", "critical"));
    again(&site, &mut server);
    let story = standard_output(&site.run(&["why", &missed]));
    assert!(story.contains("escalates at ") && story.contains(" to boss unless acknowledged"), "{story}");
    let request = wait_for_type(&boss, "incident.escalated");
    assert!(sent.elapsed() >= Duration::from_millis(2_900), "too early: {:?}", sent.elapsed());
    assert_eq!(request.json()["incident"]["id"], missed);
    again(&site, &mut server);
    server.wait_for_deliveries(&missed, "delivered");
    // The acknowledged one came first: its time was over before that of the other.
    let about: Vec<Value> = boss.received().iter().map(|request| request.json()["incident"]["id"].clone()).collect();
    assert!(about.iter().all(|id| *id == missed), "{about:?}");
    assert!(has_metric(&server, "balefire_channel_failing{channel=\"boss\"} 0"));
}

#[test]
fn a_critical_overtakes_thousands_of_lows_on_a_slow_channel_and_none_is_lost() {
    const LOWS: usize = 2_000;
    // What a webhook channel has under way at most.
    const IN_FLIGHT: usize = 128;
    let hook = Sink::start();
    hook.always(Reply::After(Duration::from_millis(500), Box::new(Reply::status(204))));
    let site = site(&[("hook", &hook, "")], "  - {name: all, to: [hook]}");
    let mut server = site.start();
    let lows: Vec<Value> = (0..LOWS).map(|number| incident(&format!("low {number}"), "low")).collect();
    assert_eq!(server.send(&Value::Array(lows)).expect(202).ids().len(), LOWS);
    hook.wait_for(1);
    let critical = server.accept(&incident("critical", "critical"));
    let before = hook.count();
    let place = wait::until("the critical has come", || {
        let place = hook.look(|all| all.iter().position(|request| request.json()["incident"]["id"] == critical));
        place.ok_or_else(|| format!("{} requests", hook.count()))
    });
    assert!(place <= before + 2 * IN_FLIGHT, "it came as number {place}; {before} had come when it was accepted");
    assert!(place < LOWS / 2, "the lows were nearly through: nothing was overtaken");
    again(&site, &mut server);
    wait::within(Duration::from_secs(120), "everything is delivered", || match &queue(&server, "hook")["depth"] {
        depth if *depth == 0 => Ok(()),
        depth => Err(depth.to_string()),
    });
    assert_eq!(deliveries::count(&hook).incidents.len(), LOWS + 1);
}
