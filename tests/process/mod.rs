//! The supervisor against real programs.

mod crashes;
mod ends;
mod many;
mod secrets;
mod stops;
mod support;
