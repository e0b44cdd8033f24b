//! A fault of the program itself: one clear message, exit code 70. Must never hide where it happened.

use super::exit::Exit;
use crate::terminal::print_error;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;

/// Runs the program; a panic becomes exit code 70. What is journaled is safe whatever happens here.
pub fn catch(program: impl FnOnce() -> ExitCode) -> ExitCode {
    std::panic::set_hook(Box::new(|info| print_error(&message(info))));
    std::panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|_| Exit::Bug.into())
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    format!(
        "runplan {}: a fault of this program: {what}{place}\n\
         What was done so far is in the journal: `runplan status` shows it, `runplan resume` goes on.\n\
         Please report this message.",
        env!("CARGO_PKG_VERSION")
    )
}
