//! Random text and random dumps: nothing panics, nothing is lost, and no way of cutting a stream changes the
//! answer.

use proptest::prelude::*;
use runplan::sql::dump::{End, Scanner};
use runplan::sql::{self, lex};

use super::corpus::CORPUS;
use super::dumps::{COPY, INSERTS, scan};

/// Fragments that matter to a reader of SQL, in any order.
fn soup() -> impl Strategy<Value = String> {
    const PIECES: [&str; 76] = [
        "'",
        "''",
        "\"",
        "$$",
        "$a$",
        "$",
        "E'",
        "e'",
        "N'",
        "U&'",
        "U&\"",
        "b'",
        "\\",
        "\\\\",
        "\\'",
        "\\.",
        "\\.\n",
        "\n\\.\n",
        "--",
        "/*",
        "*/",
        "\n",
        "\r",
        "\r\n",
        " ",
        "\t",
        ";",
        ";\n",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "::",
        "-",
        "+",
        "*",
        "/",
        "=",
        "1",
        "1e",
        "1e5",
        ".5",
        "$1",
        "a",
        "é",
        "漢",
        "\u{feff}",
        "\0",
        "{",
        "select",
        "from",
        "where",
        "delete from",
        "update",
        "set",
        "insert into",
        "values",
        "copy t from stdin;\n",
        "commit",
        "begin",
        "begin atomic",
        "end",
        "case",
        "create function",
        "create",
        "drop",
        "table",
        "with",
        "as",
        "not in",
        "union",
        "explain",
        "\\restrict a\n",
        "\\unrestrict a\n",
    ];
    prop::collection::vec(
        prop_oneof![8 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned), 1 => ".{0,4}"],
        0..40,
    )
    .prop_map(|pieces| pieces.concat())
}

/// A statement of the corpus with some words taken out, doubled or replaced by soup.
fn mangled() -> impl Strategy<Value = String> {
    let lines: Vec<&str> = CORPUS.lines().collect();
    (prop::sample::select(lines), prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, soup()), 0..4))
        .prop_map(|(line, changes)| {
            let mut words: Vec<String> = line.split_inclusive(' ').map(str::to_owned).collect();
            for (place, change, soup) in changes {
                let place = place.index(words.len());
                match change {
                    0 => words[place].clear(),
                    1 => words[place] = words[place].repeat(3),
                    _ => words[place] = soup,
                }
            }
            words.concat()
        })
}

fn well_read(text: &str) -> Result<(), TestCaseError> {
    let tokens = lex::tokens(text);
    let mut end = 0;
    for token in &tokens {
        prop_assert!(token.range.start == end && token.range.end > end);
        prop_assert!(text.get(token.range.clone()).is_some());
        end = token.range.end;
    }
    prop_assert_eq!(end, text.len());
    prop_assert_eq!(sql::split(text).into_iter().map(|range| &text[range]).collect::<String>(), text);
    let script = sql::read(text);
    for statement in &script.statements {
        prop_assert_eq!(&statement.text, &text[statement.range.clone()]);
        prop_assert!(!statement.effects.is_empty(), "nothing is said of {}", statement.text);
        for remark in &statement.findings {
            prop_assert!(text.get(remark.range.clone()).is_some());
        }
        for object in sql::tables(statement).written {
            prop_assert_eq!(&sql::Object::parse(&text[object.range], 0).unwrap().name, &object.name);
        }
    }
    for error in &script.errors {
        prop_assert!(text.get(error.range.clone()).is_some(), "{:?}", error);
    }
    Ok(())
}

/// The stream cut at the given places.
fn chunks<'t>(text: &'t [u8], cuts: &[prop::sample::Index]) -> Vec<&'t [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn same_in_chunks(text: &[u8], cuts: &[prop::sample::Index]) -> Result<(), TestCaseError> {
    let (passed, result) = scan(&[text]);
    let (in_chunks, result_in_chunks) = scan(&chunks(text, cuts));
    prop_assert_eq!(&result, &result_in_chunks);
    // Before a refusal one way may have passed on more than the other, but nothing different.
    let common = passed.len().min(in_chunks.len());
    prop_assert_eq!(&passed[..common], &in_chunks[..common]);
    prop_assert!(result.is_err() || passed.len() == in_chunks.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn soup_is_read_without_loss(text in soup()) {
        well_read(&text)?;
    }

    #[test]
    fn mangled_statements_are_read_without_loss(text in mangled()) {
        well_read(&text)?;
    }

    #[test]
    fn chunks_do_not_matter_to_soup(text in soup(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        same_in_chunks(text.as_bytes(), &cuts)?;
    }

    #[test]
    fn bytes_are_scanned_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        same_in_chunks(&bytes, &cuts)?;
    }

    /// Where both can read it, the scanner and the splitter see the same statements.
    #[test]
    fn scanner_and_splitter_agree(text in prop_oneof![20 => soup(), 1 => Just("//*/**/*/".to_owned())]) {
        let text = text.replace(['\\', '\u{feff}'], "").replace("copy", "");
        let (_, result) = scan(&[text.as_bytes()]);
        if let Some(summary) = result.ok().filter(|summary| summary.end == End::Whole) {
            let tokens = |range: std::ops::Range<usize>| {
                let piece = &text[range];
                lex::tokens(piece).iter().any(|token| !token.is_trivia() && !token.is_punct(piece, ';'))
            };
            let pieces = sql::split(&text).into_iter().filter(|range| tokens(range.clone())).count();
            prop_assert_eq!(summary.statements, pieces as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_do_not_matter_to_dumps(inserts in any::<bool>(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..200)) {
        let dump = if inserts { INSERTS } else { COPY };
        same_in_chunks(dump.as_bytes(), &cuts)?;
    }
}

#[test]
fn a_dump_may_come_byte_by_byte() {
    for dump in [COPY, INSERTS] {
        let bytes: Vec<&[u8]> = dump.as_bytes().chunks(1).collect();
        assert_eq!(scan(&bytes), scan(&[dump.as_bytes()]));
    }
    let mut scanner = Scanner::new();
    scanner.feed(b"", |_| ()).unwrap();
    assert!(scanner.finish().is_whole());
}

#[test]
fn what_nests_without_end_is_refused_and_not_run_into() {
    for piece in [
        "(",
        "[",
        "case ",
        "not ",
        "- ",
        "explain ",
        "prepare a as ",
        "with a as (",
        "array[",
        "select 1 in (",
        "select (",
        "a.",
        "1+",
        "1 + ",
        "a and ",
        "a or ",
        "select 1 union ",
        "join t on true ",
        "::int",
        "[1]",
        " is null",
        "create schema a ",
        "case when 1 then ",
        "exists (",
        "f(",
        "lateral (",
        "lateral with a b, ",
        "lateral select 1 from ",
        "begin atomic ",
        "( end ",
        "union (",
        "t join (",
        "interval ",
        "setof ",
    ] {
        for prefix in [
            "",
            "select ",
            "select 1 ",
            "select a",
            "select * from t ",
            "select * from ",
            "create function f() returns ",
        ] {
            let text = format!("{prefix}{}", piece.repeat(20_000));
            let script = sql::read(&text);
            assert!(!script.errors.is_empty() || piece == "create schema a ", "{prefix}{piece}");
        }
    }
}
