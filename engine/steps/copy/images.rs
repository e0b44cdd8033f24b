//! The before-images of a copy: a file of the run, whole and on disk before the COMMIT, and known to the journal by its hash.
//! For each row that is written: how it was (nothing, where it is new) and what it became. Must never be used when it is not
//! byte for byte what was written.

use crate::run::Failure;
use crate::steps::attempt::Attempt;
use crate::steps::failures::file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// What the rows in it mean; its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub format: u32,
    /// Quoted, as SQL reads it.
    pub table: String,
    pub key: Vec<String>,
    /// The columns of an image, in order, with their types.
    pub columns: Vec<(String, String)>,
}

/// Where it is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub path: PathBuf,
    pub sha256: String,
    pub bytes: u64,
}

/// A file that is being written.
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Writer {
    pub fn new(attempt: &Attempt, head: &Head) -> Result<Self, Failure> {
        let path = attempt.world.files()?.join(format!("{}.before.copy", attempt.key));
        let opened = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let out = BufWriter::new(opened.map_err(|error| file(&path, &error))?);
        let mut writer = Self { path, out, hash: Sha256::new(), bytes: 0 };
        let mut line = serde_json::to_vec(head).unwrap_or_default();
        line.push(b'\n');
        writer.add(&line)?;
        Ok(writer)
    }

    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| file(&self.path, &error))
    }

    /// On disk, with its name.
    pub fn finish(mut self) -> Result<Kept, Failure> {
        let mut finish = || {
            self.out.flush()?;
            self.out.get_ref().sync_all()?;
            match self.path.parent() {
                Some(directory) => File::open(directory)?.sync_all(),
                None => Ok(()),
            }
        };
        finish().map_err(|error| file(&self.path, &error))?;
        Ok(Kept { path: self.path, sha256: hex(self.hash), bytes: self.bytes })
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file, once it is proved to be what was written: its head, and the rest to be read.
pub fn open(attempt: &Attempt, kept: &Kept) -> Result<(Head, BufReader<File>), Failure> {
    // A run that was moved to another machine has its files elsewhere.
    let moved = kept.path.file_name().map(|name| attempt.world.state.join("files").join(name));
    let path = moved.filter(|moved| moved.exists()).unwrap_or_else(|| kept.path.clone());
    let broken = |why: String| {
        Failure::new("runplan::copy::images", format!("the before-images cannot be used: {why}"))
            .help("without them the rows cannot be put back; copy them from a backup instead")
            .permanent()
    };
    let opened = || File::open(&path).map_err(|error| broken(format!("{}: {error}", path.display())));
    let mut whole = opened()?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let count = whole.read(&mut chunk).map_err(|error| broken(error.to_string()))?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
    }
    if hex(hash) != kept.sha256 {
        return Err(broken(format!("{} is not what was written", path.display())));
    }
    let mut rest = BufReader::new(opened()?);
    let head = first_line(&mut rest).map_err(|error| file(&path, &error))?;
    let head: Head = serde_json::from_slice(&head).map_err(|error| broken(error.to_string()))?;
    match head.format {
        1 => Ok((head, rest)),
        other => Err(broken(format!("their format is {other}, which this version does not know"))),
    }
}

fn first_line(from: &mut BufReader<File>) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    std::io::BufRead::read_until(from, b'\n', &mut line)?;
    Ok(line)
}
