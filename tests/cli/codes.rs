//! Every code that the program can show is explained, once.

use crate::support::sandbox::Sandbox;
use runplan::check::codes;
use runplan::cli::failures;
use std::collections::BTreeSet;
use std::path::Path;

fn sources(directory: &Path, found: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
            found.push('\0');
        }
    }
}

/// The sources, file by file.
fn text() -> String {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("engine"), &mut text);
    text
}

/// `"runplan::a::b"`, `Concern::error("b"` and `code(runplan::a::b)`.
fn written() -> BTreeSet<String> {
    // What the tests of a file make up is no code of the program.
    let text: String =
        text().split('\0').map(|file| file.split("#[cfg(test)]").next().unwrap().to_owned()).collect();
    let mut found = BTreeSet::new();
    for begin in ["\"runplan::", "code(runplan::"] {
        for (at, _) in text.match_indices(begin) {
            let rest = &text[at + begin.len()..];
            let code: String =
                rest.chars().take_while(|c| c.is_ascii_lowercase() || "_:".contains(*c)).collect();
            let ends = rest[code.len()..].starts_with(['"', ')']);
            if ends && code.split("::").count() == 2 && !code.ends_with(':') {
                found.insert(format!("runplan::{code}"));
            }
        }
    }
    // Some families begin their codes by themselves.
    let families = [
        ("Concern::error(", "preflight"),
        ("Concern::warning(", "preflight"),
        (".concern(", "preflight"),
        ("unusable(", "archive"),
    ];
    for (begin, family) in families {
        for (at, _) in text.match_indices(begin) {
            let rest = text[at + begin.len()..].trim_start();
            let code = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
            found.extend(
                code.filter(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                    .map(|code| format!("runplan::{family}::{code}")),
            );
        }
    }
    found
}

#[test]
fn every_code_of_the_program_is_explained_once() {
    let all: Vec<String> = codes()
        .iter()
        .map(|code| code.code.to_owned())
        .chain(failures().iter().map(|failure| failure.code.clone()))
        .collect();
    let set: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "a code is explained twice");
    let written = written();
    assert!(written.len() > 200);
    let more: Vec<_> = written.difference(&set).collect();
    let less: Vec<_> = set.difference(&written).collect();
    assert!(more.is_empty(), "without an explanation (a line in engine/cli/codes.txt): {more:#?}");
    assert!(less.is_empty(), "explained, but nobody uses it: {less:#?}");
    for failure in failures() {
        assert!(failure.meaning.ends_with('.') && failure.remedy.ends_with('.'), "{}", failure.code);
    }
}

#[test]
fn a_code_is_explained_by_its_name_or_its_last_word() {
    let sandbox = Sandbox::new();
    sandbox.run("explain runplan::check::unknown_need").code(0).says("with the fault").says("without it");
    sandbox.run("explain unknown_need").code(0).says("runplan::check::unknown_need");
    sandbox.run("explain store::held").code(0).says("runplan::store::held").says("runplan stop");
    // A last word that several codes have: all of them.
    sandbox.run("explain held").code(0).says("runplan::store::held").says("runplan::target::held");
    let json = sandbox.run("explain store::held --format json").code(0).json();
    assert_eq!((&json["format"], &json["code"]), (&1.into(), &"runplan::store::held".into()));
    sandbox.run("explain unknown_ned").code(2).complains("did you mean `unknown_need`?");
    let all = sandbox.run("explain --format json").code(0).json();
    assert_eq!(all["codes"].as_array().unwrap().len(), codes().len() + failures().len());
    sandbox.run("explain").code(0).says("runplan::yaml::syntax").says("runplan::swap::refused");
}
