//! A hundred thousand audit records into a real server: by Cloudmarker's own store, by Balefire from accepted to counted, and
//! by the plainest client there can be, which shows what the server itself can do. Knows the order of these and their rates;
//! the servers are in the files beside.

mod mongo;
mod opensearch;
mod postgres;
mod records;

use super::client::{Load, Until, drive};
use super::incidents;
use super::options::Options;
use super::report::Report;
use super::server::{Channels, Site};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const RECORDS: u64 = 100_000;
/// A channel that delivers nothing for this long will deliver nothing more.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Connections of the plain client. What the server can do is the best that it does with any of these.
const CONNECTIONS: [usize; 3] = [1, 2, 4];
/// What we want to be: so many times as fast as Cloudmarker.
const AIM: f64 = 10.0;
/// What Linux counts times in where it shows them (proc(5)), on all machines that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server that stores documents.
trait Store {
    /// What it is, for the report.
    fn name(&self) -> &'static str;
    /// Cloudmarker's class for it and the class's settings.
    fn cloudmarker(&self, place: Place) -> (&'static str, Value);
    /// The channel in YAML, with these settings behind its own.
    fn channel(&self, place: Place, further: &str) -> String;
    /// How many documents can be found. May take long: it is never asked while the time runs.
    fn count(&self, place: Place) -> Result<u64>;
    /// Removes all documents of a place.
    fn empty(&self, place: Place) -> Result<()>;
    /// Inserts records over so many connections; what is sent is made before the time begins.
    fn fill(&self, place: Place, records: &[Value], connections: usize) -> Result<Duration>;
    /// What its process has used so far.
    fn cpu_seconds(&self) -> Result<f64>;
}

/// An index or a database.
#[derive(Clone, Copy)]
enum Place {
    /// With what the server does by itself.
    Cloudmarker,
    /// With what the channel has prepared.
    Balefire,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Cloudmarker => "cloudmarker",
            Place::Balefire => "balefire",
        }
    }
}

/// Into an OpenSearch node.
pub(super) fn opensearch(options: &Options) -> Result<Report> {
    let directory = Directory::new()?;
    compare(&opensearch::OpenSearch::start(&directory.0)?, &directory.0, options)
}

/// Into a server of MongoDB's protocol.
pub(super) fn mongodb(options: &Options) -> Result<Report> {
    let directory = Directory::new()?;
    compare(&mongo::Mongo::start(&directory.0)?, &directory.0, options)
}

/// Incidents into a PostgreSQL with the tables of the BT-08 engine.
pub(super) fn postgresql(options: &Options) -> Result<Report> {
    postgres::history(options)
}

fn compare(store: &dyn Store, directory: &Path, options: &Options) -> Result<Report> {
    let count = options.incidents.unwrap_or(RECORDS);
    let records: Vec<Value> = (0..count).map(records::record).collect();
    // A server that has just started is slow, and so is the first use of a place; nobody is to pay for that.
    store.fill(Place::Cloudmarker, &records[..records.len() / 2], 2)?;
    store.empty(Place::Cloudmarker)?;
    balefire(store, count / 2, options)?;
    store.empty(Place::Balefire)?;
    let theirs = cloudmarker(store, directory, &records)?;
    store.empty(Place::Cloudmarker)?;
    let ours = balefire(store, count, options)?;
    store.empty(Place::Balefire)?;
    let limit = limit(store, Place::Balefire, &records)?;
    // Processor time tells on a machine that others use, too, where rates do not.
    let of = count as f64 / 1e6;
    let them = theirs.stored as f64 / theirs.took.as_secs_f64();
    let us = rate(count, ours.took);
    let limit_work = limit.cpu / of;
    Ok(Report::new()
        .number("Cloudmarker", them, "records/s")
        .number("Balefire", us, "records/s")
        .number("ratio", us / them, "times")
        .number("server's limit", limit.rate, "records/s")
        .number("Balefire of the limit", us / limit.rate * 100.0, "%")
        .number("limit over Cloudmarker", limit.rate / them, "times")
        .number("ten times would keep", AIM * them * limit_work / 1e6, "cores of the server busy")
        .number("Cloudmarker lost", count as f64 - theirs.stored as f64, "records")
        .number("Balefire lost", count as f64 - ours.stored as f64, "records")
        .number("Cloudmarker's work", theirs.own_cpu / of, "us/record")
        .number("Balefire's work", ours.own_cpu / of, "us/record")
        .number("server's, for them", theirs.server_cpu / of, "us/record")
        .number("server's, for us", ours.server_cpu / of, "us/record")
        .number("server's, plain", limit_work, "us/record")
        .parameter("server", store.name())
        .parameter("records", count)
        .parameter("incidents_per_request", options.batch)
        .parameter("settings", options.settings.as_deref().unwrap_or("the defaults"))
        .parameter("plain_connections", limit.connections)
        .comparison("server's limit: bodies made beforehand, 1000 a request, no journal in between, the best of 1, 2 and 4 connections"))
}

