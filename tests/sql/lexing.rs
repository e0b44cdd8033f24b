//! Tokens, places inside quotes, and the cutting of texts.

use runplan::sql::lex::{Kind, Place, place_at, tokens};
use runplan::sql::split;

fn kinds(text: &str) -> Vec<(Kind, &str)> {
    tokens(text)
        .iter()
        .filter(|token| token.kind != Kind::Whitespace)
        .map(|token| (token.kind, &text[token.range.clone()]))
        .collect()
}

#[test]
fn every_sort_of_token() {
    use Kind::*;
    for (text, expected) in [
        ("select _a$1 Ünï", vec![(Ident, "select"), (Ident, "_a$1"), (Ident, "Ünï")]),
        ("'it''s \\' 'b'", vec![(String, "'it''s \\'"), (String, "'b'")]),
        ("E'a\\'b''c' e'\\\\'", vec![(EscapeString, "E'a\\'b''c'"), (EscapeString, "e'\\\\'")]),
        ("e'a' \n -- x\n 'b\\'' 'c\\'", vec![(EscapeString, "e'a' \n -- x\n 'b\\''"), (String, "'c\\'")]),
        ("e'a' 'b\\'", vec![(EscapeString, "e'a'"), (String, "'b\\'")]),
        (
            "N'a' U&'b\\' b'01' X'ff'",
            vec![(String, "N'a'"), (String, "U&'b\\'"), (BitString, "b'01'"), (BitString, "X'ff'")],
        ),
        ("te'a'", vec![(Ident, "te"), (String, "'a'")]),
        ("\"a\"\"b\" U&\"c\"", vec![(QuotedIdent, "\"a\"\"b\""), (QuotedIdent, "U&\"c\"")]),
        ("$$a'$b$$ $é$ $$ $a$ $é$", vec![(DollarString, "$$a'$b$$"), (DollarString, "$é$ $$ $a$ $é$")]),
        ("a$$b$$", vec![(Ident, "a$$b$$")]),
        ("1$$b$$", vec![(Number, "1"), (DollarString, "$$b$$")]),
        ("$1 $12+$3", vec![(Param, "$1"), (Param, "$12"), (Operator, "+"), (Param, "$3")]),
        ("$a 1 $1a", vec![(Error, "$"), (Ident, "a"), (Number, "1"), (Error, "$1a")]),
        (
            "1 1.5 .5 1e5 1.5E-3 1_000 0xFF 0b1 1. 1..2",
            vec![
                (Number, "1"),
                (Number, "1.5"),
                (Number, ".5"),
                (Number, "1e5"),
                (Number, "1.5E-3"),
                (Number, "1_000"),
                (Number, "0xFF"),
                (Number, "0b1"),
                (Number, "1."),
                (Number, "1"),
                (Operator, ".."),
                (Number, "2"),
            ],
        ),
        ("1a 1e' ", vec![(Error, "1a"), (Error, "1e"), (String, "' ")]),
        (
            "a--b\nc/* /* */ */d",
            vec![
                (Ident, "a"),
                (LineComment, "--b"),
                (Ident, "c"),
                (BlockComment, "/* /* */ */"),
                (Ident, "d"),
            ],
        ),
        ("1--2", vec![(Number, "1"), (LineComment, "--2")]),
        (
            "a*-1 @-1 a<=b ->> :: :=",
            vec![
                (Ident, "a"),
                (Operator, "*"),
                (Operator, "-"),
                (Number, "1"),
                (Operator, "@-"),
                (Number, "1"),
                (Ident, "a"),
                (Operator, "<="),
                (Ident, "b"),
                (Operator, "->>"),
                (Operator, "::"),
                (Operator, ":="),
            ],
        ),
        (
            "*/*x*/ +--y",
            vec![(Operator, "*"), (BlockComment, "/*x*/"), (Operator, "+"), (LineComment, "--y")],
        ),
        (
            "(a[1],b.c:d);",
            vec![
                (Punct, "("),
                (Ident, "a"),
                (Punct, "["),
                (Number, "1"),
                (Punct, "]"),
                (Punct, ","),
                (Ident, "b"),
                (Punct, "."),
                (Ident, "c"),
                (Punct, ":"),
                (Ident, "d"),
                (Punct, ")"),
                (Punct, ";"),
            ],
        ),
        ("{{ x }}", vec![(Error, "{"), (Error, "{"), (Ident, "x"), (Error, "}"), (Error, "}")]),
        ("a \\d 'b\nc", vec![(Ident, "a"), (Meta, "\\d 'b"), (Ident, "c")]),
    ] {
        assert_eq!(kinds(text), expected, "{text}");
    }
}

