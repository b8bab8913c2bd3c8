//! Two hundred lives keep every promise, and a seed tells all of a life.

use balefire_sim::{Report, run};

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
fn two_hundred_lives_keep_every_promise() {
    let half = |from: u64| (from..from + 100).map(live).collect::<Vec<Report>>();
    let lives = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(100));
        [half(0), other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))].concat()
    });
    let total = |count: fn(&Report) -> u64| lives.iter().map(count).sum::<u64>();
    assert!(total(|life| life.crashes) > 200);
    assert!(total(|life| life.stops) > 20);
    assert!(total(|life| life.full_disks) > 20);
    assert!(total(|life| life.reloads) > 50);
    assert!(total(|life| life.snapshots) > 50);
    assert!(2 * total(|life| life.attempts) > 3 * total(|life| life.deliveries), "many attempts have to be repeated");
    assert!(total(|life| life.receipts) > total(|life| life.deliveries) / 2);
}
