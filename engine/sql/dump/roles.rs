//! The roles that a dump's statements name, and the statements without them or with others in their place. Knows the
//! statements that pg_dump writes; must never touch a name that stands anywhere but where a role stands.

use super::super::lex::{Kind, Token, tokens};
use super::super::name::unquote;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// What becomes of owners and privileges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owners {
    #[default]
    Keep,
    /// Statements that only give something to a role are left out.
    Skip,
    /// These roles have others in their place.
    Map(BTreeMap<String, String>),
}

/// How a dump is changed on its way to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub owners: Owners,
    /// Settings that this server does not know: `SET` of them is left out.
    pub unknown_settings: Vec<String>,
}

/// A statement on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changed {
    Same,
    LeftOut,
    Instead(String),
}

impl Changes {
    pub(super) fn of(&self, text: &str) -> Changed {
        let spoken = spoken(text);
        let word = |at: usize| spoken.get(at).map_or("", |token| token.text(text));
        if word(0).eq_ignore_ascii_case("SET")
            && self.unknown_settings.iter().any(|name| word(1).eq_ignore_ascii_case(name))
        {
            return Changed::LeftOut;
        }
        let places = places(text, &spoken);
        match &self.owners {
            Owners::Skip if !places.is_empty() && is_grant(text, &spoken) => Changed::LeftOut,
            Owners::Map(map) => replaced(text, &places, map),
            Owners::Keep | Owners::Skip => Changed::Same,
        }
    }
}

/// The roles that a statement names, as they are in the catalog.
pub(super) fn roles(text: &str) -> Vec<String> {
    let found = places(text, &spoken(text));
    found.iter().filter_map(|range| name(text.get(range.clone())?)).collect()
}

/// The roles that a statement can only name if its user is one of their members: who owns something, or is acted for. To
/// be granted something asks for no membership.
pub(super) fn owners(text: &str) -> Vec<String> {
    let spoken = spoken(text);
    let is = |at: usize, word: &str| {
        spoken.get(at).is_some_and(|token| token.text(text).eq_ignore_ascii_case(word))
    };
    let mut found = places(text, &spoken);
    if is(0, "GRANT") || is(0, "REVOKE") || (is(0, "CREATE") && is(1, "POLICY")) {
        return Vec::new();
    }
    if is(0, "ALTER") && is(1, "DEFAULT") && is(2, "PRIVILEGES") {
        // `FOR ROLE x` stands before what is granted.
        let given = spoken
            .iter()
            .find(|token| ["GRANT", "REVOKE"].iter().any(|word| token.text(text).eq_ignore_ascii_case(word)));
        found.retain(|place| given.is_none_or(|given| place.start < given.range.start));
    }
    found.iter().filter_map(|range| name(text.get(range.clone())?)).collect()
}

/// Those that are named even where owners are skipped: of policies, and of schemas that are made for somebody.
pub(super) fn bound(text: &str) -> Vec<String> {
    if is_grant(text, &spoken(text)) { Vec::new() } else { roles(text) }
}

/// The tablespace that `SET default_tablespace` names; None for the database's own.
pub(super) fn tablespace(text: &str) -> Option<String> {
    let spoken = spoken(text);
    let is = |token: Option<&Token>, word: &str| {
        token.is_some_and(|token| token.text(text).eq_ignore_ascii_case(word))
    };
    let [.., setting, to, value] = spoken.as_slice() else { return None };
    let is_set = is(spoken.first(), "SET") && is(Some(setting), "default_tablespace");
    if !is_set || !(is(Some(to), "=") || is(Some(to), "TO")) || is(Some(value), "DEFAULT") {
        return None;
    }
    // As a role's: quoted like a name or like a text.
    name(value.text(text)).filter(|name| !name.is_empty())
}

/// The extension that `CREATE EXTENSION` makes.
pub(super) fn extension(text: &str) -> Option<String> {
    let spoken = spoken(text);
    let is = |at: usize, word: &str| {
        spoken.get(at).is_some_and(|token| token.text(text).eq_ignore_ascii_case(word))
    };
    if !(is(0, "CREATE") && is(1, "EXTENSION")) {
        return None;
    }
    let at = if is(2, "IF") { 5 } else { 2 };
    name(spoken.get(at)?.text(text))
}

fn spoken(text: &str) -> Vec<Token> {
    tokens(text).into_iter().filter(|token| !token.is_trivia()).collect()
}

