//! `runplan explain`.

use super::error::Error;
use super::exit::Exit;
use super::failure::{self, Failure, failures};
use crate::check::{Code, codes, explain};
use crate::plan::finding;
use crate::terminal::{Format, Screen, Tone};
use clap::Args;
use serde_json::{Value, json};

/// Explains a code: what it means and what to do; for a finding of `check`, an example that has it and one that has not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan explain runplan::check::unknown_need
  runplan explain unknown_need
  runplan explain store::held
  runplan explain                                every code")]
pub struct Explain {
    /// The code, or its last word; without it all are listed
    code: Option<String>,
}

impl Explain {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let Some(name) = self.code else {
            list(screen);
            return Ok(Exit::Done);
        };
        let failed = failure::meant(&name);
        // A last word may be of both sorts: then all are told.
        let found = explain(&name);
        if found.is_none() && failed.is_empty() {
            let words = codes().iter().map(|code| code.code.rsplit("::").next().unwrap_or_default());
            let help = finding::suggest(&name, words.chain(failures().iter().map(Failure::last_word)));
            return Err(Error::usage_with(format!("there is no explanation of `{name}`"), help));
        }
        match (found, failed.as_slice()) {
            (Some(code), []) => show(screen, code),
            (None, [one]) if screen.is_json() => screen.document(&of_failure(one)),
            (found, failed) if screen.is_json() => {
                let all = found.map(of_code).into_iter().chain(failed.iter().map(|one| of_failure(one)));
                let all: Vec<_> = all.collect();
                screen.document(&json!({ "format": 1, "codes": all }));
            }
            (found, failed) => {
                found.into_iter().for_each(|code| show(screen, code));
                failed.iter().for_each(|one| show_failure(screen, one));
            }
        }
        Ok(Exit::Done)
    }
}

fn of_code(code: &Code) -> Value {
    let Code { code: name, meaning, bad, good, remedy } = code;
    json!({
        "format": 1, "code": name, "meaning": meaning, "bad": bad.text, "good": good.text, "remedy": remedy,
    })
}

fn of_failure(failure: &Failure) -> Value {
    json!({ "format": 1, "code": failure.code, "meaning": failure.meaning, "remedy": failure.remedy })
}

fn show_failure(screen: &Screen, failure: &Failure) {
    let Failure { code, meaning, remedy } = failure;
    match screen.format {
        Format::Markdown => screen.line(&format!("## {code}\n\n{meaning}\n\n{remedy}\n")),
        _ => screen.line(&format!("{}\n\n{meaning}\n\n{remedy}\n", screen.paint().of(Tone::Strong, code))),
    }
}

fn list(screen: &Screen) {
    if screen.is_json() {
        let all: Vec<_> =
            every().into_iter().map(|(code, meaning)| json!({ "code": code, "meaning": meaning })).collect();
        return screen.document(&json!({ "format": 1, "codes": all }));
    }
    for (code, meaning) in every() {
        let first = meaning.lines().next().unwrap_or_default();
        screen.line(&format!("{}\n    {first}", screen.paint().of(Tone::Strong, code)));
    }
}

/// Every code and its meaning.
fn every() -> Vec<(&'static str, &'static str)> {
    let found = codes().iter().map(|code| (code.code, code.meaning));
    found.chain(failures().iter().map(|failure| (failure.code.as_str(), failure.meaning))).collect()
}

fn show(screen: &Screen, code: &Code) {
    let Code { code: name, meaning, bad, good, remedy } = code;
    match screen.format {
        Format::Json => screen.document(&of_code(code)),
        Format::Markdown => screen.line(&format!(
            "## {name}\n\n{meaning}\n\nWith the fault:\n\n```yaml\n{}\n```\n\nWithout it:\n\n```yaml\n{}\n```\n\n{remedy}",
            bad.text, good.text
        )),
        _ => {
            let paint = screen.paint();
            let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
            screen.line(&paint.of(Tone::Strong, name));
            screen.line(&format!("\n{meaning}\n"));
            screen.line(&format!("{}\n{}", paint.of(Tone::Bad, "with the fault"), block(bad.text)));
            screen.line(&format!("{}\n{}", paint.of(Tone::Good, "without it"), block(good.text)));
            screen.line(remedy);
        }
    }
}
