//! `runplan report --verify`: a report is made again from the journal, up to the line it says it was made from, and
//! compared. Must never call a report sound whose mark alone fits.

use super::error::Error;
use super::exit::Exit;
use super::report::{json, page};
use super::stored::Stored;
use crate::plan::RunId;
use crate::report::amount::count;
use crate::report::{Report, Seal, markdown};
use crate::run::placed;
use crate::store::Store;
use crate::terminal::Screen;
use serde_json::json;
use similar::{ChangeTag, TextDiff};
use std::path::Path;

/// Changed lines that are shown.
const MOST_SHOWN: usize = 20;

/// What became of a report since it was made.
enum Finding {
    /// Not a character differs.
    Same,
    /// Only what people were asked for was filled in.
    FilledIn,
    Changed(Vec<String>),
    /// Another version words it otherwise: only its mark was compared.
    OtherVersion,
}

/// Compares a report with its journal and says how they differ.
///
/// # Errors
/// It cannot be read, is no report, or its run is not kept here.
pub fn show(screen: &Screen, store: &Store, path: &Path) -> Result<Exit, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::Unreadable {
        path: path.to_path_buf(),
        why: error.to_string(),
        help: "give a report that `runplan report` made".to_owned(),
    })?;
    let Some(seal) = Seal::find(&text) else {
        let help = "a report ends with its mark; was this made by `runplan report`?";
        return Err(Error::usage_with(format!("{} is not a report", path.display()), help));
    };
    let run = RunId::parse(&seal.run)
        .filter(|run| store.list().is_ok_and(|all| all.iter().any(|known| known.run == *run)));
    let Some(run) = run else {
        let help = "verify it where the run was executed, or name that state with --state";
        return Err(Error::usage_with(format!("the run {} is not kept here", seal.run), help));
    };
    let mut records = store.load(&run)?.whole()?;
    let whole = records.len();
    let at = usize::try_from(seal.lines).unwrap_or(usize::MAX);
    let known = at.checked_sub(1).and_then(|line| records.get(line)).map(|record| record.hash.clone());
    let now = records.last().map(|record| record.hash.clone()).unwrap_or_default();
    if known.as_deref() != Some(seal.head.as_str()) {
        let why = match known {
            None => format!("it was made from line {at}, and there are {whole}"),
            Some(hash) => format!("line {at} is {hash} here, and {} there", seal.head),
        };
        let text = format!("the report belongs to another journal than the one of {run} here: {why}");
        say(screen, &seal, &now, false, &text, &[]);
        return Ok(Exit::Failed);
    }
    records.truncate(at);
    let (sound, words, lines) = match compare(&text, &seal, Stored::of(&run, records)?)? {
        Finding::Same => (true, "unchanged".to_owned(), Vec::new()),
        Finding::FilledIn => (true, "with its post-mortem filled in".to_owned(), Vec::new()),
        Finding::OtherVersion => {
            let other = format!("written by version {}, so its words were not compared", seal.version);
            (true, other, Vec::new())
        }
        Finding::Changed(lines) => (false, "but CHANGED since it was made".to_owned(), lines),
    };
    let later = match whole - at {
        0 => String::new(),
        more => format!("; the journal went on since: {}, its head is {now}", count(more, "line")),
    };
    let text = format!("the report of {run} at line {at}, {words}{later}");
    say(screen, &seal, &now, sound, &text, &lines);
    Ok(if sound { Exit::Done } else { Exit::Failed })
}

fn say(screen: &Screen, seal: &Seal, now: &str, sound: bool, text: &str, changed: &[String]) {
    if screen.is_json() {
        screen.document(&json!({
            "format": 1, "run": seal.run, "lines": seal.lines, "head": seal.head, "journal_head": now, "sound": sound,
            "message": text, "changed": changed,
        }));
        return;
    }
    screen.line(text);
    for line in changed.iter().take(MOST_SHOWN) {
        screen.line(&format!("  {line}"));
    }
    if changed.len() > MOST_SHOWN {
        screen.line(&format!("  and {} lines more", changed.len() - MOST_SHOWN));
    }
}

fn compare(text: &str, seal: &Seal, stored: Stored) -> Result<Finding, Error> {
    if seal.version != env!("CARGO_PKG_VERSION") {
        return Ok(Finding::OtherVersion);
    }
    let report = Report::of(&stored.state, &stored.records);
    let (made, bounds) = match text.trim_start().chars().next() {
        Some('{') => (json(&report), None),
        Some('<') => {
            (page(&report, &stored)?, Some(("<section id=\"post-mortem\"", "<section id=\"proof\"")))
        }
        _ => (markdown(&report), Some(("## Post-mortem", "## Proof"))),
    };
    // Its commands may name the state directory, as somebody types them who has another one.
    let place = place_in(text);
    let made = placed(&made, place.as_deref());
    let tidy = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
    let (text, made) = (tidy(text), tidy(&made));
    if text == made {
        return Ok(Finding::Same);
    }
    let without = |text: &str| match bounds {
        Some((from, to)) => without(text, from, to),
        None => text.to_owned(),
    };
    let (rest, made) = (without(&text), without(&made));
    if rest == made {
        return Ok(Finding::FilledIn);
    }
    let changed = TextDiff::from_lines(made.as_str(), rest.as_str());
    let lines = changed.iter_all_changes().filter_map(|change| {
        let sign = match change.tag() {
            ChangeTag::Equal => return None,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        let line: String = change.value().trim_end().chars().take(200).collect();
        Some(format!("{sign} {line}"))
    });
    Ok(Finding::Changed(lines.collect()))
}

/// The state directory that the first command of a text names, as it stands there.
fn place_in(text: &str) -> Option<String> {
    let named = text.split_once("runplan --state ")?.1;
    let end = match named.strip_prefix('\'') {
        Some(quoted) => quoted.find("' ")? + 2,
        None => named.find(char::is_whitespace)?,
    };
    Some(named[..end].to_owned())
}

/// A text without the part that people fill in: from the last place where it begins to where it ends.
fn without(text: &str, from: &str, to: &str) -> String {
    let Some(start) = text.rfind(from) else { return text.to_owned() };
    match text[start..].rfind(to) {
        Some(end) => format!("{}{}", &text[..start], &text[start + end..]),
        None => text.to_owned(),
    }
}
