//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Approve;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Approve) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
