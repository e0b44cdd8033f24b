//! Where a program is. Must never run anything.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The first executable file of that name in the directories of `path` (in the form of the `PATH` variable).
pub fn which(name: &str, path: impl AsRef<OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path.as_ref()).map(|directory| directory.join(name)).find(|candidate| {
        std::fs::metadata(candidate)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_and_a_plain_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("sh"), "not a program").unwrap();
        let path = std::env::join_paths([directory.path(), "/bin".as_ref()]).unwrap();
        assert_eq!(which("sh", &path), Some(PathBuf::from("/bin/sh")));
        assert_eq!(which("railway", &path), None);
    }
}
