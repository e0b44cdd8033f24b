//! A fault of a step with `for_each` is every copy's: it is told once, with the keys. Must never join what differs in more
//! than the copies' names.

use crate::plan::{Finding, Loaded, Span};
use std::collections::HashMap;

/// So many keys are named; the rest is counted.
const MOST_KEYS: usize = 5;

/// What tells findings apart when their copies are the same.
type Kind = (Option<Span>, &'static str, String, Option<String>);

/// The copies that have a fault.
struct Keys {
    first: Vec<String>,
    count: usize,
}

/// Findings at one place that differ in the copy alone, as one.
pub fn joined(findings: Vec<Finding>, loaded: &Loaded) -> Vec<Finding> {
    if !loaded.has_lists() {
        return findings;
    }
    let mut known: HashMap<Kind, usize> = HashMap::new();
    let mut out: Vec<(Finding, Keys)> = Vec::with_capacity(findings.len());
    for finding in findings {
        let mut keys = Vec::new();
        let message = without_keys(&finding.message, loaded, &mut keys);
        let help = finding.help.as_ref().map(|help| without_keys(help, loaded, &mut Vec::new()));
        let kind = (finding.span, finding.code, message, help);
        match known.get(&kind) {
            Some(at) if !keys.is_empty() => {
                let told = &mut out[*at].1;
                told.count += 1;
                let room = MOST_KEYS.saturating_sub(told.first.len());
                told.first.extend(keys.into_iter().take(room));
            }
            _ => {
                known.insert(kind, out.len());
                let count = usize::from(!keys.is_empty());
                out.push((finding, Keys { first: keys, count }));
            }
        }
    }
    out.into_iter().map(|(finding, keys)| told(finding, &keys, loaded)).collect()
}

/// Of several copies the message speaks of all.
fn told(finding: Finding, keys: &Keys, loaded: &Loaded) -> Finding {
    if keys.count < 2 {
        return finding;
    }
    let more = keys.count.saturating_sub(keys.first.len());
    let mut named = keys.first.join(", ");
    if more > 0 {
        named.push_str(&format!(" and {more} more"));
    }
    let message = without_keys(&finding.message, loaded, &mut Vec::new());
    let help = finding.help.as_ref().map(|help| without_keys(help, loaded, &mut Vec::new()));
    Finding { message: format!("{message} (for each of {named})"), help, ..finding }
}

/// `dump[users]` between backticks becomes `dump`, its key is noted.
fn without_keys(text: &str, loaded: &Loaded, keys: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        if at > 0 {
            out.push('`');
        }
        let copy = part.split_once('[').and_then(|(id, rest)| Some((id, rest.strip_suffix(']')?)));
        match copy.filter(|_| at % 2 == 1 && loaded.flow.step(part).is_some()) {
            Some((id, key)) => {
                out.push_str(id);
                if !keys.iter().any(|known| known == key) {
                    keys.push(key.to_owned());
                }
            }
            None => out.push_str(part),
        }
    }
    out
}
