//! What a program printed, as outputs. Must never hand on a named output in which a secret was blotted out.

use super::super::expectation::look_up;
use crate::plan::Table;
use crate::plan::action::shell::Take;
use crate::process::{Captured, Exit};
use crate::run::{Failure, Outputs};
use serde_json::Value;
use std::io::Read;

/// So much of each stream is kept in the outputs.
const LARGEST: usize = 64 * 1024;
/// So much of stdout is searched for named outputs.
const SEARCHED: u64 = 8 << 20;
/// JSON over this size is not kept as an output.
const LARGEST_JSON: usize = 256 * 1024;
/// So much of the last lines of each stream is quoted.
const LONGEST_WORDS: usize = 400;
/// What stands where a secret stood.
const MASK: &str = "[redacted]";

/// The outputs of a program that succeeded.
///
/// # Errors
/// A named output that is not there, or that held a secret.
pub fn outputs(exit: &Exit, named: &Table<Take>) -> Result<Outputs, Failure> {
    let mut outputs = plain(exit);
    if named.is_empty() {
        return Ok(outputs);
    }
    let stdout = whole(&exit.stdout);
    let json = parse(&stdout);
    for (name, take) in named {
        let value = taken(take, &stdout, json.as_ref())
            .map_err(|why| failed(&format!("the output `{}` cannot be taken: {why}", name.value)))?;
        if value.to_string().contains(MASK) {
            return Err(failed(&format!("the output `{}` holds a secret", name.value))
                .help("take something else, or let the program print it without the secret"));
        }
        outputs.insert(name.value.clone(), value);
    }
    Ok(outputs)
}

/// It did its work: trying it again by itself would do it twice.
fn failed(message: &str) -> Failure {
    Failure::new("runplan::shell::output", format!("the program succeeded, but {message}")).permanent()
}

/// Those that every program has.
pub fn plain(exit: &Exit) -> Outputs {
    let mut outputs = Outputs::new();
    outputs.insert("exit_code".to_owned(), exit.code.map_or(Value::Null, Value::from));
    outputs.insert("stdout".to_owned(), ends(&exit.stdout).into());
    outputs.insert("stderr".to_owned(), ends(&exit.stderr).into());
    let json = match exit.stdout.bytes <= LARGEST_JSON as u64 {
        true => parse(&whole(&exit.stdout)),
        false => None,
    };
    outputs.insert("json".to_owned(), json.unwrap_or_default());
    outputs
}

/// An object or a list; a lone number or word is a text like any other.
pub fn parse(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// All of a stream, up to what is searched.
pub fn whole(stream: &Captured) -> String {
    let kept = stream.head.len() + stream.tail.len();
    if stream.bytes <= kept as u64 {
        return format!("{}{}", stream.head, stream.tail);
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&stream.path).and_then(|file| file.take(SEARCHED).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => stream.text(),
    }
}

/// Beginning and end of what is too long.
fn ends(stream: &Captured) -> String {
    let text = stream.text();
    if text.len() <= LARGEST {
        return text;
    }
    let head = text.floor_char_boundary(LARGEST / 2);
    let tail = text.ceil_char_boundary(text.len() - LARGEST / 2);
    format!(
        "{}\n[{} bytes left out; the output is in {}]\n{}",
        &text[..head],
        stream.bytes.saturating_sub((head + text.len() - tail) as u64),
        stream.path.display(),
        &text[tail..]
    )
}

fn taken(take: &Take, stdout: &str, json: Option<&Value>) -> Result<Value, String> {
    match (&take.json, &take.regex) {
        (Some(path), None) => {
            let json = json.ok_or("stdout is not JSON")?;
            look_up(json, path).cloned().ok_or_else(|| format!("there is no `{path}` in the JSON"))
        }
        (None, Some(pattern)) => {
            let regex = regex::Regex::new(&pattern.value).map_err(|_| "the regular expression is wrong")?;
            let found =
                regex.captures(stdout).ok_or_else(|| format!("nothing matches /{}/", pattern.value))?;
            let text = found.get(1).or_else(|| found.get(0)).map_or("", |found| found.as_str());
            Ok(text.into())
        }
        _ => Err("give either `json` or `regex`".to_owned()),
    }
}

/// Where all that a program printed is.
pub fn files(exit: &Exit) -> String {
    let full = [&exit.stdout, &exit.stderr].into_iter().filter(|stream| stream.bytes > 0);
    let paths: Vec<String> = full.map(|stream| stream.path.display().to_string()).collect();
    match paths.is_empty() {
        true => "it printed nothing".to_owned(),
        false => format!("its output is in {}", paths.join(" and ")),
    }
}

/// Why a program failed, from what it printed last: many say it on stdout, and something else on stderr.
pub fn last_words(exit: &Exit) -> String {
    let of = |stream: &Captured| {
        let text = if stream.tail.trim().is_empty() { &stream.head } else { &stream.tail };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last: Vec<&str> =
            lines.iter().skip(lines.len().saturating_sub(3)).map(|line| line.trim()).collect();
        let words = last.join(" / ");
        // The reason stands last.
        let start = words.ceil_char_boundary(words.len().saturating_sub(LONGEST_WORDS));
        let more = if start > 0 { "... " } else { "" };
        format!("{more}{}", words.get(start..).unwrap_or_default())
    };
    let (stderr, stdout) = (of(&exit.stderr), of(&exit.stdout));
    match (stderr.is_empty(), stdout.is_empty()) {
        (false, false) => format!("{stderr} (on stdout: {stdout})"),
        (false, true) => stderr,
        (true, _) => stdout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_are_taken_from_json_and_text() {
        let stdout = r#"{"deployment": {"id": "d-1", "tries": [3]}}"#;
        let json = parse(stdout);
        let path = |path: &str| Take { json: Some(path.to_owned()), regex: None };
        assert_eq!(taken(&path("deployment.id"), stdout, json.as_ref()), Ok(json!("d-1")));
        assert_eq!(taken(&path("deployment.tries.0"), stdout, json.as_ref()), Ok(json!(3)));
        assert!(taken(&path("deployment.none"), stdout, json.as_ref()).is_err());
        assert!(taken(&path("a"), "plain", parse("plain").as_ref()).is_err());
        let regex = |regex: &str| Take { json: None, regex: Some(crate::plan::Sp::made(regex.to_owned())) };
        assert_eq!(taken(&regex(r"version (\d+)"), "a version 12 b", None), Ok(json!("12")));
        assert_eq!(taken(&regex(r"v\w+"), "a version", None), Ok(json!("version")));
        assert!(taken(&regex("x"), "a", None).is_err());
    }
}
