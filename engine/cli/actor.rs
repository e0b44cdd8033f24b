//! Who is at the keyboard, as the operating system says it. Never `$USER`: anybody can set that.

use crate::run::Actor;

/// The accounts of this machine; others are known by their number.
const PASSWD: &str = "/etc/passwd";

/// The person who runs this process.
pub fn whoami() -> Actor {
    let uid = rustix::process::getuid().as_raw();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Actor { name: name_of(uid).unwrap_or_else(|| format!("uid {uid}")), uid, host }
}

fn name_of(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string(PASSWD).ok()?;
    let mut accounts = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let account = accounts.find(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid))?;
    account.first().filter(|name| !name.is_empty()).map(|name| (*name).to_owned())
}
