//! Lives many seeds on all cores: `cargo run --release -p balefire-sim --example soak -- --seeds 100000 --start 0`. Prints
//! each broken promise with its seed, and a line of totals. `--threads` takes fewer than all cores.
#![expect(clippy::print_stdout, reason = "a program for people")]

use balefire_sim::{Report, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lives allocate much, on all cores at once.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many broken promises are shown in full.
const SHOWN_MAX: u64 = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let (Some(seeds), Some(start), Some(threads)) = (
        number(&arguments, "--seeds", 10_000),
        number(&arguments, "--start", 0),
        number(&arguments, "--threads", cores),
    ) else {
        println!("usage: soak [--seeds COUNT] [--start SEED] [--threads COUNT], all of them numbers");
        return ExitCode::FAILURE;
    };
    let begun = Instant::now();
    let next = AtomicU64::new(start);
    let broken = AtomicU64::new(0);
    let total = Mutex::new(Report::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= start + seeds {
                return;
            }
            match run(seed) {
                Ok(life) => add(&mut total.lock().expect("nobody panics with it"), &life),
                Err(violation) if broken.fetch_add(1, Ordering::Relaxed) < SHOWN_MAX => println!("{violation}"),
                Err(violation) => println!("seed {} breaks a promise", violation.seed),
            }
            let lived = seed + 1 - start;
            if lived.is_multiple_of(1000) {
                println!("{lived} of {seeds} lives, {:.0} s", begun.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let total = total.lock().expect("nobody panics with it");
    let broken = broken.load(Ordering::Relaxed);
    println!(
        "{seeds} lives from seed {start} in {:.0} s, {broken} broken: {} incidents, {} deliveries, {} attempts, {} \
         receipts, {} summaries of {} deliveries, {} told again, {} ended by an event, {} crashes, {} stops, {} full disks, {} reloads, {} snapshots, {} records",
        begun.elapsed().as_secs_f64(),
        total.incidents,
        total.deliveries,
        total.attempts,
        total.receipts,
        total.summaries,
        total.summarised,
        total.told_again,
        total.ended_by_event,
        total.crashes,
        total.stops,
        total.full_disks,
        total.reloads,
        total.snapshots,
        total.records,
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The number after a name, or the default; `None` where something else stands there.
fn number(arguments: &[String], name: &str, default: u64) -> Option<u64> {
    match arguments.iter().position(|argument| argument == name) {
        Some(place) => arguments.get(place + 1)?.parse().ok(),
        None => Some(default),
    }
}

fn add(total: &mut Report, life: &Report) {
    total.incidents += life.incidents;
    total.deliveries += life.deliveries;
    total.attempts += life.attempts;
    total.receipts += life.receipts;
    total.summaries += life.summaries;
    total.summarised += life.summarised;
    total.told_again += life.told_again;
    total.ended_by_event += life.ended_by_event;
    total.crashes += life.crashes;
    total.stops += life.stops;
    total.full_disks += life.full_disks;
    total.reloads += life.reloads;
    total.snapshots += life.snapshots;
    total.records += life.records;
}
