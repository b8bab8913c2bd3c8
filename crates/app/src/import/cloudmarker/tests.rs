//! Configurations as people have them, and what each comes to: our text, and what is said of every setting. What is
//! written is loaded as `balefire check` would load it.

use super::*;
use crate::config::{Config, Overrides};
use balefire_channels::Host;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn target() -> Target {
    let files = vec!["/etc/a.yaml".to_owned()];
    let (program, python) = ("cloudmarker".to_owned(), "python3".to_owned());
    let start = Start { program, python, python_path: None, files, keeps_time: true };
    let text = str::to_owned;
    Target { secrets: text("s"), overlay: text("o"), data: text("./data"), home: Some(text("/home/cm")), start }
}

struct Case {
    directory: tempfile::TempDir,
    imported: Imported,
}

impl Case {
    fn new(texts: &[&str]) -> Case {
        Case::started(texts, target().start)
    }

    fn started(texts: &[&str], start: Start) -> Case {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let target = Target { secrets: path("secrets"), overlay: path("overlay.yaml"), start, ..target() };
        let name = |nth| format!("{}.yaml", char::from(b'a' + nth));
        let files: Vec<File> =
            (0..).zip(texts).map(|(nth, text)| File { name: name(nth), text: (*text).to_owned() }).collect();
        let imported = import(&files, &target).unwrap_or_else(|problems| panic!("{problems:?}"));
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
    fn is_good(&self) -> Config {
        let path = self.directory.path().join("balefire.yaml");
        let loaded = Config::load(Some(&path), &Overrides::default(), &|_| None, &Host::default());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{}", self.imported.balefire));
        assert_eq!(loaded.findings, [], "{}", self.imported.balefire);
        loaded.config
    }

    fn report(&self) -> String {
        self.imported.report.text()
    }

    /// What is said of a setting, as `verdict: text` lines.
    fn said(&self, setting: &str) -> Vec<String> {
        let lines = self.imported.report.lines.iter().filter(|line| line.setting == setting);
        lines.map(|line| format!("{:?}: {}", line.verdict, line.text)).collect()
    }
}

const USUAL: &str = r##"
plugins:
  azcloud: {plugin: cloudmarker.clouds.azcloud.AzCloud, params: {tenant: t, client: c, secret: cloud-s3cret}}
  mail:
    plugin: cloudmarker.alerts.emailalert.EmailAlert
    params:
      from_addr: Cloudmarker <cm@example.com>
      to_addrs: [soc@example.com, ops@example.com]
      subject: Findings {prod}
      host: smtp.example.com
      ssl_mode: starttls
      username: cm
      password: hunter2-${x}
      debug: 1
  chat:
    plugin: cloudmarker.alerts.slackalert.SlackAlert
    params: {bot_user_token: xoxb-1, to: [a@example.com], text: Look, temp_file: /tmp/x.json}
  es: {plugin: cloudmarker.stores.esstore.EsStore, params: {host: es1, index: audits, buffer_size: 1000000}}
  mongo:
    plugin: cloudmarker.stores.mongodbstore.MongoDBStore
    params: {host: db1, port: 27018, username: u, password: m-s3cret, db: cm, buffer_size: 500}
  splunk:
    plugin: cloudmarker.stores.splunkhecstore.SplunkHECStore
    params: {uri: "https://splunk:8088/services/collector", token: 0-1-2, index: main, ca_cert: false, buffer_size: 100}
  own: {plugin: acme.plugins.Pager, params: {team: blue, "levels": [1, "2", true], api_token: own-s3cret}}
  unused: {plugin: cloudmarker.stores.esstore.EsStore}
audits:
  nightly:
    clouds: [azcloud]
    stores: [es, mongo, splunk]
    events: [firewallruleevent]
    alerts: [mail, chat, own, es]
  spare: {clouds: [azcloud], stores: [es]}
run: [nightly]
schedule: "02:30"
email:
  from_addr: cm@example.com
  to_addrs: [ops@example.com]
  subject: Audit
  host: localhost
  ssl_mode: disable
logger: {version: 1}
"##;

#[test]
fn a_usual_configuration_comes_to_channels_and_routes() {
    let case = Case::new(&[USUAL]);
    let config = case.is_good();
    let kinds: Vec<_> = config.channels.iter().map(|channel| (channel.name.as_str(), channel.kind.key)).collect();
    let expected = [
        ("run-notices", "email"),
        ("chat", "slack"),
        ("es", "elasticsearch"),
        ("mail", "email"),
        ("mongo", "mongodb"),
        ("own", "exec"),
        ("splunk", "splunk_hec"),
    ];
    assert_eq!(kinds, expected);
    let golden = include_str!("usual.golden.yaml");
    assert_eq!(case.text(), golden);
}

#[test]
fn nothing_that_was_written_is_left_out_of_the_report() {
    let case = Case::new(&[USUAL]);
    let report = case.report();
    for setting in ["mail", "chat", "es", "mongo", "splunk", "own"] {
        assert!(report.contains(&format!("plugins.{setting}.plugin")), "{setting}\n{report}");
    }
    let arguments = [
        "mail.params.from_addr",
        "mail.params.to_addrs",
        "mail.params.subject",
        "mail.params.host",
        "mail.params.ssl_mode",
        "mail.params.username",
        "mail.params.password",
        "mail.params.debug",
        "chat.params.bot_user_token",
        "chat.params.to",
        "chat.params.text",
        "chat.params.temp_file",
        "es.params.host",
        "es.params.index",
        "es.params.buffer_size",
        "mongo.params.port",
        "mongo.params.password",
        "mongo.params.db",
        "mongo.params.buffer_size",
        "splunk.params.uri",
        "splunk.params.token",
        "splunk.params.ca_cert",
        "splunk.params.buffer_size",
        "own.params.team",
        "own.params.levels",
        "own.params.api_token",
    ];
    for argument in arguments {
        assert!(!case.said(&format!("plugins.{argument}")).is_empty(), "{argument}\n{report}");
    }
    for setting in
        ["schedule", "logger", "email", "plugins.azcloud", "plugins.unused", "audits.spare", "audits.nightly.events"]
    {
        assert!(!case.said(setting).is_empty(), "{setting}\n{report}");
    }
    assert!(case.said("email.host")[0].starts_with("Mapped"), "{report}");
}

#[test]
fn secrets_go_to_files_of_their_own_and_nowhere_else() {
    let case = Case::new(&[USUAL]);
    let all = format!("{}{}{}{:?}", case.imported.balefire, case.imported.overlay, case.report(), case.imported);
    for secret in ["hunter2", "xoxb-1", "m-s3cret", "0-1-2", "own-s3cret", "cloud-s3cret"] {
        assert!(!all.contains(secret), "{secret}");
    }
    let contents: Vec<_> = case.imported.secrets.iter().map(|secret| secret.content.expose()).collect();
    assert!(contents.contains(&"hunter2-${x}"), "a secret is kept as it was written");
    assert_eq!(contents.len(), 5);
}

#[test]
fn cloudmarkers_own_configuration_is_known() {
    let case = Case::new(&["schedule: '03:00'\n"]);
    let config = case.is_good();
    assert_eq!(config.channels.len(), 1, "{}", case.imported.balefire);
    assert_eq!((config.channels[0].name.as_str(), config.channels[0].kind.key), ("filestore", "file"));
    assert!(case.text().contains("layout: cloudmarker\n      path: /tmp/cloudmarker\n"), "{}", case.text());
    assert!(case.imported.overlay.contains("audits:\n  mockaudit:\n    stores: [balefire]\n    alerts: [balefire]\n"));
}

#[test]
fn files_are_merged_as_cloudmarker_does_it() {
    let more = "plugins: {mail: {params: {host: other}}}\naudits: {nightly: {alerts: [mail]}}\n";
    let case = Case::new(&[USUAL, more]);
    let text = case.text();
    case.is_good();
    assert!(text.contains("host: other") && text.contains("username: cm"), "{text}");
    assert!(!text.contains("xoxb") && !text.contains("slack"), "the list of alerts is replaced whole:\n{text}");
    assert!(case.report().contains("b.yaml:1: plugins.mail.params.host"), "{}", case.report());
}

fn mail(params: &str) -> Case {
    Case::new(&[&format!(
        "plugins: {{m: {{plugin: cloudmarker.alerts.emailalert.EmailAlert, params: {{from_addr: a@b.example, \
         subject: s, {params}}}}}}}\naudits: {{a: {{alerts: [m]}}}}\nrun: [a]\n"
    )])
}

#[test]
fn an_empty_host_is_the_local_one_and_that_is_told() {
    for params in ["to_addrs: [c@d.example]", "to_addrs: [c@d.example], host: ''"] {
        let case = mail(params);
        case.is_good();
        assert!(case.text().contains("host: localhost"), "{}", case.text());
        assert!(case.said("plugins.m.params.host")[0].contains("connects nowhere"), "{}", case.report());
    }
}

#[test]
fn one_recipient_as_a_text_is_an_address_and_that_is_told() {
    let case = mail("to_addrs: 'c@d.example, e@f.example'");
    case.is_good();
    assert!(case.text().contains("to: [c@d.example, e@f.example]"), "{}", case.text());
    assert!(case.said("plugins.m.params.to_addrs")[0].contains("each letter"), "{}", case.report());
}

#[test]
fn a_password_never_goes_in_clear_to_another_machine() {
    let case = mail("to_addrs: [c@d.example], host: smtp.d.example, ssl_mode: disable, username: u, password: p");
    case.is_good();
    assert!(case.text().contains("tls: starttls"), "{}", case.text());
    let local = mail("to_addrs: [c@d.example], host: localhost, ssl_mode: disable, username: u, password: p");
    local.is_good();
    assert!(local.text().contains("tls: none"), "{}", local.text());
}

#[test]
fn what_cloudmarker_skips_in_silence_is_told_with_what_was_meant() {
    let text = "plugins: {m: {plugin: cloudmarker.stores.esstore.EsStore, param: {host: x}}, u: {plugin: EsStore}}\n\
                audit: {}\naudits: {a: {store: [m], alerts: [m, gone]}}\nrun: [a, b]\n";
    let case = Case::new(&[text]);
    case.is_good();
    for (setting, words) in [
        ("plugins.m.param", "params"),
        ("audit", "audits"),
        ("audits.a.store", "stores"),
        ("audits.a.alerts", "no plugin \"gone\""),
        ("run", "no audit \"b\""),
    ] {
        let said = case.said(setting);
        assert!(
            said.iter().any(|line| line.starts_with("NoCounterpart") && line.contains(words)),
            "{setting}: {said:?}"
        );
    }
    let typo = mail("to_addrs: [c@d.example], hots: x");
    assert!(typo.said("plugins.m.params.hots")[0].contains("has no argument"), "{}", typo.report());
}

#[test]
fn what_is_of_another_form_than_cloudmarker_takes_is_told() {
    let text = "plugins:\n  m: {plugin: cloudmarker.stores.esstore.EsStore, params: [host]}\n  \
                e: {plugin: cloudmarker.stores.filestore.FileStore, params: }\n  \
                c: {plugin: cloudmarker.alerts.slackalert.SlackAlert, params: {bot_user_token: t, to: ann@example.com}}\n  \
                s: {plugin: cloudmarker.stores.esstore.EsStore, params: {buffer_size: 5 MB}}\n  \
                d: {plugin: cloudmarker.stores.mongodbstore.MongoDBStore, params: {buffer_size: 0}}\n\
                audits: {a: {stores: m, alerts: [{e: 1}, e, c, s, d], events: {x: 1}}}\nrun: a\n";
    let case = Case::new(&[text]);
    case.is_good();
    for (setting, words) in [
        ("plugins.m.params", "a list of 1"),
        ("plugins.e.params", "found nothing"),
        ("plugins.c.params.to", "each letter"),
        ("plugins.s.params.buffer_size", "no whole number"),
        ("plugins.d.params.buffer_size", "documents of one insert"),
        ("audits.a.stores", "each letter"),
        ("audits.a.alerts", "a mapping of 1"),
        ("audits.a.events", "takes the keys"),
        ("run", "each letter"),
    ] {
        let said = case.said(setting);
        assert!(said.iter().any(|line| line.contains(words)), "{setting}: {said:?}");
    }
}

#[test]
fn an_unquoted_time_and_an_empty_file_are_told() {
    let case = Case::new(&["schedule: 23:30\n", ""]);
    case.is_good();
    assert!(case.said("schedule")[0].contains("a number in YAML 1.1"), "{}", case.report());
    let zero = Case::new(&["schedule: 02:30\n"]);
    assert!(!zero.report().contains("YAML 1.1"), "a 0 in front keeps it a text: {}", zero.report());
    assert!(case.said("b.yaml")[0].contains("does not start"), "{}", case.report());
}

/// The channels that hear of an incident with these labels, by the configuration that was written.
fn heard(config: &Config, detected_by: &str, labels: &[(&str, &str)]) -> Vec<String> {
    let draft = balefire_intake::Draft {
        title: "t".to_owned(),
        detected_by: Some(detected_by.to_owned()),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..balefire_intake::Draft::default()
    };
    let (received_at, severity_default) = (jiff::Timestamp::UNIX_EPOCH, balefire_model::Severity::Low);
    let id = balefire_model::IncidentId::derive(jiff::Timestamp::UNIX_EPOCH, "t");
    let context = balefire_intake::normalise::Context { id, source: "http", received_at, severity_default };
    let incident = balefire_intake::normalise::normalise(draft, &context);
    config.routing.decide(&incident, received_at).channels.into_iter().collect()
}

#[test]
fn each_audit_reaches_its_own_stores_and_alerts_and_no_others() {
    let shared = "plugins:
  es: {plugin: cloudmarker.stores.esstore.EsStore}
  files: {plugin: cloudmarker.stores.filestore.FileStore, params: {path: ~/audit}}
  mail: {plugin: cloudmarker.alerts.emailalert.EmailAlert, params: {from_addr: a@b.example, to_addrs: [c@d.example], subject: s}}
  both: {plugin: acme.plugins.Both, params: {n: 1}}
audits:
  one: {clouds: [mockcloud], stores: [es, both], events: [mockevent], alerts: [mail, both]}
  two: {clouds: [mockcloud], stores: [es, files], events: [mockevent], alerts: [mail]}
  three: {stores: [files], alerts: [es]}
run: [one, two]
";
    // The second file replaces the lists that it names, and what it does not name stays.
    let more = "audits: {two: {alerts: [both]}}\nplugins: {es: {params: {host: es2}}}\nrun: [one, two, three]\n";
    let case = Case::new(&[shared, more]);
    let config = case.is_good();
    let to = |audit: &str, target: &str| {
        let worker = format!("{audit}_balefire");
        let labels = [("audit_key", audit), ("target_type", target), ("target_worker", &*worker)];
        heard(&config, "mock_event", &labels).join(" ")
    };
    assert_eq!((to("one", "store"), to("one", "alert")), ("es both".to_owned(), "mail both".to_owned()));
    assert_eq!((to("two", "store"), to("two", "alert")), ("es files".to_owned(), "both".to_owned()));
    assert_eq!((to("three", "store"), to("three", "alert")), ("files".to_owned(), "es".to_owned()));
    assert_eq!(to("four", "store"), "");
    assert!(case.text().contains("http://es2:9200") && case.text().contains("path: /home/cm/audit"), "{}", case.text());
    for found in ["balefire.run_failed", "balefire.channel_failing"] {
        assert_eq!(heard(&config, found, &[]), ["mail"], "no store is told of it");
    }
    let collects: Vec<bool> = config.channels.iter().map(|channel| channel.collecting.collects).collect();
    assert_eq!(collects, [true, false, true, true], "both, es, files, mail");
}

#[test]
fn notices_of_all_audits_and_of_each_come_once_and_from_balefire_alone() {
    let case = Case::new(&[USUAL]);
    let config = case.is_good();
    for found in ["balefire.schedule_started", "balefire.schedule_ended"] {
        assert_eq!(heard(&config, found, &[("schedule", "all-audits")]), ["run-notices"]);
        assert!(heard(&config, found, &[("schedule", "another")]).is_empty());
    }
    for found in ["balefire.run_started", "balefire.run_ended"] {
        let of = |worker| heard(&config, found, &[("audit_key", "nightly"), ("target_worker", worker)]);
        assert_eq!(of("nightly_balefire/alert"), ["run-notices"]);
        assert!(of("nightly_balefire/store").is_empty(), "the other half of the audit");
    }
    assert!(case.imported.overlay.contains("\nemail: null\n"), "{}", case.imported.overlay);
    let quiet = Case::new(&["run: [mockaudit]\n"]);
    assert!(!quiet.imported.overlay.contains("email"), "{}", quiet.imported.overlay);
}

#[test]
fn the_schedule_starts_cloudmarker_with_its_files_and_the_one_that_was_written() {
    let case = Case::new(&["schedule: '7:05'\n"]);
    let config = case.is_good();
    let schedule = &config.schedules[0];
    let overlay = case.directory.path().join("overlay.yaml").display().to_string();
    assert_eq!(schedule.command, ["cloudmarker", "-n", "-c", "/etc/a.yaml", &overlay]);
    assert!(schedule.rules.timetable.text().starts_with("daily at 07:05"), "{}", schedule.rules.timetable.text());
    assert!(case.said("schedule").iter().any(|line| line.contains("or it runs twice")), "{}", case.report());
    let start = Start { python_path: Some("/opt/py".to_owned()), keeps_time: false, ..target().start };
    let left = Case::started(&[USUAL], start);
    assert!(left.is_good().schedules.is_empty() && left.text().contains("PYTHONPATH: /opt/py"), "{}", left.text());
    assert!(left.said("schedule")[0].starts_with("Stays"), "{}", left.report());
    for odd in ["'24:00'", "often", "[1]", "12"] {
        let case = Case::new(&[&format!("schedule: {odd}\n")]);
        assert!(case.is_good().schedules.is_empty() && case.said("schedule")[0].starts_with("NoCounterpart"), "{odd}");
    }
}

#[test]
fn an_alert_as_a_store_goes_out_though_it_has_no_findings() {
    let mail = "plugins: {m: {plugin: cloudmarker.alerts.emailalert.EmailAlert, params: {from_addr: a@b.example, \
                to_addrs: [c@d.example], subject: s}}}\nrun: [a]\n";
    let store = Case::new(&[mail, "audits: {a: {stores: [m]}}"]);
    store.is_good();
    assert!(store.text().contains("send_empty: true"), "{}", store.text());
    let chat = "plugins: {m: {plugin: cloudmarker.alerts.slackalert.SlackAlert, params: {bot_user_token: t, to: [C012345]}}}\n\
                run: [a]\naudits: {a: {stores: [m]}}\n";
    let chat = Case::new(&[chat]);
    chat.is_good();
    assert!(chat.text().contains("send_empty: true"), "{}", chat.text());
    let alert = Case::new(&[mail, "audits: {a: {alerts: [m]}}"]);
    alert.is_good();
    assert!(!alert.text().contains("send_empty"), "{}", alert.text());
}

#[test]
fn sections_from_before_2019_count() {
    let case = Case::new(&[
        "stores: {s: {plugin: cloudmarker.stores.splunkhecstore.SplunkHECStore, params: {uri: 'http://h:8088', token: t, \
         index_name: old}}}\naudits: {a: {stores: [s]}}\nrun: [a]\n",
    ]);
    case.is_good();
    assert!(case.text().contains("index: old"), "{}", case.text());
    assert!(case.said("stores")[0].contains("2019"));
}

#[test]
fn hostile_names_stay_names() {
    let case =
        Case::new(&["plugins: {\"x\\ny: {{ ${HOME}\": {plugin: a.B, params: {\"k\\n}\": \"${HOME}\\n: {{\"}}}\n\
         audits: {\"a\\\"\\nb\": {alerts: [\"x\\ny: {{ ${HOME}\"]}}\nrun: [\"a\\\"\\nb\"]\n"]);
    let config = case.is_good();
    assert_eq!(config.channels[0].name, "x-y-------HOME-");
    assert!(!case.report().lines().any(|line| line.starts_with("y:")), "{}", case.report());
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    let target = target();
    let file = |text: &str| File { name: "a.yaml".to_owned(), text: text.to_owned() };
    let problems = import(&[file("plugins: [\n")], &target).unwrap_err();
    assert_eq!(&*problems[0].place.file, "a.yaml");
    let problems = import(&[file("- a\n")], &target).unwrap_err();
    assert!(problems[0].to_string().contains("found a list of 1"), "{}", problems[0]);
}
