//! How long it takes from a failure to the alert, for each watcher that needs no kernel of its own: with the settings that it has
//! where nothing is set, the built binary and real daemons, to the line in a file channel.
//! `cargo run -p balefire-tests --example watch_detection`, as root; the kernel's are measured by `cargo xtask vm`.
#![expect(clippy::print_stdout, reason = "numbers for whoever runs it")]

use balefire_tests::disk::SmallDisk;
use balefire_tests::impstats::Impstats;
use balefire_tests::postgres::{DATABASE, PASSWORD, Postgres, USER};
use balefire_tests::server::{Server, Site};
use balefire_tests::syslog_ng::SyslogNg;
use balefire_tests::{clock, wait};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Each failure happens so often.
const SAMPLES: u32 = 3;

/// Longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server that tells of its watchers in a file.
struct Watched {
    site: Site,
    server: Server,
}

impl Watched {
    /// With these settings of `watch`, ready.
    fn start(watch: &str) -> Watched {
        Watched::on(Site::new(&settings(watch)))
    }

    fn on(site: Site) -> Watched {
        let server = site.start();
        Watched { site, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    fn name(&self, kind: &str, name: &str) -> String {
        format!("{kind}:{}", self.path(name).display())
    }

    fn wait_ok(&self, name: &str) {
        wait::within(PATIENCE, &format!("{name} is ok"), || {
            let answer = self.server.get("/api/v1/watch").expect(200).json();
            let all = answer["watchers"].as_array().cloned().unwrap_or_default();
            let found = all.iter().find(|watcher| watcher["name"] == name).cloned().unwrap_or_default();
            if found["state"] == "ok" { Ok(()) } else { Err(found.to_string()) }
        });
    }

    fn alerts(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("alerts")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The seconds from the deed until it is told.
    fn seconds(&self, (watcher, failure): (&str, &str), deed: impl FnOnce()) -> f64 {
        let before = self.alerts().len();
        let begin = Instant::now();
        deed();
        wait::within(PATIENCE, &format!("{watcher} tells of {failure}"), || {
            let alerts = self.alerts();
            let is_it = |alert: &&Value| {
                let labels = &alert["incident"]["labels"];
                labels["watcher"] == watcher && labels["failure"] == failure && labels["change"] != "over"
            };
            alerts.iter().skip(before).find(is_it).map(|_| ()).ok_or_else(|| format!("{alerts:?}"))
        });
        begin.elapsed().as_secs_f64()
    }
}

fn settings(watch: &str) -> String {
    format!(
        "channels: {{out: {{file: {{path: \"{{dir}}/alerts\"}}}}}}\ndedup: {{enabled: false}}\nrouting: custom\n\
         routes: [{{name: all, to: [out]}}]\nwatch:\n  {watch}\n"
    )
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file is ours");
    file.write_all(text.as_bytes()).expect("there is room");
}

/// Repeats, each at another moment between two looks, and prints the fastest and the slowest.
fn measure(failure: &str, condition: &str, mut sample: impl FnMut(u32) -> f64) {
    let seconds: Vec<f64> = (0..SAMPLES).map(&mut sample).collect();
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seconds.iter().copied().fold(0.0, f64::max);
    println!("| `{failure}` | {condition} | {least:.1} to {most:.1} |");
}

/// Not always at the same moment after a look.
fn shift(sample: u32) {
    wait::pause(Duration::from_millis(u64::from(sample) * 730));
}

/// A log file that grows, and what is done to it.
fn file(failure: &str, condition: &str, deed: impl Fn(&Path)) {
    measure(failure, condition, |sample| {
        let watched = Watched::start("file: [{path: \"{dir}/log\", mode_max: \"0640\"}]");
        let (path, name) = (watched.path("log"), watched.name("file", "log"));
        append(&path, &"a line\n".repeat(2000));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("the file is ours");
        watched.wait_ok(&name);
        shift(sample);
        watched.seconds((&name, failure), || deed(&path))
    });
}

fn files() {
    file("file.truncated", "emptied", |path| fs::write(path, "").expect("the file is ours"));
    file("file.replaced", "another file in its place", |path| {
        let other = path.with_file_name("other");
        append(&other, "another\n");
        fs::rename(other, path).expect("the file is ours");
    });
    file("file.rewritten", "one of its first bytes changed", |path| {
        use std::os::unix::fs::FileExt;
        let file = OpenOptions::new().write(true).open(path).expect("the file is ours");
        file.write_at(b"B", 2).expect("there is room");
    });
    file("file.missing", "removed; `absent: 5s`", |path| fs::remove_file(path).expect("the file is ours"));
    file("file.perm", "writable by everybody", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("the file is ours");
    });
}

fn rsyslog() {
    let start = |input: &str, actions: &str| {
        let rsyslog = Impstats::start(input, actions);
        let watched = Watched::start(&format!("rsyslog: {{stats: \"{}\"}}", rsyslog.stats().display()));
        watched.wait_ok("rsyslog.balance");
        (rsyslog, watched)
    };
    let file = r#"action(name="file" type="omfile" file="{dir}/out")"#;
    measure("syslog.input_loss", "a rate limit; statistics every second", |sample| {
        let (rsyslog, watched) = start("rateLimit.interval=\"60\" rateLimit.burst=\"20\"", file);
        shift(sample);
        watched.seconds(("rsyslog.balance", "syslog.input_loss"), || rsyslog.send(303))
    });
    measure("syslog.queue_loss", "a dead target and a full queue; the same", |sample| {
        let dead = r#"action(name="fwd" type="omfwd" target="127.0.0.1" port="1" protocol="tcp" action.resumeRetryCount="-1"
            queue.type="LinkedList" queue.size="100" queue.timeoutEnqueue="0" queue.discardMark="80" queue.discardSeverity="6")"#;
        let (rsyslog, watched) = start("rateLimit.interval=\"0\"", dead);
        shift(sample);
        watched.seconds(("rsyslog.queue", "syslog.queue_loss"), || rsyslog.send(400))
    });
    measure("syslog.stats_silent", "rsyslogd stopped; the same: three intervals without", |sample| {
        let (mut rsyslog, watched) = start("rateLimit.interval=\"0\"", file);
        shift(sample);
        watched.seconds(("rsyslog.balance", "syslog.stats_silent"), || rsyslog.stop())
    });
}

fn syslog_ng() {
    let start = || {
        let syslog_ng = SyslogNg::start()?;
        let watched = Watched::start(&format!("syslogng: {{ctl: \"{}\"}}", syslog_ng.ctl().display()));
        watched.wait_ok("syslogng");
        Some((syslog_ng, watched))
    };
    if start().is_none() {
        return;
    }
    measure("syslogng.loss", "a destination drops messages", |sample| {
        let (syslog_ng, watched) = start().expect("it started before");
        shift(sample);
        watched.seconds(("syslogng", "syslogng.loss"), || syslog_ng.send(400))
    });
    measure("syslogng.silent", "stopped: no answer, twice", |sample| {
        let (mut syslog_ng, watched) = start().expect("it started before");
        shift(sample);
        watched.seconds(("syslogng", "syslogng.silent"), || syslog_ng.stop())
    });
}

/// A small file system, and what is done to it.
fn room(failure: &str, condition: &str, deed: impl Fn(&SmallDisk, &Path)) {
    measure(failure, condition, |sample| {
        let site = Site::new(&settings("capacity: [{path: \"{dir}/small\", volatile: true}]"));
        let disk = SmallDisk::mount(&site.path("small"), 4).expect("root may mount");
        let watched = Watched::on(site);
        let name = watched.name("capacity", "small");
        watched.wait_ok(&name);
        shift(sample);
        watched.seconds((&name, failure), || deed(&disk, &watched.path("small")))
    });
}

fn rooms() {
    room("capacity.bytes", "full", |disk, _| disk.fill());
    room("capacity.read_only", "mounted read-only", |disk, _| disk.make_read_only());
    room("capacity.inodes", "no inode left", |disk, path| {
        disk.limit_files(50);
        let is_full = (0..100).any(|number| fs::write(path.join(number.to_string()), "").is_err());
        assert!(is_full, "it has no inodes left");
    });
}

fn clocks() {
    measure("clock.step", "set forward by 30 s", |sample| {
        let watched = Watched::on(clock::with_own_clock(Site::new(&settings("clock: {unsynced: 0s}"))));
        watched.wait_ok("clock");
        shift(sample);
        watched.seconds(("clock", "clock.step"), || clock::set(&watched.site, 30))
    });
}

fn sources() {
    measure("source.silent", "`every: 5s`, `grace: 1s`; from the last sign of life", |sample| {
        let watched = Watched::start("source: [{id: http, heartbeat: {every: 5s, grace: 1s}}]");
        shift(sample);
        watched.seconds(("source:http", "source.silent"), || {
            watched.server.accept(&json!({"title": "I am well", "severity": "info"}));
        })
    });
    measure("source.unknown", "a stranger sends", |sample| {
        let watched = Watched::start("source: [{id: fw-01, heartbeat: {every: 1h}}, {match: '*', expected: false}]");
        shift(sample);
        watched.seconds(("source:unknown:*", "source.unknown"), || {
            watched.server.accept(&json!({"title": "I am new", "severity": "info"}));
        })
    });
}

fn applications() {
    measure("bt08.audit_db_failure", "a line in a log", |sample| {
        let watched = Watched::start("bt08: {lines: [{path: \"{dir}/syslog\"}]}");
        let (path, name) = (watched.path("syslog"), watched.name("bt08.lines", "syslog"));
        append(&path, "Nov 22 08:00:00 web cron[7]: a line\n");
        watched.wait_ok(&name);
        shift(sample);
        watched.seconds((&name, "bt08.audit_db_failure"), || {
            append(&path, "Nov 22 08:00:01 web eqmon-audit[812]: AUDIT_DB_FAILURE: cannot connect\n");
        })
    });
    let schema = "CREATE TABLE public.audit_events (event_id BIGSERIAL PRIMARY KEY, action TEXT NOT NULL, \
                  created_at TIMESTAMPTZ NOT NULL DEFAULT now()); CREATE INDEX ON public.audit_events (created_at);";
    let Some(postgres) = Postgres::start(schema) else { return };
    let url = format!("postgresql://{USER}:{PASSWORD}@{}/{DATABASE}", postgres.address);
    measure("bt08.no_rows", "`within: 20s`; from the last row", |sample| {
        let watched = Watched::start(&format!("bt08: {{audit_rows: {{postgres: {{url: \"{url}\"}}, within: 20s}}}}"));
        shift(sample);
        watched.seconds(("bt08.rows", "bt08.no_rows"), || {
            postgres.run("INSERT INTO public.audit_events (action) VALUES ('login')");
            watched.wait_ok("bt08.rows");
        })
    });
}

fn main() {
    println!("| failure | how | seconds until it was told |\n|---|---|---|");
    files();
    rsyslog();
    syslog_ng();
    rooms();
    clocks();
    sources();
    applications();
}
