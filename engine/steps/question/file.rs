//! `file`: whether a file is there, what it holds, its SHA-256. Must never hold the whole of it in memory.

use super::super::attempt::Attempt;
use super::super::expectation::Answer;
use super::Unanswered;
use crate::plan::check::FileCheck;
use crate::run::Failure;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// How much is read at once.
const CHUNK: usize = 1 << 20;

pub async fn ask(attempt: &Attempt, check: &FileCheck) -> Result<Answer, Unanswered> {
    let path = attempt.path(&check.path).await?;
    let contains = match &check.contains {
        Some(text) => Some(attempt.plain(text).await?),
        None => None,
    };
    let sha256 = match &check.sha256 {
        Some(text) => Some(attempt.plain(text).await?.trim().to_lowercase()),
        None => None,
    };
    let exists = check.exists;
    let shown = path.display().to_string();
    let looked =
        tokio::task::spawn_blocking(move || look(&path, exists, contains.as_deref(), sha256.as_deref()));
    let failed = |why: String| Failure::new("runplan::verify::file", format!("{shown}: {why}"));
    match looked.await {
        Ok(Ok((value, wrong))) => {
            let wrong = wrong.map(|why| format!("{shown} {why}"));
            Ok(Answer { value, wrong, ..Answer::default() })
        }
        Ok(Err(error)) => Err(failed(error.to_string()).into()),
        Err(error) => Err(failed(error.to_string()).into()),
    }
}

/// Its size, or null; and what is wrong with it.
fn look(
    path: &Path,
    exists: bool,
    contains: Option<&str>,
    sha256: Option<&str>,
) -> std::io::Result<(Value, Option<String>)> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Value::Null, exists.then(|| "is not there".to_owned())));
        }
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    let size = Value::from(found.len());
    if !exists {
        return Ok((size, Some("is there, and must not be".to_owned())));
    }
    if found.is_dir() {
        let reads = contains.is_some() || sha256.is_some();
        return Ok((size, reads.then(|| "is a directory".to_owned())));
    }
    if contains.is_none() && sha256.is_none() {
        return Ok((size, None));
    }
    let (digest, holds) = read(&mut file, contains.unwrap_or_default().as_bytes())?;
    let wrong = if !holds {
        Some("does not hold the text".to_owned())
    } else if sha256.is_some_and(|wanted| wanted != digest) {
        Some(format!("has another SHA-256: {digest}"))
    } else {
        None
    };
    Ok((size, wrong))
}

/// The digest, and whether the needle is in it.
fn read(file: &mut std::fs::File, needle: &[u8]) -> std::io::Result<(String, bool)> {
    let mut hash = Sha256::new();
    let mut held: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut holds = needle.is_empty();
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = chunk.get(..count).unwrap_or_default();
        hash.update(read);
        if !holds {
            // The needle may begin in one read and end in the next.
            held.extend_from_slice(read);
            holds = memchr::memmem::find(&held, needle).is_some();
            let keep = needle.len().saturating_sub(1).min(held.len());
            held.drain(..held.len() - keep);
        }
    }
    Ok((crate::plan::digest::hex(&hash.finalize()), holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_the_reads_fall() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        for at in [0, CHUNK - 3, CHUNK, 2 * CHUNK - 1] {
            let mut bytes = vec![b'.'; 2 * CHUNK + 100];
            bytes[at..at + 6].copy_from_slice(b"needle");
            std::fs::write(&path, &bytes).unwrap();
            let digest = crate::plan::digest::sha256(&bytes);
            assert_eq!(look(&path, true, Some("needle"), Some(&digest)).unwrap().1, None, "{at}");
            assert!(look(&path, true, Some("nettle"), None).unwrap().1.is_some());
            assert!(look(&path, true, None, Some("00")).unwrap().1.is_some());
            assert!(look(&path, false, None, None).unwrap().1.is_some());
        }
        assert!(look(&directory.path().join("none"), true, None, None).unwrap().1.is_some());
        assert_eq!(look(&directory.path().join("none"), false, None, None).unwrap().1, None);
    }
}
