//! runplan runs database rollbacks that are written as code: a plan is checked, reviewed, rehearsed, run with a durable
//! journal, resumed after any interruption, undone, and reported.
//!
//! One arrow runs through everything; live run, replay, resume, tests and display all use it:
//!
//! ```text
//! Input -> decide -> Event -> (durable) -> apply -> Effect
//! ```
//!
//! In reading order:
//!
//! - `plan`: what the author wrote. `graph`: its order. `sql`: reading SQL. `check`: what is proved before running.
//!   `review`: what a dry run shows. `run`: what happened, and what is next. `report`: a run as a document. All pure.
//! - `secret`, `clock`, `process`, `postgres`: the edge's tools; `failpoint`: where a test can kill it. `steps`: how each action acts. `store`: where events
//!   endure. `drive`: the only loop. `terminal`: how it looks. `cli`: one file for each command.
//!
//! What always holds:
//!
//! - The state of a run is the fold of its journal and nothing else; replay is the normal path.
//! - Nothing is shown, answered or started before its event is durable.
//! - Every outcome may be unknown, and an unknown one is never guessed.
//! - A secret never reaches argv, a log, the journal or a report.
//! - Dependencies point down; `tests/layers.rs` holds this table:
//!
//! | module | may use |
//! |---|---|
//! | secret | - |
//! | clock | - |
//! | failpoint | - |
//! | plan | secret |
//! | sql | - |
//! | process | secret, clock, failpoint |
//! | graph | plan |
//! | run | plan, graph, sql |
//! | check | plan, graph, sql, run |
//! | review | plan, graph, sql, run, check |
//! | report | plan, graph, run, review |
//! | postgres | secret, process, clock |
//! | steps | plan, sql, run, postgres, process, clock, secret |
//! | store | run, postgres, plan, clock, failpoint |
//! | drive | plan, graph, run, steps, store, clock |
//! | terminal | plan, check, review, run, report, drive, steps, clock |
//! | cli | plan, sql, secret, clock, process, graph, check, review, run, report, postgres, steps, store, drive, terminal |

pub mod check;
pub mod cli;
pub mod clock;
pub mod drive;
pub mod failpoint;
pub mod graph;
pub mod plan;
pub mod postgres;
pub mod process;
pub mod report;
pub mod review;
pub mod run;
pub mod secret;
pub mod sql;
pub mod steps;
pub mod store;
pub mod terminal;
