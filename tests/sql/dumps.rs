//! Dumps made by pg_dump 15, dumps that were cut, and dumps that try to get something past the scanner.

use indexmap::IndexMap;
use runplan::sql::dump::{End, Refusal, Scanner, Summary};

pub const COPY: &str = include_str!("dumps/copy.sql");
pub const INSERTS: &str = include_str!("dumps/inserts.sql");

/// What was passed on, and what came of it.
pub fn scan(chunks: &[&[u8]]) -> (Vec<u8>, Result<Summary, Refusal>) {
    let mut scanner = Scanner::new();
    let mut passed = Vec::new();
    for chunk in chunks {
        if let Err(refusal) = scanner.feed(chunk, |bytes| passed.extend_from_slice(bytes)) {
            return (passed, Err(refusal));
        }
    }
    (passed, Ok(scanner.finish()))
}

fn accept(text: &str) -> Summary {
    let (passed, summary) = scan(&[text.as_bytes()]);
    let summary = summary.unwrap();
    assert_eq!(String::from_utf8_lossy(&passed), text);
    summary
}

#[track_caller]
fn refuse(text: &str, refused: &str, line: u64) -> Refusal {
    let (passed, refusal) = scan(&[text.as_bytes()]);
    let refusal = refusal.expect_err(text);
    assert_eq!((refusal.to_string().as_str(), refusal.position().line), (refused, line), "{text}");
    let passed = String::from_utf8(passed).unwrap();
    let text = &refusal.position().text;
    assert!(text == "\\" || !passed.contains(text), "{text}: passed on {passed:?}");
    refusal
}

#[test]
fn a_dump_is_passed_on_without_what_only_psql_understands() {
    let (passed, summary) = scan(&[COPY.as_bytes()]);
    let summary = summary.unwrap();
    assert!(summary.is_complete_dump(), "{summary:?}");
    let rows = [
        ("Odd \"Schema.T;able", 2),
        ("public.empty", 0),
        ("public.nocols", 2),
        ("public.users", 6),
        ("public.values", 2),
    ];
    assert_eq!(summary.rows, IndexMap::from(rows.map(|(table, rows)| (table.to_owned(), rows))));
    assert_eq!(summary.bytes, COPY.len() as u64);
    assert_eq!(summary.lines, COPY.lines().count() as u64);
    let passed = String::from_utf8(passed).unwrap();
    assert_eq!(passed.lines().count(), COPY.lines().count());
    let left_out: Vec<&str> = COPY
        .lines()
        .zip(passed.lines())
        .filter(|(before, after)| before != after)
        .map(|(before, _)| before)
        .collect();
    let words: Vec<&str> = left_out.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(words, ["\\restrict", "BEGIN;", "COMMIT;", "\\unrestrict"]);
}

#[test]
fn inserts_are_counted_by_table() {
    let (_, summary) = scan(&[INSERTS.as_bytes()]);
    let summary = summary.unwrap();
    assert!(summary.is_complete_dump());
    let rows = [("Odd \"Schema.T;able", 2), ("public.nocols", 2), ("public.users", 6), ("public.values", 2)];
    assert_eq!(summary.rows, IndexMap::from(rows.map(|(table, rows)| (table.to_owned(), rows))));
    let summary = accept(
        "insert into t values (1, (2)), ('),(', $$),($$) on conflict (a, b) do update set a = (1);\n\
         insert into \"a\"\"b\" . c (x, values_) overriding system value values\n(1)\n,\n(E'\\'),(');\n\
         insert into t default values;insert into t select (1) union values (2);\n\
         insert into t values (1) returning (id);",
    );
    assert_eq!(summary.rows, IndexMap::from([("t".to_owned(), 4), ("a\"b.c".to_owned(), 2)]));
}

#[test]
fn every_cut_of_a_dump_is_noticed() {
    for dump in [COPY, INSERTS] {
        let whole = dump.trim_end();
        for end in 0..whole.len() {
            let (_, summary) = scan(&[&dump.as_bytes()[..end]]);
            let summary = summary.unwrap();
            let header = end > "--\n-- PostgreSQL database dump".len();
            assert!(!summary.is_complete_dump(), "cut at {end}");
            assert!(!header || !summary.is_whole(), "cut at {end}");
        }
    }
}

#[test]
fn it_says_what_the_stream_ended_in() {
    for (text, end) in [
        ("copy t from stdin;\n1\n2\n", End::InCopy("t".into())),
        ("copy t from stdin;\n1\n\\.", End::InCopy("t".into())),
        ("copy t from stdin;", End::InCopy("t".into())),
        ("select 'a", End::InQuotes),
        ("select E'a\\'", End::InQuotes),
        ("select $a$ $b$ $a", End::InQuotes),
        ("select \"a", End::InQuotes),
        ("/* /* */", End::InComment),
        ("select 1", End::InStatement),
        ("select 1; x", End::InStatement),
        ("create function f() returns int begin atomic select 1;", End::InStatement),
        ("\\restrict a", End::InStatement),
        ("select 1; -- end", End::Whole),
        ("copy t from stdin;\r\n1\r\n\\.\r\n", End::Whole),
        ("", End::Whole),
        (" \n", End::Whole),
    ] {
        assert_eq!(scan(&[text.as_bytes()]).1.unwrap().end, end, "{text}");
    }
}

