//! Real settings against the profiles.

use super::*;
use crate::look::Sight;

/// As the package auditd 1:3.0.9-1 of Debian 12 has it, line by line.
const DEBIAN_12: &str = "#\n# This file controls the configuration of the audit daemon\n#\n\nlocal_events = yes\nwrite_logs = yes\n\
    log_file = /var/log/audit/audit.log\nlog_group = adm\nlog_format = ENRICHED\nflush = INCREMENTAL_ASYNC\nfreq = 50\n\
    max_log_file = 8\nnum_logs = 5\npriority_boost = 4\nname_format = NONE\n##name = mydomain\nmax_log_file_action = ROTATE\n\
    space_left = 75\nspace_left_action = SYSLOG\nverify_email = yes\naction_mail_acct = root\nadmin_space_left = 50\n\
    admin_space_left_action = SUSPEND\ndisk_full_action = SUSPEND\ndisk_error_action = SUSPEND\nuse_libwrap = yes\n\
    ##tcp_listen_port = 60\ntcp_listen_queue = 5\ntcp_max_per_addr = 1\n##tcp_client_ports = 1024-65535\n\
    tcp_client_max_idle = 0\ntransport = TCP\nkrb5_principal = auditd\n##krb5_key_file = /etc/audit/audit.key\n\
    distribute_network = no\nq_depth = 2000\noverflow_action = SYSLOG\nmax_restarts = 10\nplugin_dir = /etc/audit/plugins.d\n\
    end_of_event_timeout = 2\n";

/// As the STIG of Red Hat Enterprise Linux 9 leaves it.
const HARDENED: &str = "local_events = yes\nwrite_logs = yes\nlog_file = /var/log/audit/audit.log\nname_format = hostname\n\
    max_log_file = 100\nnum_logs = 10\nmax_log_file_action = rotate\nspace_left = 25%\nspace_left_action = email\n\
    action_mail_acct = root\nadmin_space_left = 5%\nadmin_space_left_action = single\ndisk_full_action = HALT\n\
    disk_error_action = HALT\noverflow_action = syslog\n";

fn readings(conf: Text) -> Readings {
    Readings {
        conf: (PathBuf::from("/etc/audit/auditd.conf"), conf),
        rules: Text::Denied("open /etc/audit/audit.rules: permission denied".to_owned()),
        boot: Text::Read("BOOT_IMAGE=/vmlinuz root=/dev/vda1 audit=1 audit_backlog_limit=8192\n".to_owned()),
        aliases: Text::Read("# aliases\npostmaster:    root\n".to_owned()),
        rsyslog: Text::Read("# *.* @@old\n*.* @@logs.example.org:6514\n".to_owned()),
        chrony: Text::Missing,
        partition_mib: Some(10_000),
        kernel: None,
    }
}

fn of(items: &[Item], rule: &str) -> (String, Verdict, String) {
    let item = items.iter().find(|item| item.rule == rule).unwrap();
    (item.place.clone(), item.verdict, item.found.clone())
}

fn rules(items: &[Item], verdict: Verdict) -> Vec<&'static str> {
    items.iter().filter(|item| item.verdict == verdict).map(|item| item.rule).collect()
}

#[test]
fn what_debian_ships_is_not_what_the_stig_asks_for() {
    let items = judge(Profile::StigRhel9, &readings(Text::Read(DEBIAN_12.to_owned())), &Alerts::default());
    assert_eq!(items.len(), 19);
    let expected = [
        "RHEL-09-653020",
        "RHEL-09-653025",
        "RHEL-09-653035",
        "RHEL-09-653040",
        "RHEL-09-653045",
        "RHEL-09-653050",
        "RHEL-09-653060",
    ];
    assert_eq!(rules(&items, Verdict::NotMet), expected);
    let space = ("/etc/audit/auditd.conf:19".to_owned(), Verdict::NotMet, "SYSLOG".to_owned());
    assert_eq!(of(&items, "RHEL-09-653040"), space);
    assert_eq!(of(&items, "RHEL-09-653035").2, "75 of 10000 MiB");
    assert_eq!(rules(&items, Verdict::Blind), ["RHEL-09-252010", "RHEL-09-654265", "RHEL-09-654275"]);
    assert_eq!(rules(&items, Verdict::ByHand), ["RHEL-09-653030"]);
}

