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

/// How many are sent where nothing is said: ten seconds' worth.
const INCIDENTS: u64 = 200_000;

/// As many as `--rate` offers, one a request; or as many as are accepted, `--batch` a request.
pub(super) fn webhook(options: &Options) -> Result<Report> {
    let sink = Sink::open()?;
    let site = Site::new(&Channels::Webhook(sink.address()))?;
    let server = site.start()?;
    let size = if options.rate.is_some() { 1 } else { options.batch };
    let until = match options.rate {
        Some(_) => Until::Elapsed(options.duration),
        None => Until::Requests(options.incidents.unwrap_or(INCIDENTS) / u64::from(size)),
    };
    let begin = Instant::now();
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: options.connections,
        until,
        rate: options.rate,
        body: &|number, body| incidents::batch(number, size, body),
    })?;
    let accepted = answers.accepted * u64::from(size);
    sink.wait_for(accepted, PATIENCE)?;
    let took = begin.elapsed().as_secs_f64();
    let resident = server.resident_mb()?;
    server.stop()?;
    let delivered = sink.latencies().count();
    Ok(Report::new()
        .number("delivered", delivered as f64 / took, "messages/s")
        .latencies(sink.latencies())
        .number("delivered twice", (delivered - accepted) as f64, "messages")
        .number("refused", answers.refused as f64, "requests")
        .number("resident memory", resident, "MB")
        .parameter("connections", options.connections)
        .parameter("incidents", accepted)
        .parameter("incidents_per_request", size)
        .parameter("offered_per_s", options.rate.map_or("as many as are accepted".to_owned(), |rate| rate.to_string()))
        .comparison("Alertmanager 0.25: 6,600/s one message each, at 275 MB"))
}
