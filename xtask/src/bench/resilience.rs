//! What trouble costs those who have none: other channels beside a dead and a slow one, criticals behind a hundred thousand
//! lows, and a server that a million deliveries wait for.

use super::client::{Load, Until, drive};
use super::incidents;
use super::options::Options;
use super::report::Report;
use super::server::{Channels, Site};
use super::sink::Sink;
use super::standing;
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

/// No message for this long means that no more will come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is offered a second where nothing is said: three channels carry it on two cores with room to spare.
const STEADY: f64 = 3_000.0;

/// The rate of a channel beside two that work, and beside one that takes connections and never answers and one that takes a
/// second for each answer. At a steady rate, where only a hold-up can lose anything; and as fast as they are accepted, where
/// the processor time that the others leave counts too.
pub(super) fn isolation(options: &Options) -> Result<Report> {
    let count = options.incidents.unwrap_or(50_000);
    let rate = options.rate.unwrap_or(STEADY);
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on the loopback")?;
    let slow = Sink::open_slow(Duration::from_secs(1))?;
    let working = [Sink::open()?, Sink::open()?];
    let well = working.each_ref().map(Sink::address);
    let ill = [dead.local_addr().context("the listener has no address")?, slow.address()];
    let (steady_well, p99_well) = steady_rate(options, rate, well)?;
    let (steady_ill, p99_ill) = steady_rate(options, rate, ill)?;
    let (most_well, most_ill) = (rate_of_first(count, well)?, rate_of_first(count, ill)?);
    let lost = |well: f64, ill: f64| (1.0 - ill / well).max(0.0) * 100.0;
    Ok(Report::new()
        .number("steady, all work", steady_well, "messages/s")
        .number("steady, dead and slow", steady_ill, "messages/s")
        .number("lost", lost(steady_well, steady_ill), "%")
        .number("p99, all work", p99_well, "ms")
        .number("p99, dead and slow", p99_ill, "ms")
        .number("most, all work", most_well, "messages/s")
        .number("most, dead and slow", most_ill, "messages/s")
        .number("lost of the most", lost(most_well, most_ill), "%")
        .parameter("offered_per_s", rate)
        .parameter("seconds", options.duration.as_secs())
        .parameter("incidents_for_the_most", count))
}

/// What the first of three channels is sent, a second, and how late, at a steady rate.
fn steady_rate(options: &Options, rate: f64, others: [SocketAddr; 2]) -> Result<(f64, f64)> {
    let sink = Sink::open()?;
    let site = Site::new(&Channels::Webhooks(vec![sink.address(), others[0], others[1]]))?;
    let server = site.start()?;
    let begin = Instant::now();
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: options.connections,
        until: Until::Elapsed(options.duration),
        rate: Some(rate),
        body: &|number, body| incidents::of_severity("low", number, body),
    })?;
    sink.wait_for(answers.accepted, PATIENCE)?;
    let rate = answers.accepted as f64 / begin.elapsed().as_secs_f64();
    server.kill()?;
    Ok((rate, sink.latencies().percentile_ms(0.99)))
}

/// Offered to three channels in both runs, so that accepting and routing cost the same.
fn rate_of_first(count: u64, others: [SocketAddr; 2]) -> Result<f64> {
    let sink = Sink::open()?;
    let site = Site::new(&Channels::Webhooks(vec![sink.address(), others[0], others[1]]))?;
    let server = site.start()?;
    let begin = Instant::now();
    standing::fill(&site, count, incidents::lows)?;
    sink.wait_for(count, PATIENCE)?;
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    server.kill()?;
    Ok(rate)
}

/// From sent to received, of criticals, while lows are queued on the same channel.
pub(super) fn critical(options: &Options) -> Result<Report> {
    const LOWS: u64 = 100_000;
    const DELAY: Duration = Duration::from_millis(30);
    let rate = options.rate.unwrap_or(50.0);
    // Slow enough that the queue lasts longer than the criticals come.
    let sink = Sink::open_slow(DELAY)?;
    let site = Site::new(&Channels::Webhook(sink.address()))?;
    let server = site.start()?;
    let count = options.incidents.unwrap_or(LOWS);
    standing::fill(&site, count, incidents::lows)?;
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: options.connections,
        until: Until::Elapsed(options.duration),
        rate: Some(rate),
        body: &|number, body| incidents::of_severity("critical", number, body),
    })?;
    let still = count + answers.accepted - sink.latencies().count();
    ensure!(
        still > 0,
        "the queue was empty before the last critical came: nothing was measured; take more --incidents"
    );
    let begin = Instant::now();
    while sink.criticals().count() < answers.accepted && begin.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    let arrived = sink.criticals().count();
    server.kill()?;
    ensure!(arrived >= answers.accepted, "{arrived} of {} criticals came", answers.accepted);
    Ok(Report::new()
        .latencies(sink.criticals())
        .number("lows still queued at the end", still as f64, "")
        .parameter("criticals", arrived)
        .parameter("criticals_per_s", rate)
        .parameter("lows", count)
        .parameter("answer_ms", DELAY.as_millis()))
}

/// Memory with deliveries that wait for a receiver that is down, and the time from a start to the first of them.
pub(super) fn backlog(options: &Options) -> Result<Report> {
    let count = options.incidents.unwrap_or(1_000_000);
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let address = free.local_addr().context("the listener has no address")?;
    drop(free);
    let site = Site::new(&Channels::Webhook(address))?;
    let server = site.start()?;
    standing::fill(&site, count, incidents::lows)?;
    let loaded = server.resident_mb()?;
    thread::sleep(Duration::from_secs(5));
    let waiting = server.resident_mb()?;
    server.stop()?;
    let sink = Sink::open_at(address, Duration::ZERO)?;
    let begin = Instant::now();
    let server = site.start()?;
    let ready = begin.elapsed();
    // The channel was failing when we stopped: its next probe may be minutes away, which is not what is measured.
    while sink.latencies().count() == 0 && begin.elapsed() < Duration::from_secs(400) {
        thread::sleep(Duration::from_millis(1));
    }
    let first = begin.elapsed();
    sink.wait_for(count, PATIENCE)?;
    let drained = begin.elapsed();
    let restarted = server.resident_mb()?;
    server.stop()?;
    Ok(Report::new()
        .number("resident after the load", loaded, "MB")
        .number("resident, waiting", waiting, "MB")
        .number("resident after all were delivered", restarted, "MB")
        .number("ready after the restart", ready.as_secs_f64(), "s")
        .number("first delivery after the restart", first.as_secs_f64(), "s")
        .number("delivered", count as f64 / drained.as_secs_f64(), "messages/s")
        .number("delivered twice", (sink.latencies().count() - count) as f64, "messages")
        .parameter("deliveries", count))
}
