//! How an attempt ended, and what it wrote. Reads the head and the tail of the output; must never hold the whole.

use super::Error;
use super::record::{ExitRecord, Paths};
use crate::clock::Timestamp;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of the beginning and of the end of an output the engine sees.
pub(super) const EXCERPT: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub struct Exit {
    /// Absent when a signal ended the program, or when it was cancelled before it began.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub cancelled: bool,
    pub stdout: Captured,
    pub stderr: Captured,
    pub elapsed: Duration,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// What an operator should know besides: processes left behind, output that could not be kept.
    pub evidence: Vec<String>,
}

impl Exit {
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.timed_out && !self.cancelled
    }

    pub(super) fn read(record: ExitRecord, paths: &Paths) -> Result<Self, Error> {
        Ok(Self {
            code: record.code,
            signal: record.signal,
            timed_out: record.timed_out,
            cancelled: record.cancelled,
            stdout: Captured::read(paths.stdout(), record.stdout_bytes)?,
            stderr: Captured::read(paths.stderr(), record.stderr_bytes)?,
            elapsed: Duration::from_micros(record.elapsed_us),
            started_at: record.started_at,
            finished_at: record.finished_at,
            evidence: record.evidence,
        })
    }
}

/// One output stream: its two ends here, the whole in a file (up to the limit for files).
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// The first 64 KiB; all of it if it was no more.
    pub head: String,
    /// The last 64 KiB of what came after the head.
    pub tail: String,
    /// How much was written, after redaction.
    pub bytes: u64,
    /// There is no file when nothing was written.
    pub path: PathBuf,
}

impl Captured {
    /// The whole if head and tail hold it, else both with a note between them.
    pub fn text(&self) -> String {
        let kept = (self.head.len() + self.tail.len()) as u64;
        if self.bytes <= 2 * EXCERPT {
            return format!("{}{}", self.head, self.tail);
        }
        let left_out = self.bytes.saturating_sub(kept);
        format!(
            "{}\n[{left_out} bytes left out; the output is in {}]\n{}",
            self.head,
            self.path.display(),
            self.tail
        )
    }

    fn read(path: PathBuf, bytes: u64) -> Result<Self, Error> {
        if bytes == 0 {
            return Ok(Self { path, ..Self::default() });
        }
        let (head, tail) = read_ends(&path).map_err(|source| Error::Output { path: path.clone(), source })?;
        Ok(Self { head, tail, bytes, path })
    }
}

/// Both ends, cut at whole characters.
fn read_ends(path: &Path) -> std::io::Result<(String, String)> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= 2 * EXCERPT {
        file.read_to_end(&mut bytes)?;
        let middle = floor(&bytes, EXCERPT as usize);
        return Ok((lossy(&bytes[..middle]), lossy(&bytes[middle..])));
    }
    (&mut file).take(EXCERPT).read_to_end(&mut bytes)?;
    let head = lossy(&bytes[..floor_end(&bytes)]);
    bytes.clear();
    file.seek(SeekFrom::Start(length - EXCERPT))?;
    file.take(EXCERPT).read_to_end(&mut bytes)?;
    let from = bytes.iter().take(3).position(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
    Ok((head, lossy(&bytes[from..])))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last boundary between characters at or before `at`.
fn floor(bytes: &[u8], at: usize) -> usize {
    if at >= bytes.len() {
        return bytes.len();
    }
    (at.saturating_sub(3)..=at).rev().find(|index| bytes[*index] & 0xC0 != 0x80).unwrap_or(at)
}

/// The end of the last whole character of bytes that were cut off anywhere.
fn floor_end(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[floor(bytes, bytes.len().saturating_sub(4))..]) {
        Err(error) if error.error_len().is_none() => {
            floor(bytes, bytes.len().saturating_sub(4)) + error.valid_up_to()
        }
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_cut_at_whole_characters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        for (prefix, count) in [("", 100_000), ("x", 100_000), ("", 30_000), ("x", 30_000), ("xx", 40)] {
            let whole = format!("{prefix}{}", "ü€".repeat(count / 5));
            std::fs::write(&path, &whole).unwrap();
            let captured = Captured::read(path.clone(), whole.len() as u64).unwrap();
            assert!(whole.starts_with(&captured.head) && whole.ends_with(&captured.tail));
            assert!(!captured.text().contains('\u{FFFD}'));
            if whole.len() as u64 <= 2 * EXCERPT {
                assert_eq!(captured.text(), whole);
            }
        }
        let whole = "€".repeat(100_000);
        std::fs::write(&path, &whole).unwrap();
        let captured = Captured::read(path, whole.len() as u64).unwrap();
        assert!(!captured.text().contains('\u{FFFD}') && captured.text().contains("bytes left out"));
        assert!(captured.head.len() > 65_000 && captured.tail.len() > 65_000);
    }
}
