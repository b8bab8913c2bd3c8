//! The history in PostgreSQL against a real server, in both forms: every incident is a row whatever the routes say, and
//! acknowledgements are the same on both sides, whatever happens between.

use balefire_tests::certificates::Certificates;
use balefire_tests::pooler::Pooler;
use balefire_tests::postgres::{DATABASE, PASSWORD, PLAN, Postgres, SHIPPED, USER};
use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::{note, wait};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::time::Duration;

/// How many incidents the long test sends.
const INCIDENTS: usize = 10_000;
/// How many go together.
const BATCH: usize = 200;

/// A history beside what `more` says at the top level.
fn site(address: impl Display, settings: &str, more: &str) -> Site {
    site_that_looks("200ms", address, settings, more)
}

/// The same, with another pause between its looks into the table.
fn site_that_looks(every: &str, address: impl Display, settings: &str, more: &str) -> Site {
    Site::new(&format!(
        "history: {{postgres: {{url: \"postgresql://{USER}@{address}/{DATABASE}\", password: \"{PASSWORD}\", \
         connect_timeout: 2s, acknowledgements: {{poll: {every}}}{settings}}}, retry: {{initial: 200ms, cap: 1s}}}}\n{more}\n"
    ))
}

fn act(server: &Server, id: &str, what: &str, by: &str) {
    server.post(&format!("/api/v1/incidents/{id}/{what}"), json!({"by": by}).to_string()).expect(200);
}

/// What a dashboard does.
fn acknowledge_there(postgres: &Postgres, key: &str, id: &str, by: &str) {
    postgres.run(&format!(
        "UPDATE blueteam.alert_history SET acknowledged = TRUE, acknowledged_by = '{by}', acknowledged_at = now() \
         WHERE {key} = '{id}'"
    ));
}

fn row(postgres: &Postgres, key: &str, id: &str) -> Value {
    let rows = postgres.rows();
    rows.into_iter().find(|row| row[key] == id).unwrap_or_default()
}

fn wait_for_row(postgres: &Postgres, (key, id): (&str, &str), expected: (bool, Value)) -> Value {
    wait::until(&format!("the row of {id} is {expected:?}"), || {
        let row = row(postgres, key, id);
        let is_it = row["acknowledged"] == expected.0 && row["acknowledged_by"] == expected.1;
        if is_it { Ok(row) } else { Err(row.to_string()) }
    })
}

fn wait_for_state(server: &Server, id: &str, state: &str) {
    wait::until(&format!("{id} is {state}"), || {
        let shown = server.show(id);
        if shown["state"] == state { Ok(()) } else { Err(shown["state"].to_string()) }
    });
}

/// Waits until nothing waits for any channel.
fn wait_until_empty(server: &Server) {
    wait::within(Duration::from_secs(240), "the queue is empty", || {
        let channels = server.get("/api/v1/channels").expect(200).json();
        let mut queues = channels["channels"].as_array().expect("a list").iter();
        if queues.all(|channel| channel["queue"]["depth"] == 0) { Ok(()) } else { Err(channels.to_string()) }
    });
}

