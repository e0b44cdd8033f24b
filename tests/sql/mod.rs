//! Reading SQL: tables of statements, real and hostile dumps, random text.

mod corpus;
mod dumps;
mod lexing;
mod random;
mod statements;
