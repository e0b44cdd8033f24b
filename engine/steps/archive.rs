//! Backups as they lie on a disk: which format, whole or damaged, what is in them, and the manifest beside those that the
//! program made. Reads only; a backup is judged by all of its bytes, never by its size or its table of contents.

mod format;
mod frames;
mod header;
mod inspect;
mod manifest;
mod needs;
mod proofs;
mod shelf;
mod sums;
mod unpack;

pub use format::{Format, Packing, open, recognise, refuse_binary};
pub use header::{Origin, read as origin};
pub use inspect::{Inspection, Reading, blocking, read_back, restorer};
pub use manifest::{Manifest, sync_directory};
pub use needs::Needs;
pub use proofs::Proofs;
pub use shelf::{Shelved, Sort, shelf};
pub use sums::{FileSum, sums, whole};
pub use unpack::unpack;

use crate::run::Failure;
use std::path::Path;

/// A backup that cannot be used, and why.
pub fn unusable(what: &str, path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("runplan::archive::{what}"), format!("{}: {why}", path.display())).permanent()
}