#[test]
fn what_is_in_quotes_is_no_command() {
    for text in [
        "select 'a\\'; select 'COMMIT;';",
        "select E'a\\'; COMMIT; ';",
        "select e'a'\n 'b\\'; COMMIT; ';",
        "select e'a' -- note\n -- note ' \n 'b\\'; COMMIT; ';",
        "select N'a\\' ; select U&'a\\' ; select b'1';",
        "select a$b$ ;select $b$; COMMIT; $b$;",
        "select $1, 1$$; COMMIT; $$;",
        "do $a$ $b$; COMMIT; $ $$a$;",
        "select \"a\"\"; COMMIT; \";",
        "/* /* */ ; COMMIT; */ select 1 /**/;",
        "select 1 -- ; \r; select 2 --\n;",
        "select 1*/* ; COMMIT; */1; select 2 - 1, 4//* x */2;",
        "create function f() returns int language sql begin atomic; select case when a then b.end end as end; commit; end;",
        "create or replace procedure p() begin atomic select 1; end;",
        "create rule r as on insert to t do (delete from a; commit; );",
        "select é, 'é\\', \"é\\\";",
    ] {
        let summary = accept(text);
        assert_eq!(summary.end, End::Whole, "{text}");
    }
}

#[test]
fn transaction_control_is_refused() {
    for word in [
        "COMMIT",
        "commit",
        "CoMmIt and chain",
        "END",
        "ROLLBACK",
        "ROLLBACK TO SAVEPOINT a",
        "ABORT",
        "START TRANSACTION",
        "SAVEPOINT a",
        "RELEASE a",
        "PREPARE TRANSACTION 'a'",
        "/* a */ COMMIT",
        "COMMIT PREPARED 'x'",
        "SET TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "BEGIN",
        "BEGIN WORK",
    ] {
        let text = format!("select 1;\n{word};\nselect 2;\n");
        let (passed, refusal) = scan(&[text.as_bytes()]);
        let refusal = refusal.expect_err(word);
        assert!(matches!(refusal, Refusal::TransactionControl { .. }), "{word}: {refusal}");
        assert_eq!(refusal.position().line, 2, "{word}");
        assert!(
            !String::from_utf8(passed).unwrap().contains(word.split_whitespace().last().unwrap()),
            "{word}"
        );
    }
    refuse("select 1;\n commit;", "line 2: the transaction control `commit`", 2);
    // After strings that a careless reader takes to be still open.
    refuse("select 'a\\'; commit;", "line 1: the transaction control `commit`", 1);
    refuse("select 1e5, 'a\\'; commit;", "line 1: the transaction control `commit`", 1);
    refuse("select e'a' 'b\\'; commit;", "line 1: the transaction control `commit`", 1);
    refuse("select $a$ $b$ $a$; commit;", "line 1: the transaction control `commit`", 1);
    refuse("select \"\\\"; commit;", "line 1: the transaction control `commit`", 1);
    refuse("\u{feff}commit;", "line 1: the transaction control `commit`", 1);
    refuse(
        "create function f() begin atomic select 1; end; commit;",
        "line 1: the transaction control `commit`",
        1,
    );
    refuse("create table begin_atomic (a int); commit;", "line 1: the transaction control `commit`", 1);
    refuse("copy t from stdin;\n\\.\ncommit;", "line 3: the transaction control `commit`", 3);
    refuse("copy t from stdin;\n1\\\n\\.\ncommit;", "line 4: the transaction control `commit`", 4);
    refuse("-- x\rcommit;", "line 1: the transaction control `commit`", 1);
}

#[test]
fn only_the_transaction_of_large_objects_is_left_out() {
    let lo = "SELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00');\nSELECT pg_catalog.lo_close(0);\n";
    let (passed, summary) = scan(&[format!("BEGIN;\n{lo}COMMIT;\n").as_bytes()]);
    assert_eq!((String::from_utf8(passed).unwrap(), summary.unwrap().end), (format!("\n{lo}\n"), End::Whole));
    let begin = "line 1: the transaction control `BEGIN`";
    refuse("BEGIN;\nselect 1;\n", begin, 1);
    refuse(&format!("BEGIN;\n{lo}create table t ();COMMIT;"), begin, 1);
    refuse(&format!("BEGIN;\n{lo}COMMIT;COMMIT;"), "line 5: the transaction control `COMMIT`", 5);
    refuse("BEGIN;BEGIN;", "line 1: the transaction control `BEGIN`", 1);
    assert_eq!(scan(&[format!("BEGIN;\n{lo}").as_bytes()]).1.unwrap().end, End::InStatement);
}

