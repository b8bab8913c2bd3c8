//! The configuration as a whole, over a corpus of files in `tests/config`: good ones resolve, and each bad one gives
//! exactly the problems that stand beside it.

use super::channels::Rate;
use super::http::Token;
use super::sources::Source;
use super::*;
use balefire_channels::KINDS;
use balefire_engine::FallbackOn;
use balefire_intake::formats::Format;
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

fn source(name: &str, text: &str) -> Source {
    Source { path: Some(name.into()), name: name.into(), text: text.into(), readable_by_all: false }
}

fn environment(name: &str) -> Option<String> {
    match name {
        "MAIL_PORT" => Some("2525".to_owned()),
        "PASSWORD" => Some("correct-horse-battery".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> Result<Loaded, Problems> {
    load_sources(&[source("b.yaml", text)], &Overrides::default(), &environment, &Host::default())
}

/// The problems as they are shown; which kinds there are is another file's business.
fn told(result: Result<Loaded, Problems>) -> String {
    let kinds: Vec<_> = KINDS.iter().map(|kind| kind.key).collect();
    result.unwrap_err().to_string().replace(&kinds.join(", "), "<every kind>") + "\n"
}

fn corpus(directory: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(directory);
    let mut files: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn each_bad_file_gives_exactly_the_problems_beside_it() {
    let mut wrong = String::new();
    for (path, text) in corpus("bad") {
        let expected = std::fs::read_to_string(path.with_extension("problems")).unwrap_or_default();
        let told = told(load(&text));
        if told != expected {
            wrong.push_str(&format!("==> {}\n{told}", path.file_name().unwrap().display()));
        }
    }
    assert!(wrong.is_empty(), "these tell something else than what stands beside them:\n{wrong}");
}

#[test]
fn each_good_file_resolves() {
    for (path, text) in corpus("good") {
        if let Err(problems) = load(&text) {
            panic!("{}:\n{problems}", path.display());
        }
    }
}

#[test]
fn people_and_teams_are_addresses_once_a_configuration_is_loaded() {
    let text = "
people: {anna: {email: anna@example.org, slack: U023BECGF}, ben: {email: ben@example.org}}
teams: {audit: {members: [anna, ben]}, night: {members: [ben]}}
channels:
  mail: {email: {host: localhost, from: b@example.org, to: [team:audit, person:anna, soc@example.org], cc: team:night}}
  chat: {slack: {token: xoxb-1, to: 'person:anna'}}
routing: custom
routes: [{name: all, to: [mail, chat]}]
";
    let Loaded { config, findings } = load(text).unwrap();
    let shown = |name: &str| {
        let channel = config.channels.iter().find(|channel| channel.name == name).unwrap();
        format!("{:?}", channel.channel)
    };
    let (mail, chat) = (shown("mail"), shown("chat"));
    let places =
        ["anna@example.org", "ben@example.org", "soc@example.org", "cc: ["].map(|part| mail.find(part).unwrap());
    assert!(places.is_sorted(), "{mail}");
    assert_eq!(mail.matches("anna@example.org").count(), 1, "each recipient once: {mail}");
    assert_eq!(mail.matches("ben@example.org").count(), 2, "{mail}");
    assert!(chat.contains("U023BECGF") && !chat.contains("person:"), "{chat}");
    let codes: Vec<_> = findings.iter().map(|finding| (finding.code, finding.subject.as_str())).collect();
    assert_eq!(codes, [("small-team", "teams.night")]);
    assert!(config.people.knows("anna") && config.people.knows("night") && !config.people.knows("carl"));
    assert!(load("data: x").unwrap().config.people.knows("carl"), "where nobody is configured, everybody is known");
}

#[test]
fn whether_two_people_hear_of_a_failing_audit_log_by_two_kinds_of_channel_is_found() {
    let findings = |teams: &str, routes: &str| {
        let text = format!(
            "
people: {{anna: {{email: anna@example.org, slack: U023BECGF}}, ben: {{email: ben@example.org}}, carl: {{email: c@x.org}}}}
teams: {{{teams}}}
channels:
  mail: {{email: {{host: localhost, from: b@example.org, to: ['person:anna', BEN@example.org]}}}}
  chat: {{slack: {{token: xoxb-1, to: 'person:anna'}}}}
  screen: {{console: {{}}}}
  archive: {{file: {{path: ./archive.jsonl}}}}
routing: custom
routes: [{{name: all, match: ['detected_by =~ \"watch\\..*\"'], to: [{routes}]}}]
watch: {{recipients: audit}}
"
        );
        let Loaded { findings, .. } = load(&text).unwrap();
        let found = findings.into_iter().find(|finding| finding.code == "watch-recipients");
        found.map(|finding| finding.text.split(';').next().unwrap_or_default().to_owned())
    };
    let (both, part) = ("audit: {members: [anna, ben]}", "audit: {members: [anna, carl]}");
    assert_eq!(findings(both, "mail, chat, archive"), None);
    let begin = "when audit logging fails, team audit comes to";
    let said = |text: &str| Some(format!("{begin} {text}"));
    assert_eq!(findings(both, "mail, screen, archive"), said("2 people (anna, ben) by 1 kinds of channel (email)"));
    assert_eq!(findings(part, "mail, chat"), said("1 people (anna) by 2 kinds of channel (email, slack)"));
    assert_eq!(findings(both, "screen"), said("0 people (none) by 0 kinds of channel (none)"));
    let missing = "there is no team \"audit\", so that nobody is known who must hear when audit logging fails";
    assert_eq!(findings("night: {members: [anna, ben]}", "mail, chat"), Some(missing.to_owned()));
}

#[test]
fn the_time_for_a_report_is_at_most_that_of_the_law_and_a_reminder_comes_before_its_end() {
    let seconds = |text: &str| {
        let reports = load(text).unwrap().config.reports;
        reports.map(|reports| (reports.report_within.as_secs(), reports.remind_before.as_secs()))
    };
    assert_eq!(seconds("data: x"), None);
    assert_eq!(seconds("dfars: {}"), Some((72 * 3600, 24 * 3600)));
    assert_eq!(seconds("dfars: {report_within: 12h}").map(|(within, _)| within), Some(12 * 3600));
    assert_eq!(seconds("dfars: {remind_before: 0s}"), Some((72 * 3600, 0)));
    for text in ["dfars: {report_within: 73h}", "dfars: {report_within: 0s}", "dfars: {remind_before: 72h}"] {
        let told = told(load(text));
        assert!(told.contains("allowed:") && told.contains("b.yaml:1:"), "{text}: {told}");
    }
}

#[test]
fn what_a_route_says_of_repeats_stands_in_place_of_what_holds_for_all_and_the_rest_does_not() {
    let own = |general: &str, own: &str| {
        let text = format!(
            "{general}\nchannels: {{screen: {{console: {{}}}}}}\nrouting: custom\n\
             routes: [{{name: one, to: screen, dedup: {{{own}}}}}]\n"
        );
        let dedup = load(&text).unwrap().config.routing.routes[0].dedup.unwrap();
        (dedup.window.map(|window| window.as_secs()), dedup.realert_after.as_secs())
    };
    assert_eq!(own("", ""), (Some(3600), 3600));
    assert_eq!(own("dedup: {realert_after: 5m}", "window: 10m"), (Some(600), 300));
    assert_eq!(own("dedup: {window: 24h}", "realert_after: 30s"), (Some(86_400), 30));
    assert_eq!(own("", "window: off"), (None, 3600));
    assert_eq!(own("dedup: {enabled: false}", "window: 10m"), (Some(600), 3600));
    assert_eq!(load("routes: [{name: one, to: []}]").unwrap().config.routing.routes[0].dedup, None);
}

/// The YAML behind a heading of a document.
fn documented(document: &str, heading: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document)).unwrap();
    let (_, section) = text.split_once(&format!("## {heading}\n")).unwrap();
    let (_, block) = section.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_documented_alert_design_of_bt_08_resolves_and_nothing_in_it_is_odd() {
    let people = documented("docs/delivery.md", "Who is who");
    let (people, _) = people.split_once("channels:").unwrap();
    let design = documented("docs/delivery.md", "The alert design of BT-08 in a few lines");
    let Loaded { config, findings } = load(&format!("{people}{design}")).unwrap();
    assert_eq!(findings, []);
    let heard = |severity: &str| {
        let mut incident = crate::sample::test_incident(crate::ids::incident(), jiff::Timestamp::UNIX_EPOCH, "", "");
        incident.severity = Severity::parse(severity).unwrap();
        config.routing.decide(&incident, jiff::Timestamp::UNIX_EPOCH).channels.join(" ")
    };
    let table = [
        ("critical", "mail log screen"),
        ("high", "mail log"),
        ("medium", "log digest"),
        ("low", "digest"),
        ("info", ""),
    ];
    for (severity, channels) in table {
        assert_eq!(heard(severity), channels, "{severity}");
    }
}

#[test]
fn the_example_has_no_problem_and_nothing_in_it_is_odd() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/balefire.yaml");
    let loaded = Config::load(Some(&path), &Overrides::default(), &|_| None, &Host::default());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.findings, []);
}

#[test]
fn without_a_file_everything_from_low_up_is_shown_on_the_console() {
    let loaded = load_sources(&[Source::built_in()], &Overrides::default(), &|_| None, &Host::default()).unwrap();
    let Config { data, http, channels, routing, sources, .. } = &loaded.config;
    assert_eq!(data, Path::new("./balefire-data"));
    assert_eq!(http.as_ref().unwrap().listen, "127.0.0.1:9480".parse().unwrap());
    assert_eq!(channels.iter().map(|c| (c.name.as_str(), c.kind.key)).collect::<Vec<_>>(), [("screen", "console")]);
    assert_eq!(routing.routes[0].matchers[0].text(), "severity >= low");
    assert!(sources.is_empty());
    assert_eq!(loaded.findings, []);
}

#[test]
fn an_empty_file_is_valid_and_says_that_nothing_is_sent() {
    for text in ["", "# nothing\n", "---\n", "channels:\nroutes:\nhttp:\n"] {
        let loaded = load(text).unwrap();
        assert!(loaded.findings.iter().any(|finding| finding.code == "no-channel"), "{text:?}");
        assert_eq!(loaded.config.socket.path, Path::new("./balefire-data/balefire.sock"));
        assert_eq!(loaded.config.severity_default, Severity::Medium);
    }
}

#[test]
fn what_was_set_is_what_is_resolved() {
    let hash = "AB".repeat(32);
    let text = format!(
        "data: /srv/b\nhttp:\n  listen: '[::]:80'\n  tokens: {{t: {{sha256: {hash}, role: admin}}}}\n  body_bytes_max: 1MiB\n\
         socket: {{mode: 0600}}\nseverity_default: HIGH\ninputs: {{f: {{tail: {{path: /x, from: end}}}}}}\n\
         channels:\n  s:\n    console:\n    rate: 3/m\n    retry: {{cap: 1m}}\n    timeout: 5s\n\
         routing: custom\nroutes: [{{name: a, to: s, continue: true}}]\n"
    );
    let config = load(&text).unwrap().config;
    let http = config.http.unwrap();
    assert_eq!((http.listen, http.body_bytes_max), ("[::]:80".parse().unwrap(), 1 << 20));
    assert_eq!(
        http.tokens,
        [Token {
            name: "t".into(),
            sha256: [0xab; 32],
            role: Role::Admin,
            rate: None,
            format: Format::Auto,
            heartbeats: Vec::new()
        }]
    );
    assert_eq!(config.socket, Socket { path: "/srv/b/balefire.sock".into(), mode: 0o600 });
    assert_eq!(config.severity_default, Severity::High);
    let kind = InputKind::Tail { path: "/x".into(), from: TailFrom::End, format: Format::Auto };
    assert_eq!(config.inputs, [Input { name: "f".into(), kind }]);
    let channel = &config.channels[0];
    assert_eq!(channel.rates, [Rate { count: 3, per: Duration::from_secs(60) }]);
    assert_eq!(channel.retry.cap, Duration::from_secs(60));
    assert_eq!(channel.timeout, Some(Duration::from_secs(5)));
    assert_eq!((channel.place.line, channel.place.column), (10, 3));
    assert!(config.routing.routes[0].goes_on);
    assert_eq!(config.routing.routes[0].to, ["s"]);
    assert_eq!(config.routing.channels, [("s".to_owned(), "console".to_owned())]);
}

#[test]
fn the_command_line_has_the_last_word_and_the_same_rules() {
    let at = |listen: &str| {
        let overrides = Overrides { data: Some("/d".into()), listen: Some(listen.into()) };
        load_sources(&[source("b.yaml", "http: {listen: none}")], &overrides, &|_| None, &Host::default())
    };
    let config = at("127.0.0.1:1").unwrap().config;
    assert_eq!(config.http.unwrap().listen, "127.0.0.1:1".parse().unwrap());
    assert_eq!(config.socket.path, Path::new("/d/balefire.sock"));
    assert!(told(at("0.0.0.0:1")).starts_with("--listen: http.listen: 0.0.0.0:1 can be reached from other machines"));
    assert!(told(at("here")).starts_with("--listen: http.listen: found \"here\"; allowed: an address and a port"));
    assert!(at("none").unwrap().config.http.is_none());
}

#[test]
fn files_in_conf_d_join_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::create_dir(directory.path().join("conf.d")).unwrap();
    write("main.yaml", "channels: {a: {console: {}}}\nroutes: [{name: main, to: b}]\n");
    write("conf.d/20.yaml", "routes: [{name: second, to: a}]\n");
    write("conf.d/10.yml", "channels: {b: {console: {}}}\nroutes: [{name: first, to: a}]\nhttp: {listen: none}\n");
    write("conf.d/notes.txt", "no: [yaml");
    write("conf.d/.hidden.yaml", "no: [yaml");
    let load = || {
        let path = directory.path().join("main.yaml");
        Config::load(Some(&path), &Overrides::default(), &|_| None, &Host::default())
    };
    let config = load().unwrap().config;
    let names: Vec<_> = config.routing.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["main", "first", "second"]);
    assert_eq!(config.sources.len(), 3);
    let digest = config.digest;
    assert_eq!(digest.len(), 64);

    write("conf.d/20.yaml", "channels: {a: {console: {}}}\nhttp: {listen: 127.0.0.1:1}\n");
    let shown = told(load()).replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(
        shown,
        "conf.d/20.yaml:1:12: channels.a: `a` is defined twice; first at main.yaml:1:12\n    hint: give one of the two another name\n\
         conf.d/20.yaml:2:16: http.listen: is set twice; first at conf.d/10.yml:3:16\n    hint: keep one of the two\n2 problems\n"
    );
    write("conf.d/20.yaml", "\n");
    assert_ne!(load().unwrap().config.digest, digest);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let load = |path: &Path| told(Config::load(Some(path), &Overrides::default(), &|_| None, &Host::default()));
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.yaml");
    assert!(load(&missing).starts_with(&format!("{}: cannot be read: No such file", missing.display())));
    assert!(load(directory.path()).contains("cannot be read: Is a directory"));
    let binary = directory.path().join("binary.yaml");
    std::fs::write(&binary, b"a: 1\nb: \xff\n").unwrap();
    assert!(load(&binary).contains("binary.yaml:2:4: this is not UTF-8 text"));
}

