//! Configurations of the monitor as people have them, and what each comes to. What is written is loaded as `balefire check`
//! would load it.

use super::*;
use crate::config::{Config, Overrides};
use balefire_channels::Host;
use std::fs;
use std::os::unix::fs::PermissionsExt;

struct Case {
    directory: tempfile::TempDir,
    imported: Imported,
}

fn nothing(_: &str) -> Option<String> {
    None
}

impl Case {
    fn new(texts: &[&str]) -> Case {
        Case::with(texts, None, &nothing)
    }

    fn with(texts: &[&str], dialect: Option<Dialect>, env: &Environment<'_>) -> Case {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let target =
            Target { secrets: path("secrets"), data: "./data".to_owned(), dialect, has_local: texts.len() > 1 };
        let names = ["config.yaml", "config.local.yaml"];
        let files: Vec<File> = names
            .iter()
            .zip(texts)
            .map(|(name, text)| File { name: (*name).to_owned(), text: (*text).to_owned() })
            .collect();
        let imported = import(&files, &target, env).unwrap_or_else(|problems| panic!("{problems:?}"));
        fs::create_dir(path("secrets")).unwrap();
        for secret in &imported.secrets {
            fs::write(&secret.path, secret.content.expose()).unwrap();
        }
        fs::write(path("balefire.yaml"), &imported.balefire).unwrap();
        // As the command writes it.
        fs::set_permissions(path("balefire.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
        Case { directory, imported }
    }

    /// Our text without its first line, and with the directory as `DIR`.
    fn text(&self) -> String {
        let text = self.imported.balefire.split_once('\n').unwrap().1;
        text.replace(&self.directory.path().display().to_string(), "DIR")
    }

    /// What `balefire check` would say: nothing.
    fn is_good(&self, env: &Environment<'_>) -> Config {
        let path = self.directory.path().join("balefire.yaml");
        let loaded = Config::load(Some(&path), &Overrides::default(), env, &Host::default());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{}", self.imported.balefire));
        assert_eq!(loaded.findings, [], "{}", self.imported.balefire);
        loaded.config
    }

    /// What is said of a setting, as `verdict: text` lines.
    fn said(&self, setting: &str) -> Vec<String> {
        let lines = self.imported.report.lines.iter().filter(|line| line.setting == setting);
        lines.map(|line| format!("{:?}: {}", line.verdict, line.text)).collect()
    }

    fn check_said(&self, setting: &str, words: &str) {
        let said = self.said(setting);
        assert!(said.iter().any(|line| line.contains(words)), "{setting}: {said:?}");
    }
}

const PLAN: &str = r#"
database: {host: localhost, port: 5433, name: eqmon, user: blueteam}
monitoring: {poll_interval_sec: 5, log_retention_days: 90, verbose: false}
alerting:
  email:
    enabled: true
    smtp_host: localhost
    smtp_port: 2525
    from_address: blueteam@eqmon.local
    recipients: [soc@example.com, ciso@example.com]
  syslog: {enabled: true, facility: local6}
collectors:
  db_audit: {enabled: true}
  syslog: {enabled: true, path: /var/log/syslog}
  nginx: {enabled: true, path: /var/log/nginx/access.log}
  php_errors: {enabled: false, paths: [/var/log/php1.log, /var/log/php2.log]}
  redteam: {enabled: true, reports_dir: /opt/redteam/reports}
correlation:
  window_seconds: 300
  rules:
    brute_force: {threshold: 5, window_seconds: 300}
    credential_stuffing: {threshold: 10, window_seconds: 300}
    data_exfiltration: {threshold: 20, window_seconds: 3600}
compliance: {framework: nist_800_171, target_level: 2, controls_count: 110}
"#;

const PLAN_MADE: &str = r#"data: ./data
channels:
  email:
    email:
      host: localhost
      tls: none
      port: 2525
      from: blueteam@eqmon.local
      to: [soc@example.com, ciso@example.com]
      dialect: plan
  syslog:
    syslog:
      facility: local6
      ident: eqmon-blueteam
      dialect: plan
  console:
    console:
      dialect: plan
history:
  postgres:
    url: "postgresql://localhost:5433/eqmon"
    username: blueteam
    password: "${EQMON_AUTH_DB_PASS:-${DB_PASS:-}}"
    table: blueteam.alert_history
routing: plan
"#;

#[test]
fn the_configuration_of_the_plan_comes_to_three_channels_the_history_and_the_preset() {
    let case = Case::new(&[PLAN]);
    assert_eq!(case.text(), PLAN_MADE);
    let config = case.is_good(&nothing);
    let kinds: Vec<_> = config.channels.iter().map(|channel| (channel.name.as_str(), channel.kind.key)).collect();
    let expected = [("email", "email"), ("syslog", "syslog"), ("console", "console"), ("history", "postgres")];
    assert_eq!(kinds, expected);
    case.check_said("(the engine)", "nothing in it is of the released engine alone");
}

/// The paths of everything in a tree that has no entries of its own.
fn leaves(node: &Node, path: &str, found: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, node) in entries {
                let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                leaves(node, &path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn nothing_that_was_written_is_left_out_of_the_report() {
    let more = "own: {deep: {er: 1}}\nempty:\nalerting: {webhook: {url: x}, email: {use_tls: true}}\n\"a.b\": {}\n";
    let off = "alerting: {email: {enabled: false}, syslog: {enabled: false}}\n";
    for texts in [&[PLAN][..], &[PLAN, more], &[PLAN, off], &[more]] {
        for dialect in [Dialect::Plan, Dialect::Shipped] {
            let case = Case::with(texts, Some(dialect), &nothing);
            for text in texts {
                let mut found = Vec::new();
                leaves(&parse_yaml(text, "x").node.unwrap(), "", &mut found);
                for setting in found {
                    assert!(!case.said(&setting).is_empty(), "{setting} {:#?}", case.imported.report);
                }
            }
        }
    }
}

#[test]
fn what_has_no_counterpart_is_told_with_what_takes_its_place() {
    let case = Case::new(&[PLAN]);
    case.check_said("collectors.nginx.path", "balefire.blueteam");
    case.check_said("correlation.rules.brute_force.threshold", "`detected_by`");
    case.check_said("monitoring.poll_interval_sec", "does not poll");
    case.check_said("compliance.framework", "no alert depends on it");
    let case = Case::new(&["alerting: {email: {enabeld: true}}\n"]);
    case.check_said("alerting.email.enabeld", "did you mean `alerting.email.enabled`?");
}

const SHIPPED: &str = r#"
database: {host: "${DB_HOST:-localhost}", port: "${DB_PORT:-5432}", name: "${DB_NAME:-eqmon}", user: eqmon}
monitoring: {poll_interval_sec: 30, verbose: true}
alerting:
  email: {enabled: false, smtp_host: "${SMTP_HOST:-localhost}", smtp_port: "${SMTP_PORT:-587}", recipients: []}
"#;

const LOCAL: &str = r#"
alerting:
  email: {enabled: true, recipients: ["${ALERT_EMAIL:-security@example.com}"]}
"#;

const SHIPPED_MADE: &str = r#"data: ./data
channels:
  email:
    email:
      host: "${SMTP_HOST:-localhost}"
      tls: none
      port: "${SMTP_PORT:-587}"
      from: blueteam@eqmon.local
      to: ["${ALERT_EMAIL:-security@example.com}"]
      dialect: shipped
  syslog:
    syslog:
      facility: local6
      ident: eqmon-blueteam
      dialect: shipped
  console:
    console:
      to: stdout
      dialect: shipped
history:
  postgres:
    url: "postgresql://${DB_HOST:-localhost}:${DB_PORT:-5432}/${DB_NAME:-eqmon}"
    username: eqmon
    password: "${EQMON_AUTH_DB_PASS:-${DB_PASS:-}}"
    table: blueteam.alert_history
    create: shipped
internal_scan:
  marker:
    path: /run/balefire/scan-active
routing: shipped
"#;

#[test]
fn the_released_engine_gives_itself_away_and_its_references_stay_references() {
    let case = Case::new(&[SHIPPED, LOCAL]);
    assert_eq!(case.text(), SHIPPED_MADE);
    case.check_said("(the engine)", "config.local.yaml");
    let env = |name: &str| (name == "SMTP_PORT").then(|| "2525".to_owned());
    case.is_good(&env);
    case.is_good(&nothing);
    let alone = Case::new(&[SHIPPED]);
    alone.check_said("(the engine)", "only the released engine reads ${NAME}");
    assert!(!alone.text().contains("security@"), "{}", alone.text());
    alone.check_said("alerting.email.smtp_host", "mail is off");
    let named = Case::new(&["correlation: {rules: {cross_tenant_access: {threshold: 1}}}\n", "{}"]);
    assert!(named.text().contains("routing: plan"), "{}", named.text());
    let asked = Case::with(&[PLAN], Some(Dialect::Shipped), &nothing);
    assert!(asked.text().contains("routing: shipped") && !asked.text().contains("console"), "{}", asked.text());
}

#[test]
fn no_secret_is_written_into_the_configuration_or_shown() {
    let with = |password: &str| Case::new(&[PLAN, &format!("database: {{password: '{password}'}}\n")]);
    for (password, kept) in [("s3cret-4711", "s3cret-4711"), ("${PASS:-s3cret-4711}", "s3cret-4711")] {
        let case = with(password);
        assert!(case.text().contains("password: {file: DIR/secrets/alert_history-password}"), "{}", case.text());
        assert_eq!(case.imported.secrets[0].content.expose(), kept);
        assert_eq!(case.said("database.password").concat().contains("counts no more"), password.contains("${"));
        assert!(!format!("{:?}", case.imported).contains("s3cret"), "{:?}", case.imported);
        case.is_good(&nothing);
    }
    for password in ["${PASS}", "${A:-${B}}", "${A:-}"] {
        let case = with(password);
        assert!(case.text().contains(&format!("password: \"{password}\"")), "{}", case.text());
        assert!(case.imported.secrets.is_empty());
    }
}

#[test]
fn what_was_never_sent_is_told_and_not_made_up() {
    let case = Case::new(&["alerting: {email: {enabled: yes}, syslog: {enabled: off, facility: auth}}\n"]);
    assert_eq!(case.text(), "data: ./data\nchannels:\n  console:\n    console:\n      dialect: plan\nrouting: plan\n");
    case.check_said("alerting.email.recipients", "write recipients");
    case.check_said("alerting.syslog.enabled", "off");
    case.check_said("alerting.syslog.facility", "is left out");
    case.check_said("database", "no rows are written");
}

#[test]
fn recipients_in_one_text_are_each_told_alone() {
    let to = |recipients: &str| {
        let case = Case::new(&[&format!("alerting: {{email: {{enabled: true, recipients: {recipients}}}}}\n")]);
        case.is_good(&nothing);
        let line = case.text().lines().find(|line| line.trim_start().starts_with("to:")).unwrap_or_default().to_owned();
        (line.trim().to_owned(), case.said("alerting.email.recipients").concat())
    };
    let (line, said) = to("'a@b.example, Ben <ben@b.example>,'");
    assert_eq!(line, "to: [a@b.example, \"Ben <ben@b.example>\"]");
    assert!(said.contains("several in one text"), "{said}");
    assert_eq!(to("['a@b.example,c@b.example', d@b.example]").0, "to: [a@b.example, c@b.example, d@b.example]");
    assert!(!to("[a@b.example]").1.contains("several"));
}

#[test]
fn a_switch_that_is_a_reference_counts_as_the_environment_has_it() {
    let text =
        "alerting: {email: {enabled: \"${MAIL:-false}\", recipients: [a@b.example]}, syslog: {enabled: \"${NO}\"}}\n";
    let off = Case::new(&[text]);
    assert!(!off.text().contains("a@b.example") && off.text().contains("syslog"), "{}", off.text());
    off.check_said("alerting.email.enabled", "is false now");
    off.check_said("alerting.syslog.enabled", "says nothing now");
    let on = Case::with(&[text], None, &|name| (name == "MAIL").then(|| "true".to_owned()));
    assert!(on.text().contains("a@b.example"), "{}", on.text());
}

#[test]
fn what_leaves_the_machine_is_protected_and_that_is_told() {
    let tls = |port: &str| {
        let email =
            format!("{{enabled: true, smtp_host: mx.example.com, smtp_port: {port}, recipients: [a@b.example]}}");
        let case = Case::new(&[&format!("alerting: {{email: {email}}}\n")]);
        let told = case.said("alerting.email.smtp_host").concat();
        (["starttls", "tls", "none"].into_iter().find(|tls| case.text().contains(&format!("tls: {tls}\n"))), told)
    };
    assert_eq!(tls("587").0, Some("starttls"));
    assert_eq!(tls("465").0, Some("tls"));
    assert_eq!(tls("25").0, Some("none"));
    assert!(tls("587").1.contains("`tls: none`") && tls("25").1.contains("in clear"));
    let case = Case::new(&["database: {host: db.example.com, name: 'eq mon', user: u}\n"]);
    assert!(case.text().contains("postgresql://db.example.com:5432/eq%20mon"), "{}", case.text());
    case.check_said("database.host", "`sslmode: prefer`");
    case.is_good(&nothing);
}

#[test]
fn odd_values_are_told_and_never_break_what_is_written() {
    let text = "alerting:\n  email: {enabled: true, smtp_host: [a], smtp_port: x, from_address: 'a ${b c}', \
                            recipients: one@b.example}\n  syslog: {facility: LOG_AUTH}\n";
    let case = Case::with(&[text], Some(Dialect::Plan), &nothing);
    case.check_said("alerting.email.smtp_host", "found a list of 1");
    case.check_said("alerting.email.from_address", "cannot be read");
    case.check_said("alerting.syslog.facility", "logs to local6 whatever");
    let text = case.text();
    assert!(
        text.contains("$${b c}") && text.contains("to: [one@b.example]") && text.contains("facility: auth"),
        "{text}"
    );
    assert_eq!(parse_yaml(&case.imported.balefire, "b").problems, []);
    let refused = import(
        &[File { name: "c.yaml".to_owned(), text: "- a\n".to_owned() }],
        &Target { secrets: String::new(), data: String::new(), dialect: None, has_local: false },
        &nothing,
    );
    assert!(refused.unwrap_err()[0].to_string().contains("allowed: a mapping with"));
}
