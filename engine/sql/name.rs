//! Names of database objects as PostgreSQL understands them: folded, unquoted, cut to 63 bytes.
//! It must never resolve a name: which schema an unqualified name means is the server's knowledge.

use std::fmt;
use std::ops::Range;

use super::lex::{Kind, tokens};

/// The longest identifier in bytes; PostgreSQL silently cuts longer ones.
pub const MAX_IDENTIFIER: usize = 63;

/// An object that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The parts of the name, outermost first: `["public", "users"]`. Never empty; unquoted.
    pub name: Vec<String>,
    /// The name's place in the text that was read.
    pub range: Range<usize>,
    /// False for an unqualified name after the search path was changed in the same script: nobody can tell
    /// from the text which object it is.
    pub resolved: bool,
}

impl Object {
    /// Reads a dotted name such as `public."Us""ers"`; nothing when the text is no name.
    pub fn parse(text: &str, start: usize) -> Option<Object> {
        let mut name = Vec::new();
        let mut after_name = false;
        for token in tokens(text).iter().filter(|token| !token.is_trivia()) {
            match token.kind {
                Kind::Ident | Kind::QuotedIdent if !after_name => name.push(unquote(token.text(text))),
                Kind::Punct if after_name && token.is_punct(text, '.') => {}
                _ => return None,
            }
            after_name = !after_name;
        }
        let range = start..start + text.len();
        after_name.then_some(Object { name, range, resolved: true })
    }

    /// The object's own name, without its schema.
    pub fn local_name(&self) -> &str {
        self.name.last().map_or("", String::as_str)
    }

    /// The schema as it was written.
    pub fn schema(&self) -> Option<&str> {
        let before_last = self.name.len().checked_sub(2)?;
        self.name.get(before_last).map(String::as_str)
    }
}

/// The parts joined by dots, without quotes: for people and for comparison, not for SQL.
impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name.join("."))
    }
}

impl Object {
    /// By which its rows are counted: as it is shown, but a part with a dot in it stands in quotes, so that no two tables
    /// have one key.
    pub fn key(&self) -> String {
        let part = |part: &String| match part.contains('.') || part.starts_with('"') {
            true => format!("\"{}\"", part.replace('"', "\"\"")),
            false => part.clone(),
        };
        self.name.iter().map(part).collect::<Vec<_>>().join(".")
    }
}

/// Schema and name of a table from its key. One without quotes, or of an older version, ends its schema at the first dot.
pub fn parts_of(key: &str) -> (Option<String>, String) {
    let quoted = |text: &str| -> Option<usize> {
        let inside = text.strip_prefix('"')?.replace("\"\"", "__");
        inside.find('"').map(|end| end + 2)
    };
    let plain = |text: &str| match quoted(text) {
        Some(end) if end == text.len() => text[1..end - 1].replace("\"\"", "\""),
        _ => text.to_owned(),
    };
    let end = quoted(key).or_else(|| key.find('.')).unwrap_or(key.len());
    match key[end..].strip_prefix('.') {
        Some(name) => (Some(plain(&key[..end])), plain(name)),
        None => (None, plain(key)),
    }
}

/// Whether a key is of the table that is asked for: `users` is one of any schema, `public.users` just that one.
pub fn is_called(key: &str, wanted: &str) -> bool {
    let (schema, name) = parts_of(key);
    key == wanted || name == wanted || schema.is_some_and(|schema| format!("{schema}.{name}") == wanted)
}

/// The identifier that `written` means: folded to lower case, or unquoted, then cut to what PostgreSQL keeps.
pub fn unquote(written: &str) -> String {
    let body = written.strip_suffix('"').and_then(|opened| opened.split_once('"'));
    let mut name = match body {
        Some(("", body)) => body.replace("\"\"", "\""),
        Some((_, body)) => unescape_unicode(&body.replace("\"\"", "\"")),
        None => written.to_ascii_lowercase(),
    };
    let mut end = name.len().min(MAX_IDENTIFIER);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// `\0061` and `\+000061` of `U&"..."`; an escape that is none stays as it is.
fn unescape_unicode(body: &str) -> String {
    let mut name = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('\\') {
        name.push_str(before);
        let (digits, skip) = match after.strip_prefix('+') {
            Some(_) => (after.get(1..7), 7),
            None => (after.get(..4), 4),
        };
        let escaped = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        rest = match (escaped, after.strip_prefix('\\')) {
            (Some(escaped), _) => {
                name.push(escaped);
                after.get(skip..).unwrap_or_default()
            }
            (None, Some(after)) => {
                name.push('\\');
                after
            }
            (None, None) => {
                name.push('\\');
                after
            }
        };
    }
    name + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_have_one_key() {
        for (written, key, schema, name) in [
            ("public.users", "public.users", Some("public"), "users"),
            (r#""a.b".c"#, r#""a.b".c"#, Some("a.b"), "c"),
            (r#"a."b.c""#, r#"a."b.c""#, Some("a"), "b.c"),
            (r#""x""y."."""z""#, r#""x""y."."""z""#, Some("x\"y."), "\"z"),
            (r#"public."we""ird""#, r#"public.we"ird"#, Some("public"), "we\"ird"),
            ("users", "users", None, "users"),
        ] {
            assert_eq!(Object::parse(written, 0).unwrap().key(), key);
            assert_eq!(parts_of(key), (schema.map(str::to_owned), name.to_owned()), "{key}");
        }
        assert_eq!(parts_of("a.b.c"), (Some("a".to_owned()), "b.c".to_owned()), "of an older version");
        assert!(is_called(r#""a.b".c"#, "c") && is_called(r#""a.b".c"#, "a.b.c"));
        assert!(!is_called(r#"a."b.c""#, "c") && !is_called("public.users", "public"));
    }
}
