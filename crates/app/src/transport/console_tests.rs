//! What standard error gets to see: drawn to width where a person looks, one plain line elsewhere, never half of one that
//! is called written.

use super::*;
use std::io::Read;

fn terminal(width: u16, color: bool) -> Terminal {
    Terminal { is_terminal: true, width, color }
}

const PLAIN: Terminal = Terminal { is_terminal: false, width: 80, color: false };

fn screen(title: &str, lines: &[&str]) -> Screen {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Screen { panel: Panel { title: title.to_owned(), lines, style }, plain: format!("ALERT {title}") }
}

/// What a pipe on standard error receives.
async fn shown(terminal: Terminal, screens: Vec<Screen>) -> String {
    let (mut reader, writer) = io::pipe().unwrap();
    let count = screens.len();
    let mut console =
        Console::over(Out { name: "standard error", to: writer.into(), terminal, patience: Duration::from_secs(5) });
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let replies = console.exec(screens).await;
    drop(console);
    assert_eq!(replies, vec![Reply::Written("shown on standard error".into()); count]);
    reading.await.unwrap()
}

#[tokio::test]
async fn a_panel_is_as_wide_as_the_terminal_and_breaks_at_words() {
    let text = shown(
        terminal(30, false),
        vec![screen("SECURITY ALERT", &["Brute force", "5 failed logins from 10.0.0.1 on web-1"])],
    );
    assert_eq!(
        text.await,
        "\
╭─ SECURITY ALERT ───────────╮
│ Brute force                │
│ 5 failed logins from       │
│ 10.0.0.1 on web-1          │
╰────────────────────────────╯
"
    );
}

#[tokio::test]
async fn wide_characters_and_long_words_keep_the_edges_straight() {
    let text = shown(
        terminal(24, false),
        vec![screen("警告", &["警告警告警告警告警告警告", "", "0123456789012345678901234567890"])],
    )
    .await;
    assert_eq!(
        text,
        "\
╭─ 警告 ───────────────╮
│ 警告警告警告警告警告 │
│ 警告                 │
│                      │
│ 01234567890123456789 │
│ 01234567890          │
╰──────────────────────╯
"
    );
    assert!(text.lines().all(|line| line.width() == 24), "{text}");
}

#[tokio::test]
async fn colour_is_on_edges_and_first_line_and_ends_there() {
    let text = shown(terminal(24, true), vec![screen("T", &["first", "second"])]).await;
    let (on, off) = ("\u{1b}[1m\u{1b}[31m", "\u{1b}[0m");
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows[1], format!("{on}│ first                │{off}"));
    assert_eq!(rows[2], format!("{on}│{off} second               {on}│{off}"));
}

#[tokio::test]
async fn without_a_terminal_or_with_a_narrow_one_there_is_one_plain_line_each() {
    let screens = || vec![screen("a", &["x"]), screen("b", &["y"])];
    assert_eq!(shown(PLAIN, screens()).await, "ALERT a\nALERT b\n");
    assert_eq!(shown(terminal(WIDTH_MIN - 1, true), screens()).await, "ALERT a\nALERT b\n");
}

#[tokio::test]
async fn more_than_the_pipe_holds_arrives_whole_and_in_order() {
    let title = "x".repeat(1000);
    let screens = (0..500).map(|n| screen(&format!("{n} {title}"), &[])).collect();
    let text = shown(PLAIN, screens).await;
    let numbers: Vec<usize> = text.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_who_stopped_fails_what_it_did_not_take() {
    let (_reader, writer) = io::pipe().unwrap();
    let mut console = Console::over(Out {
        name: "standard error",
        to: writer.into(),
        terminal: PLAIN,
        patience: Duration::from_millis(20),
    });
    let title = "x".repeat(WRITE_BYTES_MAX);
    let replies = console.exec((0..40).map(|_| screen(&title, &[])).collect()).await;
    let written = replies.iter().take_while(|reply| matches!(reply, Reply::Written(_))).count();
    assert!((1..40).contains(&written), "{written}");
    let Reply::Failed { detail, .. } = &replies[39] else { panic!("{:?}", replies[39]) };
    assert_eq!(detail, "standard error: its reader takes nothing");
    assert!(replies[written..].iter().all(|reply| matches!(reply, Reply::Failed { .. })));
}

#[tokio::test]
async fn a_reader_who_left_is_a_failure() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let replies = Console::over(Out {
        name: "standard error",
        to: writer.into(),
        terminal: PLAIN,
        patience: Duration::from_secs(5),
    })
    .exec(vec![screen("a", &[])])
    .await;
    let Reply::Failed { detail, .. } = &replies[0] else { panic!("{replies:?}") };
    assert!(detail.contains("Broken pipe"), "{detail}");
}

#[test]
fn no_color_and_dumb_terminals_are_respected() {
    let check = |is_terminal, no_color: Option<&str>, term: Option<&str>| {
        let terminal = Terminal::new(is_terminal, Some(100), no_color.map(OsStr::new), term.map(OsStr::new));
        (terminal.is_terminal, terminal.color)
    };
    assert_eq!(check(true, None, Some("xterm")), (true, true));
    assert_eq!(check(true, Some(""), Some("xterm")), (true, true));
    assert_eq!(check(true, Some("1"), Some("xterm")), (true, false));
    assert_eq!(check(true, None, None), (true, false));
    assert_eq!(check(true, None, Some("dumb")), (false, false));
    assert_eq!(check(false, None, Some("xterm")), (false, false));
}
