//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Restore;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Restore) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn settle(_: &Attempt, _: &Restore) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn undo(_: &Attempt, _: &Restore) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
