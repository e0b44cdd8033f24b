//! A session of its own from the first instant on. A program that leaves the terminal's session only after it began can be
//! ended by a Ctrl-C in between.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The program will lead a session of its own; the terminal's Ctrl-C and hang-up never reach it.
#[allow(unsafe_code, reason = "no safe wrapper exists; the closure makes one system call")]
pub fn own_session(command: &mut Command) -> &mut Command {
    // SAFETY: setsid is async-signal-safe and touches no memory. It fails only for the leader of a group, and a child that
    // was just forked leads none.
    unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test starts a program")]
mod tests {
    use super::*;
    use rustix::process::{Pid, getsid};

    #[test]
    fn it_leads_a_session_before_its_first_instruction() {
        let mut child = own_session(Command::new("sleep").arg("60")).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let session = getsid(Some(pid)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(session, pid);
    }
}