/// A role's name in words; None for PUBLIC and the like, which every server has.
fn name(written: &str) -> Option<String> {
    let quoted = written.starts_with(['"', '\'']);
    let plain = match quoted {
        true if written.starts_with('\'') => written.trim_matches('\'').replace("''", "'"),
        true => unquote(written),
        false => written.to_ascii_lowercase(),
    };
    let special = ["public", "current_user", "session_user", "current_role"];
    (quoted || !special.contains(&plain.as_str())).then_some(plain)
}

/// Statements that do nothing but give to roles, take from them, or act as one.
fn is_grant(text: &str, spoken: &[Token]) -> bool {
    let is = |at: usize, word: &str| {
        spoken.get(at).is_some_and(|token| token.text(text).eq_ignore_ascii_case(word))
    };
    is(0, "GRANT")
        || is(0, "REVOKE")
        || (is(0, "ALTER") && is(1, "DEFAULT") && is(2, "PRIVILEGES"))
        || (is(0, "ALTER") && owner(text, spoken).is_some())
        || (is(0, "SET") && is(1, "SESSION") && is(2, "AUTHORIZATION"))
}

/// `ALTER ... OWNER TO role` and nothing after it.
fn owner(text: &str, spoken: &[Token]) -> Option<Range<usize>> {
    let [.., owner, to, role] = spoken else { return None };
    let is =
        |token: &Token, word: &str| token.kind == Kind::Ident && token.text(text).eq_ignore_ascii_case(word);
    (is(owner, "OWNER") && is(to, "TO")).then(|| role.range.clone())
}

/// Where a statement names roles.
fn places(text: &str, spoken: &[Token]) -> Vec<Range<usize>> {
    let is = |at: usize, word: &str| {
        spoken
            .get(at)
            .is_some_and(|token| token.kind == Kind::Ident && token.text(text).eq_ignore_ascii_case(word))
    };
    let last = |words: &[&str]| {
        let mut depth = 0i32;
        let mut found = None;
        for (at, token) in spoken.iter().enumerate() {
            match token.text(text) {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ if depth == 0 && at > 0 && words.iter().any(|word| is(at, word)) => found = Some(at),
                _ => {}
            }
        }
        found
    };
    let after = |at: Option<usize>| at.map_or_else(Vec::new, |at| list(text, spoken, at + 1));
    if is(0, "GRANT") || is(0, "REVOKE") {
        let mut found = after(last(&["TO", "FROM"]));
        found.extend(after(last(&["BY"]).filter(|at| is(at - 1, "GRANTED"))));
        return found;
    }
    if is(0, "ALTER") && is(1, "DEFAULT") && is(2, "PRIVILEGES") {
        let mut found = after(last(&["ROLE", "USER"]).filter(|at| is(at - 1, "FOR")));
        found.extend(after(last(&["TO", "FROM"])));
        return found;
    }
    if is(0, "ALTER") {
        return owner(text, spoken).into_iter().collect();
    }
    if is(0, "SET") && is(1, "SESSION") && is(2, "AUTHORIZATION") && !is(3, "DEFAULT") {
        return spoken.get(3).map(|token| token.range.clone()).into_iter().collect();
    }
    if is(0, "CREATE") && is(1, "POLICY") {
        let end = spoken.iter().position(|token| token.text(text) == "(").unwrap_or(spoken.len());
        let to = (0..end).rfind(|at| is(*at, "TO"));
        return after(to);
    }
    if is(0, "CREATE") && is(1, "SCHEMA") {
        return after(last(&["AUTHORIZATION"]));
    }
    Vec::new()
}

/// `a, b, c` from there on.
fn list(text: &str, spoken: &[Token], from: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = from;
    // `TO GROUP x` is old, and still understood.
    while let Some(token) = spoken.get(at) {
        if !matches!(token.kind, Kind::Ident | Kind::QuotedIdent) {
            break;
        }
        found.push(token.range.clone());
        match spoken.get(at + 1) {
            Some(comma) if comma.text(text) == "," => at += 2,
            _ => break,
        }
    }
    found
}