#[test]
fn what_has_no_end_is_not_closed() {
    for text in ["'a", "'a''", "E'a\\'", "E'\\", "\"a", "$$a$", "$a$ $$", "/* /* */", "N'", "U&'", "b'1"] {
        let last = tokens(text).pop().unwrap();
        assert!(!last.closed && last.range == (0..text.len()), "{text}: {last:?}");
    }
    assert!(tokens("'a' \"b\" $$c$$ /* d */ -- e").iter().all(|token| token.closed));
}

#[test]
fn places() {
    let text = "a 'b' E'c\\'' $x$d$x$ \"e\" -- f\n/* g */ \\h\n$1 U&'i'";
    let at = |needle: &str| place_at(text, text.find(needle).unwrap());
    for (needle, place) in [
        ("a", Place::Plain),
        ("'b", Place::Plain),
        ("b'", Place::InString),
        (" E'", Place::Plain),
        ("'c", Place::InEscapeString),
        ("c\\", Place::InEscapeString),
        ("d$", Place::InDollar),
        ("x$d", Place::InDollar),
        ("\"e", Place::Plain),
        ("e\"", Place::InQuotedIdent),
        ("- f", Place::InComment),
        ("f", Place::InComment),
        ("\n/*", Place::InComment),
        ("/* g", Place::Plain),
        ("g", Place::InComment),
        ("h", Place::InMeta),
        ("$1", Place::Plain),
        ("i'", Place::InString),
    ] {
        assert_eq!(at(needle), place, "{needle:?}");
    }
    assert_eq!(place_at(text, text.len()), Place::Plain);
    assert_eq!(place_at("a 'b", 4), Place::InString);
    assert_eq!(place_at("a -- b", 6), Place::InComment);
    assert_eq!(place_at("", 0), Place::Plain);
}

#[test]
fn cuts_at_semicolons_that_count() {
    for (text, pieces) in [
        ("", vec![]),
        (" -- only a comment\n", vec![" -- only a comment\n"]),
        ("a;b", vec!["a;", "b"]),
        ("a; ;\n", vec!["a;", " ;\n"]),
        ("a; -- b; c\n/* ; */ d", vec!["a;", " -- b; c\n/* ; */ d"]),
        ("';' \";\" $$;$$ E'\\';';x", vec!["';' \";\" $$;$$ E'\\';';", "x"]),
        (
            "create rule r as on insert to a do (b; c); d",
            vec!["create rule r as on insert to a do (b; c);", " d"],
        ),
        (
            "create or replace function f() begin atomic select case when a then b end; select c.end as end; end; d",
            vec![
                "create or replace function f() begin atomic select case when a then b end; select c.end as end; end;",
                " d",
            ],
        ),
        ("begin; atomic; end;", vec!["begin;", " atomic;", " end;"]),
        (
            "create table function_begin_atomic (a int); b",
            vec!["create table function_begin_atomic (a int);", " b"],
        ),
        ("a) ; b", vec!["a) ;", " b"]),
        ("a\n\\d x; y\nb \\g\n", vec!["a\n", "\\d x; y", "\nb ", "\\g\n"]),
    ] {
        let found: Vec<&str> = split(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, pieces, "{text}");
    }
}
