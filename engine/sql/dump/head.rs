//! What the first words of a dump's statement decide: pass it on, look at the whole of it first, or refuse it.
//! Works on text that was held back; it must never see a stream.

use super::super::lex::{Kind, Token, tokens};
use super::super::name::Object;

/// What to do with a statement of which only the beginning is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More words are needed.
    More,
    Pass,
    /// Judge the whole statement when its semicolon has come.
    Whole,
    /// An INSERT: its table is named, and what comes now are the rows.
    Rows,
    Refuse(Why),
}

/// Why a statement is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    TransactionControl,
    Database,
    Server,
    Program,
    CopyFormat,
    Quoting,
    Encoding,
}

/// What a whole statement turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whole {
    Pass,
    /// COPY ... FROM stdin into this table: rows follow on the next line.
    Rows(String),
    /// `BEGIN;`, which pg_dump writes before large objects.
    Begin,
    Commit,
    /// A call of one of the functions that write a large object.
    LargeObject,
    Refuse(Why),
}

/// Judges the first words, in upper case; `None` is a token that is not an unquoted word.
pub(super) fn judge(words: &[Option<String>]) -> Verdict {
    let word = |place: usize| words.get(place).map(|word| word.as_deref().unwrap_or(""));
    match (word(0), word(1)) {
        (None, _) => Verdict::More,
        (Some("BEGIN" | "COMMIT" | "COPY" | "SET" | "SELECT" | "GRANT" | "REVOKE"), _) => Verdict::Whole,
        (Some("END" | "ROLLBACK" | "ABORT" | "START" | "SAVEPOINT" | "RELEASE"), _) => {
            Verdict::Refuse(Why::TransactionControl)
        }
        (Some("PREPARE" | "CREATE" | "DROP" | "ALTER"), None) => Verdict::More,
        (Some("PREPARE"), Some("TRANSACTION")) => Verdict::Refuse(Why::TransactionControl),
        (Some("CREATE" | "DROP" | "ALTER"), Some("DATABASE")) => Verdict::Refuse(Why::Database),
        (Some("CREATE" | "DROP" | "ALTER"), Some("USER")) => match word(2) {
            None => Verdict::More,
            Some("MAPPING") => Verdict::Pass,
            Some(_) => Verdict::Refuse(Why::Server),
        },
        (Some("CREATE" | "DROP" | "ALTER"), Some("ROLE" | "GROUP" | "TABLESPACE" | "SYSTEM")) => {
            Verdict::Refuse(Why::Server)
        }
        (Some("REASSIGN"), None) => Verdict::More,
        (Some("DROP" | "REASSIGN"), Some("OWNED")) => Verdict::Refuse(Why::Server),
        // They may name roles; of what is created, only these do.
        (Some("ALTER"), _) => Verdict::Whole,
        (Some("CREATE"), Some("POLICY" | "EXTENSION" | "SCHEMA")) => Verdict::Whole,
        (Some("INSERT"), _) => insert(words),
        _ => Verdict::Pass,
    }
}

/// INSERT INTO name: the name is over when something follows it that is not a dot and does not follow one.
fn insert(words: &[Option<String>]) -> Verdict {
    // Dots and quoted names are both `None`: a name is at most name . name . name.
    let after_name = words.iter().skip(2).position(|word| {
        word.as_deref().is_some_and(|word| {
            matches!(word, "(" | "VALUES" | "DEFAULT" | "OVERRIDING" | "SELECT" | "AS" | "TABLE" | "WITH")
        })
    });
    match after_name {
        Some(_) => Verdict::Rows,
        None if words.len() > 8 => Verdict::Pass,
        None => Verdict::More,
    }
}

/// The table that the held part of an INSERT or COPY names after the words before it.
pub(super) fn table(text: &str, skip: usize) -> Option<String> {
    let all = tokens(text);
    let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).skip(skip).collect();
    let mut end = None;
    for (place, token) in spoken.iter().enumerate() {
        let named = matches!(token.kind, Kind::Ident | Kind::QuotedIdent);
        match place % 2 == 0 {
            true if named => end = Some(token.range.end),
            false if token.is_punct(text, '.') => {}
            _ => break,
        }
    }
    let start = spoken.first()?.range.start;
    Object::parse(text.get(start..end?)?, start).map(|object| object.to_string())
}

