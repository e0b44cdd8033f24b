//! The accounts of this machine, from `/etc/passwd`: who we are, and whom a server may run as. Read only.

use std::path::PathBuf;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
}

pub(super) fn by_name(name: &str) -> Option<Account> {
    all().into_iter().find(|account| account.name == name)
}

pub(super) fn own_name() -> Option<String> {
    own().map(|account| account.name)
}

pub(super) fn own_home() -> Option<PathBuf> {
    own().map(|account| account.home)
}

/// Whether this process is root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own() -> Option<Account> {
    let uid = rustix::process::geteuid().as_raw();
    all().into_iter().find(|account| account.uid == uid)
}

fn all() -> Vec<Account> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines().filter_map(account).collect()
}

fn account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: PathBuf::from(home),
    })
}
