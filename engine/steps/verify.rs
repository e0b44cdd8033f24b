//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Verify;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Verify) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