#[test]
fn the_environment_never_shows_in_a_message() {
    let told = told(load("channels:\n  m:\n    console: {}\n    rate: ${PASSWORD}\nhttp: {listen: \"${PASSWORD}\"}\n"));
    assert!(!told.contains("horse"), "{told}");
    assert!(told.contains("channels.m.rate: found the value of ${PASSWORD}; allowed: a count"), "{told}");
}

#[test]
fn two_channels_on_one_file_and_an_open_secret_are_findings() {
    let text = "channels:\n  a: {file: {path: /x/./a}}\n  b: {file: {path: /x//a}}\n  \
                h: {webhook: {url: 'https://h.example.org', secret: whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0}}\n";
    let source = Source { readable_by_all: true, ..source("b.yaml", text) };
    let loaded = load_sources(&[source], &Overrides::default(), &|_| None, &Host::default()).unwrap();
    let found: Vec<_> = loaded.findings.iter().map(|finding| (finding.code, finding.subject.as_str())).collect();
    assert!(found.contains(&("same-file", "b")), "{found:?}");
    assert!(found.contains(&("plain-secret", "channels.h.webhook.secret")), "{found:?}");
    assert!(!format!("{:?}", loaded.findings).contains("whsec"));
}

#[test]
fn the_address_of_a_database_is_a_secret_only_with_a_password_in_it() {
    let found = |url: &str| {
        let text = format!("channels: {{h: {{postgres: {{url: '{url}', table: blueteam.alert_history}}}}}}\n");
        let source = Source { readable_by_all: true, ..source("b.yaml", &text) };
        let loaded = load_sources(&[source], &Overrides::default(), &|_| None, &Host::default()).unwrap();
        loaded.findings.iter().any(|finding| finding.code == "plain-secret")
    };
    assert!(!found("postgresql://soc@localhost/eqmon") && !found("postgresql://soc@/eqmon?host=/run/postgresql"));
    assert!(found("postgresql://soc:open-sesame@localhost/eqmon"));
}

