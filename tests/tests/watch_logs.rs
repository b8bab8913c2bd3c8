//! Log files, rsyslog, syslog-ng, journald, room and the clock, watched by the built binary: real daemons that lose messages,
//! files that are cut, and file systems that fill.

use balefire_tests::disk::SmallDisk;
use balefire_tests::impstats::Impstats;
use balefire_tests::server::Site;
use balefire_tests::syslog_ng::{KEPT, SyslogNg};
use balefire_tests::watched::{append, ids, of, wait_failing, wait_incidents, wait_ok, watcher};
use balefire_tests::{clock, journal, left_out, wait};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Watches one thing as often as it may.
fn site(watch: &str) -> Site {
    Site::new(&format!("watch: {{{watch}}}\n"))
}

#[test]
fn a_log_that_is_cut_is_told_until_it_grows_again_also_when_nobody_looked() {
    let site = site("file: [{path: \"{dir}/auth.log\", every: 100ms}]");
    let path = site.path("auth.log");
    let name = format!("file:{}", path.display());
    append(&path, "one\ntwo\n");
    let mut server = site.start();
    wait_ok(&server, &name);
    append(&path, "three\n");
    wait::until("it has grown", || {
        let watcher = watcher(&server, &name);
        let proof = watcher["proof"].as_str().unwrap_or_default();
        if proof.starts_with("14 bytes") { Ok(()) } else { Err(watcher.to_string()) }
    });
    fs::write(&path, "").expect("the file is ours");
    let failing = wait_failing(&server, &name, "file.truncated");
    assert_eq!(failing["failures"][0]["loss"]["count"], 14);
    append(&path, "four\n");
    wait_ok(&server, &name);
    wait_incidents(&server, "file.truncated", 1);
    // A rotation is no alarm.
    fs::rename(&path, site.path("auth.log.1")).expect("the file is ours");
    append(&path, "five\n");
    wait::until("the rotation was seen", || {
        let watcher = watcher(&server, &name);
        let proof = watcher["proof"].as_str().unwrap_or_default();
        if proof.contains("rotated to") && watcher["state"] == "ok" { Ok(()) } else { Err(watcher.to_string()) }
    });
    // What happens while nobody looks is seen afterwards.
    server.terminate();
    append(&path, "six\n");
    fs::write(&path, "seven and more\n").expect("the file is ours");
    let server = site.start();
    wait_failing(&server, &name, "file.rewritten");
}

#[test]
fn a_log_that_is_gone_or_open_to_everybody_is_told() {
    let site = site("file: [{path: \"{dir}/auth.log\", every: 100ms, absent: 500ms, mode_max: \"0640\"}]");
    let path = site.path("auth.log");
    let name = format!("file:{}", path.display());
    append(&path, "one\n");
    let mode = |mode: &str| assert!(Command::new("chmod").arg(mode).arg(&path).status().is_ok_and(|it| it.success()));
    mode("0640");
    let server = site.start();
    wait_ok(&server, &name);
    mode("0666");
    let failing = wait_failing(&server, &name, "file.perm");
    assert_eq!(failing["failures"][0]["severity"], "high");
    mode("0600");
    wait_ok(&server, &name);
    fs::remove_file(&path).expect("the file is ours");
    wait_failing(&server, &name, "file.missing");
    append(&path, "two\n");
    mode("0600");
    wait::until("what is there now grows", || {
        append(&path, "more\n");
        let watcher = watcher(&server, &name);
        if watcher["state"] == "ok" { Ok(()) } else { Err(watcher.to_string()) }
    });
}

