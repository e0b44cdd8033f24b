//! The output of a short, read-only program: a secret's command, a version question. Must never run a step's work.

use super::plain;
use crate::clock;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Longer than a person would wait for a password manager.
const LIMIT: Duration = Duration::from_secs(60);

/// What the program printed.
///
/// # Errors
/// In words that follow the program's name: it cannot be started, failed, or took too long.
pub async fn capture(argv: &[String], directory: &Path) -> Result<String, String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("is empty".to_owned()) };
    let mut command = plain::command(program);
    command.args(arguments).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    let work = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::select! {
        output = work => output.map_err(|error| format!("ended oddly: {error}"))?,
        () = clock::sleep(LIMIT) => return Err(format!("did not answer within {} s", LIMIT.as_secs())),
    };
    let output = output.map_err(|error| format!("cannot be started: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let first = why.lines().next().unwrap_or_default().to_owned();
        return Err(format!("failed ({}): {first}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| "printed something that is not text".to_owned())
}
