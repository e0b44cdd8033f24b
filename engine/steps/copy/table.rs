//! The table at both ends: which columns are copied, what tells its rows apart, what else happens when rows are written.
//! Read only.

use super::{Wish, refused};
use crate::plan::action::copy::OnConflict;
use crate::postgres::{Connection, escape_identifier, escape_literal};
use crate::run::Failure;
use crate::steps::attempt::Attempt;
use crate::steps::stop::Stop;
use serde::{Deserialize, Serialize};

/// A name as SQL reads it.
const WORD: &str = r#""([^"]|"")+"|[A-Za-z_][A-Za-z0-9_$]*"#;

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// With its length or precision.
    pub of: String,
    /// Computed from others: never written.
    pub generated: bool,
    /// GENERATED ALWAYS AS IDENTITY: written only where a row is new.
    pub always: bool,
}

/// A table of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub oid: u32,
    /// Quoted, for SQL. Partitions belong to it; tables that inherit from it do not.
    pub sql: String,
    pub name: String,
    pub columns: Vec<Column>,
    pub primary: Vec<String>,
    partitioned: bool,
}

impl Table {
    /// The table by its name: as SQL reads it, else exactly as it is written.
    pub async fn find(connection: &Connection, name: &str, where_: &str) -> Result<Self, Stop> {
        let row = connection
            .row_if_any(&format!(
                "SELECT c.oid AS oid, format('%I.%I', n.nspname, c.relname), concat(n.nspname, '.', c.relname), c.relkind, \
                 (SELECT coalesce(json_agg(a.attname ORDER BY k.n), '[]') FROM pg_index i \
                  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) \
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
                  WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts) \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = coalesce(\
                 CASE WHEN {name} ~ '^({WORD})([.]({WORD}))?$' \
                 THEN to_regclass({name}) END, \
                 (SELECT t.oid FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace \
                  WHERE {name} IN (t.relname, concat(s.nspname, '.', t.relname)) AND t.relkind IN ('r', 'p') \
                  AND (pg_table_is_visible(t.oid) OR {name} = concat(s.nspname, '.', t.relname)) LIMIT 1))",
                name = escape_literal(name)
            ))
            .await?;
        let Some(row) = row else {
            let message = format!("there is no table {name} in {where_}");
            return Err(refused("runplan::copy::no_table", message).into());
        };
        let kind = row.text(3)?;
        if kind != "r" && kind != "p" {
            return Err(refused("runplan::copy::no_table", format!("{name} in {where_} is no table")).into());
        }
        let oid: u32 = row.number("oid")?;
        Ok(Self {
            oid,
            sql: row.text(1)?,
            name: row.text(2)?,
            columns: columns(connection, oid).await?,
            primary: serde_json::from_str(&row.text(4)?).unwrap_or_default(),
            partitioned: kind == "p",
        })
    }

    /// For reading and for changing: its own rows only.
    pub fn only(&self) -> String {
        if self.partitioned { self.sql.clone() } else { format!("ONLY {}", self.sql) }
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// All that a row is made of but for what is computed.
    pub fn stored(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.generated).collect()
    }
}

