//! How fast the view is; measured on request: `cargo test --release -p balefire-store --test view -- --ignored --nocapture`.

use crate::made::{self, MIDNIGHT_MS, journal, stored};
use balefire_model::{Severity, State};
use balefire_store::view::{Query, View, ViewReader};
use std::time::Instant;

#[test]
#[ignore = "takes seconds and measures; run it with --release"]
fn the_view_keeps_up_and_answers_at_a_hundred_thousand_incidents() {
    let records = stored(&journal(100_000, MIDNIGHT_MS, 800));
    let dir = tempfile::tempdir().unwrap();
    let mut view = View::open(dir.path()).unwrap();
    let memory = resident_kib();
    let (started, started_cpu) = (Instant::now(), cpu_seconds());
    for batch in records.chunks(4096) {
        view.apply(batch).unwrap();
    }
    view.sync().unwrap();
    let (took, took_cpu) = (started.elapsed(), cpu_seconds() - started_cpu);
    let rate = records.len() as f64 / took_cpu;
    let bytes: u64 = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    eprintln!("{} records in {took:?}, {took_cpu:.2} s of CPU: {rate:.0}/s on one core", records.len());
    eprintln!("{} MiB on disk, {} KiB more memory than before", bytes >> 20, resident_kib() - memory);

    let reader = ViewReader::open(dir.path()).unwrap();
    let ask = |what: &str, query: Query, rows: usize| {
        let started = Instant::now();
        let found = reader.list(&query).unwrap().len();
        eprintln!("{what}: {found} rows in {:?}", started.elapsed());
        assert_eq!(found, rows, "{what}");
    };
    ask("newest 50", Query::default(), 50);
    ask(
        "severity, state",
        Query { severities: vec![Severity::High], state: Some(State::Open), ..Query::default() },
        50,
    );
    ask("text at the far end", Query { text: Some("force number 99".into()), ..Query::default() }, 50);
    ask("text that is nowhere", Query { text: Some("nowhere".into()), ..Query::default() }, 0);
    ask("state that is nowhere", Query { state: Some(State::Acked), ..Query::default() }, 0);
    let started = Instant::now();
    assert_eq!(reader.counts(None, None).unwrap().total(), 100_000);
    eprintln!("counts: {:?}", started.elapsed());
    let started = Instant::now();
    assert!(reader.incident(made::id(MIDNIGHT_MS + 800 * 50_000, 50_000)).unwrap().is_some());
    eprintln!("one incident: {:?}", started.elapsed());
    assert!(rate > 150_000.0, "{rate:.0} records/s");
}

/// What this thread has used; other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
