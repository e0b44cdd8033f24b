//! The program as people and scripts use it: arguments, exit codes, output, signals, kills.

mod approvals;
mod around;
mod asking;
mod authoring;
mod check;
mod codes;
mod dry_run;
mod housekeeping;
mod notices;
mod pages;
mod preflight;
mod recovery;
mod refrozen;
mod refusals;
mod rehearsals;
mod reports;
mod runs;
mod secrets;
mod signed;
mod stopping;
mod terminal;
mod undoing;
mod usage;
mod watching;
