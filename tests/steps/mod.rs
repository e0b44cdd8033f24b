//! Every action against the real programs and servers: what it does, what it says, what it finds out after a crash.

mod access;
mod approve;
pub mod backup;
mod claims;
mod copy;
mod crash;
mod damage;
mod doubt;
mod freeze;
mod http;
mod https;
mod in_place;
mod lost;
mod notify;
mod objects;
mod preflight;
mod restore;
mod shell;
mod side;
mod sql;
mod swap;
mod undo;
mod verify;
mod versions;
mod witness;
