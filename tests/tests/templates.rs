//! `balefire templates render` shows what would be sent, and what a template makes is what arrives.

use balefire_tests::said::expect;
use balefire_tests::server::Site;
use balefire_tests::sink::{Reply, Sink};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// One channel of each kind; nobody needs to be there.
const CHANNELS: &str = r#"
channels:
  mail:
    email:
      host: 127.0.0.1
      port: 1
      tls: none
      from: b@example.org
      to: soc@example.org
      subject_template: "größer {{ incident.title }}"
      html_template: "<h1>{{ incident.title }}</h1>"
    fallback: [{channel: log}]
  log: {syslog: {to: "{dir}/log", template: "ALERT {{ incident.title }} host={{ incident.labels.host | default('-') }}"}}
  screen: {console: {template: "{{ incident.title }}\nfrom {{ incident.source }}"}}
  archive: {file: {path: "{dir}/archive.jsonl", template: '{"what": {{ type | tojson }}, "title": {{ incident.title | tojson }}}'}}
  hook:
    webhook:
      url: https://hooks.example.org/services/path-secret-01
      token: bearer-secret
      secret: signing-secret
      headers: {x-key: header-secret}
routing: custom
routes: [{name: all, to: [archive]}]
"#;

#[test]
fn a_message_is_shown_in_each_channels_form_with_its_secrets_masked_and_nothing_is_made() {
    let site = Site::new(CHANNELS);
    let told = expect(&site.run(&["templates", "render"]), 0);
    for part in [
        "== mail (email) ==\nfrom <b@example.org> to <soc@example.org>\n",
        "\nSubject: größer Sample: audit log stopped on web-1\n",
        "\n<h1>Sample: audit log stopped on web-1</h1>\n",
        "]: ALERT Sample: audit log stopped on web-1 host=web-1\n",
        "| Sample: audit log stopped on web-1\n| from sample\nelsewhere:\nSample: audit log stopped on web-1 | from sample\n",
        "\n{\"what\": \"incident.opened\", \"title\": \"Sample: audit log stopped on web-1\"}\n",
        "\nPOST https://hooks.example.org/services/***\ncontent-type: application/json\n",
        "\nwebhook-signature: ***\n",
        "\nauthorization: ***\n",
        "\nx-key: ***\n",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    assert!(!told.contains("secret"), "{told}");
    assert!(!site.path("data").exists(), "no server, no data, no message");
}

#[test]
fn every_reason_is_shown_and_a_fallback_names_the_channel_that_it_is_there_for() {
    let site = Site::new(CHANNELS);
    let render = |channel: &str, reason: &str| {
        expect(&site.run(&["templates", "render", "--channel", channel, "--reason", reason]), 0)
    };
    assert!(render("mail", "resolved").contains("\nSubject: [RESOLVED] größer Sample"));
    assert!(render("mail", "escalated").contains("\nSubject: [ESCALATED] größer Sample"));
    assert!(render("log", "fallback").contains("]: [FOR mail] ALERT Sample"));
    assert!(render("archive", "resolved").contains("\"what\": \"incident.resolved\""));
    assert!(render("screen", "test").contains("| Test of channel screen\n"));
    let json = expect(&site.run(&["templates", "render", "--channel", "hook", "--reason", "fallback", "--json"]), 0);
    let shown: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&shown[0]["channel"], &shown[0]["kind"]), (&json!("hook"), &json!("webhook")));
    let body = shown[0]["request"]["body"].as_str().expect("a body");
    let body: Value = serde_json::from_str(body).expect("the body is JSON");
    assert_eq!(body["type"], "incident.fallback");
    assert!(body["delivery"]["stands_in_for"].is_string(), "{body}");
}

