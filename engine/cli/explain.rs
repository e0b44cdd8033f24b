//! `runplan explain`.

use super::error::Error;
use super::exit::Exit;
use crate::check::{Code, codes, explain};
use crate::plan::finding;
use crate::terminal::{Format, Screen, Tone};
use clap::Args;
use serde_json::json;

/// Explains a code of `check`: what it means, an example that has the fault, one that has not, what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan explain runplan::check::unknown_need
  runplan explain unknown_need
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
        let Some(code) = explain(&name) else {
            let words = codes().iter().map(|code| code.code.rsplit("::").next().unwrap_or_default());
            let help = finding::suggest(&name, words);
            return Err(Error::usage_with(format!("there is no explanation of `{name}`"), help));
        };
        show(screen, code);
        Ok(Exit::Done)
    }
}

fn list(screen: &Screen) {
    if screen.is_json() {
        let all: Vec<_> =
            codes().iter().map(|code| json!({ "code": code.code, "meaning": code.meaning })).collect();
        return screen.document(&json!({ "format": 1, "codes": all }));
    }
    for code in codes() {
        let first = code.meaning.lines().next().unwrap_or_default();
        screen.line(&format!("{}\n    {first}", screen.paint().of(Tone::Strong, code.code)));
    }
}

fn show(screen: &Screen, code: &Code) {
    let Code { code: name, meaning, bad, good, remedy } = code;
    match screen.format {
        Format::Json => screen.document(&json!({
            "format": 1, "code": name, "meaning": meaning, "bad": bad.text, "good": good.text, "remedy": remedy,
        })),
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