/// Judges a whole statement that starts with BEGIN, COMMIT, COPY, SET or SELECT; without its semicolon.
pub(super) fn judge_whole(text: &str) -> Whole {
    let all = tokens(text);
    let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).collect();
    let words: Vec<String> = spoken.iter().map(|token| token.text(text).to_ascii_uppercase()).collect();
    let at = |place: usize| words.get(place).map_or("", String::as_str);
    match at(0) {
        "BEGIN" if words.len() == 1 => Whole::Begin,
        "COMMIT" if words.len() == 1 => Whole::Commit,
        "BEGIN" | "COMMIT" => Whole::Refuse(Why::TransactionControl),
        "COPY" => copy(text, &words),
        "SET" => set(&words),
        "SELECT" => select(&spoken, text),
        _ => Whole::Pass,
    }
}

fn copy(text: &str, words: &[String]) -> Whole {
    let mut depth = 0usize;
    let mut way = None;
    for (place, word) in words.iter().enumerate() {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "FROM" | "TO" if depth == 0 => {
                way = Some(place);
                break;
            }
            _ => {}
        }
    }
    let Some(way) = way else { return Whole::Pass };
    let options = words.get(way + 2..).unwrap_or_default();
    let foreign = |word: &String| {
        matches!(word.trim_matches(['\'', '"']), "CSV" | "BINARY" | "HEADER" | "FORMAT")
            && word.as_str() != "'TEXT'"
    };
    let source = (words.get(way).map(String::as_str), words.get(way + 1).map(String::as_str));
    match source {
        (_, Some("PROGRAM")) => Whole::Refuse(Why::Program),
        (_, Some(file)) if file.starts_with(['\'', 'E', 'e', '$']) && file.contains('\'') => {
            Whole::Refuse(Why::Program)
        }
        (Some("FROM"), Some("STDIN" | "STDOUT")) => {
            if options.iter().any(foreign) || words.get(1).is_some_and(|word| word == "BINARY") {
                return Whole::Refuse(Why::CopyFormat);
            }
            table(text, 1).map_or(Whole::Refuse(Why::CopyFormat), Whole::Rows)
        }
        _ => Whole::Pass,
    }
}

/// Encodings in which a byte that looks like a backslash may be half of a character.
const UNSAFE_ENCODINGS: [&str; 11] = [
    "SJIS",
    "MSKANJI",
    "SHIFTJIS",
    "WIN932",
    "WINDOWS932",
    "SHIFTJIS2004",
    "BIG5",
    "WIN950",
    "GBK",
    "UHC",
    "GB18030",
];

fn set(words: &[String]) -> Whole {
    let names = words.iter().skip(1).take(2).map(|word| word.trim_matches('"').to_ascii_uppercase());
    let scoped = matches!(words.get(1).map(String::as_str), Some("SESSION" | "LOCAL"));
    let Some(name) = names.into_iter().nth(usize::from(scoped)) else { return Whole::Pass };
    let value = words.last().map(|value| value.trim_matches(['\'', '"']).to_owned()).unwrap_or_default();
    let letters: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    match name.as_str() {
        "TRANSACTION" | "CHARACTERISTICS" => Whole::Refuse(Why::TransactionControl),
        "STANDARD_CONFORMING_STRINGS" if !matches!(value.as_str(), "ON" | "TRUE" | "YES" | "1") => {
            Whole::Refuse(Why::Quoting)
        }
        "CLIENT_ENCODING" | "NAMES" if letters == "JOHAB" || UNSAFE_ENCODINGS.contains(&letters.as_str()) => {
            Whole::Refuse(Why::Encoding)
        }
        _ => Whole::Pass,
    }
}

/// `SELECT pg_catalog.set_config(...)` stands in every dump; it must not touch how strings end.
fn select(spoken: &[&Token], text: &str) -> Whole {
    let says =
        |token: &&&Token, word: &str| token.text(text).trim_matches(['\'', '"']).eq_ignore_ascii_case(word);
    let named = |word: &str| spoken.iter().any(|token| says(&token, word));
    if named("set_config") && (named("standard_conforming_strings") || named("client_encoding")) {
        return Whole::Refuse(Why::Quoting);
    }
    const LARGE_OBJECT: [&str; 5] = ["lo_open", "lowrite", "lo_close", "lo_create", "lo_lseek64"];
    let function = spoken.get(3).map_or("", |token| token.text(text));
    match LARGE_OBJECT.contains(&function) {
        true => Whole::LargeObject,
        false => Whole::Pass,
    }
}
