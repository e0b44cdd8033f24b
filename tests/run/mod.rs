//! The core and the loop that drives it, without a world: scripted outcomes, random plans, crashes at every event.

mod crash;
mod simulation;
mod standing;
