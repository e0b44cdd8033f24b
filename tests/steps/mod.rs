//! Every action against the real programs and servers: what it does, what it says, what it finds out after a crash.

mod approve;
mod preflight;
