//! runplan: database rollbacks as code.

pub mod clock;
pub mod graph;
pub mod plan;
pub mod postgres;
pub mod process;
pub mod run;
pub mod secret;
pub mod sql;
pub mod steps;
