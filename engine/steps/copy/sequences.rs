//! Sequences behind the columns that were copied: moved past the numbers that came, so that none is given out again. Never
//! moves one back. Numbers are not given back when the transaction is rolled back; that does no harm.

use super::Session;
use super::table::{Column, Table};
use crate::postgres::{escape_identifier, escape_literal};
use crate::steps::sql::transaction::Short;

const NUMBERS: [&str; 3] = ["smallint", "integer", "bigint"];

/// Moves those on that are behind; their names.
pub async fn move_on(
    session: &Session<'_>,
    target: &Table,
    columns: &[String],
) -> Result<Vec<String>, Short> {
    let mut moved = Vec::new();
    let is_number =
        |column: &&Column| columns.contains(&column.name) && NUMBERS.contains(&column.of.as_str());
    for column in target.columns.iter().filter(is_number) {
        let Some(sequence) = of(session, target, column).await? else { continue };
        let name = escape_identifier(&column.name);
        let sql = format!(
            "SELECT CASE WHEN (s.increment > 0 AND v.most >= n.next) OR (s.increment < 0 AND v.least <= n.next) \
             THEN pg_catalog.setval(s.oid, CASE WHEN s.increment > 0 THEN v.most ELSE v.least END) END \
             FROM (SELECT seqrelid::pg_catalog.regclass AS oid, seqincrement AS increment FROM pg_catalog.pg_sequence \
             WHERE seqrelid = {sequence_oid}) s, \
             (SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END AS next FROM {sequence}) n, \
             (SELECT max({name})::int8 AS most, min({name})::int8 AS least FROM pg_temp.runplan_rows) v",
            sequence_oid = format_args!("{}::pg_catalog.regclass", escape_literal(&sequence)),
        );
        if !session.list(&sql).await?.is_empty() {
            moved.push(sequence);
        }
    }
    Ok(moved)
}

/// The sequence that a column's numbers come from: its own, or the one that its default names.
async fn of(session: &Session<'_>, target: &Table, column: &Column) -> Result<Option<String>, Short> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND (EXISTS (SELECT FROM \
         pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
         WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.refobjid = {oid} AND a.attname = {name} \
         AND d.deptype IN ('a', 'i')) OR EXISTS (SELECT FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_attribute a \
         ON a.attrelid = f.adrelid AND a.attnum = f.adnum JOIN pg_catalog.pg_depend d ON d.objid = f.oid \
         AND d.classid = 'pg_attrdef'::regclass WHERE f.adrelid = {oid} AND a.attname = {name} AND d.refobjid = c.oid)) \
         LIMIT 1",
        oid = target.oid,
        name = escape_literal(&column.name)
    );
    Ok(session.list(&sql).await?.into_iter().next())
}
