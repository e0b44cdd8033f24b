//! `amcheck`: B-tree indexes, and with `heap` the tables too, read through by the extension amcheck where it is installed. It
//! takes the lock that a query takes, and changes nothing. Must never pass over in silence that nobody looked.

use super::super::attempt::{Attempt, Unit};
use super::super::expectation::{Answer, Doubt};
use super::super::sql::rows::Rows;
use super::super::sql::session::{self, Limits, Trouble};
use super::{Unanswered, given, plain_list};
use crate::plan::check::Amcheck;
use crate::plan::{Duration, Text};
use crate::postgres::{Connection, escape_literal};
use crate::run::Failure;
use crate::sql::is_called;
use serde_json::Value;

/// Where the functions are, and whether this user may call them.
const INSTALLED: &str = "SELECT pg_catalog.quote_ident(n.nspname),
       pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))::text,
       pg_catalog.bool_or(p.proname = 'verify_heapam')::text, pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
  AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND (p.proname, p.pronargs) IN (('bt_index_check', 2), ('verify_heapam', 6))
WHERE e.extname = 'amcheck' GROUP BY 1";

/// What can be read through: the same for a partition as for a table, and nothing of another session's.
const INDEXES: &str = "SELECT c.oid::text, n.nspname || '.' || c.relname, tn.nspname || '.' || t.relname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am a ON a.oid = c.relam
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready
ORDER BY 2";
const TABLES: &str = "SELECT c.oid::text, n.nspname || '.' || c.relname, n.nspname || '.' || c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't' ORDER BY 2";

/// How long it may wait for somebody else's lock.
const LOCKS: Duration = Duration::from_secs(30);
/// Of one table so many faults are told.
const FAULTS: usize = 20;

pub async fn ask(attempt: &Attempt, check: &Amcheck, database: Option<&Text>) -> Result<Answer, Unanswered> {
    let target = attempt.world.targets.find(&attempt.world, given(database)?).await?;
    let chosen = plain_list(attempt, check.tables.as_deref()).await?;
    let limits = Limits { lock_timeout: Some(LOCKS), statement_timeout: None };
    let connection = session::open(attempt, &target, limits).await.map_err(|error| said(&error))?;
    connection.execute("SET default_transaction_read_only = on").await.map_err(|error| said(&error))?;
    let installed = connection.last(INSTALLED).await.map_err(|error| said(&error))?.rows;
    let Some([Some(schema), Some(allowed), Some(has_heap), Some(role)]) =
        installed.first().map(Vec::as_slice)
    else {
        return Ok(absent(check.required));
    };
    if allowed != "true" {
        let message = format!("amcheck: role {role} may not call its functions");
        let help = format!(
            "as a superuser, in that database: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}"
        );
        return Err(Failure::new("runplan::verify::amcheck", message).help(help).into());
    }
    if check.heap && has_heap != "true" {
        let message = "amcheck: this version of the extension cannot read tables (verify_heapam)";
        let help = "ALTER EXTENSION amcheck UPDATE on a server from 14 on, or remove `heap`";
        return Err(Failure::new("runplan::verify::amcheck", message).help(help).into());
    }
    let is_wanted =
        |table: &str| chosen.as_ref().is_none_or(|chosen| chosen.iter().any(|name| is_called(table, name)));
    let mut reader = Reader { attempt, connection: &connection, schema, damaged: Vec::new() };
    let indexes = of_tables(&connection, INDEXES, is_wanted).await?;
    let tables = match check.heap {
        true => of_tables(&connection, TABLES, is_wanted).await?,
        false => Vec::new(),
    };
    if let Some(missing) = chosen.iter().flatten().find(|name| {
        let found = indexes.iter().chain(&tables).any(|(_, _, table)| is_called(table, name));
        !found
    }) {
        let message = format!("there is no table {missing} with something to read through");
        return Ok(Answer { wrong: Some(message), ..Answer::default() });
    }
    let all = indexes.len() + tables.len();
    for (at, (oid, name, _)) in indexes.iter().enumerate() {
        attempt.progress("reading indexes", at as u64, Some(all as u64), Unit::Items);
        reader.index(oid, name).await?;
    }
    for (at, (oid, name, _)) in tables.iter().enumerate() {
        attempt.progress("reading tables", (indexes.len() + at) as u64, Some(all as u64), Unit::Items);
        reader.table(oid, name).await?;
    }
    Ok(answer(reader.damaged, indexes.len(), tables.len()))
}

