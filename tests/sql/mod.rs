//! Reading SQL: tables of statements, real and hostile dumps, random text.

pub mod corpus;
pub mod dumps;
mod lexing;
mod live;
mod random;
mod statements;