/// Who changed the state of an incident to what, in order.
fn changes(server: &Server, id: &str) -> Vec<String> {
    let why = server.why(id);
    let steps = why["story"].as_array().expect("a list");
    let changed = steps.iter().filter(|step| step["step"] == "state_changed");
    changed.map(|step| step["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn an_acknowledgement_is_noted_in_the_row_and_a_person_who_was_there_before_stays() {
    for (form, key) in [("plan", "alert_id"), ("shipped", "balefire_id")] {
        let Some(postgres) = Postgres::start("SELECT 1") else { return };
        let site = site(postgres.address, &format!(", create: {form}"), "");
        let server = site.start();
        let ids: Vec<String> =
            (0..3).map(|nth| server.accept(&json!({"title": format!("{nth}"), "detected_by": "r"}))).collect();
        wait_until_empty(&server);
        act(&server, &ids[0], "ack", "ann'); DROP TABLE blueteam.alert_history; --\u{0}");
        let by = json!("ann'); DROP TABLE blueteam.alert_history; --\u{2400}");
        let row = wait_for_row(&postgres, (key, &ids[0]), (true, by.clone()));
        assert!(row["acknowledged_at"].as_str() >= row["created_at"].as_str(), "{row}");
        act(&server, &ids[0], "ack", "eve");
        act(&server, &ids[0], "resolve", "eve");
        wait_until_empty(&server);
        wait_for_row(&postgres, (key, &ids[0]), (true, by));
        act(&server, &ids[1], "resolve", "eve");
        wait_for_row(&postgres, (key, &ids[1]), (true, json!("balefire: resolved")));
        wait_for_row(&postgres, (key, &ids[2]), (false, Value::Null));
        assert_eq!(changes(&server, &ids[0]).len(), 3, "nothing came back as another's");
    }
}

#[test]
fn an_acknowledgement_that_is_taken_back_is_gone_from_the_row_and_what_another_person_says_there_stays() {
    for (form, key) in [("plan", "alert_id"), ("shipped", "balefire_id")] {
        let Some(postgres) = Postgres::start("SELECT 1") else { return };
        let site = site(postgres.address, &format!(", create: {form}"), "");
        let server = site.start();
        let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
        wait_until_empty(&server);
        for by in ["ann", "eve \u{1b}[31m'\u{0}"] {
            act(&server, &id, "ack", by);
            wait_for_row(&postgres, (key, &id), (true, json!(by.replace('\0', "\u{2400}"))));
            act(&server, &id, "unack", "ann");
            let row = wait_for_row(&postgres, (key, &id), (false, Value::Null));
            assert_eq!(row["acknowledged_at"], Value::Null);
        }
        // Somebody says so there, and somebody else takes it back here.
        acknowledge_there(&postgres, key, &id, "bob\r\n");
        wait_for_state(&server, &id, "acked");
        act(&server, &id, "unack", "ann");
        wait_for_row(&postgres, (key, &id), (false, Value::Null));
        wait::pause(Duration::from_secs(1));
        assert_eq!(changes(&server, &id).len(), 6, "{:?}", changes(&server, &id));
        wait_for_state(&server, &id, "open");
        // Another name stands there since, which nobody here has seen: that one stays, and is known then.
        act(&server, &id, "ack", "ann");
        wait_for_row(&postgres, (key, &id), (true, json!("ann")));
        acknowledge_there(&postgres, key, &id, "dan");
        act(&server, &id, "unack", "ann");
        wait::until("it is acknowledged by dan", || match changes(&server, &id).last() {
            Some(last) if last.starts_with("acked by dan") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        wait_for_row(&postgres, (key, &id), (true, json!("dan")));
    }
}

#[test]
fn an_acknowledgement_in_the_table_is_one_here_and_stops_the_escalation() {
    for (form, key) in [("plan", "alert_id"), ("shipped", "balefire_id")] {
        let Some(postgres) = Postgres::start("SELECT 1") else { return };
        let more = "channels: {screen: {console: {}}}\nrouting: custom\nroutes:\n\
                    \x20 - {name: all, match: ['title = a'], to: [screen], escalate: [{after: 1h, to: [screen]}]}";
        let site = site(postgres.address, &format!(", create: {form}"), more);
        let server = site.start();
        let id = server.accept(&json!({"title": "a", "severity": "high", "detected_by": "r"}));
        let other = server.accept(&json!({"title": "b", "detected_by": "r"}));
        wait_until_empty(&server);
        acknowledge_there(&postgres, key, &id, "bob \u{1b}[31m<b>@here</b>\r\n");
        wait_for_state(&server, &id, "acked");
        let said = changes(&server, &id);
        assert_eq!(said.len(), 1, "{said:?}");
        let by = "acked by bob";
        assert!(said[0].starts_with(by), "{said:?}");
        assert!(said[0].contains("acknowledged in blueteam.alert_history (channel history) at "), "{said:?}");
        let shown = site.run(&["why", &id]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("acked by bob") && !shown.contains('\u{1b}'), "{shown}");
        // Twenty rounds later it is still the only one, and the row is as it was.
        wait::pause(Duration::from_secs(1));
        assert_eq!(changes(&server, &id).len(), 1);
        assert_eq!(changes(&server, &other).len(), 0);
        postgres.run(&format!("UPDATE blueteam.alert_history SET acknowledged = TRUE WHERE {key} = '{other}'"));
        wait_for_state(&server, &other, "acked");
        assert!(changes(&server, &other)[0].starts_with("acked by somebody"), "{:?}", changes(&server, &other));
    }
}

#[test]
fn what_was_acknowledged_there_while_we_or_the_server_were_away_is_found() {
    let Some(mut postgres) = Postgres::start(PLAN) else { return };
    let site = site(postgres.address, "", "");
    let mut server = site.start();
    let ids: Vec<String> =
        (0..3).map(|nth| server.accept(&json!({"title": format!("{nth}"), "detected_by": "r"}))).collect();
    wait_until_empty(&server);
    server.terminate();
    drop(server);
    acknowledge_there(&postgres, "alert_id", &ids[0], "bob");
    let server = site.start();
    wait_for_state(&server, &ids[0], "acked");
    postgres.crash();
    wait::until("it is told that the table cannot be seen", || {
        server.logged("acknowledgements in the table cannot be seen; asking again").ok_or_else(|| server.stderr())
    });
    act(&server, &ids[1], "ack", "ann");
    postgres.resume();
    acknowledge_there(&postgres, "alert_id", &ids[2], "eve");
    wait_for_state(&server, &ids[2], "acked");
    wait_for_row(&postgres, ("alert_id", &ids[1]), (true, json!("ann")));
}

#[test]
fn a_pooler_may_stand_between_us_and_the_acknowledgements() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let pooler = Pooler::before(&postgres);
    let site = site(pooler.address, ", timeout: 8s", "");
    let server = site.start();
    let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
    wait_until_empty(&server);
    acknowledge_there(&postgres, "alert_id", &id, "bob");
    wait_for_state(&server, &id, "acked");
    let left = "SELECT current_setting('statement_timeout'), (SELECT count(*) FROM pg_prepared_statements)";
    let found = postgres.through(pooler.address, left);
    assert!(found.starts_with("0|0"), "{found}");
}

#[test]
fn every_incident_is_a_row_whatever_the_routes_say_but_for_tests() {
    let Some(postgres) = Postgres::start("SELECT 1") else { return };
    let more = "channels: {screen: {console: {}}}\nrouting: custom\nroutes:\n\
                \x20 - {name: none, match: ['severity = info'], to: []}\n\x20 - {name: some, match: ['severity = high'], to: [screen]}";
    let site = site(postgres.address, ", create: shipped", more);
    let server = site.start();
    let ids: Vec<String> = ["info", "low", "high"]
        .iter()
        .map(|severity| server.accept(&json!({"title": severity, "severity": severity, "detected_by": "r"})))
        .collect();
    server.post("/api/v1/channels/screen/test", "").expect(202);
    wait_until_empty(&server);
    let rows = postgres.rows();
    let found: Vec<&str> = rows.iter().filter_map(|row| row["balefire_id"].as_str()).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(ids.iter().all(|id| found.contains(&id.as_str())), "{found:?}");
    let why = server.why(&ids[0]).to_string();
    assert!(why.contains("every incident goes into the history; nobody else hears of it: "), "{why}");
    let shown = site.run(&["channels", "list"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.lines().any(|line| line.starts_with("history") && line.contains("postgres")), "{shown}");
    let checked = site.run(&["check"]);
    let told = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && !told.contains("`history` is never used"), "{told}");
}

#[test]
fn a_history_that_fails_is_told_to_people_and_has_that_too_when_it_works_again() {
    let Some(mut postgres) = Postgres::start(PLAN) else { return };
    let site = site(postgres.address, "", "channels: {screen: {console: {}}}\nrouting: custom");
    let server = site.start();
    postgres.stop();
    let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
    let failing = wait::until("it is told that the history fails", || {
        let told = server.list("text=failing");
        told.first().cloned().ok_or_else(|| server.get("/api/v1/channels").text())
    });
    let failing = failing["id"].as_str().expect("an id").to_owned();
    let why = server.why(&failing).to_string();
    assert!(why.contains("screen"), "{why}");
    postgres.resume();
    wait_until_empty(&server);
    server.wait_for_deliveries(&id, "delivered");
    let all = "SELECT count(*) FROM blueteam.alert_history";
    let listed = server.all_ids().len();
    assert_eq!(postgres.sql(all), listed.to_string(), "as many rows as there are incidents, our own among them");
}

#[test]
fn who_may_only_add_rows_sees_no_acknowledgements_and_takes_no_harm() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    postgres.run(
        "CREATE ROLE adder LOGIN PASSWORD 'let-me-add-7'; GRANT USAGE ON SCHEMA blueteam TO adder; \
         GRANT INSERT, SELECT (alert_id) ON blueteam.alert_history TO adder; \
         GRANT INSERT, SELECT (rule_id) ON blueteam.alert_rules TO adder",
    );
    let site = Site::new(&format!(
        "history: {{postgres: {{url: \"postgresql://adder@{}/{DATABASE}\", password: let-me-add-7, \
         acknowledgements: {{poll: 100ms}}}}}}",
        postgres.address
    ));
    let server = site.start();
    let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
    server.wait_for_deliveries(&id, "delivered");
    acknowledge_there(&postgres, "alert_id", &id, "bob");
    let other = server.accept(&json!({"title": "b", "detected_by": "r"}));
    act(&server, &other, "ack", "ann");
    wait_until_empty(&server);
    assert_eq!(row(&postgres, "alert_id", &other)["acknowledged"], false, "the role may not say so");
    assert_eq!(changes(&server, &id).len(), 0);
    assert!(
        server.logged("acknowledgements in the table cannot be seen; asking again").is_none(),
        "{}",
        server.stderr()
    );
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours_and_tells_where_it_is_wrong() {
    let (server_side, strangers) = (Certificates::new(), Certificates::new());
    let Some(mut postgres) = Postgres::with_tls(PLAN, &server_side) else { return };
    postgres.stop();
    postgres.wants_certificates(&server_side);
    postgres.resume();
    let with = |certificate: Option<(std::path::PathBuf, std::path::PathBuf)>| {
        let shown = certificate.map(|(certificate, key)| {
            format!(", client_certificate: \"{}\", client_key: \"{}\"", certificate.display(), key.display())
        });
        let authority = format!(", sslmode: verify-full, ca_file: \"{}\"", server_side.authority().display());
        site(postgres.address, &format!("{authority}{}", shown.unwrap_or_default()), "")
    };
    for (certificate, expected) in [
        (None, "certificate"),
        (Some(server_side.client("somebody")), "certificate authentication failed"),
        (Some(strangers.client(USER)), "UnknownCA"),
    ] {
        let site = with(certificate);
        let server = site.start();
        let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
        wait::until(&format!("it is refused: {expected}"), || {
            let delivery = server.why(&id)["deliveries"][0].clone();
            let refused = &delivery["last_outcome"]["rejected"];
            let words = refused["detail"].as_str().unwrap_or_default();
            let is_it = refused["cause"] == "auth" && words.to_lowercase().contains(&expected.to_lowercase());
            if is_it { Ok(()) } else { Err(delivery.to_string()) }
        });
    }
    let site = with(Some(server_side.client(USER)));
    let server = site.start();
    let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
    server.wait_for_deliveries(&id, "delivered");
}

#[test]
fn an_acknowledgement_whose_answer_is_lost_is_there_once_and_is_ours() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let relay = Relay::start(postgres.address);
    let site = site_that_looks("0s", relay.address(), "", "");
    let server = site.start();
    let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
    wait_until_empty(&server);
    relay.cut(1);
    act(&server, &id, "ack", "ann");
    wait::until("the answer is lost", || match relay.cuts_left() {
        0 => Ok(()),
        left => Err(format!("{left} to come")),
    });
    wait_until_empty(&server);
    wait_for_row(&postgres, ("alert_id", &id), (true, json!("ann")));
    assert_eq!(changes(&server, &id).len(), 1);
}

/// Who has acknowledged which incident, as the history has it: the first who did.
fn acknowledged(server: &Server, ids: &[String]) -> BTreeMap<String, String> {
    let first = |id: &String| {
        let change = changes(server, id).into_iter().next()?;
        let by = change.strip_prefix("acked by ")?.split(':').next()?.to_owned();
        Some((id.clone(), by))
    };
    ids.iter().filter_map(first).collect()
}

#[test]
fn ten_thousand_incidents_and_their_acknowledgements_agree_to_the_row_though_the_server_goes_five_times() {
    let Some(mut postgres) = Postgres::start(SHIPPED) else { return };
    let site = site_that_looks("1s", postgres.address, ", create: shipped", "");
    let server = site.start();
    let (mut ids, mut goings, mut ours, mut theirs) = (Vec::with_capacity(INCIDENTS), 0, Vec::new(), Vec::new());
    for batch in 0..INCIDENTS / BATCH {
        let incident = |nth: usize| json!({"title": format!("{batch}-{nth}"), "severity": "low", "detected_by": format!("r{}", nth % 7)});
        let incidents: Vec<Value> = (0..BATCH).map(incident).collect();
        let sent = server.send(&json!(incidents)).expect(202).ids();
        // Acknowledged here at once, whether the row is there or not.
        act(&server, &sent[0], "ack", &format!("here-{batch}"));
        ours.push(sent[0].clone());
        ids.extend(sent);
        if batch % 10 == 4 {
            wait::until("rows come", || if postgres.count() > 0 { Ok(()) } else { Err("none".to_owned()) });
            if batch % 20 == 4 {
                postgres.crash()
            } else {
                postgres.stop()
            }
            goings += 1;
        }
        if batch % 10 == 8 {
            postgres.resume();
            // Acknowledged there, of what has arrived.
            let there =
                "SELECT balefire_id FROM blueteam.alert_history WHERE NOT acknowledged AND title LIKE '%-7' LIMIT 5";
            for id in postgres.sql(there).lines() {
                acknowledge_there(&postgres, "balefire_id", id, &format!("there-{batch}"));
                theirs.push(id.to_owned());
            }
        }
    }
    wait_until_empty(&server);
    for id in &theirs {
        wait_for_state(&server, id, "acked");
    }
    wait_until_empty(&server);
    assert_eq!((ids.len(), goings), (INCIDENTS, 5));
    let found = postgres
        .sql("SELECT balefire_id, coalesce(acknowledged_by, '') FROM blueteam.alert_history WHERE rule_id LIKE 'r%'");
    let rows: Vec<(&str, &str)> = found.lines().filter_map(|line| line.split_once('|')).collect();
    let distinct: HashSet<&str> = rows.iter().map(|(id, _)| *id).collect();
    assert_eq!((rows.len(), distinct.len()), (INCIDENTS, INCIDENTS));
    assert!(ids.iter().all(|id| distinct.contains(id.as_str())), "the same ones");
    let there: BTreeMap<String, String> =
        rows.iter().filter(|(_, by)| !by.is_empty()).map(|(id, by)| ((*id).to_owned(), (*by).to_owned())).collect();
    let touched: Vec<String> = ours.iter().chain(&theirs).cloned().collect();
    assert_eq!(there, acknowledged(&server, &touched), "who acknowledged what is the same on both sides");
    assert_eq!(there.len(), ours.len() + theirs.len());
    note(&format!("{} rows, {} acknowledged here and {} there", rows.len(), ours.len(), theirs.len()));
}
