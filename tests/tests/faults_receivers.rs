//! Receivers that are dead, hang, trickle or answer garbage: each costs itself, no other channel and no incident. And one
//! that is away while very much piles up.

use balefire_tests::daemon::free_address;
use balefire_tests::deliveries::{self, nothing_is_lost, wait_until_empty};
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::{Reply, Sink};
use balefire_tests::{note, wait};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How many incidents pile up; `BALEFIRE_BACKLOG` says otherwise.
const BACKLOG: usize = 20_000;

/// Incidents in one request.
const BATCH: usize = 500;

const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];

/// What a waiting delivery may cost, and a server without any.
const BYTES_MAX: f64 = 900.0;
const BASE_MB_MAX: f64 = 100.0;

fn send_many(server: &Server, count: usize) -> Vec<String> {
    let incident = |nth: usize| {
        json!({
            "title": format!("piled up {nth}"), "severity": SEVERITIES[nth % 4],
            "detected_by": "backlog", "labels": {"host": format!("web-{}", nth % 7)},
        })
    };
    let mut ids = Vec::with_capacity(count);
    for first in (0..count).step_by(BATCH) {
        let items: Vec<Value> = (first..count.min(first + BATCH)).map(incident).collect();
        ids.extend(server.send(&Value::from(items)).expect(202).ids());
    }
    ids
}

fn told(server: &Server, detected_by: &str) -> HashSet<String> {
    let rows = server.list("source=balefire&limit=1000");
    let rows = rows.iter().filter(|row| row["detected_by"] == detected_by);
    rows.map(|row| row["title"].as_str().expect("a title").to_owned()).collect()
}

#[test]
fn dead_hanging_trickling_and_garbage_receivers_cost_the_others_nothing_and_are_told_of() {
    let (lively, hanging, trickling, garbage) = (Sink::start(), Sink::start(), Sink::start(), Sink::start());
    hanging.always(Reply::Hang);
    trickling.always(Reply::Trickle(Duration::from_millis(50)));
    garbage.always(Reply::Garbage(b"\x00\xff SSH-2.0-not-http\r\n\r\n".to_vec()));
    let dead = free_address();
    let urls = [
        ("lively", lively.url()),
        ("dead", format!("http://{dead}/hook")),
        ("hanging", hanging.url()),
        ("trickling", trickling.url()),
        ("garbage", garbage.url()),
    ];
    let channel = |(name, url): &(&str, String)| {
        format!("  {name}: {{webhook: {{url: \"{url}\", timeout: 1s}}, retry: {{initial: 200ms, cap: 1s}}}}\n")
    };
    let channels: String = urls.iter().map(channel).collect();
    let names = urls.map(|(name, _)| name);
    let site = Site::new(&format!(
        "channels:\n{channels}dedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [{}]}}]\n",
        names.join(", ")
    ));
    let server = site.start();
    let ids = send_many(&server, 2_000);
    let sent: HashSet<String> = ids.iter().cloned().collect();
    wait::until("the lively channel has everything", || {
        let got = deliveries::count(&lively).incidents;
        if got == sent { Ok(()) } else { Err(format!("{} of {}", got.len(), sent.len())) }
    });
    let expected: HashSet<String> =
        names[1..].iter().map(|name| format!("Alert channel {name} is failing (network)")).collect();
    wait::until("every other channel is told of", || {
        let told = told(&server, "balefire.channel_failing");
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    });
    let heard = |sink: &Sink| -> HashSet<String> {
        let bodies = sink.received().iter().map(|request| request.json()).collect::<Vec<_>>();
        let own = bodies.iter().filter(|body| body["incident"]["detected_by"] == "balefire.channel_failing");
        own.map(|body| body["incident"]["title"].as_str().expect("a title").to_owned()).collect()
    };
    wait::until("the lively channel was told of each", || {
        let heard = heard(&lively);
        if heard == expected { Ok(()) } else { Err(format!("{heard:?}")) }
    });

    for sink in [&hanging, &trickling, &garbage] {
        sink.always(Reply::status(204));
    }
    let risen = Sink::start_at(dead);
    wait_until_empty(&server, &risen);
    assert_eq!(nothing_is_lost(&server, &lively, &ids).repeats, 0, "the lively channel got each once");
    for (name, sink) in [("dead", &risen), ("hanging", &hanging), ("trickling", &trickling), ("garbage", &garbage)] {
        let delivered = nothing_is_lost(&server, sink, &ids);
        note(&format!("{name} receiver: {} incidents, 0 lost, {} repeated", ids.len(), delivered.repeats));
    }
    let recovered: HashSet<String> =
        names[1..].iter().map(|name| format!("Alert channel {name} works again")).collect();
    assert_eq!(told(&server, "balefire.channel_recovered"), recovered);
}

#[test]
fn a_receiver_that_is_away_costs_little_memory_and_gets_everything_once_when_it_is_back() {
    let count = std::env::var("BALEFIRE_BACKLOG").ok();
    let count: usize = count.map_or(BACKLOG, |count| count.parse().expect("BALEFIRE_BACKLOG is a number"));
    let address = free_address();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"http://{address}/hook\"}}, retry: {{initial: 200ms, cap: 1s}}}}}}\n\
         dedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
    ));
    let server = site.start();
    let fresh = server.resident_mb();
    let began = Instant::now();
    let mut resident_max: f64 = 0.0;
    let mut sent = 0;
    while sent < count {
        sent += send_many(&server, BATCH.min(count - sent)).len();
        resident_max = resident_max.max(server.resident_mb());
    }
    let piled_up = began.elapsed();
    let allowed = BASE_MB_MAX + count as f64 * BYTES_MAX / 1e6;
    assert!(resident_max <= allowed, "{resident_max:.0} MB with {count} waiting, {allowed:.0} MB allowed");

    let sink = Sink::start_at(address);
    sink.keep_ids_only();
    let began = Instant::now();
    wait_until_empty(&server, &sink);
    let delivered = began.elapsed();
    resident_max = resident_max.max(server.resident_mb());
    assert!(resident_max <= allowed, "{resident_max:.0} MB with {count} delivered, {allowed:.0} MB allowed");
    let mut times: HashMap<String, usize> = HashMap::with_capacity(count);
    sink.look(|received| {
        for request in received {
            *times.entry(request.header("webhook-id").expect("an id").to_owned()).or_default() += 1;
        }
    });
    let own = server.list("source=balefire&limit=1000").len();
    assert!((count..=count + own).contains(&times.len()), "{} ids for {count} incidents and {own} own", times.len());
    assert!(times.values().all(|times| *times == 1), "each comes once");
    note(&format!(
        "{count} incidents for a receiver that was away: taken in {:.1} s, delivered in {:.1} s, each once; resident \
         {fresh:.0} MB at the start, {resident_max:.0} MB at most",
        piled_up.as_secs_f64(),
        delivered.as_secs_f64()
    ));
}
