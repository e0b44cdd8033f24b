//! The PostgreSQL versions that the tests use beside the installed one; `.ci/postgresql-versions` gets them. One that is
//! missing fails the tests that need it. Must never leave a version out in silence.

use runplan::postgres::Programs;
use std::path::PathBuf;

/// A version of which the whole install is on this machine.
#[derive(Debug, Clone)]
pub struct Version {
    pub bin: PathBuf,
}

impl Version {
    /// Only its own programs.
    pub fn programs(&self) -> Programs {
        Programs::new(Some(self.bin.clone()), None)
    }
}

/// A version that a test needs; None where its absence was accepted.
#[track_caller]
#[allow(clippy::print_stderr, reason = "what was not tested is said")]
pub fn version(major: u32) -> Option<Version> {
    let bin = cache().join(format!("postgresql/{major}/bin"));
    let version = Version { bin };
    if version.programs().server_programs(Some(major)).is_ok() {
        return Some(version);
    }
    let without = std::env::var("RUNPLAN_TEST_WITHOUT").unwrap_or_default();
    let accepted = without.split(',').any(|word| word.trim() == major.to_string());
    assert!(
        accepted && std::env::var_os("CI").is_none(),
        "PostgreSQL {major} is not in {}, so this was NOT tested: run .ci/postgresql-versions to get it, or set \
         RUNPLAN_TEST_WITHOUT={major} to leave it out (not where CI is set)",
        version.bin.display()
    );
    eprintln!("PostgreSQL {major} is left out, as RUNPLAN_TEST_WITHOUT says: this was NOT tested");
    None
}

/// Where `.ci/postgresql-versions` puts them.
fn cache() -> PathBuf {
    let home = || {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from).join("runplan-tests")
    };
    match std::env::var_os("RUNPLAN_TEST_VERSIONS") {
        Some(given) => given.into(),
        None if rustix::process::geteuid().is_root() => "/var/cache/runplan-tests".into(),
        None => home(),
    }
}
