//! One output stream of a program on its way into its file: redacted, limited. Never keeps what it could not write,
//! and never holds the program up.

use super::exit::EXCERPT;
use crate::secret::{Redactor, Secret};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt};

const READ: usize = 64 * 1024;

/// A stream and where it goes. It is done at the end of the stream.
pub(super) struct Stream {
    pipe: Option<Box<dyn AsyncRead + Unpin>>,
    chunk: Vec<u8>,
    sink: Sink,
}

impl Stream {
    pub fn new(pipe: Option<impl AsyncRead + Unpin + 'static>, sink: Sink) -> Self {
        let pipe = pipe.map(|pipe| Box::new(pipe) as Box<dyn AsyncRead + Unpin>);
        Self { pipe, chunk: Vec::new(), sink }
    }

    /// Copies until the end of the stream. May be dropped and called again without a loss.
    pub async fn drain(&mut self) {
        while let Some(pipe) = &mut self.pipe {
            self.chunk.clear();
            self.chunk.reserve(READ);
            match pipe.read_buf(&mut self.chunk).await {
                Ok(0) | Err(_) => self.pipe = None,
                Ok(_) => self.sink.take(&self.chunk),
            }
        }
    }

    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Lets go of the stream; gives the bytes that were written, and what went wrong.
    pub fn close(&mut self) -> (u64, Option<String>) {
        self.pipe = None;
        self.sink.finish();
        (self.sink.total, self.sink.trouble.take())
    }
}

pub(super) struct Sink {
    path: PathBuf,
    file: Option<File>,
    redactor: Option<Redactor>,
    limit: u64,
    /// In the file.
    written: u64,
    /// In all, after redaction.
    total: u64,
    /// The end of what did not go into the file.
    tail: Vec<u8>,
    trouble: Option<String>,
}

impl Sink {
    pub fn new(path: PathBuf, secrets: &[Secret], limit: u64) -> Self {
        let redactor = Some(Redactor::new(secrets)).filter(|_| !secrets.is_empty());
        Self { path, file: None, redactor, limit, written: 0, total: 0, tail: Vec::new(), trouble: None }
    }

    fn take(&mut self, bytes: &[u8]) {
        match self.redactor.as_mut().map(|redactor| redactor.feed(bytes)) {
            Some(clean) => self.keep(&clean),
            None => self.keep(bytes),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.limit - self.written).unwrap_or(usize::MAX).min(bytes.len());
        self.total += bytes.len() as u64;
        self.write(&bytes[..room]);
        self.written += room as u64;
        self.tail.extend_from_slice(&bytes[room..]);
        if self.tail.len() > 4 * EXCERPT as usize {
            self.tail.drain(..self.tail.len() - EXCERPT as usize);
        }
    }

    fn finish(&mut self) {
        if let Some(rest) = self.redactor.take().map(|mut redactor| redactor.finish()) {
            self.keep(&rest);
        }
        let mut tail = std::mem::take(&mut self.tail);
        if tail.is_empty() {
            return;
        }
        tail.drain(..tail.len().saturating_sub(EXCERPT as usize));
        let left_out = self.total - self.written - tail.len() as u64;
        if left_out > 0 {
            self.write(format!("\n[{left_out} bytes left out here: more than is kept]\n").as_bytes());
        }
        self.write(&tail);
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.trouble.is_some() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => {
                super::record::create(&self.path).and_then(|file| self.file.insert(file).write_all(bytes))
            }
        };
        self.trouble =
            written.err().map(|error| format!("{} could not be written: {error}", self.path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(limit: u64, secrets: &[Secret], chunks: &[&[u8]]) -> (String, u64) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut sink = Sink::new(path.clone(), secrets, limit);
        chunks.iter().for_each(|chunk| sink.take(chunk));
        sink.finish();
        assert_eq!(sink.trouble, None);
        (std::fs::read_to_string(path).unwrap_or_default(), sink.total)
    }

    #[test]
    fn what_exceeds_the_limit_leaves_a_note_and_its_end() {
        let (text, total) = through(10, &[], &[&[b'a'; 8], &[b'b'; 100_000], &[b'c'; 200_000], b"end"]);
        assert_eq!(total, 300_011);
        let note = format!("\n[{} bytes left out here: more than is kept]\n", 300_011 - 10 - EXCERPT);
        assert!(text.starts_with(&format!("aaaaaaaabb{note}cc")) && text.ends_with("ccend"));
        assert_eq!(text.len(), 10 + note.len() + EXCERPT as usize);
        assert_eq!(through(4, &[], &[b"0123", b"456"]).0, "0123456");
    }

    #[test]
    fn a_secret_is_redacted_across_reads_and_at_the_end() {
        let secret = [Secret::new("hunter2-long")];
        assert_eq!(through(100, &secret, &[b"a hun", b"ter2-lo", b"ng b"]).0, "a [redacted] b");
        assert_eq!(through(100, &secret, &[b"a hun", b"ter2-long"]).0, "a [redacted]");
    }

    #[test]
    fn without_output_there_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        Sink::new(path.clone(), &[], 10).finish();
        assert!(!path.exists());
    }
}
