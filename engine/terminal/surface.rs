//! What the view of a run and its questions share: the place where both are seen, drawn over or line by line.

use super::board::Board;
use super::paper::Paper;
use super::posed::Posed;
use super::screen::Screen;
use super::typing::Typing;
use crate::plan::StepId;
use std::sync::Arc;

#[derive(Clone)]
pub enum Surface {
    /// A live terminal.
    Board(Arc<Board>),
    /// Lines are only added.
    Paper(Arc<Paper>),
}

impl Surface {
    /// What suits the screen.
    pub fn new(screen: &Screen) -> Self {
        match Board::new(screen) {
            Some(board) => Self::Board(Arc::new(board)),
            None => Self::Paper(Arc::new(Paper::new(screen))),
        }
    }

    pub fn is_live(&self) -> bool {
        matches!(self, Self::Board(_))
    }

    /// Whole lines that stay.
    pub fn print(&self, text: &str) {
        match self {
            Self::Board(board) => board.print(text),
            Self::Paper(paper) => paper.print(text),
        }
    }

    pub fn pose(&self, question: Posed) {
        match self {
            Self::Board(board) => board.pose(question),
            Self::Paper(paper) => paper.pose(question),
        }
    }

    pub fn typed(&self, step: &StepId, typing: &Typing) {
        match self {
            Self::Board(board) => board.typed(step, typing),
            Self::Paper(paper) => paper.typed(step, typing),
        }
    }

    /// A line was typed to its end.
    pub fn entered(&self) {
        if let Self::Paper(paper) = self {
            paper.entered();
        }
    }

    pub fn unpose(&self, step: &StepId) {
        match self {
            Self::Board(board) => board.unpose(step),
            Self::Paper(paper) => paper.unpose(step),
        }
    }

    pub fn tick(&self) {
        if let Self::Paper(paper) = self {
            paper.tick();
        }
    }
}
