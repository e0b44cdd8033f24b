//! The words with which a person answers for something that the program cannot know: wanted before anything is done, and kept.
//! Must never take a blank for a reason, nor keep a secret.

use super::error::Error;
use crate::run::State;

/// What is answered for, by the option that says so, and what the reason is to tell.
const WANTED: [(&str, &str); 3] = [
    ("--reclaim", "say what you looked at, and that what the run did is there, for the report"),
    ("--without-head", "say how you know that nothing was cut off, for the report"),
    ("--takeover", "say why it goes on here, for the report"),
];

/// The reason that was given with an option, if it was.
///
/// # Errors
/// It is blank, or holds a secret of the run's plan.
pub fn given<'r>(option: &str, reason: Option<&'r str>, state: &State) -> Result<Option<&'r str>, Error> {
    let Some(reason) = reason else { return Ok(None) };
    prove(option, reason)?;
    super::post::prove_open(state, reason)?;
    Ok(Some(reason))
}

/// The same, while the run is not known yet.
///
/// # Errors
/// It is blank.
pub fn prove(option: &str, reason: &str) -> Result<(), Error> {
    if !reason.trim().is_empty() {
        return Ok(());
    }
    let help = WANTED.iter().find(|(known, _)| *known == option).map(|(_, help)| *help);
    Err(Error::usage_with(format!("`{option}` has no reason"), help.unwrap_or("say why, for the report")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_is_no_reason() {
        for (option, help) in WANTED {
            for blank in ["", " ", "\t\n"] {
                let Err(Error::Usage { message, help: said }) = prove(option, blank) else {
                    panic!("{option}")
                };
                assert_eq!((message, said.as_deref()), (format!("`{option}` has no reason"), Some(help)));
            }
            assert!(prove(option, "looked").is_ok());
        }
    }
}
