//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Shell;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Shell) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn settle(_: &Attempt, _: &Shell) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
