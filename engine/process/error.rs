//! What can go wrong about a program before it runs, or about watching it. A program's own failure is an `Exit`.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("there is no program to run: argv is empty")]
    #[diagnostic(code(runplan::process::empty), help("give argv at least the name of a program"))]
    Empty,

    #[error("program {program} is not on PATH")]
    #[diagnostic(
        code(runplan::process::not_found),
        help("install {program}, or add its directory to PATH (searched: {path})")
    )]
    NotFound { program: String, path: String },

    #[error("{} cannot be run: {reason}", path.display())]
    #[diagnostic(code(runplan::process::not_a_program), help("check the path of the program"))]
    NotAProgram { path: PathBuf, reason: String },

    #[error("the working directory {} cannot be used: {reason}", path.display())]
    #[diagnostic(code(runplan::process::working_directory), help("create the directory, or change `cwd`"))]
    WorkingDirectory { path: PathBuf, reason: String },

    #[error("{} cannot be read as standard input: {reason}", path.display())]
    #[diagnostic(code(runplan::process::stdin), help("check the path and the permissions of the file"))]
    Stdin { path: PathBuf, reason: String },

    #[error("{program} could not be started: {reason}")]
    #[diagnostic(
        code(runplan::process::not_started),
        help("nothing was run; check that the file is a program that this user may execute")
    )]
    NotStarted { program: String, reason: String },

    #[error("attempt {key} was started before")]
    #[diagnostic(
        code(runplan::process::started_before),
        help("ask what became of it, and use another key for another attempt")
    )]
    StartedBefore { key: String },

    #[error("{key:?} cannot name an attempt")]
    #[diagnostic(
        code(runplan::process::key),
        help("use 1 to 200 letters, digits, dots, dashes and underscores, not beginning with a dot")
    )]
    Key { key: String },

    #[error("the request is larger than {limit} bytes")]
    #[diagnostic(code(runplan::process::too_large), help("pass the input as a file"))]
    TooLarge { limit: usize },

    #[error("{} cannot be used", path.display())]
    #[diagnostic(
        code(runplan::process::directory),
        help("check that the state directory exists, has room and may be written")
    )]
    Directory { path: PathBuf, source: io::Error },

    #[error("the supervisor {} could not be started", exe.display())]
    #[diagnostic(
        code(runplan::process::supervisor),
        help("check that the runplan program is still where it was")
    )]
    Supervisor { exe: PathBuf, source: io::Error },

    #[error("the supervisor in {} does not answer: {reason}", directory.display())]
    #[diagnostic(
        code(runplan::process::silent),
        help(
            "it may be stopped (SIGSTOP) or of another version; its log is supervisor.log in that directory"
        )
    )]
    Silent { directory: PathBuf, reason: String },

    #[error("the supervisor died while {key} was under way")]
    #[diagnostic(
        code(runplan::process::supervisor_died),
        help("resume the run: what is left of the attempt is ended, and its outcome settled")
    )]
    SupervisorDied { key: String },

    #[error("the record {} cannot be read: {reason}", path.display())]
    #[diagnostic(code(runplan::process::record), help("look at the file, then resolve the step by hand"))]
    Record { path: PathBuf, reason: String },

    #[error("the output {} cannot be read", path.display())]
    #[diagnostic(code(runplan::process::output), help("check the state directory"))]
    Output { path: PathBuf, source: io::Error },

    #[error("something of attempt {key} is still alive: {evidence}")]
    #[diagnostic(code(runplan::process::survivors), help("end it by hand, then resume"))]
    Survivors { key: String, evidence: String },
}
