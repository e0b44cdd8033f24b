//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Swap;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Swap) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn settle(_: &Attempt, _: &Swap) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn undo(_: &Attempt, _: &Swap) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
