//! The supervisor against real programs.

mod crashes;
mod ends;
mod many;
mod records;
mod secrets;
mod stops;
mod support;
