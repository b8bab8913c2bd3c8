//! A user of the blue team's monitor (BT-08) moves: their file is imported, and what it sent goes on arriving in the same
//! words, in a real Postfix, a real rsyslog and a real PostgreSQL.

use balefire_tests::certificates::Certificates;
use balefire_tests::postfix::{Mail, Postfix};
use balefire_tests::postgres::{DATABASE, PASSWORD, PLAN, Postgres, SHIPPED, USER};
use balefire_tests::rsyslog::Rsyslog;
use balefire_tests::server::{Server, Site};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The monitor's own configuration, with references where the released engine has them.
fn monitors_own(postfix: &Postfix, postgres: &Postgres, verbose: bool) -> String {
    format!(
        "database: {{host: 127.0.0.1, port: {database}, name: {DATABASE}, user: {USER}}}\n\
         monitoring: {{poll_interval_sec: 5, log_retention_days: 90, verbose: {verbose}}}\n\
         alerting:\n  email:\n    enabled: true\n    smtp_host: 127.0.0.1\n    smtp_port: {mail}\n    \
         from_address: blueteam@example.org\n    recipients: [soc@example.org]\n  \
         syslog: {{enabled: true, facility: local6}}\n\
         collectors: {{nginx: {{enabled: true, path: /var/log/nginx/access.log}}}}\n\
         correlation: {{window_seconds: 300, rules: {{brute_force: {{threshold: 5}}}}}}\n\
         compliance: {{framework: nist_800_171}}\n",
        database = postgres.address.port(),
        mail = postfix.plain.port(),
    )
}

struct Move {
    site: Site,
    postfix: Postfix,
    rsyslog: Rsyslog,
    postgres: Postgres,
}

impl Move {
    /// Imports the monitor's file; `local` is laid over it. None where there is no PostgreSQL here.
    fn new(schema: &str, verbose: bool, local: Option<&str>) -> Option<Move> {
        let postgres = Postgres::start(schema)?;
        let certificates = Certificates::new();
        let (postfix, rsyslog) = (Postfix::start(&certificates), Rsyslog::start(&certificates));
        let site = Site::new("routing: custom\n").with_variable("EQMON_AUTH_DB_PASS", PASSWORD);
        let own = monitors_own(&postfix, &postgres, verbose);
        fs::write(site.path("config.yaml"), own).expect("the directory is ours");
        if let Some(local) = local {
            fs::write(site.path("config.local.yaml"), local).expect("the directory is ours");
        }
        Some(Move { site, postfix, rsyslog, postgres })
    }

    /// Serves what the import has written, with rsyslog's own socket in the place of `/dev/log`.
    fn serve(&self) -> Server {
        let imported = self.site.run(&["import", "blueteam", "config.yaml", "-o", "out.yaml"]);
        assert!(imported.status.success(), "{}", said(&imported));
        for words in ["collectors.nginx.path", "correlation.rules.brute_force.threshold", "compliance.framework"] {
            assert!(said(&imported).contains(words), "{words}: {}", said(&imported));
        }
        let checked = self.site.run(&["check", "--strict", "out.yaml"]);
        assert!(checked.status.success(), "{}", said(&checked));
        let written = fs::read_to_string(self.site.path("out.yaml")).expect("it was written");
        assert!(!written.contains(PASSWORD), "{written}");
        let to = format!("facility: local6\n      to: \"{}\"", self.rsyslog.socket().display());
        assert!(written.contains("facility: local6"), "{written}");
        // The servers of these tests have no standard output.
        self.site.configure(&written.replace("facility: local6", &to).replace("to: stdout", "to: stderr"));
        self.site.start()
    }

    fn rows(&self) -> String {
        self.postgres.sql("SELECT rule_id, severity, title FROM blueteam.alert_history ORDER BY title")
    }
}

fn incident(title: &str, severity: &str, cui: bool) -> Value {
    json!({"title": title, "severity": severity, "detected_by": "brute_force", "nist_controls": ["3.1.8", "3.14.6"],
           "description": "5 failures.", "cui_involved": cui})
}

/// One incident of each severity, and each delivered everywhere.
fn send_all(server: &Server) {
    for (title, severity) in [("a", "critical"), ("b", "high"), ("c", "medium"), ("d", "low"), ("e", "info")] {
        let id = server.accept(&incident(title, severity, false));
        server.wait_for_deliveries(&id, "delivered");
    }
}

fn lines(rsyslog: &Rsyslog, count: usize) -> Vec<String> {
    let mut lines: Vec<String> = rsyslog
        .wait_for(count)
        .iter()
        .map(|record| {
            assert_eq!(
                (&record["program"], &record["facility"]),
                (&json!("eqmon-blueteam"), &json!("local6")),
                "{record}"
            );
            record["text"].as_str().expect("a text").trim_start().to_owned()
        })
        .collect();
    lines.sort();
    lines
}

fn subjects(mails: &[Mail]) -> Vec<&str> {
    let mut subjects: Vec<&str> = mails.iter().map(|mail| mail.header("subject")).collect();
    subjects.sort_unstable();
    subjects
}

