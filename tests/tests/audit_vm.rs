//! The watchers of audit against a real kernel, auditd and journald, in a virtual machine: what fails is told in seconds, also
//! where the kernel itself says that all is well; what is over is told when records flow again, and not before; and where
//! nothing fails, nothing is told. `cargo xtask vm` runs all scenarios.

use balefire_tests::vm::{self, Story};

/// By when a failure must be told, from the deed to the delivered alert. The machine is emulated, on a processor that other
/// tests use; the measured times are in docs/audit-watch.md.
const TOLD_WITHIN: f64 = 30.0;

/// What a flood of records and a disk that fills may come to as well, where the machine is busy with other things.
const FLOODED: [&str; 4] = ["audit.stuck", "audit.lost", "audit.space_low", "audit.space_admin"];

/// The story of a scenario in which everything came that was waited for, and no other failures than these; none where there is
/// no virtual machine.
fn story(scenario: &str, failures: &[&str]) -> Option<Story> {
    let story = vm::tell(scenario)?;
    story.is_whole();
    let others: Vec<String> =
        story.failures().into_iter().filter(|failure| !failures.contains(&failure.as_str())).collect();
    assert!(others.is_empty(), "{scenario}: nothing explains {others:?}:\n{}", story.said());
    Some(story)
}

fn soon(seconds: f64) {
    assert!(seconds < TOLD_WITHIN, "it was told after {seconds} s");
}

#[test]
fn where_nothing_fails_nothing_is_told() {
    let Some(story) = story("quiet", &[]) else { return };
    assert!(story.mark("quiet-ends") - story.mark("watched") > 30.0);
}

