//! Four thousand lives keep every promise, and a seed tells all of a life.

use balefire_sim::{Report, run};
use std::sync::atomic::{AtomicU64, Ordering};

const LIVES: u64 = 4_000;

fn live(seed: u64) -> Report {
    run(seed).unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in [1, 2, 3] {
        assert_eq!(live(seed), live(seed));
    }
    assert_ne!(live(1).trace_hash, live(2).trace_hash, "another seed lives another life");
}

/// Every promise, and that the lives together met everything that they are about.
#[test]
fn thousands_of_lives_keep_every_promise() {
    let next = AtomicU64::new(0);
    let work = || {
        let mut lives = Vec::new();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                seed if seed < LIVES => lives.push(live(seed)),
                _ => return lives,
            }
        }
    };
    let lives: Vec<Report> = std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.flat_map(|lives| lives.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let total = |count: fn(&Report) -> u64| lives.iter().map(count).sum::<u64>();
    let kind = |kind: &str| lives.iter().filter_map(|life| life.kinds.get(kind)).sum::<u64>();
    assert_eq!(lives.len() as u64, LIVES);
    assert!(total(|life| life.crashes) > LIVES / 2);
    assert!(total(|life| life.stops) > LIVES / 10);
    assert!(total(|life| life.full_disks) > LIVES / 10);
    assert!(total(|life| life.reloads) > LIVES / 4);
    assert!(total(|life| life.snapshots) > LIVES / 4);
    assert!(total(|life| life.moved) > LIVES / 10);
    assert!(total(|life| life.summaries) > LIVES / 10);
    assert!(total(|life| life.summarised) > 2 * total(|life| life.summaries), "a summary stands for many");
    assert!(total(|life| life.told_again) > LIVES / 4);
    assert!(total(|life| life.ended_by_event) > LIVES / 4);
    assert!(total(|life| life.taken_back) > LIVES / 100);
    for record in ["followed_up", "health_changed", "suppressed", "redriven", "purged", "reporting"] {
        assert!(kind(record) > LIVES / 40, "{record}: {}", kind(record));
    }
    assert!(2 * total(|life| life.attempts) > 3 * total(|life| life.deliveries), "many attempts have to be repeated");
    assert!(total(|life| life.receipts) > total(|life| life.deliveries) / 2);
}
