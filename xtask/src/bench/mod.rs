//! The benches by name: each measures the built binary from outside, generator and sink included, and prints its
//! parameters beside the numbers. Knows what there is to measure; how load is made and counted is in the files beside.

mod accept;
mod client;
mod deliver;
mod http;
mod incidents;
mod journal;
mod latency;
mod options;
mod report;
mod resilience;
mod server;
mod sink;
mod standing;
mod stores;

use crate::workspace::started;
use anyhow::{Context, Result, bail};
use options::Options;
use report::Report;

/// One bench.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<Report>,
}

const BENCHES: &[Bench] = &[
    Bench { name: "accept-single", about: "durable accept, one incident a request", run: accept::single },
    Bench { name: "accept-batch", about: "durable accept, many incidents a request", run: accept::batch },
    Bench {
        name: "journal-append",
        about: "raw append, beside a plain loop of write and fdatasync",
        run: journal::append,
    },
    Bench { name: "deliver-webhook", about: "from sent to delivered, one message each", run: deliver::webhook },
    Bench {
        name: "deliver-isolation",
        about: "a channel's rate beside one that is dead and one that is slow",
        run: resilience::isolation,
    },
    Bench {
        name: "deliver-critical",
        about: "a critical's way while lows are queued on the same channel",
        run: resilience::critical,
    },
    Bench {
        name: "deliver-backlog",
        about: "deliveries that wait for a receiver: memory, restart",
        run: resilience::backlog,
    },
    Bench {
        name: "store-opensearch",
        about: "audit records into OpenSearch, beside Cloudmarker and a plain client",
        run: stores::opensearch,
    },
    Bench {
        name: "store-mongodb",
        about: "audit records into a MongoDB server, beside Cloudmarker and a plain client",
        run: stores::mongodb,
    },
    Bench {
        name: "store-postgres",
        about: "incidents into alert_history, beside one INSERT an alert",
        run: stores::postgresql,
    },
    Bench { name: "memory", about: "resident memory, idle, with incidents in the history", run: standing::memory },
    Bench { name: "start", about: "from start to ready, with records in the journal", run: standing::start },
];

/// Runs the named bench, or `all` of them; lists them where none is named.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", list());
        return Ok(true);
    };
    let chosen: Vec<&Bench> = BENCHES.iter().filter(|bench| name == "all" || bench.name == name).collect();
    if chosen.is_empty() {
        bail!("no bench {name:?}; allowed: all\n{}", list());
    }
    let options = Options::parse(rest)?;
    if cfg!(debug_assertions) {
        return run_optimised(arguments);
    }
    for bench in chosen {
        let report = (bench.run)(&options).with_context(|| format!("bench {}", bench.name))?;
        if options.json {
            println!("{}", report.json(bench.name));
        } else {
            println!("{}", report.text(bench.name));
        }
    }
    Ok(true)
}

/// An unoptimised generator would measure itself: run the same command again, built for release.
fn run_optimised(arguments: &[String]) -> Result<bool> {
    let status = started("cargo")
        .args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench"])
        .args(arguments)
        .status()
        .context("cannot run cargo")?;
    Ok(status.success())
}

fn list() -> String {
    let mut text = String::from("cargo xtask bench NAME|all [OPTION...]\n\n");
    for bench in BENCHES {
        text.push_str(&format!("  {:<18} {}\n", bench.name, bench.about));
    }
    text + "\n" + options::HELP
}