#[test]
fn a_killed_auditd_is_told_while_the_kernel_still_names_it_and_its_records_are_kept() {
    let Some(story) = story("killed", &["audit.alternate", "audit.owner_lost", "audit.serial_gap"]) else { return };
    soon(story.told("kill", ("kernel.owner", "audit.owner_lost", "began")));
    assert_eq!(story.alert("kernel.owner", "audit.owner_lost", "began").label("audit_end"), "killed");
    assert_ne!(story.kernel("killed", "pid"), 0, "who only asks the kernel sees a daemon that is dead");
    soon(story.told("start", ("kernel.owner", "audit.owner_lost", "over")));
    let kept = story.number("KEPT");
    assert!(kept >= 40, "the records of that time are kept elsewhere, and not {kept} of them:\n{}", story.said());
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn what_came_while_auditd_was_dead_for_a_moment_is_kept() {
    let Some(story) = story("restarted", &["audit.alternate", "audit.owner_lost", "audit.serial_gap"]) else { return };
    soon(story.told("start", ("auditd.writing", "audit.alternate", "happened")));
    let kept = story.number("KEPT");
    assert!(kept >= 40, "{kept} records were kept:\n{}", story.said());
}

#[test]
fn a_full_disk_suspends_the_log_and_room_alone_is_no_recovery() {
    let mut failures = vec!["audit.alternate", "audit.full", "audit.serial_gap", "audit.suspended"];
    failures.extend(FLOODED);
    let Some(story) = story("full", &failures) else { return };
    soon(story.told("full", ("auditd.space", "audit.full", "began")));
    soon(story.told("full", ("auditd.writing", "audit.suspended", "began")));
    for moment in ["suspended", "room"] {
        let all_is_well = [("enabled", 1), ("lost", 0), ("backlog", 0)];
        for (field, value) in all_is_well {
            assert_eq!(story.kernel(moment, field), value, "{moment}: who only asks the kernel sees nothing");
        }
    }
    story.told("room", ("auditd.space", "audit.full", "over"));
    soon(story.told("resume", ("auditd.writing", "audit.suspended", "over")));
    let over = story.alert("auditd.writing", "audit.suspended", "over");
    assert!(over.at >= story.mark("resume"), "it is over when it was resumed, and not when there was room");
    assert!(story.number("KEPT") >= 100);
}

#[test]
fn audit_that_is_switched_off_is_told_and_over_when_a_record_is_written() {
    let Some(story) = story("off", &["audit.disabled"]) else { return };
    soon(story.told("off", ("kernel.status", "audit.disabled", "began")));
    story.told("off", ("canary:audit", "canary.lost", "began"));
    assert_eq!(story.alert("canary:audit", "canary.lost", "began").label("parent"), "kernel.status");
    soon(story.told("on", ("kernel.status", "audit.disabled", "over")));
    story.told("on", ("canary:audit", "canary.lost", "over"));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_stopped_auditd_is_told_as_stopped() {
    let Some(story) = story("stopped", &["audit.alternate", "audit.owner_lost", "audit.serial_gap"]) else { return };
    soon(story.told("stop", ("kernel.owner", "audit.owner_lost", "began")));
    assert_eq!(story.alert("kernel.owner", "audit.owner_lost", "began").label("audit_end"), "stopped");
    soon(story.told("start", ("kernel.owner", "audit.owner_lost", "over")));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_frozen_auditd_is_told_and_so_is_what_is_lost_meanwhile() {
    let Some(story) =
        story("frozen", &["audit.alternate", "audit.config_change", "audit.lost", "audit.serial_gap", "audit.stuck"])
    else {
        return;
    };
    soon(story.told("freeze", ("kernel.stuck", "audit.stuck", "began")));
    assert_eq!((story.kernel("frozen", "enabled"), story.kernel("frozen", "lost")), (1, 0));
    soon(story.told("flood", ("kernel.status", "audit.lost", "began")));
    story.told("resume", ("kernel.stuck", "audit.stuck", "over"));
    story.told("resume", ("kernel.status", "audit.lost", "over"));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_rate_limit_is_told_with_what_it_loses_and_what_is_missing() {
    let failures = ["audit.config_change", "audit.lost", "audit.lost_reset", "audit.serial_gap"];
    let Some(story) = story("rate", &failures) else { return };
    soon(story.told("limit", ("kernel.records", "audit.config_change", "happened")));
    soon(story.told("limit", ("kernel.status", "audit.lost", "began")));
    soon(story.told("gap", ("kernel.records", "audit.serial_gap", "happened")));
    soon(story.told("reset", ("kernel.status", "audit.lost_reset", "happened")));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn attempts_on_a_locked_audit_are_told_though_they_change_nothing() {
    let Some(story) = story("locked", &["audit.config_change"]) else { return };
    soon(story.told("attempt", ("kernel.records", "audit.config_change", "happened")));
    assert_eq!(story.alert("kernel.records", "audit.config_change", "happened").incident["severity"], "high");
    assert_eq!(story.kernel("locked", "enabled"), 2, "who only asks the kernel sees that nothing has changed");
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn rules_that_are_deleted_are_told() {
    let Some(story) = story("rules", &["audit.config_change"]) else { return };
    soon(story.told("deleted", ("kernel.records", "audit.config_change", "happened")));
    assert_eq!((story.kernel("deleted", "enabled"), story.kernel("deleted", "lost")), (1, 0));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_log_that_is_removed_is_told_until_auditd_writes_under_its_name_again() {
    let Some(story) = story("removed", &["audit.alternate", "file.missing"]) else { return };
    soon(story.told("removed", ("auditd.writing", "file.missing", "began")));
    assert_eq!((story.kernel("removed", "enabled"), story.kernel("removed", "lost")), (1, 0));
    soon(story.told("rotate", ("auditd.writing", "file.missing", "over")));
    let over = story.alert("auditd.writing", "file.missing", "over");
    assert!(over.at >= story.mark("rotate"), "SIGHUP alone is not enough");
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_log_that_is_emptied_is_told() {
    let Some(story) = story("truncated", &["audit.alternate", "file.truncated"]) else { return };
    soon(story.told("truncated", ("auditd.writing", "file.truncated", "began")));
    assert_eq!((story.kernel("truncated", "enabled"), story.kernel("truncated", "lost")), (1, 0));
    story.told("truncated", ("auditd.writing", "file.truncated", "over"));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_clock_that_is_set_back_by_years_neither_fires_nor_blinds_the_watchers_of_audit() {
    let Some(story) = story("clock", &["audit.owner_lost", "clock.step", "watch.blind"]) else { return };
    soon(story.told("stepped", ("clock", "clock.step", "began")));
    soon(story.told("killed", ("kernel.owner", "audit.owner_lost", "began")));
    let mut before = story.alerts().into_iter().filter(|alert| alert.at < story.mark("killed"));
    let is_of_audit = |watcher: &str| !matches!(watcher, "clock" | "self.disk");
    assert!(!before.any(|alert| is_of_audit(alert.label("watcher"))), "the clock alone is wrong:\n{}", story.said());
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn journald_that_switches_audit_off_is_told() {
    let Some(story) = story("journald", &["audit.disabled"]) else { return };
    soon(story.told("journald", ("kernel.status", "audit.disabled", "began")));
    assert_eq!(story.kernel("journald", "enabled"), 0);
    assert_ne!(story.kernel("journald", "pid"), 0, "auditd runs on");
    story.told("on", ("kernel.status", "audit.disabled", "over"));
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn without_any_right_a_frozen_and_a_killed_auditd_are_told_and_so_is_what_cannot_be_seen() {
    let Some(story) = story("nobody", &["audit.owner_lost", "audit.stuck", "watch.blind"]) else { return };
    soon(story.told("freeze", ("kernel.stuck", "audit.stuck", "began")));
    soon(story.told("kill", ("kernel.owner", "audit.owner_lost", "began")));
    let blind = story.alert("kernel.status", "watch.blind", "began").incident["description"].to_string();
    assert!(blind.contains("CAP_AUDIT_CONTROL"), "{blind}");
    assert_ne!(story.kernel("killed", "pid"), 0);
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn the_plugin_tells_of_a_suspended_and_of_a_killed_auditd_and_keeps_the_records() {
    let mut failures = vec!["audit.alternate", "audit.full", "audit.owner_lost", "audit.serial_gap", "audit.suspended"];
    failures.extend(FLOODED);
    let Some(story) = story("plugin", &failures) else { return };
    soon(story.told("full", ("auditd-plugin", "audit.suspended", "began")));
    soon(story.told("resume", ("auditd-plugin", "audit.suspended", "over")));
    soon(story.told("kill", ("auditd-plugin", "audit.owner_lost", "began")));
    soon(story.told("kill", ("kernel.owner", "audit.owner_lost", "began")));
    let child = story.alert("auditd-plugin", "audit.owner_lost", "began");
    assert_eq!((child.label("parent"), &child.incident["severity"]), ("kernel.owner", &"info".into()));
    assert_eq!(story.alert("kernel.owner", "audit.owner_lost", "began").label("parent"), "", "one cause is one alert");
    assert!(story.number("KEPT") >= 100);
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn what_auditd_says_in_the_system_log_is_told_once_with_what_is_seen_and_a_forger_is_not_heard() {
    let mut failures = vec!["audit.alternate", "audit.full", "audit.serial_gap", "audit.suspended"];
    failures.extend(FLOODED);
    let Some(story) = story("said", &failures) else { return };
    let mut before = story.alerts().into_iter().filter(|alert| alert.at < story.mark("full"));
    assert!(!before.any(|alert| alert.label("watcher") == "auditd.messages"), "a forger was heard:\n{}", story.said());
    soon(story.told("full", ("auditd.messages", "audit.suspended", "began")));
    let began = ["auditd.messages", "auditd.writing"].map(|watcher| story.alert(watcher, "audit.suspended", "began"));
    let told = began.iter().filter(|alert| alert.label("parent").is_empty());
    assert_eq!(told.count(), 1, "one cause is one alert:\n{}", story.said());
    let over = story.alert("auditd.messages", "audit.suspended", "over");
    assert!(over.at >= story.mark("resume"), "it is over when it was resumed, and not when there was room");
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_plugin_that_dies_and_records_that_the_kernel_says_it_lost_are_told() {
    let failures = ["audit.config_change", "audit.lost", "audit.plugin_dead", "audit.serial_gap", "audit.stuck"];
    let Some(story) = story("plugins", &failures) else { return };
    soon(story.told("killed-once", ("auditd.messages", "audit.plugin_dead", "happened")));
    let is_given_up = |alert: &vm::Alert| {
        alert.label("failure") == "audit.plugin_dead"
            && alert.incident["severity"] == "high"
            && alert.label("change") != "over"
    };
    assert!(story.alerts().iter().any(is_given_up), "auditd gave the plugin up:\n{}", story.said());
    soon(story.told("flood", ("auditd.messages", "audit.lost", "began")));
    let lost: Vec<_> = story.alerts().into_iter().filter(|alert| alert.label("failure") == "audit.lost").collect();
    let told = lost.iter().filter(|alert| alert.label("change") == "began" && alert.label("parent").is_empty());
    assert_eq!(told.count(), 1, "one cause is one alert:\n{}", story.said());
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn a_program_that_listens_and_rules_that_are_others_are_told_until_they_are_as_before() {
    let failures = ["audit.config_change", "audit.listener_new", "audit.rules_drift"];
    let Some(story) = story("drift", &failures) else { return };
    soon(story.told("listened", ("kernel.records", "audit.listener_new", "happened")));
    soon(story.told("changed", ("kernel.rules", "audit.rules_drift", "began")));
    assert_eq!((story.kernel("changed", "enabled"), story.kernel("changed", "lost")), (1, 0));
    soon(story.told("restored", ("kernel.rules", "audit.rules_drift", "over")));
    let listeners = story.alerts().into_iter().filter(|alert| alert.label("failure") == "audit.listener_new");
    assert_eq!(listeners.count(), 1, "we listen ourselves, and are no news:\n{}", story.said());
}

#[test]
#[ignore = "the whole suite takes minutes: cargo xtask vm"]
fn the_watchers_of_audit_cost_little() {
    let Some(story) = vm::tell("cost") else { return };
    let [none, watched, busy] = ["NONE", "WATCHED", "BUSY"].map(|what| {
        let (ticks, kilobytes) = (story.number(&format!("{what}-TICKS")), story.number(&format!("{what}-KILOBYTES")));
        balefire_tests::note(&format!("\n| cost | {what} | {ticks} hundredths of a second in 60 s | {kilobytes} kB |"));
        (ticks, kilobytes)
    });
    // The machine is emulated, many times slower than a real one, and the build may be one for debugging.
    assert!(watched.0 < none.0 + 1200 && busy.0 < none.0 + 3000, "{none:?} {watched:?} {busy:?}");
    assert!(busy.1 < none.1 + 32 * 1024, "{none:?} {watched:?} {busy:?}");
}
