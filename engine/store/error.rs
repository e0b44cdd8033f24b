//! What can go wrong about keeping a run, in words an operator can act on. Never shows a journal's content.

use super::head::Headless;
use super::load::Damage;
use super::lock::Holder;
use crate::plan::RunId;
use rusqlite::ErrorCode;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(
        "there is no place for the state directory: neither RUNPLAN_STATE, XDG_STATE_HOME nor HOME is set"
    )]
    #[diagnostic(code(runplan::store::no_home), help("give a directory with --state or RUNPLAN_STATE"))]
    NoHome,

    #[error("{} is in the way: the state directory cannot be there", path.display())]
    #[diagnostic(
        code(runplan::store::in_the_way),
        help("move the file away, or give another directory with --state or RUNPLAN_STATE")
    )]
    InTheWay { path: PathBuf },

    #[error("{} cannot be written: {reason}", path.display())]
    #[diagnostic(
        code(runplan::store::not_writable),
        help(
            "run as the user the directory belongs to, or give another one with --state or RUNPLAN_STATE; nothing was done"
        )
    )]
    NotWritable { path: PathBuf, reason: String },

    #[error("{} is on a read-only file system", path.display())]
    #[diagnostic(
        code(runplan::store::read_only),
        help(
            "remount it for writing (the kernel may have turned it read-only after a disk error: see dmesg), or give another directory with --state; nothing was done"
        )
    )]
    ReadOnly { path: PathBuf },

    #[error("the state directory {} belongs to uid {owner}, and this is uid {me}", path.display())]
    #[diagnostic(
        code(runplan::store::foreign),
        help("run as that user, or give a directory of your own with --state or RUNPLAN_STATE")
    )]
    Foreign { path: PathBuf, owner: u32, me: u32 },

    #[error("others may write to the state directory {} (mode {mode:o})", path.display())]
    #[diagnostic(
        code(runplan::store::permissive),
        help(
            "chmod 700 it if it is yours alone, or give a directory of your own with --state or RUNPLAN_STATE"
        )
    )]
    Permissive { path: PathBuf, mode: u32 },

    #[error("there is no room left for the journal in {}", path.display())]
    #[diagnostic(
        code(runplan::store::full),
        help(
            "make room on that file system, then `runplan resume`, or start the run again if `runplan runs` does not know it: what was to be recorded next was not begun"
        )
    )]
    Full { path: PathBuf },

    #[error("{} failed: {reason}", path.display())]
    #[diagnostic(
        code(runplan::store::io),
        help("look at the disk (dmesg), then `runplan resume`: what was to be recorded next was not begun")
    )]
    Io { path: PathBuf, reason: String },

    #[error("there is no file {}", path.display())]
    #[diagnostic(
        code(runplan::store::no_file),
        help("give the path of a file that `runplan export` wrote; nothing was taken over")
    )]
    NoFile { path: PathBuf },

    #[error(
        "the head of {run} is {fault}: {} {}, so nobody could notice that the journal's end was cut off, \
         and a step that was done would be done again",
        path.display(),
        fault.words()
    )]
    #[diagnostic(
        code(runplan::store::no_head),
        help(
            "bring the file back; else compare the last line that `runplan status {run}` shows with what the steps did, and \
             only if nothing is missing: runplan resume {run} --without-head \"how you know\""
        )
    )]
    NoHead { run: RunId, path: PathBuf, fault: Headless },

    #[error("{} has vanished", path.display())]
    #[diagnostic(
        code(runplan::store::vanished),
        help(
            "it was moved, removed or unmounted under the run; bring it back, then `runplan resume`, or find by hand what the last step did"
        )
    )]
    Vanished { path: PathBuf },

    #[error("the database {} is corrupt: {reason}", path.display())]
    #[diagnostic(
        code(runplan::store::corrupt),
        help("`runplan status RUN --verify` names the first damaged line; restore the file from a copy")
    )]
    Corrupt { path: PathBuf, reason: String },

    #[error("the journal of {run} is damaged: {damage}")]
    #[diagnostic(
        code(runplan::store::damaged),
        help(
            "`runplan status {run} --verify` shows what is still good; the run cannot go on from a damaged journal"
        )
    )]
    Damaged { run: RunId, damage: Damage },

    #[error("the journal of {run} was written by a newer runplan: {damage}")]
    #[diagnostic(code(runplan::store::newer), help("use the version that started the run, or a newer one"))]
    Newer { run: RunId, damage: Damage },

    #[error("the database {} is of format {format}, which this version does not know", path.display())]
    #[diagnostic(code(runplan::store::format), help("use the version that started the run, or a newer one"))]
    Format { path: PathBuf, format: i64 },

    #[error("the database {} is locked by another process", path.display())]
    #[diagnostic(
        code(runplan::store::busy),
        help(
            "find the process that keeps it (fuser, lsof); it may be stopped (SIGSTOP), or a backup program"
        )
    )]
    Busy { path: PathBuf },

    #[error("{} cannot be locked: {reason}", path.display())]
    #[diagnostic(
        code(runplan::store::no_locks),
        help("give a directory on a local file system with --state or RUNPLAN_STATE")
    )]
    NoLocks { path: PathBuf, reason: String },

    #[error("run {run} is held by {}", Holder::words(by.as_ref()))]
    #[diagnostic(
        code(runplan::store::held),
        help(
            "`runplan logs {run} --follow` shows it, `runplan stop {run}` stops it; the lock ends with its process"
        )
    )]
    Held { run: RunId, by: Option<Holder> },

    #[error("{} is not a run that was exported whole: {reason}", path.display())]
    #[diagnostic(
        code(runplan::store::bundle),
        help("copy it once more from where it was written, or export it again")
    )]
    Bundle { path: PathBuf, reason: String },

    #[error("run {run} exists already")]
    #[diagnostic(code(runplan::store::exists), help("`runplan status {run}` shows it"))]
    Exists { run: RunId },

    #[error("there is no run {wanted}")]
    #[diagnostic(code(runplan::store::no_run), help("`runplan runs` lists the runs in {}", directory.display()))]
    NoRun { wanted: String, directory: PathBuf },

    #[error("{wanted} may be any of {}", among.iter().map(RunId::as_str).collect::<Vec<_>>().join(", "))]
    #[diagnostic(code(runplan::store::ambiguous), help("give more of the run's id"))]
    Ambiguous { wanted: String, among: Vec<RunId> },

    #[error("another process has written to the journal: it ends at line {found}, not {expected}")]
    #[diagnostic(
        code(runplan::store::conflict),
        help("nothing was recorded and nothing begun; `runplan status` shows where the run stands")
    )]
    Conflict { expected: u64, found: u64 },

    #[error("message {id} to the run was taken before, or was never posted")]
    #[diagnostic(
        code(runplan::store::no_post),
        help("`runplan status` shows whether it had an effect; if not, say it again")
    )]
    NoPost { id: u64 },

    #[error("message {id} to the run was refused: {reason}")]
    #[diagnostic(code(runplan::store::refused), help("use the version of runplan that runs it"))]
    Refused { id: u64, reason: String },

    #[error("the journal was lost after an earlier failure")]
    #[diagnostic(
        code(runplan::store::lost),
        help("nothing more is begun; mend what failed, then `runplan resume`")
    )]
    Lost,

    #[error("{waiting} messages wait for the run already")]
    #[diagnostic(code(runplan::store::inbox_full), help("`runplan resume` takes them"))]
    InboxFull { waiting: u64 },

    #[error("the message is larger than {limit} bytes")]
    #[diagnostic(code(runplan::store::too_large), help("say it in fewer words"))]
    TooLarge { limit: usize },
}

