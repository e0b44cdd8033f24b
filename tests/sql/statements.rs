//! What is told of single statements: effects, remarks, transaction rules.

use runplan::sql::{self, Effect, Object, Transactional};

/// One line for each effect and remark of a text, without ranges.
pub fn told(text: &str) -> Vec<String> {
    let script = sql::read(text);
    assert!(script.errors.is_empty(), "{text}: {:?}", script.errors);
    let list = |objects: &[Object]| {
        let mark = |object: &Object| format!("{object}{}", if object.resolved { "" } else { "?" });
        objects.iter().map(mark).collect::<Vec<_>>().join(" ")
    };
    let line = |effect: &Effect| match effect {
        Effect::Reads { tables } => format!("reads {}", list(tables)),
        Effect::Writes { how, tables } => format!("writes {how:?} {}", list(tables)),
        Effect::Locks { tables } => format!("locks {}", list(tables)),
        Effect::Changes { what, objects } => format!("changes {what}: {}", list(objects)),
        Effect::Destroys { what, objects, scope, cascade, .. } => {
            let cascades = if *cascade { ", cascade" } else { "" };
            format!("destroys {what}: {} ({scope:?}, {:?}{cascades})", list(objects), what.loss(*cascade))
        }
        Effect::Session => "session".to_owned(),
        Effect::Opaque { why, range } => format!("opaque {why:?} {}", &text[range.clone()]),
    };
    let mut lines = Vec::new();
    for statement in &script.statements {
        assert_eq!(statement.text, text[statement.range.clone()]);
        lines.extend(statement.effects.iter().map(|effect| line(effect).trim_end().to_owned()));
        let remark = |remark: &sql::Remark| format!("! {:?} {}", remark.kind, &text[remark.range.clone()]);
        lines.extend(statement.findings.iter().map(remark));
        if let Transactional::No(reason) = statement.transactional {
            assert!(reason.ends_with("cannot run inside a transaction block"), "{reason}");
            lines.push("! not in a transaction".to_owned());
        }
    }
    lines
}

pub const NOT_IN_TRANSACTION: &[&str] = &[
    "create database d",
    "drop database if exists d",
    "create tablespace t location '/x'",
    "drop tablespace t",
    "alter system set a = 1",
    "alter database d set tablespace t",
    "create index concurrently on t (a)",
    "create unique index concurrently if not exists i on t (a)",
    "drop index concurrently i",
    "reindex (concurrently) table t",
    "reindex table concurrently t",
    "reindex database d",
    "reindex (verbose) schema s",
    "reindex system d",
    "vacuum",
    "vacuum (full) t",
    "vacuum full t",
    "cluster",
    "cluster verbose",
    "alter table parted detach partition p concurrently",
    "discard all",
    "commit prepared 'a'",
    "rollback prepared 'a'",
    "create subscription s connection 'x' publication p",
    "drop subscription s",
    "alter subscription s refresh publication",
    "alter subscription s set publication p",
];

pub const IN_TRANSACTION: &[&str] = &[
    "create index i on t (a)",
    "drop index i",
    "reindex table t",
    "reindex table \"database\"",
    "reindex (concurrently false) table t",
    "cluster t",
    "cluster t using i",
    "analyze",
    "alter table parted detach partition p",
    "refresh materialized view concurrently m",
    "alter database d set a = 1",
    "create subscription s connection 'x' publication p with (create_slot = false)",
    "discard plans",
    "alter subscription s set publication p with (refresh = false)",
    "alter subscription s disable",
    "checkpoint",
    "create table t (a int)",
];

#[track_caller]
fn tells(text: &str, lines: &[&str]) {
    assert_eq!(told(text), lines, "{text}");
}

#[test]
fn a_cte_is_no_table_and_its_own_body_sees_the_table_it_hides() {
    tells(
        "with users as (delete from users u using b where u.id = b.id returning *)
         select count(*) from users, s.t a join lateral (select 1 from users) q on true",
        &["reads b s.t", "writes Delete users"],
    );
    tells("with recursive a as (select * from a), b as (select * from a) table b", &["reads"]);
    tells("with a as (select * from b), b as (select 1) select * from b, public.a", &["reads b public.a"]);
    tells("with t as (select 1) delete from t where a in (table t)", &["writes Delete t"]);
    tells("with a as (select 1) select 1 from (with b as (table a) select * from b, c) q", &["reads c"]);
}

