//! Log files, watched by the built binary: a real rsyslogd that is killed, or writes into a file that is gone, real ACLs and
//! attributes, and files that the system does not let read.

use balefire_tests::impstats::Impstats;
use balefire_tests::server::Site;
use balefire_tests::watched::{append, ids, wait_failing, wait_incidents, wait_ok, watcher};
use balefire_tests::{left_out, wait};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A writer may hold another file for half a minute after a rotation, before it is told.
const TOLD_WITHIN: Duration = Duration::from_secs(150);

/// Runs a program on a file; whether it could do it.
fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; run scripts/test")).status.success()
}

#[test]
fn a_writer_that_is_killed_or_writes_into_a_file_that_is_gone_is_told_until_it_writes_again() {
    let mut rsyslog = Impstats::start("", "action(type=\"omfile\" file=\"{dir}/auth.log\")");
    let path = rsyslog.stats().with_file_name("auth.log");
    rsyslog.send(1);
    wait::until("rsyslogd has written", || if path.exists() { Ok(()) } else { Err("no file".to_owned()) });
    let site =
        Site::new(&format!("watch: {{file: [{{path: \"{}\", every: 200ms, writer: rsyslogd}}]}}\n", path.display()));
    let name = format!("file:{}", path.display());
    let server = site.start();
    wait_ok(&server, &name);
    let gone = |why: &str| {
        wait::within(TOLD_WITHIN, why, || {
            let watcher = watcher(&server, &name);
            let failures = watcher["failures"].as_array().expect("a list");
            let found = failures.iter().find(|failure| failure["id"] == "file.writer_gone");
            let is_told = found.is_some_and(|failure| failure["summary"].to_string().contains(why));
            if is_told { Ok(()) } else { Err(watcher.to_string()) }
        });
    };
    // A careless rotation: the file is another one, and rsyslogd goes on in the one that nobody can name any more.
    fs::remove_file(&path).expect("the file is ours");
    append(&path, "");
    rsyslog.send(1);
    gone("(deleted)");
    // A restart opens the new file; only what is written there ends it.
    rsyslog.kill();
    rsyslog.resume();
    rsyslog.send(1);
    wait::within(TOLD_WITHIN, "rsyslogd writes its file", || {
        let watcher = watcher(&server, &name);
        if watcher["state"] == "ok" { Ok(()) } else { Err(watcher.to_string()) }
    });
    rsyslog.kill();
    // Another test may have one of its own, which does not hold this file.
    gone("rsyslogd does not write");
    wait_incidents(&server, "file.writer_gone", 3);
}

#[test]
fn an_acl_and_a_lost_attribute_are_told() {
    let site = Site::new(
        "watch: {file: [{path: \"{dir}/acl.log\", every: 100ms, mode_max: \"0640\", acl: [\"group:4242:r\"]},\n  \
         {path: \"{dir}/kept.log\", every: 100ms}]}\n",
    );
    let (acl, kept) = (site.path("acl.log"), site.path("kept.log"));
    append(&acl, "one\n");
    append(&kept, "one\n");
    assert!(run("chmod", &["0640"], &acl));
    let (of_acl, of_kept) = (format!("file:{}", acl.display()), format!("file:{}", kept.display()));
    if !run("setfacl", &["-m", "group:4242:r"], &acl) {
        return left_out("this file system has no ACLs");
    }
    let has_attributes = run("chattr", &["+a"], &kept);
    let server = site.start();
    wait_ok(&server, &of_acl);
    assert!(run("setfacl", &["-m", "user:4242:rw,mask::r"], &acl));
    let failing = wait_failing(&server, &of_acl, "file.perm");
    assert!(failing.to_string().contains("its ACL lets user 4242 read"), "{failing}");
    assert!(run("setfacl", &["-x", "user:4242"], &acl));
    wait_ok(&server, &of_acl);
    if !has_attributes {
        return left_out("this user may not set the attributes of a file");
    }
    wait_ok(&server, &of_kept);
    append(&kept, "two\n");
    wait::until("the attribute was there for a while", || {
        let watcher = watcher(&server, &of_kept);
        let has_grown = watcher["proof"].as_str().is_some_and(|proof| proof.starts_with("8 bytes"));
        if has_grown { Ok(()) } else { Err(watcher.to_string()) }
    });
    // It counts as meant once it has lasted for three seconds.
    wait::pause(Duration::from_secs(5));
    assert!(run("chattr", &["-a"], &kept));
    let told = wait_incidents(&server, "file.perm", 3);
    assert!(told.iter().any(|incident| incident.to_string().contains("append-only")), "{told:?}");
}

#[test]
fn what_is_from_the_future_goes_back_in_time_or_cannot_be_read_is_told() {
    let unreadable = "/sys/class/net/lo/speed";
    let site = Site::new(&format!(
        "watch: {{file: [{{path: \"{{dir}}/auth.log\", every: 100ms, ordered: true}}, {{path: {unreadable}, every: 100ms}}]}}\n"
    ));
    let path = site.path("auth.log");
    let name = format!("file:{}", path.display());
    append(&path, "2026-01-01T12:00:00Z host sshd[1]: one\n");
    let server = site.start();
    wait_ok(&server, &name);
    assert!(run("touch", &["-d", "+1 hour"], &path));
    wait_failing(&server, &name, "file.future");
    append(&path, "2026-01-01T11:00:00Z host sshd[1]: two\n");
    wait_ok(&server, &name);
    let told = wait_incidents(&server, "file.out_of_order", 1);
    assert!(told[0].to_string().contains("go back in time"), "{told:?}");
    // The kernel answers with an error to whoever asks the loopback device for its speed: EINVAL, as a bad disk EIO.
    if fs::read(unreadable).is_ok() {
        return left_out("this kernel lets everything be read");
    }
    let failing = wait_failing(&server, &format!("file:{unreadable}"), "file.unreadable");
    assert_eq!(ids(&failing), ["file.unreadable"], "{failing}");
}
