//! What a server needs that has a history: memory when nothing happens, and time to start.

use super::client::{Load, Until, drive};
use super::incidents;
use super::options::Options;
use super::report::Report;
use super::server::{Channels, Server, Site};
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

/// How long a server is left alone before it counts as idle.
const IDLE: Duration = Duration::from_secs(5);

/// Resident memory with incidents in the history, after they came and after a restart.
pub(super) fn memory(options: &Options) -> Result<Report> {
    let count = options.incidents.unwrap_or(100_000);
    let site = Site::new(&Channels::None)?;
    let server = site.start()?;
    let empty = server.resident_mb()?;
    fill(&site, count, incidents::batch)?;
    thread::sleep(IDLE);
    let filled = server.resident_mb()?;
    server.stop()?;
    let server = site.start()?;
    thread::sleep(IDLE);
    let restarted = server.resident_mb()?;
    server.stop()?;
    Ok(Report::new()
        .number("empty", empty, "MB")
        .number("idle after the load", filled, "MB")
        .number("idle after a restart", restarted, "MB")
        .parameter("incidents", count))
}

/// From start to ready, after a stop in good order and after the power was cut.
pub(super) fn start(options: &Options) -> Result<Report> {
    let count = options.incidents.unwrap_or(500_000);
    let site = Site::new(&Channels::None)?;
    let server = site.start()?;
    fill(&site, count, incidents::batch)?;
    server.kill()?;
    let server = site.start()?;
    let after_kill = ready_ms(&server);
    server.stop()?;
    let server = site.start()?;
    let after_stop = ready_ms(&server);
    server.stop()?;
    Ok(Report::new()
        .number("ready after a stop", after_stop, "ms")
        .number("ready after a kill", after_kill, "ms")
        .parameter("incidents", count)
        .parameter("records_at_least", count * 2))
}

fn ready_ms(server: &Server) -> f64 {
    server.ready_after.as_secs_f64() * 1000.0
}

/// What makes the body of a request: its number, how many incidents, and where it goes.
pub(super) type Body = fn(u64, u32, &mut Vec<u8>);

/// Sends so many incidents as fast as they are accepted.
pub(super) fn fill(site: &Site, count: u64, one: Body) -> Result<()> {
    const BATCH: u32 = 100;
    let requests = count.div_ceil(u64::from(BATCH));
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: 4,
        until: Until::Requests(requests),
        rate: None,
        body: &|number, body| one(number, BATCH, body),
    })?;
    ensure!(answers.refused == 0, "{} of {requests} requests were refused", answers.refused);
    Ok(())
}