#[test]
fn a_condition_must_limit_the_rows_of_its_target() {
    for unlimited in [
        "",
        "where true",
        "where 1 = 1",
        "where (true)",
        "where not false",
        "where id = id",
        "where id = 1 or true",
        "where id = 1 or 'a' = 'a'",
        "where 1 < 2",
        "where now() > '2020-01-01'",
        "where current_user = 'x'",
        "where exists (select 1)",
        "where exists (select 1 from s where s.id = 1)",
        "where random() < 0.5",
        "where \"id\" = ID",
        "where true and (1 = 1 or id = 2)",
        "where $1",
        "where 'x'",
    ] {
        let text = format!("delete from t {unlimited}");
        let told = told(&text);
        assert!(
            told.iter().any(|line| line.starts_with("destroys DELETE without a condition: t (Rows, Data")),
            "{text}: {told:?}"
        );
        let text = format!("with x as (update only public.t set a = 1 {unlimited} returning *) select 1");
        let told = self::told(&text);
        assert!(
            told.iter().any(|line| line.starts_with("destroys UPDATE without a condition: public.t")),
            "{text}: {told:?}"
        );
    }
    for limited in [
        "where id = 1",
        "where false",
        "where null",
        "where not true",
        "where id = 1 and true",
        "where t.id = 1",
        "where id in (select s.id from s)",
        "where exists (select 1 from s where s.id = t.id)",
        "where current of c",
        "where id is not null",
        "where f(id)",
        "where (t).id = 1",
        "where t = row(1)",
        "where id between 1 and 2",
        "where id = 1 or id = 2",
        "where not (id = 1)",
        "where a[1] = 2",
        "where a.b = 1 and t.a[1].b = 2",
        "where (a, b) in ((1, 2))",
        "where t.id = s.id or false",
    ] {
        for text in [format!("delete from t {limited}"), format!("update t set a = 1 {limited}")] {
            assert!(!told(&text).iter().any(|line| line.starts_with("destroys")), "{text}");
        }
    }
    // The condition limits another table than the one that is changed.
    tells(
        "update t set a = 1 from s where s.id = 3",
        &["reads s", "writes Update t", "destroys UPDATE without a condition: t (Rows, Data)"],
    );
    tells("update t as u set a = 1 from s where s.id = u.id", &["reads s", "writes Update t"]);
    tells(
        "delete from t as u using t where t.id = 1",
        &["reads t", "writes Delete t", "destroys DELETE without a condition: t (Rows, Data)"],
    );
}

#[test]
fn what_destroys() {
    tells("drop table if exists a, b.c cascade", &["destroys DROP TABLE: a b.c (Table, Data, cascade)"]);
    tells("drop schema \"A b\", c cascade", &["destroys DROP SCHEMA: A b c (Schema, Data, cascade)"]);
    tells("drop database x", &["destroys DROP DATABASE: x (Database, Data)", "! not in a transaction"]);
    tells("drop owned by a, b cascade", &["destroys DROP OWNED: a b (Owned, Data, cascade)"]);
    tells("drop index a.i", &["destroys DROP INDEX: a.i (Definition, Definition)"]);
    tells("drop view v", &["destroys DROP VIEW: v (Definition, Definition)"]);
    tells("drop materialized view v", &["destroys DROP MATERIALIZED VIEW: v (Definition, Definition)"]);
    tells("drop function f(int, public.t), g", &["destroys DROP FUNCTION: f g (Definition, Definition)"]);
    tells("drop type y", &["destroys DROP TYPE: y (Definition, Definition)"]);
    tells("drop type y cascade", &["destroys DROP TYPE: y (Definition, Data, cascade)"]);
    tells("drop sequence s", &["destroys DROP SEQUENCE: s (Definition, Data)"]);
    tells("drop trigger t on x.y", &["destroys DROP TRIGGER: t x.y (Definition, Definition)"]);
    tells(
        "truncate only a, b.c restart identity cascade",
        &["destroys TRUNCATE: a b.c (Rows, Data, cascade)"],
    );
    tells(
        "alter table only s.t drop column if exists c cascade, alter column d type int using d::int, drop e, add f int",
        &[
            "destroys DROP COLUMN c: s.t (Column, Data, cascade)",
            "destroys ALTER COLUMN d TYPE: s.t (Column, Rewrite)",
            "destroys DROP COLUMN e: s.t (Column, Data)",
            "changes alter table: s.t",
        ],
    );
    tells(
        "alter table t drop constraint c",
        &["destroys DROP CONSTRAINT: t (Definition, Definition)", "changes alter table: t"],
    );
    tells(
        "alter type y drop attribute z",
        &["destroys DROP ATTRIBUTE z: y (Column, Data)", "changes alter type: y"],
    );
    tells("alter table t alter a drop not null, alter b drop default", &["changes alter table: t"]);
}