#[test]
fn what_is_unsafe_or_can_do_nothing_is_found() {
    let hash = "ab".repeat(32);
    let text = format!(
        "http: {{listen: '0.0.0.0:80', tokens: {{a: {{sha256: {hash}}}}}}}\nrouting: custom\nchannels:\n  \
         far: {{console: {{}}}}\n  near: {{console: {{}}}}\n\
         routes: [{{name: all, to: near}}, {{name: never, to: near}}]\n"
    );
    let loaded = load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let found: Vec<_> = loaded.findings.iter().map(|finding| (finding.code, finding.subject.as_str())).collect();
    assert_eq!(found, [("route-shadowed", "never"), ("channel-unreached", "far"), ("tokens-in-clear", "http.listen"),]);
    assert!(loaded.findings[1].to_string().starts_with("b.yaml:4:3: far: channel `far` is never used"));
}

#[test]
fn a_channel_that_only_steps_in_or_is_escalated_to_is_not_unreached() {
    let text = "routing: custom\nchannels:\n  near: {console: {}, fallback: [{channel: second}]}\n  \
                second: {console: {}, fallback: [{channel: third}]}\n  third: {console: {}}\n  boss: {console: {}}\n  \
                alone: {console: {}, fallback: [{channel: far}]}\n  far: {console: {}}\n\
                routes: [{name: all, to: near, escalate: [{after: 15m, to: boss}]}]\n";
    let loaded = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    let found: Vec<_> = loaded.findings.iter().map(|finding| (finding.code, finding.subject.as_str())).collect();
    assert_eq!(found, [("channel-unreached", "alone"), ("channel-unreached", "far")]);
}

