//! A user of Cloudmarker moves: the configuration is imported, Balefire starts the real Cloudmarker by its schedule, and who
//! heard of what hears of it again, once.

use balefire_tests::certificates::Certificates;
use balefire_tests::postfix::{Mail, Postfix};
use balefire_tests::python::{cloudmarker, package};
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Two audits that share a store and an alert; the alert's plugin of one of them is a store of the other.
fn cloudmarkers_own(dir: &str, postfix: &Postfix) -> String {
    let mail = |to: &str, subject: &str| {
        let port = postfix.plain.port();
        format!(
            "{{from_addr: cm@example.org, to_addrs: [{to}], subject: {subject}, host: 127.0.0.1, port: {port}, \
             ssl_mode: disable}}"
        )
    };
    format!(
        "plugins:\n  files: {{plugin: cloudmarker.stores.filestore.FileStore, params: {{path: \"{dir}/files\"}}}}\n  \
         mail: {{plugin: cloudmarker.alerts.emailalert.EmailAlert, params: {alert}}}\n\
         audits:\n  one: {{clouds: [mockcloud], stores: [files], events: [mockevent], alerts: [mail]}}\n  \
         two: {{clouds: [mockcloud], stores: [files], events: [mockevent], alerts: [mail, files]}}\n\
         run: [one, two]\nschedule: \"03:00\"\nemail: {notices}\n\
         logger:\n  handlers: {{file: {{filename: \"{dir}/cloudmarker.log\"}}}}\n",
        alert = mail("soc@example.org", "Findings"),
        notices = mail("ops@example.org", "Audit"),
    )
}

/// Imports Cloudmarker's file and serves what was written, with the address of the server in Cloudmarker's last file.
fn moved(site: &Site, python: &Path) -> Server {
    let program = site.path("cloudmarker");
    let script = format!("#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 exec {} -m cloudmarker \"$@\"\n", python.display());
    fs::write(&program, script).expect("the directory is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the directory is ours");
    let path = |name: &str| site.path(name).display().to_string();
    let (file, output, program) = (path("cloudmarker.yaml"), path("out.yaml"), path("cloudmarker"));
    let package = package().display().to_string();
    let words = ["import", "cloudmarker", &file, "-o", &output, "--cloudmarker", &program, "--python", &package];
    let imported = site.run(&words);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let checked = site.run(&["check", "--strict", &output]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    site.configure(&fs::read_to_string(&output).expect("it was written"));
    let server = site.start();
    let last = site.path("cloudmarker-balefire.yaml");
    let text = fs::read_to_string(&last).expect("it was written");
    assert!(text.contains("127.0.0.1:9480"), "{text}");
    fs::write(last, text.replace("127.0.0.1:9480", &server.address().to_string())).expect("the directory is ours");
    server
}

#[test]
fn a_user_who_moves_gets_each_notice_each_finding_and_each_file_once() {
    let Some(python) = cloudmarker() else { return };
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = Site::new("routing: custom\n");
    let dir = site.path("").display().to_string();
    let own = cloudmarkers_own(dir.trim_end_matches('/'), &postfix);
    fs::write(site.path("cloudmarker.yaml"), own).expect("the directory is ours");
    let server = moved(&site, &python);
    let started = site.run(&["runs", "start", "all-audits"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    // The begin and the end of all audits and of each, and the findings of each.
    let mails = postfix.wait_for(8);
    let of = |to: &str| -> Vec<&Mail> { mails.iter().filter(|mail| mail.header("to").contains(to)).collect() };
    check_notices(&of("ops@example.org"));
    let findings = of("soc@example.org");
    for audit in ["one", "two"] {
        let about: Vec<_> = findings
            .iter()
            .filter(|mail| mail.header("subject").starts_with(&format!("Findings: Run {audit} ")))
            .collect();
        assert_eq!(about.len(), 1, "{findings:?}");
        assert!(about[0].header("subject").ends_with(": 4 records, 4 findings"), "{about:?}");
        assert_eq!(about[0].part("text/plain").matches("[LOW] Mock event").count(), 4, "{about:?}");
    }
    for (name, count) in [("one_mockcloud", 10), ("two_mockcloud", 10), ("two_mockevent", 4)] {
        let read = || fs::read_to_string(site.path(&format!("files/{name}.json"))).map_err(|error| error.to_string());
        let records: Vec<Value> = serde_json::from_str(&wait::until("the file is there", read)).expect("a list");
        assert_eq!(records.len(), count, "{name}");
    }
    assert!(!site.path("files/one_mockevent.json").exists(), "that audit's events go to the mail alone");
    assert_eq!(server.list("limit=1000").iter().filter(|row| row["detected_by"] == "balefire.run_failed").count(), 0);
    assert_eq!(postfix.count(), 8, "and no other mail: {}", postfix.log());
}

/// Six mails, each with the fields of Cloudmarker's own.
fn check_notices(mails: &[&Mail]) {
    let about = |name: &str| -> Vec<&str> {
        let texts = mails.iter().map(|mail| mail.part("text/plain"));
        texts.filter(|text| text.contains(&format!("About: {name}\n"))).collect()
    };
    for name in ["all-audits", "one", "two"] {
        let texts = about(name);
        assert_eq!(texts.len(), 2, "{name}: {mails:?}");
        assert!(texts.iter().all(|text| text.contains("Started: 20")), "{texts:?}");
        let ends: Vec<_> = texts.iter().filter(|text| text.contains("Ended: 20")).collect();
        assert!(ends.len() == 1 && ends[0].contains("Duration: 00 h 0"), "{texts:?}");
    }
    assert!(mails.iter().all(|mail| mail.header("subject").starts_with("Audit: ")), "{mails:?}");
}
