//! The corpus: every bad plan in `cases/` is the smallest that shows its fault and has its findings beside it in a
//! `.out`; every plan in `good/` has none. `UPDATE=1` writes the snapshots anew: read the difference.

mod codes;
mod corpus;
mod language;
mod reader;
mod rules;