#[test]
fn psql_commands_are_refused() {
    refuse("\\connect other\n", "line 1: the psql command `\\connect other`", 1);
    refuse("select 1;\n\\! rm -rf /\n", "line 2: the psql command `\\! rm -rf /`", 2);
    refuse("select 1 \\g\n", "line 1: the psql command `\\`", 1);
    refuse("select 1\\;commit;\n", "line 1: the psql command `\\`", 1);
    refuse("\\.\n", "line 1: the psql command `\\.`", 1);
    refuse(" \\restrict a\n", "line 1: the psql command `\\`", 1);
    refuse(
        "\\restrict a\n\\restrict a\n",
        "line 2: `\\restrict a` does not match the one `\\restrict` of a dump",
        2,
    );
    refuse(
        "\\restrict a\n\\unrestrict b\n",
        "line 2: `\\unrestrict b` does not match the one `\\restrict` of a dump",
        2,
    );
    refuse("\\restrict a; b\n", "line 1: `\\restrict a; b` does not match the one `\\restrict` of a dump", 1);
    refuse("\\unrestrict a\n", "line 1: `\\unrestrict a` does not match the one `\\restrict` of a dump", 1);
    refuse("select 1\n\\restrict a\n", "line 2: the psql command `\\`", 2);
    let (passed, summary) = scan(&[b"\\restrict a\nselect 1;\n\\unrestrict a\r\n"]);
    assert_eq!(passed, b"\nselect 1;\n\n");
    assert!(summary.unwrap().is_whole());
    assert!(!scan(&[b"\\restrict a\nselect 1;\n"]).1.unwrap().is_whole());
}

#[test]
fn whole_databases_programs_and_foreign_formats_are_refused() {
    refuse("create database x;", "line 1: `create database` acts on a whole database", 1);
    refuse("\n\nDROP /* a */ DATABASE x;", "line 3: `DROP /* a */ DATABASE` acts on a whole database", 3);
    refuse("alter database x set a to b;", "line 1: `alter database` acts on a whole database", 1);
    refuse(
        "copy t from program 'x';",
        "line 1: COPY with a program or with a file of the server: `copy t from program 'x'`",
        1,
    );
    refuse(
        "copy (select 1) to program 'x';",
        "line 1: COPY with a program or with a file of the server: `copy (select 1) to program 'x'`",
        1,
    );
    for format in
        ["csv", "with (format csv)", "with (format 'csv')", "binary", "(header)", "with (format \"csv\")"]
    {
        let text = format!("copy t from stdin {format};");
        assert!(matches!(scan(&[text.as_bytes()]).1, Err(Refusal::CopyFormat { .. })), "{text}");
    }
    refuse(
        "copy t from stdin; drop table x;\n1\n\\.\n",
        "line 1: text between COPY and its data: `COPY t`",
        1,
    );
    refuse(
        "copy t to '/tmp/x';",
        "line 1: COPY with a program or with a file of the server: `copy t to '/tmp/x'`",
        1,
    );
    accept("copy (select a from t) to stdout;");
}

#[test]
fn what_makes_strings_end_elsewhere_is_refused() {
    for text in [
        "set standard_conforming_strings = off;",
        "SET SESSION \"standard_conforming_strings\" TO 'off';",
        "set local standard_conforming_strings to default;",
        "select set_config('standard_conforming_strings', 'off', false);",
        "select 1e'a\\'; commit; --';",
    ] {
        assert!(matches!(scan(&[text.as_bytes()]).1, Err(Refusal::Quoting { .. })), "{text}");
    }
    for encoding in ["SJIS", "'shift_jis_2004'", "'Big5'", "GBK", "'GB18030'", "johab", "uhc"] {
        let text = format!("set client_encoding = {encoding};");
        assert!(matches!(scan(&[text.as_bytes()]).1, Err(Refusal::Encoding { .. })), "{text}");
    }
    accept("set standard_conforming_strings = on;set client_encoding = 'LATIN1';set names 'UTF8';");
}

#[test]
fn a_statement_is_held_back_only_so_far() {
    let long = format!("select '{}';", "a".repeat(2 << 20));
    let refusal = refuse_long(&[long.as_bytes()]);
    assert_eq!(refusal, refuse_long(&long.as_bytes().chunks(1000).collect::<Vec<_>>()));
    assert_eq!(refusal.position().offset, 0);
    let function = format!("create function f() returns text as '{}';", "a".repeat(4 << 20));
    assert!(scan(&function.as_bytes().chunks(4096).collect::<Vec<_>>()).1.is_ok());
}

fn refuse_long(chunks: &[&[u8]]) -> Refusal {
    let refusal = scan(chunks).1.unwrap_err();
    assert!(matches!(refusal, Refusal::TooLong { .. }));
    refusal
}

#[test]
fn rows_are_counted_line_by_line() {
    for (data, rows) in [
        ("", 0),
        ("\n", 1),
        ("1\n2\n", 2),
        ("\\N\n\\\\.\n\\.x\n", 3),
        ("a\\\nb\n", 1),
        ("a\\\\\nb\n", 2),
        ("\\\n\n", 1),
        ("\\.\r\n", 0),
    ] {
        let end = if data.ends_with("\\.\r\n") { "" } else { "\\.\n" };
        let text = format!("copy t from stdin;\n{data}{end}select 1;");
        let summary = accept(&text);
        assert_eq!((summary.rows["t"], summary.end), (rows, End::Whole), "{data:?}");
    }
}
