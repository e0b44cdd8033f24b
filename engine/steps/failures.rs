//! The errors of the layers below, as a step's failure: data that the journal keeps.

use crate::run::Failure;
use miette::Diagnostic;

/// Any diagnostic as a failure, with its code and help.
pub fn failure_of(error: &(impl Diagnostic + ?Sized)) -> Failure {
    let code = error.code().map_or_else(|| "runplan::step::failed".to_owned(), |code| code.to_string());
    let mut failure = Failure::new(code, error.to_string());
    failure.help = error.help().map(|help| help.to_string());
    failure
}

/// A file of the run that cannot be used.
pub fn file(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new("runplan::step::files", format!("{}: {error}", path.display()))
        .help("check that the state directory has room and may be written")
}
