//! Whether the files of a plan have changed since a run began. Only told: the run goes on with what was stored.

use super::amend;
use super::files;
use crate::run::{Started, State};
use crate::terminal::{self, Screen, Tone};
use similar::{ChangeTag, TextDiff};
use std::path::Path;

/// Longer differences are cut.
const MOST_LINES: usize = 60;

/// Says what differs between the stored files and those on disk, and what would be done otherwise.
pub fn tell(screen: &Screen, state: &State, started: &Started) {
    files_that_changed(screen, started);
    if let Some(found) = amend::changed(state, started).filter(|_| !screen.is_json()) {
        terminal::difference(screen, &found);
        screen.remark("`runplan resume --amend` goes on with the plan as it is now");
    }
}

fn files_that_changed(screen: &Screen, started: &Started) {
    for (at, source) in started.sources.iter().enumerate() {
        // The plan is in the run's directory; SQL files are named from there; a site file stands beside or above.
        let name = Path::new(&source.name);
        let path = match at {
            0 => Path::new(&started.directory).join(name.file_name().unwrap_or(name.as_os_str())),
            1 if started.has_site => continue,
            _ => Path::new(&started.directory).join(name),
        };
        match files::read(&path, "") {
            Ok(text) if text == source.text => {}
            Ok(text) => changed(screen, &source.name, &source.text, &text),
            Err(error) => screen.remark(&format!("{error}; the run goes on with what it was started with")),
        }
    }
}

fn changed(screen: &Screen, name: &str, stored: &str, now: &str) {
    screen.warn(&format!("{name} has changed since the run began; the run goes on with the stored one:"));
    let paint = screen.error_paint();
    let diff = TextDiff::from_lines(stored, now);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(1) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Delete => paint.of(Tone::Bad, &format!("  - {text}")),
                ChangeTag::Insert => paint.of(Tone::Good, &format!("  + {text}")),
                ChangeTag::Equal => paint.of(Tone::Faint, &format!("    {text}")),
            });
        }
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    if more > 0 {
        lines.push(format!("    … and {more} lines more"));
    }
    screen.remark(&lines.join("\n"));
}
