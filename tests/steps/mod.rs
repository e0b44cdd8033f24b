//! Every action against the real programs and servers: what it does, what it says, what it finds out after a crash.

mod approve;
mod backup;
mod crash;
mod damage;
mod freeze;
mod lost;
mod preflight;
mod restore;
mod sql;
mod swap;
mod undo;
