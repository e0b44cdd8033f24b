//! The supervisor process before its loop begins: its descriptors, its signals. Prints nothing.

use super::server::Server;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net as std_net;
use std::path::PathBuf;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

/// The hidden subcommand; its argument is the run's process directory.
pub(super) const SUBCOMMAND: &str = "__supervise";

/// Runs the supervisor; `args` are those after the subcommand. Gives the exit code.
pub fn supervise_main(args: &[OsString]) -> i32 {
    let [directory] = args else { return 2 };
    match supervise(PathBuf::from(directory)) {
        Ok(()) => 0,
        Err(_) => 70,
    }
}

fn supervise(directory: PathBuf) -> io::Result<()> {
    keep_to_ourselves();
    let stream = std_net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listener = std_net::UnixListener::from(io::stdout().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Handlers, not "ignore": that would be inherited by every program.
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let _absorbed = kinds.map(signal);
        let mut server = Server::new(directory, UnixListener::from_std(listener)?);
        server.admit(UnixStream::from_std(stream)?);
        server.run().await;
        Ok(())
    })
}

/// Whatever descriptors the engine was given by its own parent must not reach the programs.
#[allow(
    unsafe_code,
    reason = "no safe wrapper exists; it only sets a flag on descriptors, before any is in use"
)]
fn keep_to_ourselves() {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC touches no memory and closes nothing.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}