/// What the server can do.
struct Limit {
    connections: usize,
    rate: f64,
    cpu: f64,
}

/// The best of the plain client's runs.
fn limit(store: &dyn Store, place: Place, records: &[Value]) -> Result<Limit> {
    let mut best = Limit { connections: 0, rate: 0.0, cpu: 0.0 };
    for connections in CONNECTIONS {
        let before = store.cpu_seconds()?;
        let rate = rate(records.len() as u64, store.fill(place, records, connections)?);
        let cpu = store.cpu_seconds()? - before;
        store.empty(place)?;
        if rate > best.rate {
            best = Limit { connections, rate, cpu };
        }
    }
    Ok(best)
}

/// What came of one way.
struct Way {
    stored: u64,
    took: Duration,
    server_cpu: f64,
    own_cpu: f64,
}

/// Cloudmarker's cloud worker, queue, store worker and store class, each as it is.
fn cloudmarker(store: &dyn Store, directory: &Path, records: &[Value]) -> Result<Way> {
    let python = cache()?.join("balefire/cloudmarker-0.1.0/bin/python3");
    ensure!(python.exists(), "no Cloudmarker at {}; run scripts/test once", python.display());
    let path = directory.join("records.jsonl");
    let mut lines = BufWriter::new(File::create(&path).context("cannot make the records' file")?);
    for record in records {
        writeln!(lines, "{record}").context("cannot write the records")?;
    }
    lines.flush().context("cannot write the records")?;
    let (class, settings) = store.cloudmarker(Place::Cloudmarker);
    let before = store.cpu_seconds()?;
    let output = Command::new(python)
        .args(["-c", include_str!("stores/cloudmarker.py")])
        .arg(&path)
        .args([class, &settings.to_string()])
        .output()
        .context("cannot start Cloudmarker")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Cloudmarker ended with {}: {said}", output.status);
    let seconds = String::from_utf8_lossy(&output.stdout);
    let (took, own_cpu) =
        seconds.trim().split_once(' ').with_context(|| format!("Cloudmarker said {seconds:?} {said}"))?;
    // Before we count, which may be work for the server.
    let server_cpu = store.cpu_seconds()?;
    Ok(Way {
        stored: store.count(Place::Cloudmarker)?,
        took: Duration::from_secs_f64(took.parse().context("Cloudmarker's time is no number")?),
        server_cpu: server_cpu - before,
        own_cpu: own_cpu.parse().context("Cloudmarker's processor time is no number")?,
    })
}

