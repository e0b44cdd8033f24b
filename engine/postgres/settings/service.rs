//! The connection service file of libpq (`~/.pg_service.conf`): a section of `key=value` lines for each service.
//! Must never judge a value.

use super::super::error::Error;
use super::conninfo::Pairs;
use crate::secret::Secret;
use std::path::PathBuf;

/// Where to look, in libpq's order: PGSERVICEFILE or the user's file, then the system's.
pub(super) fn files(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let own = match env("PGSERVICEFILE") {
        Some(file) => Some(PathBuf::from(file)),
        None => env("HOME").map(|home| PathBuf::from(home).join(".pg_service.conf")),
    };
    let system = env("PGSYSCONFDIR").map_or_else(|| PathBuf::from("/etc/postgresql-common"), PathBuf::from);
    own.into_iter().chain([system.join("pg_service.conf")]).collect()
}

pub(super) fn read(name: &str, files: &[PathBuf]) -> Result<Pairs, Error> {
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        if let Some(pairs) = section(&text, name) {
            return Ok(pairs);
        }
    }
    let looked: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Error::settings(
        format!("service {name} is not defined"),
        format!("write a section [{name}] into one of: {}", looked.join(", ")),
    ))
}

fn section(text: &str, name: &str) -> Option<Pairs> {
    let mut found: Option<Pairs> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            if title == name {
                found = Some(Pairs::new());
            }
        } else if let (Some(pairs), Some((key, value))) = (&mut found, line.split_once('=')) {
            pairs.push((key.trim().to_owned(), Secret::new(value.trim())));
        }
    }
    found
}
