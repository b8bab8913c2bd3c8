//! What the end-to-end tests share: a server that is started, asked and killed, receivers that record, and waiting with
//! a deadline. Knows the binary from outside only.

pub mod certificates;
pub mod client;
pub mod clock;
pub mod daemon;
pub mod deliveries;
pub mod disk;
pub mod greylist;
pub mod impstats;
pub mod injection;
pub mod journal;
pub mod journald;
pub mod mongo;
pub mod opensearch;
pub mod pooler;
pub mod postfix;
pub mod postgres;
pub mod proxy;
pub mod python;
pub mod relay;
pub mod rsyslog;
pub mod said;
pub mod server;
pub mod sink;
pub mod slack;
pub mod splunk;
pub mod storm;
pub mod stubborn;
pub mod syslog_ng;
pub mod terminal;
pub mod vm;
pub mod wait;
pub mod watched;

/// Says on standard error why a test does not run here.
#[expect(clippy::print_stderr, reason = "a test that is left out must be seen in the output")]
pub fn left_out(why: &str) {
    eprintln!("left out: {why}");
}

/// Says on standard error what a test has measured; shown with `--nocapture`, and where the test fails.
#[expect(clippy::print_stderr, reason = "numbers for whoever reads the run")]
pub fn note(what: &str) {
    eprintln!("{what}");
}
