//! The core and the loop that drives it, without a world: scripted outcomes, random plans, crashes at every event.

mod amended;
mod answers;
mod consent;
mod crash;
mod left;
mod moved;
mod refusals;
mod setback;
mod simulation;
mod standing;
