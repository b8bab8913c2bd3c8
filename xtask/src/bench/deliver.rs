//! From an incident sent to its webhook received, one message each.

use super::client::{Load, Until, drive};
use super::incidents;
use super::options::Options;
use super::report::Report;
use super::server::{Channels, Site};
use super::sink::Sink;
use anyhow::Result;
use std::time::{Duration, Instant};

/// No message for this long means that no more will come.
const PATIENCE: Duration = Duration::from_secs(10);

/// As many as are accepted, or as many as `--rate` offers.
pub(super) fn webhook(options: &Options) -> Result<Report> {
    let sink = Sink::open()?;
    let site = Site::new(&Channels::Webhook(sink.address()))?;
    let server = site.start()?;
    let begin = Instant::now();
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: options.connections,
        until: Until::Elapsed(options.duration),
        rate: options.rate,
        body: &incidents::single,
    })?;
    sink.wait_for(answers.accepted, PATIENCE)?;
    let took = begin.elapsed().as_secs_f64();
    let resident = server.resident_mb()?;
    server.stop()?;
    let delivered = sink.latencies().count();
    Ok(Report::new()
        .number("delivered", delivered as f64 / took, "messages/s")
        .latencies(sink.latencies())
        .number("delivered twice", (delivered - answers.accepted) as f64, "messages")
        .number("refused", answers.refused as f64, "requests")
        .number("resident memory", resident, "MB")
        .parameter("connections", options.connections)
        .parameter("seconds", options.duration.as_secs())
        .parameter("offered_per_s", options.rate.map_or("as many as are accepted".to_owned(), |rate| rate.to_string()))
        .comparison("Alertmanager 0.25: 6,600/s one message each, at 275 MB"))
}
