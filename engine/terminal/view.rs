//! The three forms in which a run is watched: live, line by line, and as data.

use super::live::{Live, Role};
use super::plain::Plain;
use super::screen::Screen;
use super::surface::Surface;
use crate::drive::Observer;
use crate::plan::StepId;
use crate::plan::action::notify::Level;
use crate::review::Usual;
use crate::run::{Record, State};
use crate::steps::Progress;
use serde_json::json;
use std::collections::HashMap;

/// What the driver tells its events to.
pub enum View {
    Live(Box<Live>),
    Plain(Box<Plain>),
    /// Nothing is shown.
    Silent,
    /// The journal's own lines.
    Lines(Screen),
}

impl View {
    /// The form that suits the screen. `usual`: how long steps took before. `surface`: what it shares with the prompts.
    pub fn new(screen: &Screen, surface: Surface, state: &State, usual: HashMap<StepId, Usual>) -> Self {
        Self::of(screen, surface, state, usual, Role::Drives)
    }

    /// The same, for a run that another process drives. `stays`: also while it is parked.
    pub fn watching(
        screen: &Screen,
        surface: Surface,
        state: &State,
        usual: HashMap<StepId, Usual>,
        stays: bool,
    ) -> Self {
        Self::of(screen, surface, state, usual, if stays { Role::Stays } else { Role::Watches })
    }

    fn of(
        screen: &Screen,
        surface: Surface,
        state: &State,
        usual: HashMap<StepId, Usual>,
        role: Role,
    ) -> Self {
        match surface {
            _ if screen.is_json() => Self::Lines(screen.clone()),
            Surface::Board(board) => Self::Live(Box::new(Live::new(board, screen, state, usual, role))),
            Surface::Paper(paper) => Self::Plain(Box::new(Plain::new(paper, screen.clone(), state))),
        }
    }
}

impl View {
    /// Whether its process has died, and nothing goes on.
    pub fn orphan(&mut self, orphaned: bool, state: &State) {
        match self {
            Self::Live(live) => live.orphan(orphaned, state),
            Self::Plain(plain) if orphaned => plain.orphan(state),
            // No line of the journal says so: nobody was there to write it.
            Self::Lines(screen) if orphaned => screen.json(&json!({
                "format": 1, "kind": "interrupted", "run": state.run.as_str(),
                "command": format!("runplan resume {}", state.run),
            })),
            Self::Plain(_) | Self::Lines(_) | Self::Silent => {}
        }
    }
}

impl Observer for View {
    fn recorded(&mut self, record: &Record, state: &State) {
        match self {
            Self::Live(live) => live.recorded(record, state),
            Self::Plain(plain) => plain.recorded(record, state),
            Self::Lines(screen) => screen.line(&record.line),
            Self::Silent => {}
        }
    }

    fn progress(&mut self, step: &StepId, progress: &Progress, state: &State) {
        match self {
            Self::Live(live) => live.progress(step, progress, state),
            Self::Plain(plain) => plain.progress(step, progress),
            Self::Lines(_) | Self::Silent => {}
        }
    }

    fn idle(&mut self, state: &State) {
        if let Self::Plain(plain) = self {
            plain.idle(state);
        }
    }

    fn said(&mut self, step: &StepId, level: Level, message: &str) {
        match self {
            Self::Live(live) => live.said(step, level, message),
            Self::Plain(plain) => plain.said(step, level, message),
            Self::Lines(_) | Self::Silent => {}
        }
    }
}
