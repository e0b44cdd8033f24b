//! The output of a read-only program as it comes, for work that only looks (reading an archive back). The program is a plain
//! child: it dies with the pipe, and with the call. Must never run what changes anything: that belongs to the supervisor.
#![allow(clippy::disallowed_methods, reason = "the streamed program is started here")]

use super::spinning::spins;
use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const CHUNK: usize = 256 * 1024;
/// So much of a processor without a byte read or written is a loop.
const SPINNING: Duration = Duration::from_secs(5);
/// Of its complaints so much is kept.
const COMPLAINTS: u64 = 64 * 1024;

/// How a streamed program ended.
#[derive(Debug)]
pub struct Streamed {
    pub success: bool,
    /// As the system says it: `exit status: 1`.
    pub status: String,
    pub stderr: String,
    /// The taker wanted no more.
    pub refused: bool,
    pub cancelled: bool,
    /// It was caught in a loop, and was ended.
    pub spun: bool,
}

/// Runs a program and hands its standard output to `take`, on a thread of its own, until `take` answers false, the program
/// ends, `cancelled`, or it is caught in a loop. Gives back the taker.
///
/// # Errors
/// It cannot be started, or its output cannot be read.
pub async fn stream<T: Send + 'static>(
    argv: Vec<OsString>,
    env: Vec<(String, String)>,
    cancelled: &CancellationToken,
    mut taker: T,
    mut take: impl FnMut(&mut T, &[u8]) -> bool + Send + 'static,
) -> io::Result<(Streamed, T)> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "argv is empty"))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let pid = child.id().cast_signed();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let leash = Leash(Arc::new((Mutex::new(Some(child)), AtomicBool::new(false))));
    let held = leash.0.clone();
    let mut work = tokio::task::spawn_blocking(move || {
        let complaints = std::thread::spawn(move || complaints(stderr));
        let read = pump(stdout, &mut taker, &mut take);
        let (refused, failed) = match read {
            Ok(refused) => (refused, None),
            Err(error) => (true, Some(error)),
        };
        if refused {
            end(&held.0);
        }
        let status = wait(&held.0)?;
        let stderr = complaints.join().unwrap_or_default();
        if let Some(error) = failed {
            return Err(error);
        }
        let cancelled = held.1.load(Ordering::SeqCst);
        let ended = Streamed {
            success: status.success() && !cancelled && !refused,
            status: status.to_string(),
            stderr,
            refused,
            cancelled,
            spun: false,
        };
        Ok((ended, taker))
    });
    let done = tokio::select! {
        done = &mut work => done,
        () = cancelled.cancelled() => {
            leash.end();
            work.await
        }
        () = spins(pid, SPINNING) => {
            leash.end();
            let done = work.await;
            return done.map_err(io::Error::other)?.map(|(ended, taker)| {
                (Streamed { spun: ended.cancelled, cancelled: false, ..ended }, taker)
            });
        }
    };
    done.map_err(io::Error::other)?
}

type Held = (Mutex<Option<std::process::Child>>, AtomicBool);

/// Ends the program when the call is dropped.
struct Leash(Arc<Held>);

impl Leash {
    fn end(&self) {
        self.0.1.store(true, Ordering::SeqCst);
        end(&self.0.0);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        end(&self.0.0);
    }
}

/// Only a child that was not waited for is killed: its number cannot belong to another process yet.
fn end(child: &Mutex<Option<std::process::Child>>) {
    if let Some(child) = child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = child.kill();
    }
}

/// Its pipes are at their end, so it ends soon; it is polled so that the leash can pull meanwhile.
fn wait(child: &Mutex<Option<std::process::Child>>) -> io::Result<std::process::ExitStatus> {
    loop {
        let mut held = child.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = held.as_mut() else {
            return Err(io::Error::other("the program was waited for twice"));
        };
        if let Some(status) = running.try_wait()? {
            *held = None;
            return Ok(status);
        }
        drop(held);
        crate::clock::block(std::time::Duration::from_millis(2));
    }
}

/// True: the taker wanted no more.
fn pump<T>(
    stdout: Option<std::process::ChildStdout>,
    taker: &mut T,
    take: &mut impl FnMut(&mut T, &[u8]) -> bool,
) -> io::Result<bool> {
    let Some(mut stdout) = stdout else { return Ok(false) };
    let mut chunk = vec![0; CHUNK];
    loop {
        match stdout.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                if !take(taker, &chunk[..count]) {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn complaints(stderr: Option<std::process::ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(COMPLAINTS).read_to_end(&mut kept);
    // The rest is read and dropped, so that the program is not held up.
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str, cancelled: &CancellationToken, most: usize) -> (Streamed, Vec<u8>) {
        let argv = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
        let keep = move |kept: &mut Vec<u8>, bytes: &[u8]| {
            kept.extend_from_slice(bytes);
            kept.len() <= most
        };
        stream(argv, vec![("PATH".into(), "/usr/bin:/bin".into())], cancelled, Vec::new(), keep)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_output_the_end_and_the_complaints_come_back() {
        let token = CancellationToken::new();
        let (ended, output) = run("echo out; echo bad >&2; exit 3", &token, 100).await;
        assert_eq!((output.as_slice(), ended.stderr.as_str()), (&b"out\n"[..], "bad\n"));
        assert!(!ended.success && !ended.refused && ended.status.contains('3'), "{ended:?}");
    }

    #[tokio::test]
    async fn a_taker_that_wants_no_more_ends_the_program() {
        let (ended, output) = run("exec yes", &CancellationToken::new(), 10).await;
        assert!(ended.refused && !ended.success && output.len() > 10);
    }

    #[tokio::test]
    async fn a_program_that_is_caught_in_a_loop_is_ended() {
        let (ended, output) = run("echo out; while :; do :; done", &CancellationToken::new(), 100).await;
        assert!(ended.spun && !ended.success && !ended.cancelled, "{ended:?}");
        assert_eq!(output, b"out\n");
    }

    #[tokio::test]
    async fn a_silent_program_is_cancelled() {
        let token = CancellationToken::new();
        token.cancel();
        let (ended, _) = run("exec sleep 1000", &token, 10).await;
        assert!(ended.cancelled && !ended.success);
    }
}