#[test]
fn a_fallback_is_there_for_one_kind_of_failure_or_for_several() {
    let text = "channels:\n  a: {console: {}, fallback: [{channel: b}, {channel: b, on: auth}, \
                {channel: b, on: [network, rejected]}]}\n  b: {console: {}}\nroutes: [{name: all, to: a}]\n";
    let loaded = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    let on: Vec<&[FallbackOn]> = loaded.config.channels[0].fallback.iter().map(|step| step.on.as_slice()).collect();
    assert_eq!(on, [&[FallbackOn::Any][..], &[FallbackOn::Auth], &[FallbackOn::Network, FallbackOn::Rejected]]);
}

#[test]
fn a_time_interval_that_no_route_names_and_a_route_that_never_sends_are_found() {
    let text = "channels: {c: {console: {}}}\ntime_intervals:\n  - {name: used, intervals: {years: 2026}}\n  \
                - {name: idle, intervals: {weekdays: monday}}\nroutes:\n  \
                - {name: r, to: c, active_time_intervals: used, mute_time_intervals: used}\n";
    let loaded = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    let found: Vec<_> = loaded.findings.iter().map(|finding| (finding.code, finding.subject.as_str())).collect();
    assert_eq!(found, [("route-never-sends", "r"), ("interval-unused", "idle")]);
    assert!(loaded.findings[1].to_string().starts_with("b.yaml:4:5: idle: no route names this time interval"));
}