fn said(error: &crate::postgres::Error) -> Failure {
    session::failure(error, "amcheck: ")
}

fn absent(required: bool) -> Answer {
    let why = "amcheck is not installed in this database";
    match required {
        true => Answer { wrong: Some(format!("{why} (CREATE EXTENSION amcheck)")), ..Answer::default() },
        false => Answer {
            value: 0.into(),
            left_out: true,
            summary: Some(format!("left out: {why}, nothing was read through")),
            ..Answer::default()
        },
    }
}

fn answer(damaged: Vec<Vec<Value>>, indexes: usize, tables: usize) -> Answer {
    let tables = if tables > 0 { format!(" and {tables} tables") } else { String::new() };
    let read = format!("{indexes} indexes{tables} were read through");
    Answer {
        doubt: (!damaged.is_empty()).then(|| Doubt {
            expected: "nothing damaged".to_owned(),
            actual: format!("{} damaged; {read}", damaged.len()),
        }),
        summary: damaged.is_empty().then_some(read),
        value: damaged.len().into(),
        rows: Some(Rows {
            columns: ["difference", "kind", "object", "now"].map(str::to_owned).to_vec(),
            rows: damaged,
            affected: 0,
        }),
        ..Answer::default()
    }
}

/// OID, name and table of what is wanted.
async fn of_tables(
    connection: &Connection,
    sql: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String, String)>, Failure> {
    let rows = connection.last(sql).await.map_err(|error| said(&error))?.rows;
    let one = |row: Vec<Option<String>>| match <[Option<String>; 3]>::try_from(row) {
        Ok([Some(oid), Some(name), Some(table)]) => Some((oid, name, table)),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(one).filter(|(_, _, table)| is_wanted(table)).collect())
}

struct Reader<'a> {
    attempt: &'a Attempt,
    connection: &'a Connection,
    /// Of the extension, quoted.
    schema: &'a str,
    damaged: Vec<Vec<Value>>,
}

impl Reader<'_> {
    async fn index(&mut self, oid: &str, name: &str) -> Result<(), Unanswered> {
        let sql =
            format!("SELECT {}.bt_index_check({}::pg_catalog.oid, false)", self.schema, escape_literal(oid));
        match session::run(self.attempt, self.connection, &sql).await {
            Ok(_) => Ok(()),
            // data_corrupted, index_corrupted
            Err(Trouble::Server(error)) if matches!(error.sqlstate(), Some("XX001" | "XX002")) => {
                self.found("index", name, error.message().to_owned());
                Ok(())
            }
            // Dropped since it was listed.
            Err(Trouble::Server(error)) if matches!(error.sqlstate(), Some("42P01" | "42704")) => Ok(()),
            Err(trouble) => Err(ended(trouble, name)),
        }
    }

    async fn table(&mut self, oid: &str, name: &str) -> Result<(), Unanswered> {
        let sql = format!(
            "SELECT blkno, msg FROM {}.verify_heapam({}::pg_catalog.oid::pg_catalog.regclass) LIMIT {FAULTS}",
            self.schema,
            escape_literal(oid)
        );
        match session::run(self.attempt, self.connection, &sql).await {
            Ok(results) => {
                for row in results.into_iter().next_back().map(|result| result.rows).unwrap_or_default() {
                    let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
                    self.found("table", name, format!("block {}: {}", text(0), text(1)));
                }
                Ok(())
            }
            Err(Trouble::Server(error)) if matches!(error.sqlstate(), Some("42P01" | "42704")) => Ok(()),
            Err(trouble) => Err(ended(trouble, name)),
        }
    }

    fn found(&mut self, kind: &str, name: &str, why: String) {
        self.damaged.push(vec!["invalid".into(), kind.into(), name.into(), why.into()]);
    }
}

fn ended(trouble: Trouble, name: &str) -> Unanswered {
    match trouble {
        Trouble::Server(error) => session::failure(&error, &format!("amcheck on {name}: ")).into(),
        Trouble::NotSent | Trouble::Cancelled(_) => Unanswered::Cancelled,
    }
}
