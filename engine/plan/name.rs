//! Names: what may be called what. Newtypes, so that a step's id is never taken for a run's.

use super::decode::{Decode, Reader, Schemas};
use super::finding::Finding;
use super::node::Node;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

pub const NAME_HELP: &str = "use lower-case letters, digits and `_`, beginning with a letter, at most 63";

/// `[a-z][a-z0-9_]*`, at most 63 characters. Upper case is for secrets, which are named as in the environment.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.len() <= 63
}

fn is_lower_name(text: &str) -> bool {
    is_name(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The id of a step: a name as written; `window.open`, `include.inner` or `step[key]` for those that are made.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId(Arc<str>);

impl StepId {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for StepId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StepId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Where a step may be referred to, ids of made steps count too (`needs: [maintenance.open]`).
fn is_step_reference(text: &str) -> bool {
    let base = text.split_once('[').map_or(text, |(base, _)| base);
    base.split('.').all(is_lower_name) && base.split('.').count() <= 3
}

impl Decode for StepId {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        if !is_step_reference(&text) {
            let message = format!("`{text}` is not a step id");
            reader.push(Finding::error("runplan::plan::bad_name", node.span, message).help(NAME_HELP));
        }
        Some(Self::new(text))
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "pattern": r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,2}(\[[^\]]*\])?$" })
    }
}

/// A lower-case name: of a plan, a window, a set of checks, a database.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name(Arc<str>);

impl Name {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// None: the text cannot be a name.
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_name(text).then(|| Self::new(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Decode for Name {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        if !is_lower_name(&text) {
            let message = format!("`{text}` is not a name");
            reader.push(Finding::error("runplan::plan::bad_name", node.span, message).help(NAME_HELP));
        }
        Some(Self::new(text))
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$" })
    }
}

/// `scenario-2-20261122-0311-k7f3`: sortable and typable.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(Arc<str>);

impl RunId {
    /// A new id out of the plan's name, the time (UTC, to the minute) and four characters of chance.
    pub fn new(plan: &str, at: jiff::Timestamp, chance: u32) -> Self {
        const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
        let base = LETTERS.len() as u32;
        let tail: String =
            (0..4).map(|i| char::from(LETTERS[(chance / base.pow(i) % base) as usize])).collect();
        let time = at.strftime("%Y%m%d-%H%M");
        Self(format!("{}-{time}-{tail}", plan.replace('_', "-")).into())
    }

    /// A run id that was typed: no path, nothing hidden.
    pub fn parse(text: &str) -> Option<Self> {
        let fine = !text.is_empty()
            && text.len() <= 128
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !text.starts_with('-');
        fine.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
