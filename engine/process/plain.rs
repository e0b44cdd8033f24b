//! A bare command: for short and read-only programs, and for guards that outlive the call. Must never be used for a
//! step's work: that belongs to the supervisor.
#![allow(clippy::disallowed_methods, reason = "plain programs are started here")]

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// A command with nothing on its standard input.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}
