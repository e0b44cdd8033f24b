//! PostgreSQL's client programs at work for a step: their environment, their end, their complaints. A password travels in
//! the environment only. Must never wait for a program without an ear for the attempt being cancelled.

use super::attempt::Attempt;
use super::stop::{Stop, cancelled};
use super::targets::application_name;
use crate::clock;
use crate::postgres::{Program, Settings};
use crate::process::{self, Command, Exit, Running};
use crate::run::Failure;
use crate::secret::Secret;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// Between SIGTERM and SIGKILL of a cancelled program.
const GRACE: Duration = Duration::from_secs(5);
/// How often long work is looked at for its progress.
pub const LOOK: Duration = Duration::from_millis(400);
/// Of a program's complaint, so many characters are told; its whole output is in a file.
const COMPLAINT: usize = 900;

/// The only one of the PG* variables that is a secret.
const PASSWORD: &str = "PGPASSWORD";

/// A client program with its arguments, which connects where `settings` say and nowhere else.
pub fn command(
    attempt: &Attempt,
    program: &Path,
    arguments: impl IntoIterator<Item = String>,
    settings: &Settings,
) -> Command {
    let argv = std::iter::once(program.display().to_string()).chain(arguments).collect();
    // What is no secret must not be taken out of what the program says.
    let (secret_env, known): (Vec<_>, Vec<_>) =
        environment(attempt, settings).into_iter().partition(|(name, _)| name == PASSWORD);
    let known = known.into_iter().map(|(name, value)| (name, value.expose().to_owned()));
    Command { argv, env: quiet().into_iter().chain(known).collect(), secret_env, ..Command::default() }
}

/// The PG* variables for a client program of this attempt.
pub fn environment(attempt: &Attempt, settings: &Settings) -> Vec<(String, Secret)> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    settings.with_application_name(&name).client_environment()
}

/// What else a client program finds in its environment: messages in English, nothing that sends it elsewhere.
pub fn quiet() -> Vec<(String, String)> {
    let mut variables = vec![("LC_ALL".to_owned(), "C".to_owned())];
    for name in ["PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR"] {
        if let Ok(value) = std::env::var(name) {
            variables.push((name.to_owned(), value));
        }
    }
    variables
}

/// Notes a program that is not of the server's own version.
pub fn remark(attempt: &Attempt, program: &Program) {
    if let Some(note) = &program.note {
        attempt.warn(note.clone());
    }
}

/// Starts a program. When the supervisor dies over it, what it may have started is gone before anything else is said.
pub async fn start(attempt: &Attempt, key: &str, command: &Command) -> Result<Running, Stop> {
    match attempt.world.supervisor.start(key, command, None).await {
        Ok(running) => Ok(running),
        Err(error @ process::Error::SupervisorDied { .. }) => {
            attempt.world.supervisor.end_orphans(key).await?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits for a program's end while `watch` (which never ends by itself) looks at its progress. A cancelled attempt ends
/// the whole tree of the program first.
pub async fn wait(
    attempt: &Attempt,
    mut running: Running,
    key: &str,
    watch: impl Future<Output = ()> + Send,
) -> Result<Exit, Stop> {
    let ended = tokio::select! {
        exit = running.wait() => Some(exit),
        () = watch => None,
        () = attempt.cancelled.cancelled() => None,
    };
    match ended {
        Some(Ok(exit)) if exit.cancelled => Err(cancelled().into()),
        Some(Ok(exit)) => Ok(exit),
        Some(Err(error @ process::Error::SupervisorDied { .. })) => {
            // What it left behind must be gone before anything else is said.
            attempt.world.supervisor.end_orphans(key).await?;
            Err(error.into())
        }
        Some(Err(error)) => Err(error.into()),
        None => {
            if let Err(error) = running.cancel(GRACE).await {
                attempt.world.supervisor.end_orphans(key).await?;
                attempt.warn(format!("{key} was not cancelled cleanly: {error}"));
            }
            Err(cancelled().into())
        }
    }
}

/// Looks at something again and again.
pub async fn repeatedly<F: Future<Output = ()>>(mut look: impl FnMut() -> F) {
    loop {
        clock::sleep(LOOK).await;
        look().await;
    }
}

/// A program's failure in its own words.
pub fn complaint(code: &str, name: &str, exit: &Exit) -> Failure {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    let said = gist(&exit.stderr.text());
    let message = match said.is_empty() {
        true => format!("{name} failed ({how})"),
        false => format!("{name} failed ({how}): {said}"),
    };
    Failure::new(code, message).help(format!("its whole output is in {}", exit.stderr.path.display()))
}

/// From the first error on; in a long output what comes before is progress.
pub fn gist(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let is_error =
        |line: &&str| line.contains("error:") || line.contains("ERROR:") || line.contains("FATAL:");
    let at = lines.iter().position(is_error).unwrap_or(0);
    // pg_restore names the entry in the line before.
    let from = if at > 0 && lines[at - 1].contains("from TOC entry") { at - 1 } else { at };
    let text = lines[from..].join("\n");
    let short: String = text.chars().take(COMPLAINT).collect();
    if short.len() < text.len() { format!("{short} ...") } else { short }
}