/// From the first request until the server has acknowledged the last document.
fn balefire(store: &dyn Store, count: u64, options: &Options) -> Result<Way> {
    let size = u64::from(options.batch);
    let site = Site::new(&Channels::Store(store.channel(Place::Balefire, &options.further_settings())))?;
    let server = site.start()?;
    let before = store.cpu_seconds()?;
    let begin = Instant::now();
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: options.connections,
        until: Until::Requests(count.div_ceil(size)),
        rate: None,
        body: &|request, body| {
            let mut separator = b'[';
            for number in request * size..count.min((request + 1) * size) {
                body.push(separator);
                records::incident(number, body);
                separator = b',';
            }
            body.push(b']');
        },
    })?;
    ensure!(answers.refused == 0, "{} requests were refused", answers.refused);
    wait_until_empty(&site)?;
    let took = begin.elapsed();
    let (server_cpu, own_cpu) = (store.cpu_seconds()? - before, cpu_seconds(server.pid())?);
    let way = Way { stored: store.count(Place::Balefire)?, took, server_cpu, own_cpu };
    server.stop()?;
    Ok(way)
}

/// Waits until nothing waits for the channel. We ask Balefire, because some servers look at every document to count them.
fn wait_until_empty(site: &Site) -> Result<()> {
    let (mut waiting, mut since) = (u64::MAX, Instant::now());
    while waiting > 0 {
        thread::sleep(LOOK_EVERY);
        let channels = site.get("/api/v1/channels")?;
        let depth = &channels["channels"][0]["queue"]["depth"];
        let now = depth.as_u64().with_context(|| format!("no depth of a queue in {channels}"))?;
        if now < waiting {
            (waiting, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "{now} wait, and for {} s no fewer: {channels}", PATIENCE.as_secs());
    }
    Ok(())
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Does each piece of work over one of several sessions, and gives the time from the first to the last.
fn in_parallel<W, F>(work: &[W], sessions: usize, open: impl Fn() -> Result<F>) -> Result<Duration>
where
    W: Sync,
    F: FnMut(&W) -> Result<()> + Send,
{
    let opened: Vec<F> = (0..sessions).map(|_| open()).collect::<Result<_>>()?;
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        let next = &next;
        let run = |mut session: F| {
            scope.spawn(move || -> Result<()> {
                while let Some(piece) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    session(piece)?;
                }
                Ok(())
            })
        };
        let threads: Vec<_> = opened.into_iter().map(run).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a session's thread does not panic"))
    })?;
    Ok(begin.elapsed())
}

/// User and system time of a process.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The second field is the program's name, which may have blanks and brackets in it: count behind its end.
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let ticks = |nth: usize| -> Result<f64> {
        let field = fields.split_whitespace().nth(nth).with_context(|| format!("{path} is short"))?;
        field.parse().with_context(|| format!("{path}: {field:?} is no number"))
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Where scripts/test keeps what it has fetched.
fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache));
    }
    let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache"))
}

/// The server's directory, below the build's: on a disk, where `/tmp` may be memory. Removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Directory> {
        let workspace = Workspace::load(&std::env::current_dir().context("no current directory")?)?;
        let directory = workspace.target.join(format!("bench-store-{}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Directory(directory))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: {} stays: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::sync::Mutex;

    #[test]
    fn work_in_parallel_is_done_once_each_and_an_error_comes_out() {
        let done = Mutex::new(Vec::new());
        let work: Vec<u32> = (0..100).collect();
        let open = || {
            Ok(|piece: &u32| {
                done.lock().unwrap().push(*piece);
                Ok(())
            })
        };
        in_parallel(&work, 3, open).unwrap();
        let mut done = done.lock().unwrap().clone();
        done.sort_unstable();
        assert_eq!(done, work);
        let fails = || Ok(|piece: &u32| if *piece == 7 { bail!("seven") } else { Ok(()) });
        assert_eq!(in_parallel(&work, 2, fails).unwrap_err().to_string(), "seven");
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let begin = Instant::now();
        let mut sum = 0_u64;
        while begin.elapsed() < Duration::from_millis(100) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_seconds(std::process::id()).unwrap() > before);
    }
}