#[test]
fn a_merge_that_deletes_needs_a_condition() {
    tells(
        "merge into t using s on t.id = s.id when matched and t.x = 1 then delete
         when not matched by source then delete when not matched then insert values (1)",
        &["reads s", "writes Merge t", "destroys MERGE with a DELETE without a condition: t (Rows, Data)"],
    );
    tells(
        "merge into t using s on t.id = s.id when matched then update set a = 1",
        &["reads s", "writes Merge t"],
    );
    tells(
        "merge into t using s on true when matched then update set a = 1",
        &["reads s", "writes Merge t", "destroys MERGE with an UPDATE without a condition: t (Rows, Data)"],
    );
}

#[test]
fn what_only_defines_is_not_done() {
    tells("create view v as select * from t", &["changes create view: v"]);
    tells("create function f() returns int begin atomic delete from t; end", &["changes create function: f"]);
    tells("create rule r as on insert to a.t do (delete from x; delete from y)", &["changes create rule: r"]);
    tells("prepare p as delete from t", &["session"]);
    tells("explain delete from t", &["reads t", "session"]);
    tells("explain (analyze false, costs) delete from t", &["reads t", "session"]);
    for text in ["explain analyze delete from t", "explain (costs, analyze) delete from t"] {
        tells(text, &["writes Delete t", "destroys DELETE without a condition: t (Rows, Data)"]);
    }
    tells(
        "create materialized view m as select * from t",
        &["reads t", "writes Create m", "changes create materialized view: m"],
    );
}

#[test]
fn what_cannot_be_seen_is_opaque() {
    tells("do $$ begin delete from t; end $$", &["opaque DoBody do $$ begin delete from t; end $$"]);
    tells("call p(1)", &["opaque Call call p(1)"]);
    tells("execute q", &["opaque Execute execute q"]);
    tells(
        "create table t as execute q",
        &["writes Create t", "opaque Execute execute q", "changes create table: t"],
    );
    tells("load 'x'", &["opaque Load load 'x'"]);
    tells(
        "select pg_catalog.pg_terminate_backend(1)",
        &["opaque Function(\"pg_catalog.pg_terminate_backend\") pg_catalog.pg_terminate_backend(1)"],
    );
    tells(
        "select f(now()), a.count(*), pg_catalog.lower('x'), coalesce(a, 1), \"Lower\"(b) from unnest(c), g(1)",
        &[
            "opaque UnknownFunction(\"f\") f(now())",
            "opaque UnknownFunction(\"a.count\") a.count(*)",
            "opaque UnknownFunction(\"Lower\") \"Lower\"(b)",
            "opaque UnknownFunction(\"g\") g(1)",
        ],
    );
    tells("create table t (a int default f(1) check (f(a) > 0))", &["changes create table: t"]);
    tells(
        "copy t (a) from program 'x'",
        &["writes Copy t", "opaque Program program 'x'", "! CopyProgram program 'x'"],
    );
}

#[test]
fn rows_that_are_read_written_and_locked() {
    tells("insert into a.b (c) select * from d on conflict do nothing", &["reads d", "writes Insert a.b"]);
    tells("select * from s.t a, only (u) for update of a", &["reads s.t u", "locks s.t u"]);
    tells("lock table a, b in share mode", &["locks a b"]);
    tells("select 1 into x.n from m", &["reads m", "writes Create x.n"]);
    tells("copy (select 1 from u) to stdout", &["reads u", "! CopyStream stdout"]);
    tells("copy t from stdin", &["writes Copy t", "! CopyStream stdin"]);
    tells("copy t to '/tmp/x'", &["reads t", "changes copy to a file of the server:"]);
    tells("refresh materialized view concurrently m", &["writes Refresh m"]);
    tells(
        "select 1; values (1); table a.t; (select 1 from x) union all select 2 from y",
        &["reads", "reads", "reads a.t", "reads x y"],
    );
    let script = sql::read("with w as (delete from b where b.x = 1) insert into a select * from a, c");
    let tables = sql::tables(&script.statements[0]);
    let names = |objects: &[Object]| objects.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (names(&tables.read), names(&tables.written)),
        (vec!["a".into(), "c".into()], vec!["a".into(), "b".into()])
    );
}

