//! Exit codes: what a script may rely on.

use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// The run failed: it was undone, or stopped for good.
    Failed,
    /// Wrong usage.
    Usage,
    /// The plan or its parameters are invalid.
    Invalid,
    /// The run is parked: it can be resumed.
    Parked,
    /// Someone else holds the run or the target.
    Held,
    /// There is a reason not to start.
    Preflight,
    /// A fault of this program.
    Bug,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Invalid => 3,
            Self::Parked => 4,
            Self::Held => 5,
            Self::Preflight => 6,
            Self::Bug => 70,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
