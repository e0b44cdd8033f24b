//! The store: one contract for every journal; what the real one survives.

mod contract;
mod crashes;
mod damage;
mod helper;
mod history;
mod holds;
mod kept;
mod lists;
mod places;
mod pressed;
mod support;
