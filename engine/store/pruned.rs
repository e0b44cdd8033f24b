//! What was removed for good: a line before and a line after, appended and synced, never shortened.

use super::Error;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "pruned.jsonl";

pub(super) fn record(root: &Path, line: &Value) -> Result<(), Error> {
    let path = root.join(FILE);
    let append = || {
        let mut file = File::options().append(true).create(true).mode(0o600).open(&path)?;
        file.lock()?;
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()
    };
    append().map_err(|error| Error::io(&path, &error))
}
