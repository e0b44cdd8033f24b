//! What was reviewed is what runs: the digest of a plan, and of a plan with its values.

use super::node::{self, Kind, Node, Style};
use super::parse::Loaded;
use super::source::FileId;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// SHA-256 of the canonical plan, its site file, includes and SQL files; comments, order of keys and layout do not count.
pub fn of_plan(loaded: &Loaded) -> String {
    let mut hash = Sha256::new();
    for (index, source) in loaded.sources.iter().enumerate() {
        let is_included = source.name.ends_with(".yaml") || source.name.ends_with(".yml");
        let is_sql = index > usize::from(loaded.site.is_some()) && !is_included;
        let canonical = if is_sql {
            source.text.to_string()
        } else {
            let file = FileId(u16::try_from(index).unwrap_or(u16::MAX));
            node::read(&source.text, file).map(|node| canonical(&node).to_string()).unwrap_or_default()
        };
        // Lengths keep one file's end from being taken for the next one's beginning.
        hash.update((canonical.len() as u64).to_be_bytes());
        hash.update(canonical.as_bytes());
    }
    hex(&hash.finalize())
}

/// The parts of a plan's files by their names, each with its digest, so that two plans can be told apart part by part:
/// `handlers`, `site: roles`, the path of an SQL file.
pub fn of_parts(loaded: &Loaded) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    for (index, source) in loaded.sources.iter().enumerate() {
        let is_site = index == 1 && loaded.site.is_some();
        if index > usize::from(loaded.site.is_some()) {
            parts.push((source.name.clone(), sha256(source.text.as_bytes())));
            continue;
        }
        let file = FileId(u16::try_from(index).unwrap_or(u16::MAX));
        let Ok(Node { kind: Kind::Map(entries), .. }) = node::read(&source.text, file) else { continue };
        let prefix = if is_site { "site: " } else { "" };
        parts.extend(entries.iter().map(|(key, value)| {
            (format!("{prefix}{}", key.value), sha256(canonical(value).to_string().as_bytes()))
        }));
    }
    parts
}

/// The plan's digest with the values it is run with; secret ones count by their name alone.
pub fn with_params(plan_digest: &str, params: &Map<String, Value>) -> String {
    let mut sorted: Vec<(&String, &Value)> = params.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let mut hash = Sha256::new();
    hash.update(plan_digest.as_bytes());
    for (name, value) in sorted {
        let entry = Value::Array(vec![Value::String(name.clone()), value.clone()]).to_string();
        hash.update((entry.len() as u64).to_be_bytes());
        hash.update(entry.as_bytes());
    }
    hex(&hash.finalize())
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}

fn canonical(node: &Node) -> Value {
    match &node.kind {
        // `1` and `"1"` mean different things to some fields; both forms are kept apart.
        Kind::Scalar { text, style: Style::Plain } => Value::Array(vec![Value::String(text.clone())]),
        Kind::Scalar { text, .. } => Value::String(text.clone()),
        Kind::List(items) => {
            let mut list = vec![Value::Null];
            list.extend(items.iter().map(canonical));
            Value::Array(list)
        }
        Kind::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| key.value.as_str());
            Value::Object(
                sorted.into_iter().map(|(key, value)| (key.value.clone(), canonical(value))).collect(),
            )
        }
    }
}
