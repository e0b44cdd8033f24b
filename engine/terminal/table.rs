//! Tables of runs and of a run's steps, as wide as the screen allows.

use super::line::clock;
use super::paint::Tone;
use super::screen::Screen;
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use std::io::IsTerminal;

/// A table without lines: columns by two spaces, cells wrapped to the screen. Ids and other words are not: they are copied.
pub fn table(screen: &Screen, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    let width = u16::try_from(screen.width).unwrap_or(u16::MAX);
    table.load_style(NOTHING).set_width(width);
    // A program that reads it wants names whole.
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(columns);
    // A longer word is broken: the other columns want room too.
    let longest = screen.width * 2 / 5;
    let mut whole = vec![true; columns.len()];
    for row in rows {
        for (is_whole, cell) in whole.iter_mut().zip(&row) {
            *is_whole &= !cell.contains(char::is_whitespace) && cell.chars().count() <= longest;
        }
        table.add_row(row);
    }
    for (at, _) in whole.iter().enumerate().filter(|(_, whole)| **whole) {
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = String::new();
    for (at, line) in table.lines().enumerate() {
        let line = line.trim_end();
        let line = line.strip_prefix(' ').unwrap_or(line);
        let line = if at == 0 { screen.paint().of(Tone::Faint, line) } else { line.to_owned() };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Day and time where the reader is: `11-22 03:11:07`.
pub fn day(screen: &Screen, at: jiff::Timestamp) -> String {
    let day = at.to_zoned(screen.zone.clone()).strftime("%m-%d").to_string();
    format!("{day} {}", clock(at, &screen.zone))
}
