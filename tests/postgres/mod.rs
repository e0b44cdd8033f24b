//! The PostgreSQL layer against real servers.

mod claim;
mod cluster;
mod connection;
mod identity;
mod lock;
mod settings;
mod tls;
mod witness;
