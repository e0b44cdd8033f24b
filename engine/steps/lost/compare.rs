//! Two streams of rows, each in the same order, walked side by side. Constant memory. Knows nothing of what the rows are.

use crate::postgres::{Connection, Error, Kind};
use futures_util::StreamExt;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::pin::Pin;

/// A row: what it is ordered by, and what it is compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub key: Key,
    /// The key's columns as they are, for finding the row again.
    pub shown: Vec<String>,
    pub hash: String,
    /// How many such rows there are.
    pub count: u64,
}

/// What rows are ordered by: as the server orders it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Numbers(Vec<i64>),
    /// Bytes of the UTF-8 text.
    Texts(Vec<Vec<u8>>),
}

/// Lines of `COPY (SELECT ...) TO STDOUT`, as they come.
pub struct Lines {
    stream: Pin<Box<tokio_postgres::CopyOutStream>>,
    /// How many columns are the key, and whether they are numbers.
    keys: usize,
    numbers: bool,
    pending: VecDeque<Vec<u8>>,
    rest: Vec<u8>,
    done: bool,
}

impl Lines {
    /// `query` gives the key's columns, then the hash, then the count.
    pub async fn open(
        connection: &Connection,
        query: &str,
        keys: usize,
        numbers: bool,
    ) -> Result<Self, Error> {
        let copy = format!("COPY ({query}) TO STDOUT");
        let stream = connection
            .client()
            .copy_out(&copy)
            .await
            .map_err(|error| Error::of_statement(&error, connection.endpoint(), None))?;
        Ok(Self {
            stream: Box::pin(stream),
            keys,
            numbers,
            pending: VecDeque::new(),
            rest: Vec::new(),
            done: false,
        })
    }

    pub async fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return self.parse(&line).map(Some);
            }
            if self.done {
                return Ok(None);
            }
            match self.stream.next().await {
                None => self.done = true,
                Some(Err(error)) => return Err(Error::of_statement(&error, "the server", None)),
                Some(Ok(bytes)) => {
                    self.rest.extend_from_slice(&bytes);
                    while let Some(end) = memchr::memchr(b'\n', &self.rest) {
                        let tail = self.rest.split_off(end + 1);
                        let mut line = std::mem::replace(&mut self.rest, tail);
                        line.pop();
                        self.pending.push_back(line);
                    }
                }
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<Line, Error> {
        let mut fields = line.split(|byte| *byte == b'\t').map(unescape);
        let raw: Vec<Vec<u8>> = fields.by_ref().take(self.keys).collect();
        let mut text = || fields.next().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (hash, count) = (text(), text());
        let shown: Vec<String> =
            raw.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        let number = |text: &String| text.parse::<i64>().ok();
        let key = match self.numbers {
            true => Key::Numbers(shown.iter().filter_map(number).collect()),
            false => Key::Texts(raw),
        };
        let whole = matches!(&key, Key::Numbers(numbers) if numbers.len() < self.keys);
        match (hash, count.and_then(|count| count.parse().ok())) {
            (Some(hash), Some(count)) if !whole => Ok(Line { key, shown, hash, count }),
            _ => Err(Error::new(Kind::Shape, "a row of the comparison has another shape", "report this")),
        }
    }
}

/// COPY's text format: a backslash before what would end a field or a line.
fn unescape(field: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'\\', field).is_none() {
        return field.to_vec();
    }
    let mut text = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    text
}

/// Where the two streams stand to each other.
#[derive(Debug)]
pub enum Pair {
    Live(Line),
    Side(Line),
    Both(Line, Line),
}

/// Walks both; each key once.
pub struct Merge {
    live: Lines,
    side: Lines,
    heads: (Option<Line>, Option<Line>),
    /// The keys last seen: a stream that goes back is in another order than ours.
    last: Option<Key>,
    begun: bool,
}

impl Merge {
    pub fn new(live: Lines, side: Lines) -> Self {
        Self { live, side, heads: (None, None), last: None, begun: false }
    }

    pub async fn next(&mut self) -> Result<Option<Pair>, Error> {
        if !self.begun {
            self.heads = (self.live.next().await?, self.side.next().await?);
            self.begun = true;
        }
        let order = match (&self.heads.0, &self.heads.1) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(live), Some(side)) => live.key.cmp(&side.key),
        };
        let (mut live, mut side) = (None, None);
        if order != Ordering::Greater {
            let next = self.live.next().await?;
            live = std::mem::replace(&mut self.heads.0, next);
        }
        if order != Ordering::Less {
            let next = self.side.next().await?;
            side = std::mem::replace(&mut self.heads.1, next);
        }
        let pair = match (live, side) {
            (Some(live), Some(side)) => Pair::Both(live, side),
            (Some(live), None) => Pair::Live(live),
            (None, Some(side)) => Pair::Side(side),
            (None, None) => return Ok(None),
        };
        self.check_order(&pair)?;
        Ok(Some(pair))
    }

    fn check_order(&mut self, pair: &Pair) -> Result<(), Error> {
        let (Pair::Live(line) | Pair::Side(line) | Pair::Both(line, _)) = pair;
        if self.last.as_ref().is_some_and(|last| *last >= line.key) {
            let message = "the rows do not come in the order of their keys";
            return Err(Error::new(Kind::Shape, message, "report this: the comparison cannot be trusted"));
        }
        self.last = Some(line.key.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(br"a\tb\\n\n"), b"a\tb\\n\n");
        assert_eq!(unescape(b"plain"), b"plain");
    }
}