impl Error {
    /// A failure of the operating system about that path.
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_path_buf();
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full { path },
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::NotWritable { path, reason: error.to_string() },
            Some(Errno::NOENT | Errno::STALE) => Self::Vanished { path },
            Some(Errno::NOTDIR) => Self::InTheWay { path },
            _ => Self::Io { path, reason: error.to_string() },
        }
    }

    /// A failure of SQLite about that database.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let reason = error.to_string();
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::SystemIoFailure) if has_no_room(&path) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) if is_read_only(&path) => {
                Self::ReadOnly { path }
            }
            Some(ErrorCode::CannotOpen) if !path.exists() => Self::Vanished { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::NotWritable { path, reason }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, reason },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            // Its header or its tables are not what they were when it was made; a sound journal is never answered so.
            Some(ErrorCode::Unknown) => Self::Corrupt { path, reason },
            _ => Self::Io { path, reason },
        }
    }
}

/// SQLite calls a full disk an I/O error where it happens beside the journal itself.
fn has_no_room(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_bavail == 0 || fs.f_favail == 0 && fs.f_files > 0)
}

fn is_read_only(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK) == Err(Errno::ROFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_header_is_damage_and_not_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE journal (seq INTEGER)")
            .unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // The schema's format: <https://sqlite.org/fileformat2.html#schema_format_number>.
        bytes[47] = 0x77;
        std::fs::write(&path, bytes).unwrap();
        let found =
            rusqlite::Connection::open(&path).unwrap().execute_batch("SELECT * FROM journal").unwrap_err();
        let error = Error::sqlite(&path, &found);
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}
