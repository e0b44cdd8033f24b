//! (being built)
use super::attempt::Attempt;
use crate::plan::action::Sql;
use crate::run::{Failure, Outcome};

pub async fn act(_: &Attempt, _: &Sql) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}

pub async fn settle(_: &Attempt, _: &Sql) -> Outcome {
    Outcome::Failed(Failure::new("x", "being built"))
}