#[test]
fn names_are_folded_unquoted_and_cut() {
    let long = "x".repeat(70);
    let text = format!("select * from PUBLIC.\"Us\"\"ers\", Ünï, U&\"d\\0061t\\+000061\", {long}");
    assert_eq!(told(&text), [format!("reads public.Us\"ers Ünï data {}", "x".repeat(63))]);
    let name = |text: &str| Object::parse(text, 0).map(|object| object.name);
    assert_eq!(name("a . \"B.c\""), Some(vec!["a".into(), "B.c".into()]));
    for text in ["", ".", "a.", "a b", ".a", "a..b", "1", "a.1"] {
        assert_eq!(name(text), None, "{text}");
    }
}

#[test]
fn names_after_a_change_of_the_search_path_are_not_trusted() {
    for set in [
        "set search_path to a",
        "set local \"search_path\" = a",
        "set schema 'a'",
        "reset search_path",
        "reset all",
        "discard all",
        "set role x",
        "set session authorization x",
        "select set_config('search_path', 'a', true)",
        "select set_config($1, 'a', true)",
        "update pg_settings set setting = 'a' where name = 'search_path'",
        "select pg_catalog.set_config('sea' || 'rch_path', 'a', true)",
        "alter role r set search_path = a",
    ] {
        let told = told(&format!(
            "delete from t where a = 1; {set}; delete from t where a = 1; delete from p.t where a = 1"
        ));
        assert!(told.iter().any(|line| line.starts_with("! SearchPath")), "{set}: {told:?}");
        let writes: Vec<&String> = told.iter().filter(|line| line.starts_with("writes Delete")).collect();
        assert_eq!(writes, ["writes Delete t", "writes Delete t?", "writes Delete p.t"], "{set}");
    }
    for other in
        ["set timezone = 'search_path'", "alter function f() set search_path = ''", "set local work_mem = 1"]
    {
        assert!(!told(other).iter().any(|line| line.starts_with('!')), "{other}");
    }
    tells(
        "create temp table t as select 1; insert into t values (1)",
        &["writes Create t", "changes create table: t", "writes Insert t?"],
    );
    tells(
        "set standard_conforming_strings = off",
        &["session", "! Quoting set standard_conforming_strings = off"],
    );
}

#[test]
fn not_in_a_subquery_is_pointed_out() {
    for (condition, remark) in [
        ("a.id not in (select id from b)", "a.id not in (select id from b)"),
        ("not (a in (select id from b))", "not (a in (select id from b))"),
        ("not a in (select 1)", "not a in (select 1)"),
        ("a <> all (select id from b)", "a <> all (select id from b)"),
    ] {
        let text = format!("select 1 from a where x and {condition}");
        assert!(told(&text).contains(&format!("! NotIn {remark}")), "{text}: {:?}", told(&text));
    }
    for condition in
        ["a not in (1, 2)", "not exists (select 1 from b)", "a in (select 1)", "not (a = 1)", "a <> 1"]
    {
        let text = format!("select 1 from a where {condition}");
        assert!(!told(&text).iter().any(|line| line.starts_with('!')), "{text}");
    }
}

#[test]
fn transaction_control_and_psql_commands_are_flagged() {
    for (text, control) in [
        ("begin", "begin"),
        ("start transaction read only", "start transaction"),
        ("commit and chain", "commit"),
        ("end", "end"),
        ("rollback to savepoint a", "rollback"),
        ("abort", "abort"),
        ("savepoint a", "savepoint"),
        ("release a", "release"),
        ("prepare transaction 'a'", "prepare transaction"),
        ("set transaction read only", "set transaction"),
        ("set session characteristics as transaction read only", "set session characteristics"),
    ] {
        let script = sql::read(&format!("select 1; /* x */ {text};"));
        let statement = &script.statements[1];
        assert!(matches!(statement.kind, sql::Kind::Transaction(_)), "{text}");
        assert!(
            matches!(&statement.findings[0].kind, sql::RemarkKind::Control(word) if word == control),
            "{text}"
        );
        assert!(!sql::is_read_only(&script), "{text}");
    }
    let text = "select 1\n  \\gset\n\\copy t from 'x'; y\nselect 2";
    let script = sql::read(text);
    let kinds: Vec<String> =
        script.statements.iter().map(|statement| format!("{:?}", statement.kind)).collect();
    assert_eq!(kinds, ["Select", "Meta(\"\\\\gset\")", "Meta(\"\\\\copy\")", "Select"]);
    assert_eq!(script.statements[2].text, "\\copy t from 'x'; y");
    assert_eq!(text[script.statements[1].findings[0].range.clone()], *"\\gset");
}

