//! A run with every action on a real PostgreSQL, interrupted everywhere: every effect happens exactly once, or the
//! operator is asked with evidence that is right.

mod case;
mod feeding;
mod kills;
mod plan;
mod scene;
mod table;
mod together;
