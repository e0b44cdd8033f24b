//! Starting programs.

pub mod plain;
