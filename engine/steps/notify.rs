//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Notify;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Notify) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
