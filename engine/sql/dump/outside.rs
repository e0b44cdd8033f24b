//! What a dump's statement would do outside the database: files and programs of the server, other servers, other sessions.
//! Reads text; what is put together from pieces at run time it cannot see, so it must never be called a proof of harmlessness.

use super::super::lex::{Kind, Token, tokens};
use super::super::name::unquote;
use std::collections::BTreeSet;

/// Functions of PostgreSQL and of its own extensions that act on files, on other servers or on other sessions.
const CALLS: [&str; 33] = [
    "lo_import",
    "lo_export",
    "be_lo_import",
    "be_lo_export",
    "pg_read_file",
    "pg_read_file_v2",
    "pg_read_file_old",
    "pg_read_binary_file",
    "pg_stat_file",
    "pg_ls_dir",
    "pg_ls_logdir",
    "pg_ls_waldir",
    "pg_ls_tmpdir",
    "pg_ls_archive_statusdir",
    "pg_current_logfile",
    "pg_file_read",
    "pg_file_write",
    "pg_file_rename",
    "pg_file_unlink",
    "pg_file_sync",
    "pg_logdir_ls",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_promote",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_start_backup",
    "pg_stop_backup",
];

/// Languages in which a function can do whatever the server's own process may.
const LANGUAGES: [&str; 12] = [
    "c",
    "internal",
    "plpythonu",
    "plpython2u",
    "plpython3u",
    "plperlu",
    "pltclu",
    "plsh",
    "plr",
    "pljavau",
    "plluau",
    "plphpu",
];

/// How many strings within strings are looked into.
const DEEPEST: usize = 4;

/// What of a text acts outside the database, in words. `armed` are functions that were found to do so before.
pub(super) fn acts(text: &str, armed: &BTreeSet<String>) -> Option<String> {
    // Only in these are strings code; anywhere else they are rows and names.
    let all = tokens(text);
    let mut head = all.iter().filter(|token| !token.is_trivia()).take(4);
    let has_body = match head.next() {
        Some(first) if first.is_word(text, "DO") => true,
        Some(first) if first.is_word(text, "CREATE") => {
            head.any(|token| token.is_word(text, "FUNCTION") || token.is_word(text, "PROCEDURE"))
        }
        _ => false,
    };
    within(text, armed, if has_body { 0 } else { DEEPEST })
}

fn within(text: &str, armed: &BTreeSet<String>, depth: usize) -> Option<String> {
    let all = tokens(text);
    let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).collect();
    let word = |at: usize| spoken.get(at).and_then(|token| named(text, token));
    for (at, token) in spoken.iter().enumerate() {
        if let Some(inner) = quoted(text, token) {
            if depth < DEEPEST
                && let Some(found) = within(&inner, armed, depth + 1)
            {
                return Some(found);
            }
            continue;
        }
        let Some(name) = named(text, token) else { continue };
        let is_called = spoken.get(at + 1).is_some_and(|next| next.is_punct(text, '('));
        if is_called && is_outside(&name, armed) {
            return Some(name);
        }
        let next_language = || word(at + 1).or_else(|| quoted(text, spoken.get(at + 1)?));
        if name == "language"
            && let Some(language) = next_language().map(|name| name.to_ascii_lowercase())
            && LANGUAGES.contains(&language.as_str())
        {
            return Some(format!("language {language}"));
        }
        if name == "load" && spoken.get(at + 1).is_some_and(|next| quoted(text, next).is_some()) {
            return Some("LOAD".to_owned());
        }
        if name == "copy" && copies(text, spoken.get(at + 1..).unwrap_or_default()) {
            return Some("COPY with a program or a file of the server".to_owned());
        }
    }
    None
}

/// Whether a call of that function acts outside the database.
pub(super) fn is_outside(name: &str, armed: &BTreeSet<String>) -> bool {
    CALLS.contains(&name) || name.starts_with("dblink") || armed.contains(name)
}

/// Whether what follows COPY names a program or a file.
fn copies(text: &str, spoken: &[&Token]) -> bool {
    let mut depth = 0usize;
    for (at, token) in spoken.iter().enumerate() {
        match token.text(text) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            ";" => return false,
            word if depth == 0 && ["FROM", "TO"].iter().any(|way| word.eq_ignore_ascii_case(way)) => {
                let Some(place) = spoken.get(at + 1) else { return false };
                return place.text(text).eq_ignore_ascii_case("PROGRAM") || quoted(text, place).is_some();
            }
            _ => {}
        }
    }
    false
}

/// An identifier as the server reads it.
fn named(text: &str, token: &Token) -> Option<String> {
    match token.kind {
        Kind::Ident => Some(token.text(text).to_ascii_lowercase()),
        Kind::QuotedIdent => Some(unquote(token.text(text))),
        _ => None,
    }
}

/// What stands in a string.
fn quoted(text: &str, token: &Token) -> Option<String> {
    let written = token.text(text);
    match token.kind {
        Kind::String | Kind::EscapeString => {
            let start = written.find('\'')? + 1;
            let inner = written.get(start..)?;
            Some(inner.strip_suffix('\'').unwrap_or(inner).replace("''", "'"))
        }
        Kind::DollarString => {
            let tag = written.get(..=written.get(1..)?.find('$')? + 1)?;
            let inner = written.get(tag.len()..)?;
            Some(inner.strip_suffix(tag).unwrap_or(inner).to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_outside_is_found_wherever_it_is_written() {
        let armed = BTreeSet::from(["evil".to_owned()]);
        for (text, what) in [
            ("SELECT lo_export(1, '/tmp/x')", "lo_export"),
            ("SELECT pg_catalog.\"pg_read_file\" ('x')", "pg_read_file"),
            ("SELECT 1 FROM dblink_connect('host=x')", "dblink_connect"),
            ("DO $$BEGIN PERFORM LO_IMPORT('/etc/passwd'); END$$", "lo_import"),
            (
                "DO 'BEGIN EXECUTE ''COPY t TO PROGRAM ''''sh'''' ''; END'",
                "COPY with a program or a file of the server",
            ),
            (
                "DO $x$BEGIN COPY t (a, b) FROM '/etc/passwd'; END$x$",
                "COPY with a program or a file of the server",
            ),
            ("DO LANGUAGE plpython3u $$import os$$", "language plpython3u"),
            ("CREATE FUNCTION f() RETURNS int LANGUAGE 'plperlu' AS 'x'", "language plperlu"),
            ("CALL evil()", "evil"),
        ] {
            assert_eq!(acts(text, &armed).as_deref(), Some(what), "{text}");
        }
        for text in [
            "DO $$BEGIN -- dblink('x')\n RAISE NOTICE 'to program'; END$$",
            "UPDATE t SET note = 'SELECT lo_export(1)'",
            "COPY t (a) TO STDOUT",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$",
            "SELECT evil",
            "SELECT $",
            "DO $a",
        ] {
            assert_eq!(acts(text, &armed), None, "{text}");
        }
    }
}
