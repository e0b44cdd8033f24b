//! Why a command could not do its work: a code, a sentence, and what to do now.

use super::exit::Exit;
use crate::plan::RunId;
use crate::run::Failure;
use crate::{drive, store};
use miette::Diagnostic;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error("{message}")]
    #[diagnostic(code(runplan::cli::usage))]
    Usage {
        message: String,
        #[help]
        help: Option<String>,
    },
    #[error("{} cannot be read: {why}", path.display())]
    #[diagnostic(code(runplan::cli::unreadable), help("{help}"))]
    Unreadable { path: PathBuf, why: String, help: String },
    /// The findings were shown already.
    #[error("{what} cannot be used: {errors} {}", if *errors == 1 { "error" } else { "errors" })]
    #[diagnostic(code(runplan::cli::invalid), help("correct what is listed above and try again"))]
    Invalid { what: String, errors: usize },
    #[error("the run {run} never began: nothing was done")]
    #[diagnostic(code(runplan::cli::never_began), help("start it again from its plan"))]
    NeverBegan { run: RunId },
    #[error("the journal of {run} does not fit its plan: {why}")]
    #[diagnostic(code(runplan::cli::unfit), help("`runplan status {run} --verify` names the place"))]
    Unfit { run: RunId, why: String },
    #[error("the plan cannot be used: {why}")]
    #[diagnostic(code(runplan::cli::unusable), help("`runplan check` tells more"))]
    Unusable { why: String },
    #[error("{message}")]
    #[diagnostic(code(runplan::cli::target_held), help("nothing was done; {help}"))]
    TargetHeld { message: String, help: String, run: Option<RunId> },
    #[error("{run} was moved: {by} wrote it to {to} at {at}, to go on elsewhere")]
    #[diagnostic(
        code(runplan::cli::moved),
        help(
            "nothing was done; go on with it where it was imported, or take it back with `runplan export {run}` and `runplan import FILE --takeover REASON`"
        )
    )]
    Moved { run: RunId, to: String, by: String, at: String },
    #[error("{} is not a run that can be imported: {why}", path.display())]
    #[diagnostic(code(runplan::cli::not_imported), help("{help}"))]
    NotImported { path: PathBuf, why: String, help: String },
    #[error("the plan cannot be amended: {why}")]
    #[diagnostic(
        code(runplan::cli::not_amended),
        help("nothing was done; resume without --amend, or go back with `runplan undo {run}`")
    )]
    NotAmended { run: RunId, why: String },
    #[error("{}", failure.message)]
    #[diagnostic(code(runplan::cli::unready), help("{}", unready(failure)))]
    Unready { failure: Failure },
    #[error("{run} is a rehearsal: its throw-away server is gone, so it cannot go on")]
    #[diagnostic(
        code(runplan::cli::rehearsal_over),
        help("rehearse again; `runplan stop {run} --for-good` takes it off the list")
    )]
    RehearsalOver { run: RunId },
    /// The reasons were shown already.
    #[error("the run does not start: {reasons} {}", if *reasons == 1 { "reason" } else { "reasons" })]
    #[diagnostic(
        code(runplan::cli::not_ready),
        help("nothing was done; mend what is listed above, or accept what can be accepted")
    )]
    NotReady { reasons: usize },
    #[error("the plan is not the one that was reviewed: its digest is {found}")]
    #[diagnostic(
        code(runplan::cli::other_digest),
        help("review it again with --dry-run; wanted was {wanted}")
    )]
    OtherDigest { wanted: String, found: String },
    #[error("{message}")]
    #[diagnostic(code(runplan::cli::not_by_the_rules))]
    NotByTheRules {
        message: String,
        #[help]
        help: String,
    },
    #[error("this program cannot find its own file: {why}")]
    #[diagnostic(code(runplan::cli::no_self), help("start it by its full path"))]
    NoSelf { why: String },
    #[error("{what} cannot be started: {why}")]
    #[diagnostic(code(runplan::cli::system), help("see whether this user's limits (ulimit -a) are reached"))]
    System { what: &'static str, why: String },
    #[error("{} does not say how it is rehearsed", plan.display())]
    #[diagnostic(
        code(runplan::cli::no_rehearsal),
        help(
            "fill its databases with a backup (`--from FILE`) or a clone (`--clone data`), or give it a `rehearsal:` block: what fills them, and what stands in for the world outside"
        )
    )]
    NoRehearsal { plan: PathBuf },
    #[error("the rehearsal could not be prepared: {why}")]
    #[diagnostic(code(runplan::cli::not_prepared), help("mend the plan's `rehearsal:` block and try again"))]
    NotPrepared { why: String },
    #[error("`{name}` is on another server than when the run began: {found}, not {wanted}")]
    #[diagnostic(
        code(runplan::cli::other_server),
        help("nothing was done; put the address of `{name}` right and try again")
    )]
    OtherServer { name: String, wanted: String, found: String },
    #[error(
        "the mark that {run} put on `{name}` is gone: the run was ended from elsewhere, or this is another database, or one \
         that was set back to before it"
    )]
    #[diagnostic(
        code(runplan::cli::claim_gone),
        help(
            "nothing was done. Look whether what `runplan status {run}` says was done is there: if it is, `runplan resume {run} \
             --reclaim REASON`; if the run was ended from elsewhere, or nothing of it is there, `runplan stop {run} --for-good`"
        )
    )]
    ClaimGone { name: String, run: RunId },
    #[error("the server of `{name}` was set back to before what {run} did there last: {why}")]
    #[diagnostic(
        code(runplan::cli::set_back),
        help(
            "nothing was done. What came after that moment is gone from it, whatever the journal says. Bring the server back as it \
             was; or look whether what `runplan status {run}` says was done is there: if all of it is, `runplan resume {run} \
             --reclaim REASON`; if it is not, `runplan stop {run} --for-good`"
        )
    )]
    SetBack { name: String, run: RunId, why: String },
    #[error("the rehearsal was stopped while it was prepared")]
    #[diagnostic(
        code(runplan::cli::rehearsal_stopped),
        help("the throw-away server is gone; there is nothing to resume: rehearse again")
    )]
    RehearsalStopped,
    #[error("it was not accepted: {why}")]
    #[diagnostic(code(runplan::cli::refused), help("`runplan status {run}` shows what the run waits for"))]
    Refused { run: RunId, why: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stage(#[from] super::stage::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Drive(#[from] drive::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Post(#[from] drive::PostError),
}

fn unready(failure: &Failure) -> String {
    let help = failure.help.as_deref().map(|help| format!("{help}; ")).unwrap_or_default();
    format!("{help}nothing was done ({})", failure.code)
}

impl Error {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: None }
    }

    pub fn usage_with(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()) }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::Refused { .. } | Self::NeverBegan { .. } => Exit::Usage,
            Self::NotPrepared { .. } | Self::RehearsalStopped => Exit::Failed,
            Self::Unreadable { .. }
            | Self::NoRehearsal { .. }
            | Self::Invalid { .. }
            | Self::NotImported { .. }
            | Self::NotAmended { .. }
            | Self::Unusable { .. } => Exit::Invalid,
            Self::TargetHeld { .. } | Self::Moved { .. } => Exit::Held,
            Self::Unready { .. }
            | Self::NotReady { .. }
            | Self::RehearsalOver { .. }
            | Self::OtherDigest { .. }
            | Self::NotByTheRules { .. }
            | Self::NoSelf { .. }
            | Self::System { .. }
            | Self::OtherServer { .. }
            | Self::ClaimGone { .. }
            | Self::SetBack { .. }
            | Self::Stage(_)
            | Self::Unfit { .. } => Exit::Preflight,
            Self::Store(error) | Self::Post(drive::PostError::Journal(error)) => of_store(error),
            // What was done is known, and `resume` goes on.
            Self::Drive(drive::Error::Journal(_)) => Exit::Parked,
            Self::Drive(drive::Error::Impossible(_)) | Self::Post(drive::PostError::Impossible(_)) => {
                Exit::Bug
            }
        }
    }
}

fn of_store(error: &store::Error) -> Exit {
    use store::Error as E;
    match error {
        E::Held { .. } => Exit::Held,
        E::NoRun { .. } | E::Ambiguous { .. } | E::NoHome => Exit::Usage,
        _ => Exit::Preflight,
    }
}
