//! `balefire import cloudmarker` from the shell: files in, files out, and a report; what it writes is good for `check`.

use balefire_tests::server::Site;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

const CLOUDMARKER: &str = "\
plugins:
  mail:
    plugin: cloudmarker.alerts.emailalert.EmailAlert
    params:
      from_addr: cm@example.com
      to_addrs: soc@example.com
      subject: Findings
      host: smtp.example.com
      username: cm
      password: hunter2-s3cret
  es: {plugin: cloudmarker.stores.esstore.EsStore}
audits:
  nightly: {clouds: [mockcloud], stores: [es], events: [mockevent], alerts: [mail]}
run: [nightly]
";

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn site() -> Site {
    let site = Site::new("routing: custom\n");
    fs::write(site.path("cloudmarker.yaml"), CLOUDMARKER).expect("the directory is ours");
    site
}

fn import(site: &Site, more: &[&str]) -> Output {
    let (from, to) = (site.path("cloudmarker.yaml").display().to_string(), site.path("out.yaml").display().to_string());
    let arguments: Vec<&str> =
        ["import", "cloudmarker", &from, "-o", &to].into_iter().chain(more.iter().copied()).collect();
    site.run(&arguments)
}

#[test]
fn what_is_written_passes_a_strict_check_and_the_report_tells_the_rest() {
    let site = site();
    let output = import(&site, &[]);
    assert!(output.status.success(), "{}", said(&output));
    for words in ["Changed in meaning", "each letter of it", "Stays in Cloudmarker", "plugins.es.plugin", "a secret"] {
        assert!(said(&output).contains(words), "{words}\n{}", said(&output));
    }
    let written = site.path("out.yaml").display().to_string();
    let checked = site.run(&["check", "--strict", &written]);
    assert!(checked.status.success(), "{}\n{}", said(&checked), fs::read_to_string(written).unwrap_or_default());
}

#[test]
fn a_secret_is_in_its_own_file_for_its_owner_alone() {
    let site = site();
    let output = import(&site, &["--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report in JSON");
    let secret = report["secrets"][0].as_str().expect("a path").to_owned();
    assert_eq!(fs::read_to_string(&secret).expect("it is there"), "hunter2-s3cret");
    let mode = |path: &str| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&secret), 0o600);
    assert_eq!(mode(&site.path("secrets").display().to_string()), 0o700);
    let texts =
        ["out.yaml", "cloudmarker-balefire.yaml"].map(|name| fs::read_to_string(site.path(name)).expect("it is there"));
    assert!(!texts.concat().contains("hunter2") && !said(&output).contains("hunter2"));
}

#[test]
fn nothing_is_overwritten_unless_that_is_said() {
    let site = site();
    assert!(import(&site, &[]).status.success());
    let again = import(&site, &[]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(said(&again).contains("--force"), "{}", said(&again));
    assert!(import(&site, &["--force"]).status.success());
}

#[test]
fn standard_output_has_the_report_and_is_no_place_for_the_configuration() {
    let site = site();
    let output = site.run(&["import", "cloudmarker", &site.path("cloudmarker.yaml").display().to_string(), "-o", "-"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("allowed: the path of a file") && !site.path("-").exists(), "{}", said(&output));
}

#[test]
fn a_file_that_is_not_there_is_no_empty_one() {
    let site = site();
    fs::remove_file(site.path("cloudmarker.yaml")).expect("it was there");
    let output = import(&site, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("cloudmarker.yaml cannot be read"), "{}", said(&output));
    assert!(!site.path("out.yaml").exists());
}

#[test]
fn without_files_the_search_path_counts_the_later_over_the_earlier() {
    let site = site();
    fs::create_dir(site.path("home")).expect("the directory is ours");
    fs::write(site.path("home/.cloudmarker.yaml"), "run: [nightly, mockaudit]\nschedule: \"01:00\"\n")
        .expect("it is ours");
    fs::write(site.path("home/cloudmarker.yaml"), "schedule: \"02:00\"\n").expect("it is ours");
    let output = site.command(&["import", "cloudmarker", "-o", "out.yaml"]).env("HOME", site.path("home")).output();
    let output = output.expect("the binary can be started");
    assert!(output.status.success(), "{}", said(&output));
    let written = fs::read_to_string(site.path("out.yaml")).expect("it was written");
    // The file of the working directory is the last one: its audit runs, at the time of the one before.
    assert!(written.contains("at: \"02:00\"") && !written.contains("mockaudit"), "{written}");
    let files = ["home/.cloudmarker.yaml", "home/cloudmarker.yaml", "cloudmarker.yaml", "cloudmarker-balefire.yaml"];
    let places: Vec<usize> = files
        .iter()
        .map(|name| written.find(&site.path(name).display().to_string()).unwrap_or_else(|| panic!("{name}: {written}")))
        .collect();
    assert!(places.is_sorted(), "the command has them in their order: {written}");
}

#[test]
fn cloudmarkers_own_configuration_is_imported_alone_and_shown() {
    let site = site();
    let printed = site.run(&["import", "cloudmarker", "--print-base-config"]);
    let base = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.status.success() && base.contains("mockevent") && !site.path("balefire-data").exists(), "{base}");
    let to = site.path("out.yaml").display().to_string();
    let alone = site.run(&["import", "cloudmarker", "--base-only", "--no-schedule", "-o", &to]);
    assert!(alone.status.success(), "{}", said(&alone));
    let written = fs::read_to_string(&to).expect("it was written");
    assert!(written.contains("layout: cloudmarker") && !written.contains("runs:"), "{written}");
    assert!(!written.contains("es1") && !written.contains("mail"), "no file counts: {written}");
}
