//! The tables of what is refused, in docs/approvals.md and docs/recovery.md, and the texts of the sources that they must hold.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/approvals.md");
const RECOVERY: &str = include_str!("../../docs/recovery.md");

/// A row: its name, and the message, where `<...>` stands for something.
pub struct Row {
    pub name: &'static str,
    message: &'static str,
}

impl Row {
    /// The text says the message, whatever stands in the places of `<...>`.
    pub fn fits(&self, text: &str) -> bool {
        regex::Regex::new(&format!("^{}$", pattern(&plain(self.message)))).unwrap().is_match(text)
    }
}

/// The rows of the first or the second table.
pub fn table(number: usize) -> Vec<Row> {
    let rows = rows(PAGE, number);
    assert!(rows.len() > 15);
    rows
}

/// The rows of the table about what keeps a run from going on.
pub fn recovery() -> Vec<Row> {
    rows(RECOVERY, 0)
}

fn rows(page: &'static str, number: usize) -> Vec<Row> {
    let table = page.split("| Row | When | What is said |").nth(number + 1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    rows.map(|line| {
        let (name, rest) = line.trim_start_matches("| ").split_once(" | ").unwrap();
        let message = rest.split_once("`` ").unwrap().1.split_once(" ``").unwrap().0;
        Row { name, message }
    })
    .collect()
}

/// What was really said belongs to exactly these rows, and no row is left over.
#[track_caller]
pub fn prove(number: usize, said: &[(&str, String)]) {
    prove_rows(&table(number), said);
}

#[track_caller]
pub fn prove_rows(rows: &[Row], said: &[(&str, String)]) {
    for (name, text) in said {
        let row =
            rows.iter().find(|row| row.name == *name).unwrap_or_else(|| panic!("no row {name}: {text}"));
        assert!(row.fits(text), "{name}\n  table: {}\n  said:  {text}", row.message);
    }
    let untried: Vec<_> = rows
        .iter()
        .filter(|row| said.iter().all(|(name, _)| *name != row.name))
        .map(|row| row.name)
        .collect();
    assert!(untried.is_empty(), "rows that nothing has said: {untried:?}");
}

/// Every refusal that these sources hold is a row: a text of several words which an error is made of. But for these,
/// which are asked again, or of a key that cannot be read here at all.
#[track_caller]
pub fn prove_complete(number: usize, sources: &[&str], but: &[&str]) {
    let rows = table(number);
    let texts: BTreeSet<String> = sources.iter().flat_map(|source| texts(source)).collect();
    assert!(texts.len() > 10, "{texts:#?}");
    let missing: Vec<_> = texts
        .iter()
        .filter(|text| !but.contains(&text.as_str()))
        .filter(|text| !rows.iter().any(|row| pattern(text).is_match(&plain(row.message))))
        .collect();
    assert!(missing.is_empty(), "refusals that docs/approvals.md does not tell: {missing:#?}");
}

/// Whatever may stand in the places of the one sign.
fn pattern(text: &str) -> regex::Regex {
    regex::Regex::new(&text.split('…').map(regex::escape).collect::<Vec<_>>().join(".+")).unwrap()
}

/// Each `<...>` as one sign.
fn plain(message: &str) -> String {
    regex::Regex::new("<[a-z]+>").unwrap().replace_all(message, "…").into_owned()
}

/// The strings of which refusals are made, each `{...}` as one sign.
fn texts(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let begins = [
        r"Err\(",
        r"Err\(format!\(",
        r"map_err\(\|error\| format!\(",
        r"Error::usage\(",
        r"Error::usage_with\(",
        r"Error::usage_with\(\s*format!\(",
        r"Error::usage\(format!\(",
        r"#\[error\(",
        r"refuse\(\s*step(?:\.clone\(\))?,\s*actor,",
        r"refuse\(\s*step(?:\.clone\(\))?,\s*actor,\s*format!\(",
        r"const [A-Z_]+: &str =",
        r"None => format!\(",
        r"Some\(owner\) => format!\(",
        r"why:",
    ];
    let wanted = format!(r#"(?:{})\s*"((?:[^"\\]|\\.)*)""#, begins.join("|"));
    let holes = regex::Regex::new(r"\{[^}]*\}").unwrap();
    regex::Regex::new(&wanted)
        .unwrap()
        .captures_iter(source)
        .map(|found| holes.replace_all(&found[1], "…").into_owned())
        .filter(|text| text.contains(' '))
        .collect()
}
