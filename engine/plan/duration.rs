//! Durations as people write them: `500ms`, `3s`, `1h30m`, `7d`.

use super::decode::{Decode, Reader, Schemas};
use super::finding::Finding;
use super::node::{Kind, Node};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// A span of time, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Duration {
    pub ms: u64,
}

impl Duration {
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self { ms: secs * 1000 }
    }

    pub fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }

    /// `1h30m`; None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut total: u64 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest.get(..digits)?.parse().ok()?;
            rest = &rest[digits..];
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let unit = match rest.get(..letters)? {
                "ms" => 1,
                "s" => 1000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return None,
            };
            rest = &rest[letters..];
            total = total.checked_add(number.checked_mul(unit)?)?;
        }
        // Ten years: beyond that it is a slip, and arithmetic with timestamps stays safe.
        (total <= 315_360_000_000).then_some(Self { ms: total })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.ms;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Decode for Duration {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Kind::Scalar { text, .. } = &node.kind else {
            reader.wrong(node, "a duration such as `30s`, `5m`, `1h` or `7d`");
            return None;
        };
        let parsed = Self::parse(text);
        if parsed.is_none() {
            let message = format!("`{text}` is not a duration");
            reader.push(
                Finding::error("runplan::plan::bad_duration", node.span, message)
                    .help("write a number and a unit: `500ms`, `30s`, `5m`, `1h30m`, `7d`"),
            );
        }
        parsed
    }
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("Duration", |_| {
            json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|min|h|d|w))+$",
                    "description": "A number and a unit: 500ms, 30s, 5m, 1h30m, 7d.", "examples": ["30s", "1h30m"] })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, ms) in [("500ms", 500), ("3s", 3000), ("1h30m", 5_400_000), ("7d", 604_800_000)] {
            let read = Duration::parse(text).unwrap();
            assert_eq!((read.ms, read.to_string()), (ms, text.to_owned()));
        }
        for bad in ["", "3", "s", "3 s", "-3s", "3x", "99999999999999999999s", "9999999d"] {
            assert_eq!(Duration::parse(bad), None, "{bad}");
        }
    }
}
