//! What the first words of a dump's statement decide: pass it on, look at the whole of it first, or refuse it.
//! Works on text that was held back; it must never see a stream.

use super::super::lex::{Kind, Token, tokens};
use super::super::name::Object;
use super::outside;
use std::collections::BTreeSet;

/// What to do with a statement of which only the beginning is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More words are needed.
    More,
    Pass,
    /// Judge the whole statement when its semicolon has come.
    Whole,
    /// A CREATE: what it makes is noted when its semicolon has come; it is never too long for that.
    Definition,
    /// An INSERT: its table is named, and what comes now are the rows.
    Rows,
    Refuse(Why),
}

/// Why a statement is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    TransactionControl,
    Database,
    Server,
    Program,
    /// What it would act on, in words.
    Outside(String),
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
    /// The one that makes it.
    NewLargeObject,
    Refuse(Why),
}

/// Judges the first words, in upper case; `None` is a token that is not an unquoted word.
pub(super) fn judge(words: &[Option<String>]) -> Verdict {
    let word = |place: usize| words.get(place).map(|word| word.as_deref().unwrap_or(""));
    match (word(0), word(1)) {
        (None, _) => Verdict::More,
        (Some("BEGIN" | "COMMIT" | "COPY" | "SET" | "SELECT" | "GRANT" | "REVOKE"), _) => Verdict::Whole,
        // They run at once: what they call is looked at.
        (
            Some("DO" | "CALL" | "VALUES" | "WITH" | "UPDATE" | "DELETE" | "MERGE" | "EXECUTE" | "EXPLAIN"),
            _,
        )
        | (Some("DECLARE" | "TABLE" | "("), _) => Verdict::Whole,
        (Some("LOAD"), _) => Verdict::Refuse(Why::Outside("LOAD".to_owned())),
        (Some("END" | "ROLLBACK" | "ABORT" | "START" | "SAVEPOINT" | "RELEASE"), _) => {
            Verdict::Refuse(Why::TransactionControl)
        }
        (Some("PREPARE" | "CREATE" | "DROP" | "ALTER"), None) => Verdict::More,
        (Some("PREPARE"), Some("TRANSACTION")) => Verdict::Refuse(Why::TransactionControl),
        (Some("PREPARE"), Some(_)) => Verdict::Whole,
        (Some("CREATE" | "DROP" | "ALTER"), Some("DATABASE")) => Verdict::Refuse(Why::Database),
        (Some("CREATE" | "DROP" | "ALTER"), Some("USER")) => match word(2) {
            None => Verdict::More,
            Some("MAPPING") if word(0) == Some("CREATE") => Verdict::Definition,
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
        (Some("CREATE"), Some("POLICY" | "EXTENSION" | "SCHEMA" | "SUBSCRIPTION")) => Verdict::Whole,
        (Some("CREATE"), Some(_)) => Verdict::Definition,
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
    Object::parse(text.get(start..end?)?, start).map(|object| object.key())
}

/// Judges a whole statement, without its semicolon; `armed` are functions of the dump that act outside the database.
pub(super) fn judge_whole(text: &str, armed: &BTreeSet<String>) -> Whole {
    let all = tokens(text);
    let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).collect();
    let words: Vec<String> = spoken.iter().map(|token| token.text(text).to_ascii_uppercase()).collect();
    let at = |place: usize| words.get(place).map_or("", String::as_str);
    match at(0) {
        "BEGIN" if words.len() == 1 => Whole::Begin,
        "COMMIT" if words.len() == 1 => Whole::Commit,
        "BEGIN" | "COMMIT" => Whole::Refuse(Why::TransactionControl),
        "COPY" => match outside::acts(text, armed) {
            Some(what) if !what.starts_with("COPY") => Whole::Refuse(Why::Outside(what)),
            _ => copy(text, &words),
        },
        "SET" => set(&words),
        "SELECT" => match outside::acts(text, armed) {
            Some(what) => Whole::Refuse(Why::Outside(what)),
            None => select(&spoken, text),
        },
        "GRANT" | "REVOKE" => Whole::Pass,
        // The default of a column is only written down; rows of pg_dump bring their values.
        "ALTER" if !words.iter().any(|word| word == "USING") => Whole::Pass,
        "CREATE" if at(1) == "SUBSCRIPTION" && !stays_unconnected(&words) => {
            Whole::Refuse(Why::Outside("it connects to another server".to_owned()))
        }
        "CREATE" => Whole::Pass,
        _ => outside::acts(text, armed).map_or(Whole::Pass, |what| Whole::Refuse(Why::Outside(what))),
    }
}

/// `WITH (connect = false, ...)`, as pg_dump writes subscriptions.
fn stays_unconnected(words: &[String]) -> bool {
    let mut rest = words.iter().skip_while(|word| *word != "CONNECT").skip(1);
    rest.next().is_some_and(|word| word == "=")
        && rest.next().is_some_and(|word| matches!(word.trim_matches('\''), "FALSE" | "OFF" | "NO" | "0"))
}

/// Why a CREATE must not run: it calls at once what acts outside the database. Others only write it down.
pub(super) fn runs_at_once(text: &str) -> bool {
    let all = tokens(text);
    let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).collect();
    let mut depth = 0usize;
    let mut outer = Vec::new();
    for token in &spoken {
        match token.text(text) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            word if depth == 0 => outer.push(word.to_ascii_uppercase()),
            _ => {}
        }
    }
    let head = outer.get(..outer.len().min(6)).unwrap_or_default();
    let makes = |word: &str| head.iter().any(|one| one == word);
    let ends =
        |words: &[&str]| outer.ends_with(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    if makes("FUNCTION") || makes("PROCEDURE") || makes("TRIGGER") || makes("RULE") {
        return false;
    }
    match () {
        () if makes("MATERIALIZED") => !ends(&["WITH", "NO", "DATA"]),
        () if makes("VIEW") => false,
        () if makes("INDEX") => true,
        () if makes("TABLE") => outer.iter().any(|word| word == "AS"),
        () => false,
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
        (Some("FROM"), Some("STDIN" | "STDOUT")) => {
            if options.iter().any(foreign) || words.get(1).is_some_and(|word| word == "BINARY") {
                return Whole::Refuse(Why::CopyFormat);
            }
            table(text, 1).map_or(Whole::Refuse(Why::CopyFormat), Whole::Rows)
        }
        (_, Some("STDIN" | "STDOUT") | None) => Whole::Pass,
        // A file of the server, however its name is quoted.
        (_, Some(_)) => Whole::Refuse(Why::Program),
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
        true if function == "lo_create" => Whole::NewLargeObject,
        true => Whole::LargeObject,
        false => Whole::Pass,
    }
}