async fn columns(connection: &Connection, oid: u32) -> Result<Vec<Column>, Stop> {
    let found = connection
        .last(&format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', a.attidentity = 'a' \
             FROM pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        ))
        .await?;
    let text = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let column = |row: &Vec<Option<String>>| Column {
        name: text(row, 0),
        of: text(row, 1),
        generated: text(row, 2) == "t",
        always: text(row, 3) == "t",
    };
    Ok(found.rows.iter().map(column).collect())
}

/// What is copied.
pub struct Shape {
    pub source: Table,
    pub target: Table,
    pub key: Vec<String>,
    /// The key among them.
    pub columns: Vec<String>,
    /// Those that an existing row is given.
    pub updated: Vec<String>,
    /// Triggers that fire, by name.
    pub triggers: Vec<String>,
}

impl Shape {
    pub(super) async fn read(
        attempt: &Attempt,
        from: &Connection,
        to: &Connection,
        wish: &Wish,
        on_conflict: OnConflict,
    ) -> Result<Self, Stop> {
        let source = Table::find(from, &wish.table, from.settings().database()).await?;
        let target = Table::find(to, &wish.table, to.settings().database()).await?;
        let key = wish.key.clone().unwrap_or_else(|| target.primary.clone());
        if key.is_empty() {
            let message = format!("{} has no primary key", target.name);
            return Err(refused("runplan::copy::no_key", message)
                .help("say in `key` which columns tell its rows apart")
                .into());
        }
        let columns = chosen(wish, &key, &source, &target)?;
        remark(attempt, wish, &columns, &source, &target);
        let updated = match on_conflict {
            OnConflict::Update => columns
                .iter()
                .filter(|name| {
                    !key.contains(name) && target.column(name).is_some_and(|column| !column.always)
                })
                .cloned()
                .collect(),
            OnConflict::Fail | OnConflict::Skip => Vec::new(),
        };
        let triggers = triggers(to, &target).await?;
        Ok(Self { source, target, key, columns, updated, triggers })
    }
}

/// The key first, in the order of the table.
fn chosen(wish: &Wish, key: &[String], source: &Table, target: &Table) -> Result<Vec<String>, Failure> {
    let wanted = |name: &str| match &wish.columns {
        Some(columns) => columns.iter().any(|column| column == name),
        None => source.column(name).is_some(),
    };
    for name in key.iter().chain(wish.columns.iter().flatten()) {
        for table in [source, target] {
            match table.column(name) {
                None => {
                    return Err(refused(
                        "runplan::copy::no_column",
                        format!("{} has no column {name}", table.name),
                    )
                    .help("write it as it is in the database, without quotes"));
                }
                Some(column) if column.generated => {
                    let message = format!("the column {name} of {} is computed by the server", table.name);
                    return Err(refused("runplan::copy::generated", message)
                        .help("leave it out: it follows from the others"));
                }
                Some(_) => {}
            }
        }
    }
    let is_chosen = |column: &&Column| {
        key.contains(&column.name)
            || wanted(&column.name) && source.column(&column.name).is_some_and(|column| !column.generated)
    };
    Ok(target.stored().into_iter().filter(is_chosen).map(|column| column.name.clone()).collect())
}

/// What differs and does no harm by itself.
fn remark(attempt: &Attempt, wish: &Wish, columns: &[String], source: &Table, target: &Table) {
    for name in columns {
        if let (Some(here), Some(there)) = (source.column(name), target.column(name))
            && here.of != there.of
        {
            attempt.warn(format!(
                "the column {name} is {} in the source and {} in the target: its values go over as text",
                here.of, there.of
            ));
        }
    }
    if wish.columns.is_none() {
        let missing: Vec<&str> = source
            .stored()
            .into_iter()
            .filter(|column| target.column(&column.name).is_none())
            .map(|column| column.name.as_str())
            .collect();
        if !missing.is_empty() {
            attempt.warn(format!("columns that only the source has are not copied: {}", missing.join(", ")));
        }
    }
}

/// The triggers that fire for rows that are written here, foreign keys' own left out: those are checked like any.
async fn triggers(to: &Connection, target: &Table) -> Result<Vec<String>, Stop> {
    let found = to
        .last(&format!(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = {} AND NOT tgisinternal AND tgenabled IN ('O', 'A') \
             AND tgtype & 20 <> 0 ORDER BY 1",
            target.oid
        ))
        .await?;
    Ok(found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// `a."x", a."y"`.
pub fn list<S: AsRef<str>>(prefix: &str, names: &[S]) -> String {
    let one = |name: &S| format!("{prefix}{}", escape_identifier(name.as_ref()));
    names.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `t."id" = s."id" AND ...`
pub fn same_key<S: AsRef<str>>(one: &str, other: &str, key: &[S]) -> String {
    let pair = |name: &S| {
        let name = escape_identifier(name.as_ref());
        format!("{one}.{name} = {other}.{name}")
    };
    key.iter().map(pair).collect::<Vec<_>>().join(" AND ")
}