#[test]
fn what_is_hardened_is_met_and_the_kernel_has_the_last_word() {
    let mut readings = readings(Text::Read(HARDENED.to_owned()));
    readings.rules = Text::Read("-D\n-b 8192\n-f 1\n-f 2\n-e 2\n".to_owned());
    readings.chrony = Text::Read("pool 2.debian.pool.ntp.org iburst\n".to_owned());
    let items = judge(Profile::StigRhel9, &readings, &Alerts::default());
    assert_eq!(rules(&items, Verdict::NotMet), [""; 0]);
    assert_eq!(rules(&items, Verdict::Blind), [""; 0]);
    readings.kernel = Some((1, 1, 64));
    let items = judge(Profile::StigRhel9, &readings, &Alerts::default());
    assert_eq!(rules(&items, Verdict::NotMet), ["RHEL-09-654265", "RHEL-09-654275"]);
    assert_eq!(of(&items, "RHEL-09-653120").2, "8192; 64 now");
}

#[test]
fn each_profile_has_its_own_rules() {
    let items = judge(Profile::StigRhel8, &readings(Text::Read(HARDENED.to_owned())), &Alerts::default());
    for rule in ["RHEL-08-030730", "RHEL-08-030731", "RHEL-08-030020", "RHEL-08-030030"] {
        assert_eq!(of(&items, rule).1, Verdict::Met, "{rule}");
    }
    assert!(items.iter().all(|item| item.rule.starts_with("RHEL-08-")));
    assert_eq!(Profile::parse("stig-rhel8"), Some(Profile::StigRhel8));
    assert_eq!(Profile::parse("rhel8"), Some(Profile::StigRhel8));
    assert_eq!(Profile::parse("stig-rhel7"), None);
}

#[test]
fn what_cannot_be_read_is_blind_and_not_bad() {
    let denied = Text::Denied("open /etc/audit/auditd.conf: permission denied".to_owned());
    let items = judge(Profile::StigRhel9, &readings(denied), &Alerts::default());
    assert_eq!(rules(&items, Verdict::NotMet), [""; 0]);
    assert_eq!(of(&items, "RHEL-09-653040").2, "open /etc/audit/auditd.conf: permission denied");
    let cure = |conf: Text| match watcher::look(Profile::StigRhel9, &readings(conf)).sight {
        Sight::Blind { cure, .. } => cure,
        other => panic!("{other:?}"),
    };
    assert!(cure(Text::Denied("open: permission denied".to_owned())).contains("CAP_DAC_READ_SEARCH"));
    // A right too many is worse than none: no right makes a file that is not there.
    assert!(!cure(Text::Missing).contains("CAP_"));
}

#[test]
fn items_that_ask_for_alerts_say_what_gives_them() {
    let alerts = Alerts {
        watchers: vec!["auditd.space".to_owned(), "auditd.writing".to_owned()],
        recipients: "audit-failure is".to_owned(),
        mailer: Some("/usr/lib/sendmail is /usr/bin/balefire".to_owned()),
    };
    let items = judge(Profile::StigRhel9, &readings(Text::Read(DEBIAN_12.to_owned())), &alerts);
    let told: Vec<_> = items.iter().filter(|item| item.alerts.is_some()).map(|item| item.setting).collect();
    assert_eq!(told, ["space_left", "space_left_action", "admin_space_left", "action_mail_acct", "postmaster"]);
    let sentence = items.iter().find_map(|item| item.alerts.clone()).unwrap();
    assert!(
        sentence.starts_with("Real-time alerts are provided by Balefire: auditd.space, auditd.writing"),
        "{sentence}"
    );
    assert!(sentence.contains("/usr/lib/sendmail is /usr/bin/balefire"));
    assert!(Alerts::default().sentence().starts_with("No real-time alert is provided"));
}

#[test]
fn the_watcher_says_how_much_is_not_met() {
    let look = watcher::look(Profile::StigRhel9, &readings(Text::Read(DEBIAN_12.to_owned())));
    let Sight::Failing(failures) = look.sight else { panic!("it fails") };
    assert_eq!(failures[0].id, "audit.posture");
    assert_eq!(failures[0].severity, balefire_model::Severity::Medium);
    assert!(failures[0].summary.starts_with("7 of 19 items of stig-rhel9 are not met"), "{}", failures[0].summary);
    assert!(failures[0].summary.ends_with("and 1 more"), "{}", failures[0].summary);
}
