//! What an `sql` step is about to send, as it may be shown: noted before it is sent where the plan's text does not tell it,
//! because values stand in it. No secret is in it, and nothing that a short one could be guessed from.

use super::super::attempt::{Attempt, Noted};
use crate::plan::Plan;
use crate::plan::digest::hex;
use crate::plan::template::{self, Piece, SqlText, pieces};
use crate::run::{SENT, SentSql};
use serde_json::json;
use sha2::{Digest, Sha256};

/// So much of it is kept.
const LONGEST: usize = 64 << 10;

/// Notes the text, where it is not the plan's own.
///
/// # Errors
/// The run is ending; nothing may be sent.
pub async fn note(attempt: &Attempt, raw: &str, rendered: &SqlText) -> Noted {
    if rendered.values.is_empty() {
        return Ok(());
    }
    let shown = shown(&attempt.world.shape.plan, raw, rendered);
    let shown = attempt.world.secrets.redactor().clean(&shown);
    let has_secret = shown != rendered.text;
    let end =
        (0..=LONGEST.min(shown.len())).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or_default();
    let sent = SentSql {
        sql: shown.get(..end).unwrap_or_default().to_owned(),
        // Of a text with a short secret the digest would be a way to try them all.
        sha256: (!has_secret).then(|| hex(&Sha256::digest(rendered.text.as_bytes()))),
        cut: end < shown.len(),
    };
    attempt.note(SENT, json!(sent)).await
}

/// The text with the name of each secret in its place.
fn shown(plan: &Plan, raw: &str, rendered: &SqlText) -> String {
    let expressions: Vec<&str> = pieces(raw)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Expression(expression, _) => Some(expression),
            Piece::Literal(..) => None,
        })
        .collect();
    let is_known = expressions.len() == rendered.values.len();
    let mut out = String::with_capacity(rendered.text.len());
    let mut from = 0;
    for (at, range) in rendered.values.iter().enumerate() {
        out.push_str(rendered.text.get(from..range.start).unwrap_or_default());
        let hidden = match expressions.get(at).filter(|_| is_known) {
            Some(expression) => secret(plan, expression),
            None => Some("‹value›".to_owned()),
        };
        match hidden {
            Some(name) => out.push_str(&name),
            None => out.push_str(rendered.text.get(range.clone()).unwrap_or_default()),
        }
        from = range.end;
    }
    out.push_str(rendered.text.get(from..).unwrap_or_default());
    out
}

/// How a value is called that must not be shown.
fn secret(plan: &Plan, expression: &str) -> Option<String> {
    let text = format!("{{{{{expression}}}}}");
    let Ok(names) = template::references(&text, false) else { return Some("‹value›".to_owned()) };
    names.iter().find_map(|name| {
        let (root, name) = (name.parts.first()?, name.parts.get(1));
        match (root.as_str(), name) {
            ("secrets", Some(name)) => Some(format!("‹secret {name}›")),
            ("params", Some(name)) if plan.params.get(name.as_str()).is_some_and(|param| param.secret) => {
                Some(format!("‹secret param {name}›"))
            }
            ("secrets" | "params", None) => Some("‹value›".to_owned()),
            _ => None,
        }
    })
}