#[test]
fn time_intervals_come_out_as_they_were_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/good/intervals.yaml");
    let config = load(&std::fs::read_to_string(path).unwrap()).unwrap().config;
    let muted_at = |at: &str| config.routing.routes[0].muted_by(at.parse().unwrap());
    // Friday, nine in the morning in Berlin, and a second before.
    assert_eq!(muted_at("2026-11-20T08:00:00Z"), None);
    assert_eq!(muted_at("2026-11-20T07:59:59Z").as_deref(), Some("outside business-hours"));
    // The machine's zone is UTC here: the last of May, and of June.
    assert_eq!(muted_at("2026-05-31T12:00:00Z"), None);
    assert!(muted_at("2026-06-28T12:00:00Z").is_some());
    assert_eq!(muted_at("2026-11-29T23:00:00Z").as_deref(), Some("maintenance"));
}

#[test]
fn a_long_list_of_names_is_cut_in_messages() {
    let names: Vec<_> = (0..100).map(|number| format!("c{number}: {{console: {{}}}}")).collect();
    let told = told(load(&format!("channels: {{{}}}\nroutes: [{{name: a, to: x}}]\n", names.join(", "))));
    assert!(told.contains("c18, c19 and 80 more"), "{told}");
}

#[test]
fn the_schema_knows_every_section_and_kind() {
    let schema = schema();
    for kind in KINDS {
        let pointer = format!("/properties/channels/additionalProperties/properties/{}", kind.key);
        assert!(schema.pointer(&pointer).is_some(), "{pointer}");
        assert!(reference().contains(&format!("## `channels.NAME.{}`", kind.key)), "{}", kind.key);
    }
    let choices = schema.pointer("/properties/channels/additionalProperties/oneOf").unwrap();
    assert_eq!(choices.as_array().unwrap().len(), KINDS.len());
}

/// Fragments that lead deep into the reader, more often than free text does.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "channels",
        "routes",
        "http",
        "data",
        ":",
        ": ",
        "\n",
        "\n  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "'",
        "\"",
        "|\n",
        ">\n",
        "${",
        "${X}",
        "}",
        "$${",
        "console",
        "\t",
        "!!str ",
        "#",
        "---\n",
        "?",
        "~",
        "\u{feff}",
        "severity >= high",
        "match",
        "to",
        "name",
        "0",
        "\0",
        "é",
        ",",
        "%",
        "tokens",
        "sha256",
        "listen",
        "rate",
        "5/s",
    ]);
    prop::collection::vec(fragment, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), fragments()]) {
        // Whether it is good or bad is not the question; a bad one says so.
        if let Err(problems) = load(&text) {
            prop_assert!(!problems.0.is_empty());
        }
    }
}
