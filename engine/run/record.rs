//! An event in the journal: numbered, dated, signed with the hash of the one before it.

use super::event::Event;
use crate::plan::RunId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The format of journals written by this version.
pub const FORMAT: u64 = 1;

/// Who caused an event. Unsigned: the operating system's word for it, nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub name: String,
    pub uid: u32,
    pub host: String,
}

impl Actor {
    /// The program itself.
    pub fn engine() -> Self {
        Self { name: "runplan".to_owned(), uid: 0, host: String::new() }
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub run: RunId,
    /// From 1, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    pub actor: Actor,
    pub event: Event,
    /// Of this line and, through `previous`, of all before it.
    pub hash: String,
    /// The line as it stands in the journal.
    pub line: String,
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("line {seq} of the journal is damaged: {why}")]
    Damaged { seq: u64, why: String },
    #[error("line {seq} of the journal is of format {format}, which this version does not know")]
    Format { seq: u64, format: u64 },
    #[error("line {seq} of the journal is an event this version does not know: {kind}")]
    UnknownEvent { seq: u64, kind: String },
    #[error("the chain of the journal breaks at line {seq}: it was changed, or lines are missing before it")]
    Chain { seq: u64 },
}

impl Record {
    /// Writes the next line of a journal. `previous`: the hash of the line before, empty for the first.
    pub fn seal(run: &RunId, seq: u64, at: Timestamp, actor: &Actor, event: Event, previous: &str) -> Self {
        let mut line = Map::new();
        line.insert("format".to_owned(), FORMAT.into());
        line.insert("run".to_owned(), run.as_str().into());
        line.insert("seq".to_owned(), seq.into());
        line.insert("at".to_owned(), at.to_string().into());
        line.insert("actor".to_owned(), serde_json::to_value(actor).unwrap_or_default());
        if let Ok(Value::Object(fields)) = serde_json::to_value(&event) {
            line.extend(fields);
        }
        let body = Value::Object(line).to_string();
        let hash = chain(previous, &body, "");
        // The hash stands last, over everything before it.
        let line = format!("{},\"hash\":\"{hash}\"}}", &body[..body.len() - 1]);
        Self { run: run.clone(), seq, at, actor: actor.clone(), event, hash, line }
    }

    /// Reads a line and proves that it follows the one before.
    ///
    /// # Errors
    /// Damage, a broken chain, a newer format, an unknown event.
    pub fn read(line: &str, seq: u64, previous: &str) -> Result<Self, RecordError> {
        let damaged = |why: &str| RecordError::Damaged { seq, why: why.to_owned() };
        let (body, hash) = split_hash(line).ok_or_else(|| damaged("it has no hash"))?;
        if chain(previous, body, "}") != hash {
            return Err(RecordError::Chain { seq });
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(line) else {
            return Err(damaged("it is not JSON"));
        };
        fields.shift_remove("hash");
        let format = fields.shift_remove("format").and_then(|v| v.as_u64()).unwrap_or(0);
        if format != FORMAT {
            return Err(RecordError::Format { seq, format });
        }
        let mut take = |name: &str| fields.shift_remove(name).ok_or_else(|| damaged("a field is missing"));
        let run = take("run")?.as_str().and_then(RunId::parse).ok_or_else(|| damaged("no run id"))?;
        if take("seq")?.as_u64() != Some(seq) {
            return Err(damaged("its number is not the next"));
        }
        let at = take("at")?;
        let at = at.as_str().and_then(|at| at.parse().ok()).ok_or_else(|| damaged("no time"))?;
        let actor = serde_json::from_value(take("actor")?).map_err(|_| damaged("no actor"))?;
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let event = serde_json::from_value(Value::Object(fields))
            .map_err(|_| RecordError::UnknownEvent { seq, kind })?;
        Ok(Self { run, seq, at, actor, event, hash: hash.to_owned(), line: line.to_owned() })
    }

    /// The hash that a line bears, not proved.
    pub fn hash_of(line: &[u8]) -> Option<&str> {
        split_hash(std::str::from_utf8(line).ok()?).map(|(_, hash)| hash)
    }
}

/// What the hash is over, but for the brace that ends it, and the hash.
fn split_hash(line: &str) -> Option<(&str, &str)> {
    let (body, hash) = line.rsplit_once(",\"hash\":\"")?;
    let hash = hash.strip_suffix("\"}")?;
    (hash.len() == 64).then_some((body, hash))
}

fn chain(previous: &str, body: &str, end: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(previous.as_bytes());
    hash.update(b"\n");
    hash.update(body.as_bytes());
    hash.update(end.as_bytes());
    crate::plan::digest::hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Record, Record) {
        let run = RunId::parse("r-1").unwrap();
        let event = |message: &str| Event::Warned { step: None, message: message.to_owned() };
        let at = Timestamp::UNIX_EPOCH;
        let first = Record::seal(&run, 1, at, &Actor::engine(), event("a \"hash\":\"x\"}}"), "");
        let second = Record::seal(&run, 2, at, &Actor::engine(), event("b"), &first.hash);
        (first, second)
    }

    #[test]
    fn what_is_sealed_is_read() {
        let (first, second) = two();
        assert_eq!(Record::read(&first.line, 1, ""), Ok(first.clone()));
        assert_eq!(Record::read(&second.line, 2, &first.hash), Ok(second));
        assert!(serde_json::from_str::<Value>(&first.line).is_ok());
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let (first, _) = two();
        for at in 0..first.line.len() {
            let mut bytes = first.line.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(line) = String::from_utf8(bytes) {
                assert!(Record::read(&line, 1, "").is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_removed_line_is_found() {
        let (_, second) = two();
        assert_eq!(Record::read(&second.line, 2, ""), Err(RecordError::Chain { seq: 2 }));
    }
}
