//! Which boot of the machine this is, and which boots a run has seen. The list of boots is
//! synced, so that after a reboot a missing record is never taken for a program that was not started.

use super::Error;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

/// The kernel's random id of this boot; empty where it cannot be read, and then it equals nothing.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

/// What this machine calls itself.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a record of that boot id may be trusted now.
pub(super) fn is_current(recorded: &str) -> bool {
    !recorded.is_empty() && recorded == boot_id()
}

/// Adds this boot to the directory's list, durably, before anything is started from it.
pub(super) fn note(directory: &Path) -> Result<(), Error> {
    if seen(directory).iter().any(|(id, _)| is_current(id)) {
        return Ok(());
    }
    let path = directory.join("boots");
    let write = || {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        writeln!(file, "{} {}", boot_id(), host())?;
        file.sync_all()?;
        // The run's own entries in the directories above it, too: what hangs in the air would vanish as a whole.
        for directory in directory.ancestors().take(2) {
            std::fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|source| Error::Directory { path: path.clone(), source })
}

/// The boots in which the run has started programs, oldest first, and of which machine: empty where it is not told.
pub(super) fn seen(directory: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(directory.join("boots")).unwrap_or_default();
    let parts = |line: &str| {
        let (boot, host) = line.split_once(' ').unwrap_or((line, ""));
        (boot.to_owned(), host.to_owned())
    };
    text.lines().map(parts).collect()
}