fn replaced(text: &str, places: &[Range<usize>], map: &BTreeMap<String, String>) -> Changed {
    let mut out = String::new();
    let mut from = 0;
    for place in places {
        let Some(written) = text.get(place.clone()) else { continue };
        let Some(role) = name(written).and_then(|name| map.get(&name)) else { continue };
        let mark = if written.starts_with('\'') { '\'' } else { '"' };
        let doubled = role.replace(mark, &format!("{mark}{mark}"));
        out.push_str(text.get(from..place.start).unwrap_or_default());
        out.push_str(&format!("{mark}{doubled}{mark}"));
        from = place.end;
    }
    if from == 0 {
        return Changed::Same;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Changed::Instead(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_they_stand_and_nowhere_else() {
        let cases = [
            ("ALTER TABLE public.users OWNER TO app", vec!["app"]),
            ("ALTER TABLE \"owner\" OWNER TO \"Ann \"\"x\"\"\"", vec!["Ann \"x\""]),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a = 'OWNER TO x')", vec![]),
            ("ALTER FUNCTION public.f(\"to\" text) OWNER TO Bob", vec!["bob"]),
            (
                "GRANT SELECT,INSERT ON TABLE public.users TO reader, \"Writer\" WITH GRANT OPTION",
                vec!["reader", "Writer"],
            ),
            ("GRANT ALL ON FUNCTION f(\"from\" int) TO PUBLIC", vec![]),
            ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", vec![]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA s GRANT SELECT ON TABLES TO reader",
                vec!["boss", "reader"],
            ),
            ("SET SESSION AUTHORIZATION 'app'", vec!["app"]),
            ("SET SESSION AUTHORIZATION DEFAULT", vec![]),
            (
                "CREATE POLICY p ON public.t FOR SELECT TO reader, other USING ((a = b))",
                vec!["reader", "other"],
            ),
            ("CREATE POLICY p ON public.t USING (true)", vec![]),
            ("CREATE SCHEMA s", vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(roles(text), expected, "{text}");
        }
        assert_eq!(
            extension("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public").as_deref(),
            Some("uuid-ossp")
        );
        assert_eq!(extension("CREATE EXTENSION vector").as_deref(), Some("vector"));
        assert_eq!(extension("CREATE TABLE extension (a int)"), None);
    }

    #[test]
    fn what_is_named_although_owners_are_skipped_is_told_apart() {
        for (text, expected) in [
            ("CREATE POLICY p ON public.t TO reader, \"Odd one\" USING (true)", &["reader", "Odd one"][..]),
            ("CREATE SCHEMA s AUTHORIZATION app", &["app"]),
            ("ALTER TABLE public.users OWNER TO app", &[]),
            ("GRANT SELECT ON TABLE public.users TO reader", &[]),
        ] {
            assert_eq!(bound(text), expected, "{text}");
        }
    }

    #[test]
    fn tablespaces_are_read_as_they_are_set() {
        for (text, expected) in [
            ("SET default_tablespace = fast", Some("fast")),
            ("SET default_tablespace = \"Odd \"\"one\"", Some("Odd \"one")),
            ("set default_tablespace to 'fast'", Some("fast")),
            ("SET default_tablespace = ''", None),
            ("SET default_tablespace = DEFAULT", None),
            ("SET default_table_access_method = heap", None),
            ("SET search_path = default_tablespace, x", None),
        ] {
            assert_eq!(tablespace(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_owners_and_those_acted_for_ask_for_membership() {
        let cases: [(&str, &[&str]); 6] = [
            ("ALTER TABLE public.users OWNER TO app", &["app"]),
            ("GRANT SELECT ON TABLE public.users TO reader", &[]),
            ("REVOKE ALL ON TABLE public.users FROM reader", &[]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA s GRANT SELECT ON TABLES TO reader",
                &["boss"],
            ),
            ("CREATE POLICY p ON public.t TO reader USING (true)", &[]),
            ("SET SESSION AUTHORIZATION 'app'", &["app"]),
        ];
        for (text, expected) in cases {
            assert_eq!(owners(text), expected, "{text}");
        }
    }

    #[test]
    fn statements_are_left_out_or_name_others() {
        let map = Owners::Map([("app".to_owned(), "new \"one".to_owned())].into());
        let map = Changes { owners: map, unknown_settings: Vec::new() };
        let instead = |text: &str| Changed::Instead(text.to_owned());
        assert_eq!(
            map.of("ALTER TABLE app OWNER TO app"),
            instead("ALTER TABLE app OWNER TO \"new \"\"one\"")
        );
        assert_eq!(
            map.of("GRANT ALL ON TABLE app TO x,app"),
            instead("GRANT ALL ON TABLE app TO x,\"new \"\"one\"")
        );
        assert_eq!(map.of("ALTER TABLE app OWNER TO other"), Changed::Same);
        let skip = Changes { owners: Owners::Skip, unknown_settings: vec!["transaction_timeout".to_owned()] };
        for text in
            ["ALTER TABLE t OWNER TO app", "GRANT ALL ON TABLE t TO app", "SET transaction_timeout = 0"]
        {
            assert_eq!(skip.of(text), Changed::LeftOut, "{text}");
        }
        for text in [
            "ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a)",
            "SET statement_timeout = 0",
            "CREATE POLICY p ON t TO app",
        ] {
            assert_eq!(skip.of(text), Changed::Same, "{text}");
        }
    }
}
