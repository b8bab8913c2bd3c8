//! The files of a systemd journal and what auditd may keep, watched by the built binary: real journal files, of which one is
//! removed, one is damaged and one has numbers that no entry has; and logs that are overwritten too early.

use balefire_tests::server::Site;
use balefire_tests::watched::{append, ids, wait_failing, wait_incidents, wait_ok, watcher};
use balefire_tests::{journal, wait};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

/// Ten entries.
const ENTRIES: [&[&str]; 10] = [&["MESSAGE=one of many, which is long enough to be an object of its own"]; 10];

/// Where the header of a journal file has the number of its last entry.
const TAIL_NUMBER: u64 = 160;

/// Changes one byte of a file.
fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("the file is ours");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).expect("it is so long");
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&[byte[0] ^ 16])).expect("there is room");
}

/// Where a text stands in a file.
fn place(path: &Path, text: &str) -> u64 {
    let bytes = fs::read(path).expect("the file is ours");
    let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    found.expect("it has the text") as u64
}

#[test]
fn journal_files_that_are_removed_and_numbers_that_no_entry_has_are_told_and_a_rotation_is_not() {
    let site = Site::new("watch: {journald: {directory: \"{dir}/journal\", every: 200ms}}\n");
    let file = |name: &str| site.path(&format!("journal/0123/{name}"));
    if !journal::write(&file("system@1.journal"), &ENTRIES) {
        return;
    }
    journal::write(&file("system@2.journal"), &ENTRIES);
    journal::write(&file("system.journal"), &ENTRIES);
    let server = site.start();
    let proves = |proof: &str| {
        wait::until(proof, || {
            let watcher = watcher(&server, "journald.files");
            let is_so = watcher["proof"].as_str().is_some_and(|found| found.starts_with(proof));
            if is_so { Ok(()) } else { Err(watcher.to_string()) }
        });
    };
    proves("30 entries in 3 files");
    // A rotation is no removal.
    fs::rename(file("system.journal"), file("system@3.journal")).expect("the file is ours");
    proves("30 entries in 3 files");
    fs::remove_file(file("system@1.journal")).expect("the file is ours");
    let told = wait_incidents(&server, "journal.vacuum", 1);
    assert_eq!(told[0]["severity"], "high", "{told:?}");
    assert!(told[0].to_string().contains("10 entries of the journal"), "{told:?}");
    proves("20 entries in 2 files");
    flip(&file("system@3.journal"), TAIL_NUMBER);
    let told = wait_incidents(&server, "journal.seqnum_gap", 1);
    assert_eq!(told[0]["severity"], "medium", "{told:?}");
    assert!(told[0].to_string().contains("16 entries of the journal"), "{told:?}");
    assert_eq!(wait_incidents(&server, "journal.vacuum", 1).len(), 1);
}

#[test]
fn a_damaged_archived_file_is_told_and_one_that_is_written_is_left_out() {
    let site = Site::new("watch: {journald: {directory: \"{dir}/journal\", every: 200ms, verify_archived: 1s}}\n");
    let file = |name: &str| site.path(&format!("journal/0123/{name}"));
    if !journal::write(&file("system@1.journal"), &ENTRIES) {
        return;
    }
    journal::write(&file("system@2.journal"), &ENTRIES);
    journal::write(&file("system.journal"), &ENTRIES);
    flip(&file("system.journal"), place(&file("system.journal"), "one of many"));
    let server = site.start();
    let whole = wait_ok(&server, "journald.verify");
    assert!(whole["proof"].as_str().is_some_and(|proof| proof.starts_with("2 archived files")), "{whole}");
    let at = place(&file("system@2.journal"), "one of many");
    flip(&file("system@2.journal"), at);
    let failing = wait_failing(&server, "journald.verify", "journal.verify_fail");
    assert_eq!(
        (failing["failures"].as_array().map(Vec::len), failing["failures"][0]["severity"].as_str()),
        (Some(1), Some("high"))
    );
    assert!(failing["failures"][0]["summary"].to_string().contains("system@2.journal"), "{failing}");
    // It is over when it is whole again.
    flip(&file("system@2.journal"), at);
    wait_ok(&server, "journald.verify");
}

#[test]
fn what_auditd_overwrites_too_early_is_told_by_its_own_settings() {
    let site = Site::new(
        "watch: {capacity: [{path: \"{dir}/audit\", cap: auditd, conf: \"{dir}/auditd.conf\", every: 200ms, volatile: true},\n  \
         {path: \"{dir}\", cap: auditd, conf: \"{dir}/none.conf\", every: 200ms, volatile: true}]}\n",
    );
    fs::create_dir(site.path("audit")).expect("the directory is ours");
    append(&site.path("auditd.conf"), "max_log_file = 1\nnum_logs = 4\nmax_log_file_action = ROTATE\n");
    for name in ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"] {
        append(&site.path(&format!("audit/{name}")), &"x".repeat(900 << 10));
    }
    let old = |age: &str| {
        let touched = Command::new("touch").args(["-d", age]).arg(site.path("audit/audit.log.3")).status();
        assert!(touched.is_ok_and(|status| status.success()));
    };
    old("-20 hours");
    let server = site.start();
    let name = format!("capacity:{}", site.path("audit").display());
    let failing = wait_failing(&server, &name, "capacity.retain");
    assert_eq!(ids(&failing), ["capacity.retain"], "{failing}");
    let summary = failing["failures"][0]["summary"].to_string();
    assert!(summary.contains("87.9 % of their 4194304 bytes") && summary.contains("20.0 h old"), "{summary}");
    let blind = watcher(&server, format!("capacity:{}", site.path("").display()).trim_end_matches('/'));
    assert_eq!(blind["state"], "blind", "{blind}");
    drop(server);
    old("-9 days");
    let server = site.start();
    let ok = wait_ok(&server, &name);
    assert!(ok["proof"].as_str().is_some_and(|proof| proof.contains("auditd's num_logs x max_log_file")), "{ok}");
}