#[test]
fn what_auditd_says_in_the_system_log_is_told_over_a_restart_until_its_own_log_grows() {
    let site = site("auditd: {messages: \"{dir}/syslog\", log: \"{dir}/audit.log\"}");
    let (syslog, log) = (site.path("syslog"), site.path("audit.log"));
    let says = |program: &str, text: &str| append(&syslog, &format!("Nov 22 08:00:00 web {program}: {text}\n"));
    let suspended = "Audit daemon is suspending logging due to no space left on logging partition.";
    append(&log, "type=SYSCALL msg=audit(1732305600.123:6): arch=c000003e syscall=83\n");
    says("auditd[812]", suspended);
    let mut server = site.start();
    wait::until("what was said before is old, and what another program says is not the word of auditd", || {
        says("sshd[9]", &format!("Invalid user auditd[812]: {suspended}"));
        let watcher = watcher(&server, "auditd.messages");
        if watcher["state"] == "ok" { Ok(()) } else { Err(watcher.to_string()) }
    });
    says("auditd[812]", suspended);
    wait_failing(&server, "auditd.messages", "audit.suspended");
    wait_incidents(&server, "audit.suspended", 1);
    server.terminate();
    says("auditd[812]", "Audit daemon resumed logging.");
    let server = site.start();
    wait_failing(&server, "auditd.messages", "audit.suspended");
    append(&log, "type=SYSCALL msg=audit(1732305601.123:7): arch=c000003e syscall=83\n");
    wait_ok(&server, "auditd.messages");
}

#[test]
fn rsyslog_that_loses_messages_is_told_though_its_own_counters_of_failure_stay_at_zero() {
    // A target where nobody listens, behind a queue that is too small.
    let rsyslog = Impstats::start(
        "rateLimit.interval=\"0\"",
        r#"action(name="fwd" type="omfwd" target="127.0.0.1" port="1" protocol="tcp" action.resumeRetryCount="-1"
             queue.type="LinkedList" queue.size="100" queue.timeoutEnqueue="0" queue.discardMark="80" queue.discardSeverity="6")
           action(name="file" type="omfile" file="{dir}/out")"#,
    );
    let site = site(&format!("rsyslog: {{stats: \"{}\", every: 200ms, queue_size: 1000}}", rsyslog.stats().display()));
    let server = site.start();
    wait_ok(&server, "rsyslog.queue");
    rsyslog.send(400);
    // It is over when two intervals were clean; the incident stays.
    let incidents = wait_incidents(&server, "syslog.queue_loss", 1);
    assert!(incidents[0].to_string().contains("fwd queue discarded"), "{incidents:?}");
    let failing = wait_failing(&server, "rsyslog.queue", "syslog.queue_growth");
    assert!(!ids(&failing).contains(&"syslog.action_failed".to_owned()), "{failing}");
    // Nothing was lost on the way in.
    assert_eq!(ids(&watcher(&server, "rsyslog.balance")), Vec::<String>::new());
}

#[test]
fn rsyslog_that_refuses_messages_or_falls_silent_is_told_and_messages_that_go_through_end_it() {
    let mut rsyslog = Impstats::start(
        "rateLimit.interval=\"2\" rateLimit.burst=\"20\"",
        r#"action(name="file" type="omfile" file="{dir}/out")
           action(name="full" type="omfile" file="/dev/full" action.resumeRetryCount="0")"#,
    );
    let site = site(&format!("rsyslog: {{stats: \"{}\", every: 200ms}}", rsyslog.stats().display()));
    let server = site.start();
    wait_ok(&server, "rsyslog.balance");
    rsyslog.send(303);
    let incidents = wait_incidents(&server, "syslog.input_loss", 1);
    let first = incidents[incidents.len() - 1]["id"].as_str().expect("an id");
    let shown = server.show(first);
    let lost = shown["incident"]["labels"]["loss"].as_str().and_then(|lost| lost.parse::<u64>().ok());
    assert!(lost.is_some_and(|lost| (100..=303).contains(&lost)), "{shown}");
    wait_incidents(&server, "syslog.action_failed", 1);
    let mut written = 0;
    wait::until("messages that go through end it", || {
        // One an interval, so that the rate limit lets it through.
        let now = fs::metadata(rsyslog.stats()).map_or(0, |stats| stats.len());
        if now > written {
            rsyslog.send(1);
        }
        written = now;
        let watcher = watcher(&server, "rsyslog.balance");
        if watcher["state"] == "ok" { Ok(()) } else { Err(watcher.to_string()) }
    });
    // That nothing comes any more is no proof that the action works again.
    wait_failing(&server, "rsyslog.queue", "syslog.action_failed");
    rsyslog.stop();
    wait_failing(&server, "rsyslog.balance", "syslog.stats_silent");
    rsyslog.resume();
    wait_ok(&server, "rsyslog.balance");
}

