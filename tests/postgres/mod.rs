//! The PostgreSQL layer against real servers.
#![allow(clippy::disallowed_methods, reason = "a test's patience is measured on the real clock")]

mod claim;
mod cluster;
mod connection;
mod identity;
mod lock;
mod position;
mod settings;
mod silence;
mod tls;
mod witness;
