//! A program that is handed a message: it reads it on stdin and has a time limit. Must never outlive that limit, nor run a
//! step's work.
#![allow(clippy::disallowed_methods, reason = "the program that takes a message is started here")]

use crate::clock;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// So much of what it complains about is kept.
const MOST_COMPLAINED: u64 = 4096;

/// What a program is given.
pub struct Told<'a> {
    pub argv: &'a [String],
    /// Added to the environment.
    pub env: &'a [(String, String)],
    pub directory: &'a Path,
    pub stdin: &'a str,
    pub limit: Duration,
}

/// Starts the program and waits for its end.
///
/// # Errors
/// In words that follow the program's name: it cannot be started, failed, or took too long and was killed with all that
/// it started.
pub async fn tell(told: &Told<'_>) -> Result<(), String> {
    let Some((program, arguments)) = told.argv.split_first() else { return Err("is empty".to_owned()) };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(told.directory)
        .envs(told.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let text = told.stdin.to_owned();
    let work = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read is no failure.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let mut complaint = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(MOST_COMPLAINED).read_to_end(&mut complaint).await;
        }
        (child.wait().await, complaint)
    };
    let (status, complaint) = tokio::select! {
        ended = work => ended,
        () = clock::sleep(told.limit) => {
            if let Some(group) = group {
                // It has ended in between: nothing is left to kill.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            return Err(format!("took longer than {} s and was killed", told.limit.as_secs_f64()));
        }
    };
    let status = status.map_err(|error| format!("ended oddly: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let first = complaint.lines().next().unwrap_or_default();
    Err(format!("failed ({status}){}{first}", if first.is_empty() { "" } else { ": " }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(script: &str, limit: Duration) -> Result<(), String> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let told = Told { argv: &argv, env: &[], directory: Path::new("/"), stdin: "a message", limit };
        tell(&told).await
    }

    #[tokio::test]
    async fn what_hangs_is_killed_with_all_it_started_and_what_fails_says_why() {
        let watch = clock::Stopwatch::start();
        let hangs = told("sleep 100 & sleep 100", Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(hangs, "took longer than 0.3 s and was killed");
        assert!(watch.elapsed() < Duration::from_secs(60));
        let fails =
            told("cat >/dev/null; echo no route >&2; exit 3", Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(fails, "failed (exit status: 3): no route");
        assert_eq!(told("exec <&-; exit 0", Duration::from_secs(30)).await, Ok(()));
    }
}
