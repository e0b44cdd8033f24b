//! A run as a document: what happened, what it cost, what is left, what is known. Pure: a fold of the journal, without a
//! clock and without I/O. Must never claim what the journal does not prove.

pub mod amount;
mod axis;
mod checklist;
mod direction;
mod document;
mod downtime;
mod drawing;
mod evidence;
mod gantt;
mod html;
mod ink;
mod kept;
pub mod layout;
mod markdown;
mod outcome;
mod picture;
mod rows;
mod seal;
mod shape;
mod telling;

pub use checklist::Item;
pub use direction::turns;
pub use document::Report;
pub use downtime::{Downtime, frozen, shut_by, swaps, windows};
pub use drawing::{mermaid, waves};
pub use evidence::{Approval, Backup, Checked, Loss, Statement};
pub use html::html;
pub use kept::{Kept, Kind, kept};
pub use markdown::markdown;
pub use picture::svg;
pub use seal::Seal;
pub use telling::{Mark, Told, tell};
