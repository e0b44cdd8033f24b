//! What became of an attempt, asked after a crash. Must never guess: what is not certain is `Lost`, with the
//! evidence.

use super::link::Progress;
use super::record::{self, Paths, StartRecord, Told};
use super::supervisor::{Running, Supervisor};
use super::tree::{self, Scope, Tree};
use super::{Error, Exit, boot};
use std::time::Duration;

/// Between SIGTERM and SIGKILL for what a dead supervisor left behind.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub enum Found {
    /// It was certainly never started.
    Nothing,
    /// It is under way, under a living supervisor.
    Running(Running),
    /// Its supervisor is dead, something of it lives: `end_orphans` before anything else.
    Orphaned {
        pgid: Option<i32>,
        evidence: String,
    },
    Exited(Exit),
    /// It may have run, and nothing of it is left; how it ended is not known.
    Lost {
        evidence: String,
    },
}

impl Supervisor {
    /// Whether an attempt of that name has left a record: the name cannot be used again.
    pub fn is_taken(&self, key: &str) -> bool {
        Paths::new(&self.directory, key).is_ok_and(|paths| paths.record().exists())
    }

    pub async fn find(&self, key: &str) -> Result<Found, Error> {
        let paths = Paths::new(&self.directory, key)?;
        if let Some(running) = self.under_way(key, &paths).await? {
            return Ok(Found::Running(running));
        }
        let Some(told) = record::read(&paths)? else { return Ok(self.without_record()) };
        match told.exit {
            Some(exit) if boot::is_current(&exit.boot_id) => {
                return Exit::read(exit, &paths).map(Found::Exited);
            }
            Some(exit) => {
                let host = told.start.map(|start| start.host).unwrap_or_default();
                return Ok(Found::Lost { evidence: rebooted(&exit.boot_id, &host) });
            }
            None => {}
        }
        let Some(start) = told.start else {
            let evidence = format!("the record {} is damaged", paths.record().display());
            // Whose it is cannot be read any more; that something of it lives can be seen.
            return Ok(match tree::is_locked(&paths.record()) {
                true => Found::Orphaned { pgid: None, evidence: format!("{evidence}; {}", unseen()) },
                false => Found::Lost { evidence },
            });
        };
        if !boot::is_current(&start.boot_id) {
            return Ok(Found::Lost { evidence: rebooted(&start.boot_id, &start.host) });
        }
        Ok(left_behind(&start, &Tree::of(&start, told.group, paths.record())))
    }

    /// Ends whatever of the attempt is alive, waits until it is gone, and says whether there was anything.
    pub async fn end_orphans(&self, key: &str) -> Result<bool, Error> {
        let paths = Paths::new(&self.directory, key)?;
        if let Some(running) = self.under_way(key, &paths).await? {
            return running.cancel(GRACE).await.map(|()| true);
        }
        let Some(Told { start, group, .. }) = record::read(&paths)? else { return Ok(false) };
        let Some(start) = start else {
            return match tree::is_locked(&paths.record()) {
                true => Err(Error::Survivors { key: key.into(), evidence: unseen() }),
                false => Ok(false),
            };
        };
        if !boot::is_current(&start.boot_id) {
            return Ok(false);
        }
        let tree = Tree::of(&start, group, paths.record());
        let (ended, gone) = tree.end(Scope::Everything, GRACE).await;
        if gone && !tree.is_locked() {
            return Ok(!ended.is_empty());
        }
        let left = tree.members(Scope::Everything);
        let evidence = if left.is_empty() { unseen() } else { tree::describe(&left) };
        Err(Error::Survivors { key: key.into(), evidence })
    }

    async fn under_way(&self, key: &str, paths: &Paths) -> Result<Option<Running>, Error> {
        let Some(link) = self.attach()? else { return Ok(None) };
        let progress = link.ask(key)?;
        let program = record::read(paths)?.and_then(|told| told.start).map(|start| start.program);
        let program = program.unwrap_or_default();
        let mut running = Running { key: key.into(), program, paths: paths.clone(), link, progress };
        match running.until(|progress| !matches!(progress, Progress::Asked)).await {
            Progress::Queued | Progress::Started { .. } => Ok(Some(running)),
            // The files tell, also when the supervisor died this instant.
            _ => Ok(None),
        }
    }

    /// No file about it: proof that it was never started, for it is synced before the fork. After a reboot it is
    /// not relied on: not every disk keeps what it says it has kept.
    fn without_record(&self) -> Found {
        match boot::seen(&self.directory).iter().find(|(id, _)| !boot::is_current(id)) {
            None => Found::Nothing,
            Some((earlier, host)) => Found::Lost {
                evidence: format!(
                    "{}; a record of this attempt may not have reached the disk",
                    rebooted(earlier, host)
                ),
            },
        }
    }
}

fn left_behind(start: &StartRecord, tree: &Tree) -> Found {
    let alive = tree.members(Scope::Everything);
    let pgid = tree.group.map(|group| group.pgid);
    let when = format!(
        "{} was started at {}; its supervisor (pid {}) is gone",
        start.program, start.started_at, start.session
    );
    if !alive.is_empty() {
        return Found::Orphaned {
            pgid,
            evidence: format!("{when}; still alive: {}", tree::describe(&alive)),
        };
    }
    if tree.is_locked() {
        return Found::Orphaned { pgid, evidence: format!("{when}; {}", unseen()) };
    }
    let what = match pgid {
        Some(pgid) => format!("nothing is left of process group {pgid}, and no exit was recorded"),
        None => "it died while starting the program, so whether the program ran is not known".into(),
    };
    Found::Lost { evidence: format!("{when}; {what}") }
}

fn unseen() -> String {
    "its lock is held by a process that cannot be seen from here (another user's, or in another container)"
        .into()
}

/// Another boot: of this machine, or of another one from which the run was moved here.
fn rebooted(boot: &str, host: &str) -> String {
    if !host.is_empty() && host != boot::host() {
        return format!(
            "it was started on {host}, and nobody here can see whether it still runs there, or how it ended; look there \
             (this is {})",
            boot::host()
        );
    }
    format!("the machine was restarted since (boot {boot} then, {} now)", boot::boot_id())
}
