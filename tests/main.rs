//! One test binary: it links once, and the real PostgreSQL is started once for all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chaos;
mod check;
mod cli;
mod docs;
mod failpoints;
mod fuzz;
mod inject;
mod layers;
mod pictures;
mod plans;
mod postgres;
mod procedure;
mod process;
mod review;
mod run;
mod schemas;
mod sql;
mod steps;
mod store;
mod terminal;
mod support {
    pub mod app;
    pub mod authority;
    pub mod backup;
    pub mod bouncer;
    pub mod chance;
    pub mod cluster;
    pub mod graphql;
    pub mod mail;
    pub mod picture;
    pub mod prisma;
    pub mod proxy;
    pub mod pty;
    pub mod railway;
    pub mod refusals;
    pub mod sandbox;
    pub mod script;
    pub mod server;
    pub mod shape;
    pub mod stage;
    pub mod standby;
    pub mod team;
    pub mod versions;
}
