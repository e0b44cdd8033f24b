//! What a finished step came to, in a few words, out of its outputs.

use super::amount::{bytes, count, span};
use crate::plan::Action;
use crate::run::Outputs;
use serde_json::Value;

/// `3 tables, 12.0 MB`; empty when there is nothing to say.
pub fn details(action: &Action, outputs: &Outputs) -> String {
    let parts: Vec<Option<String>> = match action {
        Action::Backup(_) => vec![tables(outputs), size(outputs), text(outputs, "path")],
        Action::Restore(_) => {
            vec![tables(outputs), size(outputs), text(outputs, "database").map(|name| format!("into {name}"))]
        }
        Action::Swap(_) => vec![
            number(outputs, "downtime_ms").map(|ms| format!("closed for {}", span(ms))),
            sessions(outputs),
            replicas(outputs),
            text(outputs, "old_database").map(|name| format!("old one kept as {name}")),
        ],
        Action::Copy(_) => vec![
            number(outputs, "inserted").map(|rows| format!("{} inserted", plural(rows, "row"))),
            number(outputs, "updated").map(|rows| format!("{rows} updated")),
            number(outputs, "skipped").filter(|rows| *rows > 0).map(|rows| format!("{rows} skipped")),
            number(outputs, "left")
                .filter(|rows| *rows > 0)
                .map(|rows| format!("{rows} of them written by others since")),
        ],
        Action::Freeze(_) => vec![sessions(outputs)],
        Action::Sql(_) => vec![number(outputs, "row_count").map(|rows| plural(rows, "row"))],
        Action::Verify(_) => vec![text(outputs, "summary").or_else(|| checks(outputs))],
        Action::Http(_) => vec![number(outputs, "status").map(|status| format!("status {status}"))],
        Action::Shell(_) => {
            vec![
                number(outputs, "exit_code")
                    .filter(|code| *code != 0)
                    .map(|code| format!("exit code {code}")),
            ]
        }
        Action::Approve(_) => vec![
            text(outputs, "approved_by").map(|by| format!("by {by}")),
            text(outputs, "comment").map(|comment| format!("\"{comment}\"")),
        ],
        Action::Notify(_) => Vec::new(),
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Until then the replicas' readers had the old database.
fn replicas(outputs: &Outputs) -> Option<String> {
    let all = outputs.get("replicas")?.as_array()?;
    let last = all.iter().filter_map(|replica| replica["replayed_ms"].as_u64()).max()?;
    let missing = all.iter().filter(|replica| !replica["problem"].is_null()).count();
    let missing = if missing == 0 { String::new() } else { format!(", {missing} not yet") };
    Some(format!("replicas followed within {}{missing}", span(last)))
}

/// A text among the outputs, when it says something.
pub fn text(outputs: &Outputs, name: &str) -> Option<String> {
    outputs.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A number among the outputs; of a list or a map, how many it has.
pub fn number(outputs: &Outputs, name: &str) -> Option<u64> {
    match outputs.get(name)? {
        Value::Array(items) => u64::try_from(items.len()).ok(),
        Value::Object(entries) => u64::try_from(entries.len()).ok(),
        value => value.as_u64(),
    }
}

fn plural(number: u64, word: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), word)
}

fn tables(outputs: &Outputs) -> Option<String> {
    number(outputs, "tables").map(|tables| plural(tables, "table"))
}

fn size(outputs: &Outputs) -> Option<String> {
    number(outputs, "bytes").map(bytes)
}

fn sessions(outputs: &Outputs) -> Option<String> {
    number(outputs, "sessions_ended")
        .filter(|ended| *ended > 0)
        .map(|ended| format!("{} ended", plural(ended, "session")))
}

fn checks(outputs: &Outputs) -> Option<String> {
    let (passed, failed) = (number(outputs, "passed")?, number(outputs, "failed")?);
    Some(match failed {
        0 => format!("{} passed", plural(passed, "check")),
        _ => format!("{failed} of {} failed", plural(passed + failed, "check")),
    })
}