#[test]
fn a_real_incident_is_shown_as_it_was_sent_with_a_server_and_without() {
    let site = Site::new(CHANNELS);
    let mut server = site.start();
    let id = server.accept(&json!({"title": "Disk \"full\"\u{202e}", "severity": "high"}));
    server.wait_for_deliveries(&id, "delivered");
    let sent = fs::read_to_string(site.path("archive.jsonl")).expect("the archive is written");
    assert_eq!(sent, "{\"what\": \"incident.opened\", \"title\": \"Disk \\\"full\\\"\\u202e\"}\n");
    let render = ["templates", "render", "--channel", "archive", "--incident", &id];
    assert_eq!(expect(&site.run(&render), 0), format!("== archive (file) ==\n{sent}\n"));
    let nowhere = "01935f1c-7c00-7000-8000-000000000001";
    let said = expect(&site.run(&["templates", "render", "--incident", nowhere]), 5);
    assert!(said.contains(nowhere), "{said}");
    assert!(server.terminate().success());
    assert_eq!(expect(&site.run(&render), 0), format!("== archive (file) ==\n{sent}\n"));
}

#[test]
fn what_cannot_be_shown_says_why() {
    let site = Site::new(CHANNELS);
    let said = expect(&site.run(&["templates", "render", "--channel", "hok"]), 5);
    assert!(said.contains("hok") && said.contains("mail, log, screen, archive, hook"), "{said}");
    expect(&site.run(&["templates", "render", "--reason", "because"]), 2);
    expect(&site.run(&["templates", "render", "--sample", "--incident", "01"]), 2);
    let said = expect(&site.run(&["templates", "render", "--incident", "01935f1c"]), 3);
    assert!(said.contains("no server answers"), "{said}");
    site.configure("channels:\n  log:\n    syslog:\n      template: |\n        a\n        {{ incident.titel }}\n");
    let said = expect(&site.run(&["templates", "render"]), 2);
    assert!(said.contains("balefire.yaml:5:") && said.contains("channels.log.syslog.template"), "{said}");
    assert!(said.contains("`incident.titel` is undefined (in template:2)"), "{said}");
}

#[test]
fn a_template_that_fails_or_is_refused_never_stops_an_alert() {
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\", body: template, template: '{{\"zone\": {{{{ incident.labels.zone }}}}}}'}}}}}}\n\
         routing: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    let server = site.start();
    let id = server.accept(&json!({"title": "without a zone", "severity": "high"}));
    server.wait_for_deliveries(&id, "delivered");
    let body = sink.received()[0].json();
    assert_eq!(body["incident"]["title"], "without a zone");
    let note = body["note"].as_str().expect("a note");
    assert!(note.contains("the template failed") && note.contains("incident.labels.zone"), "{note}");
    sink.always(Reply::status(400));
    let id = server.accept(&json!({"title": "with a zone", "severity": "high", "labels": {"zone": "dmz"}}));
    wait::until("it was tried with the template, and once without", || {
        let bodies: Vec<Value> = sink.received().iter().map(|request| request.json()).collect();
        if bodies.len() >= 3 { Ok(()) } else { Err(format!("{bodies:?}")) }
    });
    let received = sink.received();
    assert_eq!(received[1].json(), json!({"zone": "dmz"}));
    let plain = received[2].json();
    assert_eq!(plain["note"], "the template was left out: the far side refused what it made");
    assert_eq!((&plain["type"], &plain["incident"]["id"]), (&json!("incident.opened"), &json!(id)));
}

#[test]
fn the_examples_of_the_page_are_configurations() {
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").join("docs/templates.md");
    let page = fs::read_to_string(page).expect("the page exists");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 6, "one for each kind that takes a template");
    for example in examples {
        let site = Site::new("");
        fs::write(site.path("slack-token"), "xoxb-1-example").expect("the directory is ours");
        let token = site.path("slack-token");
        site.configure(&example.replace("/run/secrets/slack-token", token.to_str().expect("our own name")));
        let told = expect(&site.run(&["templates", "render"]), 0);
        assert!(told.contains("audit log stopped on web-1"), "{example}\n{told}");
        assert!(!told.contains("the template failed"), "{told}");
    }
}
