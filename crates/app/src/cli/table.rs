//! Rows in columns, for people. Pure: gets what the screen can show, and writes nothing.

use super::output::Screen;
use anstyle::{AnsiColor, Style};
use balefire_model::Severity;
use balefire_model::text::one_line;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The narrowest that the last column becomes: less says nothing.
const LAST_COLUMNS_MIN: usize = 24;

/// One cell: a harmless line, and its colours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: &str) -> Cell {
        Cell { text: one_line(text).into_owned(), style: Style::new() }
    }

    pub(crate) fn styled(text: &str, style: Style) -> Cell {
        Cell { style, ..Cell::new(text) }
    }
}

/// The table's lines. The last column is cut where the screen is too narrow for it.
pub(crate) fn table(header: &[&str], rows: &[Vec<Cell>], screen: Screen) -> String {
    let header: Vec<Cell> = header.iter().map(|title| Cell::styled(title, Style::new().dimmed())).collect();
    let all = || std::iter::once(&header).chain(rows);
    let mut widths = vec![0; header.len()];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.width());
        }
    }
    let last = header.len() - 1;
    let before_last: usize = widths[..last].iter().map(|width| width + 2).sum();
    let room = screen.columns.map(|columns| columns.saturating_sub(before_last).max(LAST_COLUMNS_MIN));
    let mut text = String::new();
    for row in all() {
        for (index, cell) in row.iter().enumerate() {
            if index == last {
                let shown = room.map_or_else(|| cell.text.clone(), |room| cut_to_width(&cell.text, room));
                text.push_str(&painted(&shown, cell.style, screen));
            } else {
                text.push_str(&painted(&cell.text, cell.style, screen));
                text.extend(std::iter::repeat_n(' ', widths[index] - cell.text.width() + 2));
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// The text in its colours, where the screen has any.
pub(crate) fn painted(text: &str, style: Style, screen: Screen) -> String {
    if screen.colors && style != Style::new() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// The colours of a severity, by its word.
pub(crate) fn severity_style(word: &str) -> Style {
    match Severity::parse(word) {
        Some(Severity::Critical) => AnsiColor::Red.on_default().bold(),
        Some(Severity::High) => AnsiColor::Red.on_default(),
        Some(Severity::Medium) => AnsiColor::Yellow.on_default(),
        Some(Severity::Low) => AnsiColor::Cyan.on_default(),
        Some(Severity::Info) | None => Style::new(),
    }
}

/// At most so many columns; what is missing is marked.
fn cut_to_width(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut width = 0;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width + 1 > columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::styled("high", severity_style("high")), Cell::new("Ein Täter\n\u{1b}[31m東京")],
            vec![Cell::new("info"), Cell::new(&"x".repeat(60))],
        ]
    }

    #[test]
    fn columns_are_aligned_and_no_cell_acts() {
        let text = table(&["SEVERITY", "TITLE"], &rows(), Screen::default());
        let expected =
            format!("SEVERITY  TITLE\nhigh      Ein Täter\\n\\u{{1b}}[31m東京\ninfo      {}\n", "x".repeat(60));
        assert_eq!(text, expected);
    }

    #[test]
    fn a_narrow_screen_cuts_the_last_column_with_a_mark() {
        let screen = Screen { columns: Some(50), ..Screen::default() };
        let text = table(&["SEVERITY", "TITLE"], &rows(), screen);
        assert_eq!(text.lines().last().unwrap(), format!("info      {}…", "x".repeat(39)));
        assert!(text.lines().all(|line| line.width() <= 50), "{text}");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        assert!(!table(&["S", "T"], &rows(), Screen::default()).contains('\u{1b}'));
        let colors = Screen { colors: true, ..Screen::default() };
        assert!(table(&["S", "T"], &rows(), colors).contains("\u{1b}[31mhigh\u{1b}[0m"));
    }
}
