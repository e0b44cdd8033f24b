//! Definitions as PostgreSQL understands them, where it writes one and the same in two ways. It must never make two
//! definitions equal that a server could tell apart.

use crate::sql::lex::{Kind, Token, tokens};

/// The words of a definition, one way for each meaning.
///
/// An expression that was dumped and loaded is written otherwise than before: the server pushes the cast of a whole array
/// down to its items, `(ARRAY['a'::varchar])::text[]` comes back as `ARRAY[('a'::varchar)::text]`.
pub fn canonical(definition: &str) -> Vec<String> {
    let words: Vec<String> = tokens(definition)
        .iter()
        .filter(|token| !token.is_trivia())
        .map(|token| written(token, definition))
        .collect();
    push_casts(words)
}

/// Whether the second is the first without the table's name before its columns: so PostgreSQL writes a view of a single
/// table from 16 on. Where USING merges columns, one with a name before it may be another than one without.
pub fn is_unqualified(full: &str, short: &str) -> bool {
    let (full, short) = (canonical(full), canonical(short));
    if full.iter().any(|word| word == "using") {
        return false;
    }
    let is_dot = |words: &[String], at: usize| words.get(at).is_some_and(|word| word == ".");
    let (mut at, mut table) = (0, None);
    for (place, word) in short.iter().enumerate() {
        if is_dot(&full, at + 1) && !is_dot(&short, place + 1) {
            // A name before this one is left out; it is the same everywhere, or there is more than one table.
            if table.get_or_insert(full.get(at)) != &full.get(at) {
                return false;
            }
            at += 2;
        }
        if full.get(at) != Some(word) {
            return false;
        }
        at += 1;
    }
    at == full.len()
}

fn written(token: &Token, text: &str) -> String {
    let word = token.text(text);
    match token.kind {
        Kind::Ident => word.to_ascii_lowercase(),
        _ => word.to_owned(),
    }
}

fn push_casts(mut words: Vec<String>) -> Vec<String> {
    let mut from = 0;
    while let Some(at) = words.iter().skip(from).position(|word| word == "array").map(|at| at + from) {
        from = at + 1;
        if let Some((range, array)) = cast_array(&words, at) {
            from = range.start + 1;
            words.splice(range, array);
        }
    }
    words
}

/// `( ARRAY [ ... ] ) :: type [ ]` around the word at `at`, and the same with the cast at each item.
fn cast_array(words: &[String], at: usize) -> Option<(std::ops::Range<usize>, Vec<String>)> {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found == word);
    let start = at.checked_sub(1).filter(|start| is(*start, "("))?;
    if !is(at + 1, "[") {
        return None;
    }
    let close = closing(words, at + 1)?;
    if !is(close + 1, ")") || !is(close + 2, "::") {
        return None;
    }
    let rest = words.get(close + 3..)?;
    let length = rest.iter().position(|word| word == "[")?;
    let of_type = |word: &String| word.chars().all(|c| c.is_alphanumeric() || "_.\"".contains(c));
    let kind = rest.get(..length).filter(|kind| !kind.is_empty() && kind.iter().all(of_type))?;
    let end = close + 3 + length + 2;
    if !is(end - 1, "]") {
        return None;
    }
    let mut array = vec!["array".to_owned(), "[".to_owned()];
    for (number, item) in items(words.get(at + 2..close)?).into_iter().enumerate() {
        if number > 0 {
            array.push(",".to_owned());
        }
        let wrapped = item.len() > 1;
        array.extend(wrapped.then(|| "(".to_owned()));
        array.extend(item.iter().cloned());
        array.extend(wrapped.then(|| ")".to_owned()));
        array.push("::".to_owned());
        array.extend(kind.iter().cloned());
    }
    array.push("]".to_owned());
    Some((start..end, array))
}

fn closing(words: &[String], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn items(words: &[String]) -> Vec<&[String]> {
    let mut depth = 0usize;
    words
        .split(|word| {
            match word.as_str() {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && word == ","
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{canonical, is_unqualified};

    #[test]
    fn a_view_of_one_table_may_leave_out_its_name() {
        for (full, short) in [
            (
                "AS SELECT users.id, users.users, count(*) OVER (ORDER BY users.id) AS count FROM public.users \
                 WHERE (users.id > 3) ORDER BY users.name",
                "AS SELECT id, users, count(*) OVER (ORDER BY id) AS count FROM public.users WHERE (id > 3) \
                 ORDER BY name",
            ),
            ("AS SELECT g.g FROM generate_series(1, 3) g(g)", "AS SELECT g FROM generate_series(1, 3) g(g)"),
            (
                "AS SELECT users.id, (users.addr).x FROM public.users WHERE (EXISTS ( SELECT 1 FROM o WHERE \
                 (o.u = users.id)))",
                "AS SELECT id, (addr).x FROM public.users WHERE (EXISTS ( SELECT 1 FROM o WHERE (o.u = users.id)))",
            ),
        ] {
            assert!(is_unqualified(full, short), "{full}");
            assert!(!is_unqualified(short, full), "{short}");
        }
        for (full, short) in [
            ("AS SELECT a.id, b.id FROM a, b", "AS SELECT id, id FROM a, b"),
            ("AS SELECT a.id FROM a", "AS SELECT name FROM a"),
            ("AS SELECT a.id FROM a", "AS SELECT id FROM b"),
            ("AS SELECT a.id FROM a", "AS SELECT id FROM a LIMIT 1"),
            ("AS SELECT a.id FROM a LIMIT 1", "AS SELECT id FROM a"),
            (
                "AS SELECT a.id FROM (a FULL JOIN b USING (id))",
                "AS SELECT id FROM (a FULL JOIN b USING (id))",
            ),
        ] {
            assert!(!is_unqualified(full, short), "{full}");
        }
    }

    #[test]
    fn a_cast_of_an_array_is_a_cast_of_its_items() {
        let before =
            "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))";
        let after = "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))";
        assert_eq!(canonical(before), canonical(after));
        let other = "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('c'::character varying)::text])))";
        assert_ne!(canonical(before), canonical(other));
    }

    #[test]
    fn parentheses_and_quotes_count() {
        assert_ne!(canonical("((a OR b) AND c)"), canonical("(a OR (b AND c))"));
        assert_ne!(canonical("'A  b'"), canonical("'A b'"));
        assert_ne!(canonical("\"A\""), canonical("\"a\""));
        assert_eq!(canonical("CHECK  ((A > 0))"), canonical("check ((a > 0))"));
        assert_eq!(canonical("(array["), ["(", "array", "["]);
        assert_eq!(canonical("(ARRAY['a'])::").len(), 7);
    }
}
