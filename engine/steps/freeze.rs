//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Freeze;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Freeze) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn settle(_: &Attempt, _: &Freeze) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn undo(_: &Attempt, _: &Freeze) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
