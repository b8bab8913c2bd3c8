//! The console on a real terminal (tmux), and where there is none.

use balefire_tests::client::Connection;
use balefire_tests::server::Site;
use balefire_tests::terminal::Terminal;
use balefire_tests::wait;
use serde_json::{Value, json};

const CONFIG: &str = "http: {listen: none}\nchannels: {screen: {console: {}}}\nrouting: custom\n\
                      routes: [{name: all, to: [screen]}]\n";

fn incident(title: &str) -> Value {
    json!({
        "title": title,
        "severity": "critical",
        "detected_by": "audit_log_gap",
        "nist_controls": ["3.3.4"],
        "description": "No audit event for 600 s.",
    })
}

/// A server whose standard error is a terminal of 100 columns.
fn on_a_terminal(site: &Site, environment: &[(&str, &str)]) -> Terminal {
    let terminal = Terminal::run((100, 40), environment, &site.command(&["serve", "--log", "error"]));
    wait::until("the server answers on its socket", || {
        let asked = Connection::unix(&site.path("data/balefire.sock")).and_then(|mut c| c.get("/readyz"));
        match asked {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error}: {}", terminal.screen(false))),
        }
    });
    terminal
}

fn send(site: &Site, incident: &Value) {
    let mut connection = Connection::unix(&site.path("data/balefire.sock")).expect("the server listens");
    connection.post("/api/v1/incidents", incident.to_string().as_bytes()).expect("it answers").expect(202);
}

/// The rows of the panels on the screen.
fn panel(screen: &str) -> Vec<&str> {
    screen.lines().filter(|line| line.starts_with(['╭', '│', '╰'])).collect()
}

#[test]
fn a_terminal_shows_a_coloured_box_as_wide_as_it_is_also_after_a_resize() {
    let site = Site::new(CONFIG);
    let terminal = on_a_terminal(&site, &[]);
    send(&site, &incident("Audit log stopped on web-1"));
    let screen = terminal.wait_for("╰");
    let rows = panel(&screen);
    assert!(rows[0].starts_with("╭─ SECURITY ALERT ─"), "{screen}");
    assert!(rows[1].starts_with("│ Audit log stopped on web-1 "), "{screen}");
    assert!(rows[2].starts_with("│ Severity: critical | Rule: audit_log_gap"), "{screen}");
    assert!(rows.iter().all(|row| row.chars().count() == 100), "{screen}");
    let coloured = terminal.screen(true);
    let first = coloured.lines().find(|line| line.contains("SECURITY ALERT")).expect("it is there");
    assert!(first.contains("\u{1b}[1m") && first.contains("\u{1b}[31m"), "bold and red: {first:?}");

    terminal.resize(60, 40);
    send(&site, &incident("Narrow now"));
    let screen = terminal.wait_for("Narrow now");
    let narrow: Vec<&str> = screen.lines().skip_while(|line| !line.contains("Narrow now")).collect();
    assert!(panel(&narrow.join("\n")).iter().all(|row| row.chars().count() == 60), "{screen}");
}

#[test]
fn a_hostile_incident_does_nothing_to_the_screen() {
    let site = Site::new(CONFIG);
    let terminal = on_a_terminal(&site, &[]);
    let title = terminal.title();
    send(&site, &incident("before"));
    let _ = terminal.wait_for("before");
    let hostile = "\u{1b}[2J\u{1b}[H\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}txt\r\nSECOND\u{8}\u{8} end-of-title";
    send(
        &site,
        &json!({
            "title": hostile, "severity": "low", "detected_by": hostile, "description": hostile,
            "labels": {hostile: hostile}, "nist_controls": [hostile],
        }),
    );
    let screen = terminal.wait_for("id: ");
    let screen = if screen.matches('╰').count() == 2 { screen } else { terminal.wait_for("end-of-title") };
    assert!(screen.contains("before"), "the screen was not cleared: {screen}");
    assert!(screen.contains("\\u{1b}[2J\\u{1b}[H\\u{1b}]0;owned\\u{7}\\u{9b}31m\\u{202e}txt\\r\\nSECOND"), "{screen}");
    assert!(panel(&screen).iter().all(|row| row.chars().count() == 100), "no row leaves its box: {screen}");
    assert_eq!(terminal.title(), title, "the window's title is ours");
    // The colours on the screen are those of the two boxes: bold red and blue.
    let coloured = terminal.screen(true);
    let allowed = ["[1m", "[31m", "[34m", "[39m", "[49m", "[0m"];
    for escape in coloured.split('\u{1b}').skip(1) {
        assert!(allowed.iter().any(|allowed| escape.starts_with(allowed)), "{escape:?} in {coloured:?}");
    }
}

#[test]
fn no_color_leaves_the_box_and_takes_the_colours() {
    let site = Site::new(CONFIG);
    let terminal = on_a_terminal(&site, &[("NO_COLOR", "1")]);
    send(&site, &incident("colourless"));
    let screen = terminal.wait_for("╰");
    assert!(screen.contains("╭─ SECURITY ALERT ─"), "{screen}");
    assert!(!terminal.screen(true).contains('\u{1b}'), "{:?}", terminal.screen(true));
}

#[test]
fn without_a_terminal_each_incident_is_one_plain_line() {
    let site = Site::new(&CONFIG.replace("http: {listen: none}\n", ""));
    let server = site.start();
    let id = server.accept(&incident("Audit log\nstopped \u{1b}[31mon web-1"));
    server.wait_for_deliveries(&id, "delivered");
    let text = server.stderr();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("SECURITY ALERT")).collect();
    assert_eq!(
        lines,
        [format!(
            "SECURITY ALERT [CRITICAL] Audit log\\nstopped \\u{{1b}}[31mon web-1 | rule=audit_log_gap nist=3.3.4 id={id}"
        )]
    );
    assert!(!text.contains(['\u{1b}', '╭']), "{text}");
}

/// A process that ends with its handle.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

#[test]
fn standard_output_gets_one_line_for_each_in_the_words_of_the_released_engine() {
    let site = Site::new(&CONFIG.replace("console: {}", "console: {to: stdout, dialect: shipped}"));
    let shown = site.path("stdout");
    let file = std::fs::File::create(&shown).expect("the directory is ours");
    let server = site.command(&["serve", "--log", "error"]).stdout(file).spawn();
    let _server = Ends(server.expect("the binary can be started"));
    wait::until("the server answers on its socket", || {
        let asked = Connection::unix(&site.path("data/balefire.sock")).and_then(|mut c| c.get("/readyz"));
        match asked {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(error.to_string()),
        }
    });
    send(
        &site,
        &json!({"title": "one\r\n[ALERT] forged", "severity": "high", "detected_by": "r", "cui_involved": true}),
    );
    send(&site, &json!({"title": "two", "severity": "low", "detected_by": "r"}));
    let text = wait::until("both are shown", || match std::fs::read_to_string(&shown).unwrap_or_default() {
        text if text.lines().count() >= 2 => Ok(text),
        text => Err(text),
    });
    assert_eq!(text, "[ALERT] [CUI] [HIGH] one\\r\\n[ALERT] forged (rule=r)\n[ALERT] [LOW] two (rule=r)\n");
}
