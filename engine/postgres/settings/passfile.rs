//! The password file of libpq (`~/.pgpass`): who may read it, and which line fits. Must never show a line.

use super::super::error::Error;
use crate::secret::Secret;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One line: what it is for, and the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    host: String,
    port: String,
    database: String,
    user: String,
    password: Secret,
}

/// Reads the file. A missing one is no entries; one that others can read is ignored, as libpq does, and `warning`
/// says so.
pub(super) fn read(path: &Path) -> Result<(Vec<Entry>, Option<String>), Error> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok((Vec::new(), None)) };
    if !meta.is_file() {
        return Ok((Vec::new(), None));
    }
    if meta.mode() & 0o077 != 0 {
        let warning =
            format!("the password file {} is ignored: others can read it (chmod 600 it)", path.display());
        return Ok((Vec::new(), Some(warning)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::settings(
            format!("the password file {} cannot be read: {error}", path.display()),
            "make it readable for this user, or point PGPASSFILE elsewhere",
        )
    })?;
    Ok((parse(&text), None))
}

pub(super) fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Entry> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let count = fields.len();
        let last = fields.last_mut()?;
        match c {
            '\\' => last.extend(chars.next()),
            ':' if count < 5 => fields.push(String::new()),
            // What follows the password's colon, if anything, is not part of it.
            ':' => break,
            c => last.push(c),
        }
    }
    let [host, port, database, user, password] = <[String; 5]>::try_from(fields).ok()?;
    Some(Entry { host, port, database, user, password: Secret::new(password) })
}

/// The first line that fits. A Unix socket's host is called `localhost` there.
pub(super) fn find<'a>(
    entries: &'a [Entry],
    host: &str,
    port: u16,
    database: &str,
    user: &str,
) -> Option<&'a Secret> {
    let fits = |field: &str, value: &str| field == "*" || field == value;
    let port = port.to_string();
    entries
        .iter()
        .find(|entry| {
            fits(&entry.host, host)
                && fits(&entry.port, &port)
                && fits(&entry.database, database)
                && fits(&entry.user, user)
        })
        .map(|entry| &entry.password)
        .filter(|password| !password.is_empty())
}
