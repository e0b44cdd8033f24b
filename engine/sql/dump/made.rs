//! What a CREATE of a dump makes, as far as a restore over something must know: the schemas that things are made in, and
//! what belongs to the database and to no schema. Reads text; must never guess a name.

use super::super::lex::{Kind, Token, tokens};
use super::super::name::unquote;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What there is once in a database, in PostgreSQL's words for it.
pub const KINDS: [&str; 8] = [
    "event trigger",
    "foreign data wrapper",
    "server",
    "publication",
    "subscription",
    "cast",
    "access method",
    "user mapping",
];

/// What a dump makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// In which it makes something, or which it makes.
    #[serde(default)]
    pub schemas: BTreeSet<String>,
    /// What belongs to no schema: one of `KINDS`, and its name; of a cast `(a AS b)`, of a user mapping `role for server`.
    #[serde(default)]
    pub objects: BTreeSet<(String, String)>,
    #[serde(default)]
    pub large_objects: u64,
    /// What it defines that can act outside the database: `function public.f (dblink)`.
    #[serde(default)]
    pub outside: BTreeSet<String>,
}

impl Made {
    /// Takes note of a whole CREATE statement.
    pub(super) fn read(&mut self, text: &str) {
        let all = tokens(text);
        let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).collect();
        let words = Words { text, spoken: &spoken };
        for kind in KINDS {
            if let Some(name) = words.object(kind) {
                self.objects.insert((kind.to_owned(), name));
                return;
            }
        }
        if words.are(1, &["SCHEMA"]) {
            self.schemas.extend(words.name(words.after_if(2)));
        } else if !words.are(1, &["EXTENSION"]) && !words.are(1, &["CAST"]) {
            self.schemas.extend(words.schema());
        }
    }
}

/// How much of a statement's beginning names what it makes.
const HEAD: usize = 24;

/// `schema.name` of what is made, for a message.
pub(super) fn label(text: &str) -> (String, String) {
    let all = tokens(text);
    let spoken: Vec<&Token> = all.iter().filter(|token| !token.is_trivia()).take(HEAD).collect();
    let words = Words { text, spoken: &spoken };
    let mut at = 1;
    while words.are(at, &["OR"]) || words.are(at, &["REPLACE"]) {
        at += 1;
    }
    let mut kind = Vec::new();
    while let Some(word) =
        ["MATERIALIZED", "VIEW", "FUNCTION", "PROCEDURE", "RULE", "TRIGGER", "CONSTRAINT", "TABLE", "INDEX"]
            .iter()
            .find(|word| words.are(at, &[word]))
    {
        kind.push(word.to_ascii_lowercase());
        at += 1;
    }
    let first = words.name(at).unwrap_or_default();
    let name = match words.spoken.get(at + 1).is_some_and(|token| token.is_punct(text, '.')) {
        true => words.name(at + 2).unwrap_or_default(),
        false => first.clone(),
    };
    let whole = if name == first { name.clone() } else { format!("{first}.{name}") };
    let kind = if kind.is_empty() { "object".to_owned() } else { kind.join(" ") };
    (format!("{kind} {whole}"), name)
}

struct Words<'a> {
    text: &'a str,
    spoken: &'a [&'a Token],
}

impl Words<'_> {
    fn are(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(more, word)| {
            self.spoken.get(at + more).is_some_and(|token| token.is_word(self.text, word))
        })
    }

    fn after_if(&self, at: usize) -> usize {
        if self.are(at, &["IF", "NOT", "EXISTS"]) { at + 3 } else { at }
    }

    fn name(&self, at: usize) -> Option<String> {
        let token = self.spoken.get(at)?;
        match token.kind {
            Kind::Ident => Some(token.text(self.text).to_ascii_lowercase()),
            Kind::QuotedIdent => Some(unquote(token.text(self.text))),
            _ => None,
        }
    }

    /// The name of one of `KINDS`, if the statement makes it.
    fn object(&self, kind: &str) -> Option<String> {
        let wanted: Vec<String> = kind.split(' ').map(str::to_ascii_uppercase).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        if !self.are(1, &wanted) {
            return None;
        }
        let at = self.after_if(1 + wanted.len());
        match kind {
            "cast" => {
                let start = self.spoken.get(at)?.range.start;
                let end = self.spoken.iter().skip(at).scan(0usize, |depth, token| {
                    *depth += usize::from(token.is_punct(self.text, '('));
                    *depth -= usize::from(token.is_punct(self.text, ')')).min(*depth);
                    Some((*depth, token.range.end))
                });
                let end = end.filter(|(depth, _)| *depth == 0).map(|(_, end)| end).next()?;
                Some(self.text.get(start..end)?.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            "user mapping" => {
                let role = self.name(at + 1)?;
                Some(format!("{role} for {}", self.name(at + 3)?))
            }
            _ => self.name(at),
        }
    }

    /// The schema of the first qualified name.
    fn schema(&self) -> Option<String> {
        let dot = self.spoken.iter().take(HEAD).position(|token| token.is_punct(self.text, '.'))?;
        self.name(dot.checked_sub(1)?).filter(|name| name != "pg_catalog")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read() {
        let mut made = Made::default();
        for text in [
            "CREATE SCHEMA api",
            "CREATE SCHEMA IF NOT EXISTS \"Odd one\" AUTHORIZATION app",
            "CREATE FUNCTION fn.twice(a integer) RETURNS integer",
            "CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA ext",
            "CREATE UNIQUE INDEX i ON tab.t USING btree (id)",
            "CREATE EVENT TRIGGER watch ON sql_drop EXECUTE FUNCTION fn.watch()",
            "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x')",
            "CREATE USER MAPPING FOR app SERVER far",
            "CREATE FOREIGN DATA WRAPPER w",
            "CREATE FOREIGN TABLE ft.t (id int) SERVER far",
            "CREATE PUBLICATION p WITH (publish = 'insert')",
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
            "CREATE CAST (ct.mood AS text) WITH INOUT",
        ] {
            made.read(text);
        }
        let schemas: Vec<&str> = made.schemas.iter().map(String::as_str).collect();
        assert_eq!(schemas, ["Odd one", "api", "fn", "ft", "tab"]);
        let objects: Vec<String> = made.objects.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
        assert_eq!(
            objects,
            [
                "cast (ct.mood AS text)",
                "event trigger watch",
                "foreign data wrapper w",
                "publication p",
                "server far",
                "subscription s",
                "user mapping app for far"
            ]
        );
        assert_eq!(
            label("CREATE OR REPLACE FUNCTION public.f(a int)"),
            ("function public.f".into(), "f".into())
        );
    }
}
