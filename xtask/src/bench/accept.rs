//! How many incidents a second are accepted, which means: on disk when the sender hears it.

use super::client::{Load, Until, drive};
use super::incidents;
use super::options::Options;
use super::report::Report;
use super::server::{Channels, Site};
use anyhow::Result;
use std::net::SocketAddr;

/// One incident a request.
pub(super) fn single(options: &Options) -> Result<Report> {
    let report = measure(options, 1, &incidents::single)?;
    Ok(report.comparison("Alertmanager 0.25, nothing durable: 6,600/s; the BT-08 engine in Python: 110/s"))
}

/// Many incidents a request.
pub(super) fn batch(options: &Options) -> Result<Report> {
    let size = options.batch;
    let report = measure(options, size, &|number, body| incidents::batch(number, size, body))?;
    Ok(report.comparison("Alertmanager 0.25, nothing durable: 75,000/s"))
}

fn measure(options: &Options, per_request: u32, body: &(dyn Fn(u64, &mut Vec<u8>) + Sync)) -> Result<Report> {
    let send = |address: SocketAddr| {
        drive(&Load {
            address,
            path: incidents::PATH,
            connections: options.connections,
            until: Until::Elapsed(options.duration),
            rate: None,
            body,
        })
    };
    let answers = match options.target {
        Some(address) => send(address)?,
        None => {
            let site = Site::new(&Channels::None)?;
            let server = site.start()?;
            let answers = send(site.address())?;
            server.stop()?;
            answers
        }
    };
    let incidents = (answers.accepted * u64::from(per_request)) as f64;
    Ok(Report::new()
        .number("accepted", incidents / answers.took.as_secs_f64(), "incidents/s")
        .latencies(&answers.latencies)
        .number("refused", answers.refused as f64, "requests")
        .parameter("connections", options.connections)
        .parameter("incidents_per_request", per_request)
        .parameter("seconds", options.duration.as_secs()))
}
