//! Reading SQL: tables of statements, real and hostile dumps, random text.

mod corpus;
mod dumps;
mod lexing;
mod live;
mod random;
mod statements;