#[test]
fn what_cannot_run_in_a_transaction() {
    for text in NOT_IN_TRANSACTION {
        assert!(told(text).contains(&"! not in a transaction".to_owned()), "{text}: {:?}", told(text));
    }
    // Only newer servers parse it.
    tells("cluster (verbose)", &["changes cluster:", "! not in a transaction"]);
    for text in IN_TRANSACTION {
        assert!(!told(text).contains(&"! not in a transaction".to_owned()), "{text}");
    }
    tells("alter type t add value 'x'", &["changes alter type: t", "! NewEnumValue add value 'x'"]);
}

#[test]
fn read_only_is_what_certainly_changes_nothing() {
    for text in [
        "",
        "select 1",
        "with a as (select 1) table a",
        "show all",
        "set local timezone = 'UTC'; select now()",
        "explain delete from t",
        "declare c cursor for select 1; fetch c",
        "values (1)",
        "copy t to stdout",
    ] {
        assert!(sql::is_read_only(&sql::read(text)), "{text}");
    }
    for text in [
        "insert into t values (1)",
        "with a as (delete from t where x = 1) select 1",
        "select 1 into t",
        "select 1 for update",
        "select 1 from t for share",
        "create table t ()",
        "do $$$$",
        "call p()",
        "execute p",
        "explain analyze delete from t",
        "select nextval('s')",
        "vacuum",
        "analyze",
        "notify x",
        "lock t",
        "refresh materialized view m",
        "selec 1",
        "commit",
        "\\d",
        "select 'a",
        "grant select on t to u",
        "copy t to '/x'",
        "copy t to program 'x'",
        "alter table t add a int",
        "comment on table t is 'x'",
        "select 1; delete from t where a = 1",
        "load 'x'",
        "checkpoint",
        "reassign owned by a to b",
    ] {
        assert!(!sql::is_read_only(&sql::read(text)), "{text}");
    }
}

#[test]
fn errors_stand_where_they_are_and_hide_nothing_else() {
    let text = "select 1;\nselect from where;\ndelete from t;\nselec 2;\nselect 'é' frm t x y";
    let script = sql::read(text);
    assert_eq!(script.statements.len(), 5);
    assert!(script.statements[2].destructions().next().is_some());
    let line = |offset: usize| text[..offset].matches('\n').count() + 1;
    let tell = |error: &sql::SyntaxError| {
        format!("{}: {} at {}", line(error.range.start), error.message, &text[error.range.clone()])
    };
    let errors: Vec<String> = script.errors.iter().map(tell).collect();
    let expected = [
        "2: expected from item, found `where` at where",
        "4: expected command, found `selec` at selec",
        "5: missing comma at t",
    ];
    assert_eq!(errors, expected);
    for (text, message, place) in [
        ("select 'a", "the string is not closed", "'a"),
        ("select 1 /* a", "the comment is not closed", "/* a"),
        ("select \"a", "the quoted identifier is not closed", "\"a"),
        ("select 1a", "unexpected `1a`", "1a"),
        ("select {1}", "unexpected `{`", "{"),
        ("select '\0'", "a NUL character", "'\0'"),
    ] {
        let script = sql::read(text);
        let first = script.errors.first().unwrap_or_else(|| panic!("{text} is accepted"));
        assert_eq!((first.message.as_str(), &text[first.range.clone()]), (message, place), "{text}");
    }
    let deep = sql::read(&format!("select {}1{}; select 1", "(".repeat(10_000), ")".repeat(10_000)));
    assert_eq!((deep.errors.len(), deep.errors[0].message.as_str()), (1, "nested deeper than 100 levels"));
}
