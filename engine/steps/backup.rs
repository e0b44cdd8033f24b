//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Backup;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Backup) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn settle(_: &Attempt, _: &Backup) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn undo(_: &Attempt, _: &Backup) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