#[test]
fn what_the_engine_of_the_plan_sent_goes_on_arriving_in_the_same_words() {
    let Some(moved) = Move::new(PLAN, false, None) else { return };
    let server = moved.serve();
    send_all(&server);
    let line = |severity: &str, title: &str| {
        format!("SECURITY_INCIDENT [{severity}] {title} | detected_by=brute_force nist=3.1.8,3.14.6 cui=False")
    };
    let expected = [line("CRITICAL", "a"), line("HIGH", "b"), line("LOW", "d"), line("MEDIUM", "c")];
    assert_eq!(lines(&moved.rsyslog, 4), expected);
    let mails = moved.postfix.wait_for(2);
    assert_eq!(subjects(&mails), ["[CRITICAL] a", "[HIGH] b"]);
    let body = "Security Incident Detected\n========================================\nTitle: a\nSeverity: critical\n\
                Detected by: brute_force\nNIST Controls: 3.1.8, 3.14.6\nCUI Involved: False\n\nDescription:\n5 failures.\n";
    let critical = mails.iter().find(|mail| mail.header("subject") == "[CRITICAL] a").expect("it came");
    assert_eq!(critical.part("text/plain"), body);
    let rows = ["critical|a", "high|b", "medium|c", "low|d", "info|e"].map(|row| format!("brute_force|{row}"));
    assert_eq!(moved.rows(), rows.join("\n"), "info is a row, too");
    assert!(server.stderr().contains("SECURITY ALERT [CRITICAL] a | rule=brute_force"), "{}", server.stderr());
    assert_eq!(moved.rsyslog.records().len(), 4, "info goes to no channel");
    assert_eq!(moved.postfix.count(), 2);
}

#[test]
fn what_the_released_engine_sent_goes_on_arriving_and_cui_goes_everywhere() {
    let local =
        "monitoring: {verbose: true}\nalerting: {email: {recipients: [\"${ALERT_EMAIL:-ciso@example.org}\"]}}\n";
    let Some(moved) = Move::new(SHIPPED, false, Some(local)) else { return };
    let server = moved.serve();
    send_all(&server);
    let cui = server.accept(&incident("f", "info", true));
    server.wait_for_deliveries(&cui, "delivered");
    let line = |mark: &str, severity: &str, title: &str| {
        format!("SECURITY_INCIDENT{mark} severity={severity} rule=brute_force title=\"{title}\" nist=3.1.8,3.14.6")
    };
    let expected = [
        line(" [CUI]", "info", "f"),
        line("", "critical", "a"),
        line("", "high", "b"),
        line("", "low", "d"),
        line("", "medium", "c"),
    ];
    assert_eq!(lines(&moved.rsyslog, 5), expected);
    let mails = moved.postfix.wait_for(3);
    assert_eq!(subjects(&mails), ["[CRITICAL] a", "[CUI INCIDENT] [INFO] f", "[HIGH] b"]);
    assert!(mails.iter().all(|mail| mail.header("to").contains("ciso@example.org")), "{mails:?}");
    let rows = ["critical|a", "high|b", "medium|c", "low|d", "info|e", "info|f"];
    assert_eq!(moved.rows(), rows.map(|row| format!("brute_force|{row}")).join("\n"));
    for line in ["[ALERT] [CRITICAL] a (rule=brute_force)", "[ALERT] [CUI] [INFO] f (rule=brute_force)"] {
        assert!(server.stderr().contains(line), "{line}: {}", server.stderr());
    }
}

#[test]
fn the_local_file_can_be_left_out_and_nothing_is_overwritten_unasked() {
    let site = Site::new("routing: custom\n");
    fs::write(
        site.path("config.yaml"),
        "database: {user: u}\nalerting: {email: {enabled: true, recipients: [a@example.org]}}\n",
    )
    .expect("the directory is ours");
    fs::write(site.path("config.local.yaml"), "alerting: {email: {recipients: [b@example.org]}}\n")
        .expect("the directory is ours");
    let import = |more: &[&str]| {
        let words: Vec<&str> =
            ["import", "blueteam", "config.yaml", "-o", "out.yaml"].iter().chain(more).copied().collect();
        let output = site.run(&words);
        (output.status.code(), said(&output), fs::read_to_string(site.path("out.yaml")).unwrap_or_default())
    };
    let (code, report, written) = import(&[]);
    assert_eq!(code, Some(0), "{report}");
    assert!(written.contains("b@example.org") && written.contains("routing: shipped"), "{written}");
    let (code, report, _) = import(&["--no-local"]);
    assert_eq!(code, Some(2), "{report}");
    assert!(report.contains("--force"), "{report}");
    let (code, report, written) = import(&["--no-local", "--force", "--json"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(written.contains("a@example.org") && written.contains("routing: plan"), "{written}");
    let (_, _, written) = import(&["--force", "--dialect", "plan"]);
    assert!(written.contains("b@example.org") && written.contains("routing: plan"), "{written}");
}
