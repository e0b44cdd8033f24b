//! What the engine and the supervisor say to each other: a length, then JSON. This is the only way in which secrets
//! reach the supervisor; buffers that held them are wiped.

use super::Error;
use super::record::ExitRecord;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::ffi::OsString;
use zeroize::Zeroizing;

/// Raised when the meaning of a message changes.
pub(super) const VERSION: u32 = 1;
/// The largest message, in bytes.
pub(super) const LIMIT: usize = 256 << 20;
const PREFIX: usize = 4;

#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    /// First of all: the environment that this engine's programs inherit.
    Hello {
        environment: Vec<(OsString, OsString)>,
    },
    Start(Box<Start>),
    Attach {
        key: String,
    },
    Cancel {
        key: String,
        grace_ms: u64,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct Start {
    pub key: String,
    pub program: OsString,
    pub argv: Vec<String>,
    pub directory: OsString,
    pub env: Vec<(String, String)>,
    pub inherit_env: bool,
    pub stdin: Input,
    pub redact: Vec<String>,
    pub timeout_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL when the time is up.
    pub grace_ms: u64,
    /// How much of each output goes into its file.
    pub output_limit: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Input {
    Null,
    Bytes(String),
    File(OsString),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Hello {
        version: u32,
    },
    /// It waits for others to end: too many are under way.
    Queued {
        key: String,
    },
    Started {
        key: String,
        pid: i32,
    },
    /// Certainly not started.
    Refused {
        key: String,
        why: Refusal,
    },
    /// Not under way here.
    Absent {
        key: String,
    },
    Exited {
        key: String,
        exit: Box<ExitRecord>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Refusal {
    StartedBefore,
    NotStarted(String),
}

pub(super) fn encode(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(vec![0; PREFIX]);
    let written = serde_json::to_writer(&mut *bytes, message);
    let length = bytes.len() - PREFIX;
    if written.is_err() || length > LIMIT {
        return Err(Error::TooLarge { limit: LIMIT });
    }
    bytes[..PREFIX].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Takes the messages that have wholly arrived off the front of the buffer.
pub(super) fn decode<T: DeserializeOwned>(buffer: &mut Zeroizing<Vec<u8>>) -> Result<Vec<T>, String> {
    let mut messages = Vec::new();
    let mut at = 0;
    while let Some(prefix) = buffer[at..].first_chunk::<PREFIX>() {
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > LIMIT {
            return Err(format!("a message of {length} bytes"));
        }
        let Some(body) = buffer.get(at + PREFIX..at + PREFIX + length) else { break };
        messages.push(serde_json::from_slice(body).map_err(|error| error.to_string())?);
        at += PREFIX + length;
    }
    buffer.drain(..at);
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_cut() {
        let mut stream = encode(&Request::Attach { key: "a".into() }).unwrap().to_vec();
        stream.extend_from_slice(&encode(&Request::Cancel { key: "b".into(), grace_ms: 1 }).unwrap());
        for size in 1..stream.len() {
            let mut buffer = Zeroizing::new(Vec::new());
            let mut messages: Vec<Request> = Vec::new();
            for chunk in stream.chunks(size) {
                buffer.extend_from_slice(chunk);
                messages.extend(decode(&mut buffer).unwrap());
            }
            assert!(matches!(&messages[..], [Request::Attach { .. }, Request::Cancel { grace_ms: 1, .. }]));
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused() {
        let mut buffer = Zeroizing::new(u32::MAX.to_le_bytes().to_vec());
        assert!(decode::<Request>(&mut buffer).is_err());
    }
}
