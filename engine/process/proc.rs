//! What `/proc` tells about processes. Reads only.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// A line of `/proc/PID/stat`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub pid: i32,
    pub name: String,
    pub state: char,
    pub pgrp: i32,
    pub session: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// Clock ticks of processor time.
    pub used: u64,
}

impl Stat {
    /// Whether it is only waiting to be reaped; it holds no descriptor and does nothing any more.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may hold anything, parentheses too.
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            pgrp: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
            used: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
        })
    }
}

/// Nothing if there is no such process.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    // One read of more than a line can be: this happens at every start.
    let mut line = [0; 1024];
    let count = std::fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
    Stat::parse(&String::from_utf8_lossy(&line[..count]))
}

/// Processor time of a process, in clock ticks.
pub(super) fn used(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.used)
}

/// How many bytes a process has read and written, from wherever.
pub(super) fn moved(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(value("rchar:")? + value("wchar:")?)
}

/// Every process that can be seen.
pub(super) fn all() -> Vec<Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat).collect()
}

/// Whether the process holds that file open.
pub(super) fn holds(pid: i32, file: &Metadata) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| {
        std::fs::metadata(entry.path()).is_ok_and(|held| held.dev() == file.dev() && held.ino() == file.ino())
    })
}

/// Whether the process began with that text in that variable of its environment.
pub(super) fn carries(pid: i32, variable: &str, text: &str) -> bool {
    let Ok(bytes) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    bytes.split(|byte| *byte == 0).any(|entry| {
        std::ffi::OsStr::from_bytes(entry)
            .to_str()
            .and_then(|entry| entry.strip_prefix(variable)?.strip_prefix('='))
            .is_some_and(|value| value.contains(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let line = "42 (a) R (b) S 1 40 39 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (42, "a) R (b", 'S'));
        assert_eq!((stat.pgrp, stat.session, stat.start_time), (40, 39, 777));
    }

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id() as i32;
        assert_eq!(stat(own).unwrap().pid, own);
        assert!(all().iter().any(|stat| stat.pid == own));
    }
}
