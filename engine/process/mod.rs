//! Starts programs so that nothing about them is lost: one small supervisor for a run, in a session of its own,
//! which outlives the engine. Must never put a secret into argv or a file, and never kill by a number alone.
//!
//! Each attempt has up to three files in the run's process directory:
//!
//! | file | what |
//! |---|---|
//! | `KEY.jsonl` | one line each: what was about to start, written before the fork; its group and start time; how it ended, trusted when it is whole and of the same boot. Locked through a descriptor that the whole process tree inherits |
//! | `KEY.stdout`, `KEY.stderr` | the output, redacted as it streamed |
//!
//! What a death in each window means, as `Supervisor::find` says it:
//!
//! | the supervisor died | files | found |
//! |---|---|---|
//! | before it took the request | none | `Nothing` |
//! | before or during the fork | one line | `Orphaned` while the lock is held, else `Lost`: it may have run |
//! | while the program ran | two lines | `Orphaned` while anything of the tree lives, else `Lost` |
//! | after the program's end was recorded | three lines | `Exited` |
//!
//! The first line of a record and its entry in the directory are synced before the fork, and so is the list of boots;
//! a file system that fails and is mounted again cannot take them away. The rest is not: after a reboot nothing here is
//! proof, and everything that may have been started is `Lost`.

mod attempt;
mod boot;
mod capture;
mod command;
mod connection;
mod error;
mod exit;
mod find;
mod launch;
mod link;
mod output;
pub mod plain;
mod proc;
mod record;
mod serve;
mod server;
mod session;
mod spinning;
mod stream;
mod supervisor;
mod tell;
mod tree;
mod which;
mod wire;

pub use boot::boot_id;
pub use capture::capture;
pub use command::{Command, Stdin};
pub use error::Error;
pub use exit::{Captured, Exit};
pub use find::Found;
pub use serve::supervise_main;
pub use session::own_session;
pub use stream::{Streamed, stream};
pub use supervisor::{Running, Supervisor};
pub use tell::{Told, tell};
pub use which::which;
