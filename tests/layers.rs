//! Holds the house's table of who may use whom. An import that is not in it fails here; change the table (here and in
//! `engine/lib.rs`) when the house should change, with the reason.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Module, and what it may use.
const TABLE: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("clock", &[]),
    // A test can kill the program where it cannot aim from outside.
    ("failpoint", &[]),
    ("plan", &["secret"]),
    ("sql", &[]),
    ("process", &["secret", "clock", "failpoint"]),
    ("graph", &["plan"]),
    ("run", &["plan", "graph", "sql"]),
    // A check and a review say what a step does to the world: that is the run's knowledge.
    ("check", &["plan", "graph", "sql", "run"]),
    ("review", &["plan", "graph", "sql", "run", "check"]),
    ("report", &["plan", "graph", "run", "review"]),
    ("postgres", &["secret", "process", "clock"]),
    ("steps", &["plan", "sql", "run", "postgres", "process", "clock", "secret"]),
    // Run ids are the plan's names; a lock says since when it is held.
    ("store", &["run", "postgres", "plan", "clock", "failpoint"]),
    ("drive", &["plan", "graph", "run", "steps", "store", "clock"]),
    // It is the driver's observer, and shows the steps' progress.
    ("terminal", &["plan", "check", "review", "run", "report", "drive", "steps", "clock"]),
    (
        "cli",
        &[
            "plan", "sql", "secret", "clock", "process", "graph", "check", "review", "run", "report",
            "postgres", "steps", "store", "drive", "terminal",
        ],
    ),
];

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a text names as `crate::x` or in `use crate::{x, y::z}`.
fn used(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut fresh = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => fresh = true,
                    c if fresh && depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
                    c if c.is_whitespace() => continue,
                    _ => fresh = false,
                }
                if !fresh && !word.is_empty() || c == ',' {
                    found.insert(std::mem::take(&mut word));
                }
            }
            found.insert(word);
        } else {
            found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.remove("");
    found
}

#[test]
fn dependencies_point_down() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine");
    let mut all = Vec::new();
    files(&engine, &mut all);
    let modules: BTreeSet<&str> = TABLE.iter().map(|(module, _)| *module).collect();
    let mut wrong = Vec::new();
    for path in all {
        let relative = path.strip_prefix(&engine).unwrap();
        let first = relative.iter().next().unwrap().to_string_lossy().into_owned();
        let module = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{} is in no module of the table", relative.display()));
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        for name in used(&text) {
            if modules.contains(name.as_str()) && name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} uses {name}, which {module} may not", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_map_shows_the_same_table() {
    let map = include_str!("../engine/lib.rs");
    for (module, allowed) in TABLE {
        let row = map
            .lines()
            .find_map(|line| line.strip_prefix(&format!("//! | {module} | ")))
            .unwrap_or_else(|| panic!("engine/lib.rs has no row for {module}"));
        let listed: BTreeSet<&str> = row
            .trim_end_matches(" |")
            .split([',', ' '])
            .filter(|word| !word.is_empty() && *word != "-")
            .collect();
        let known: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(listed, known, "the row of {module} in engine/lib.rs");
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::plan::Step;\nuse crate::{run, sql::{read, lex}};\nlet x = crate::store::open();";
    let found: Vec<String> = used(text).into_iter().collect();
    assert_eq!(found, ["plan", "run", "sql", "store"]);
}