#[test]
fn syslog_ng_that_drops_messages_or_does_not_answer_is_told() {
    let Some(mut syslog_ng) = SyslogNg::start() else { return };
    let site = site(&format!("syslogng: {{ctl: \"{}\", every: 300ms}}", syslog_ng.ctl().display()));
    let server = site.start();
    wait_ok(&server, "syslogng");
    let sent = 400;
    syslog_ng.send(sent);
    // What is dropped is in the next answer, and over two answers later; the incident stays.
    let incidents = wait_incidents(&server, "syslogng.loss", 1);
    let told = incidents[0].to_string();
    assert!(told.contains("dead#0") && told.contains("dropped"), "{told}, {KEPT} of {sent} are kept");
    wait_failing(&server, "syslogng", "syslogng.queue_growth");
    syslog_ng.stop();
    wait_failing(&server, "syslogng", "syslogng.silent");
}

/// What `watch status --once` sees of one watcher.
fn once(site: &Site, name: &str) -> Value {
    let output = site.run(&["watch", "status", "--once", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    of(&said, name)
}

#[test]
fn what_journald_says_of_its_losses_is_told_and_an_empty_journal_is_no_good_sign() {
    let site = site("journald: {directory: \"{dir}/journal\", units_high: [ssh.service]}");
    fs::create_dir(site.path("journal")).expect("the directory is ours");
    let blind = once(&site, "journald");
    assert_eq!((&blind["state"], blind["blind"].is_object()), (&Value::from("blind"), true), "{blind}");
    let quiet = [&["MESSAGE=hello"][..]];
    if !journal::write(&site.path("journal/remote.journal"), &quiet) {
        return;
    }
    assert_eq!(once(&site, "journald")["state"], "ok");
    let lossy = [
        &["MESSAGE=hello"][..],
        &[
            "MESSAGE=Suppressed 310 messages from ssh.service",
            "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e",
            "N_DROPPED=310",
            "UNIT=ssh.service",
        ][..],
    ];
    fs::remove_file(site.path("journal/remote.journal")).expect("it is there");
    journal::write(&site.path("journal/remote.journal"), &lossy);
    let failing = once(&site, "journald");
    assert_eq!(ids(&failing), ["journal.suppressed"], "{failing}");
    let failure = &failing["failures"][0];
    assert_eq!((&failure["severity"], &failure["loss"]["count"]), (&Value::from("high"), &Value::from(310)));
}

#[test]
fn a_file_system_without_bytes_without_inodes_or_without_writing_is_told_by_its_name() {
    let site = site("capacity: [{path: \"{dir}/small\", every: 200ms, volatile: true}]");
    let Some(disk) = SmallDisk::mount(&site.path("small"), 4) else {
        return left_out("this user may not mount a small file system");
    };
    let name = format!("capacity:{}", site.path("small").display());
    let server = site.start();
    wait_ok(&server, &name);
    disk.fill();
    let failing = wait_failing(&server, &name, "capacity.bytes");
    assert_eq!(failing["failures"][0]["severity"], "critical", "{failing}");
    disk.empty();
    wait_ok(&server, &name);
    disk.make_read_only();
    wait_failing(&server, &name, "capacity.read_only");
    disk.make_writable();
    wait_ok(&server, &name);
    // Each file takes an inode, however small it is.
    disk.limit_files(50);
    let is_full = (0..100).any(|number| fs::write(site.path(&format!("small/{number}")), "").is_err());
    assert!(is_full, "it has no inodes left");
    wait_failing(&server, &name, "capacity.inodes");
}

#[test]
fn a_clock_that_is_set_is_told_with_its_direction() {
    let site = clock::with_own_clock(site("clock: {unsynced: 0s, every: 200ms}"));
    let server = site.start();
    wait_ok(&server, "clock");
    clock::set(&site, 30);
    let failing = wait_failing(&server, "clock", "clock.step");
    assert_eq!(failing["failures"][0]["severity"], "medium", "{failing}");
    let incidents = wait_incidents(&server, "clock.step", 1);
    assert!(incidents[0].to_string().contains("forward by 30"), "{incidents:?}");
    clock::set(&site, -10);
    wait::until("the step back is high", || {
        let watcher = watcher(&server, "clock");
        let told = watcher["failures"][0]["severity"].clone();
        if told == "high" { Ok(()) } else { Err(watcher.to_string()) }
    });
}
