//! One table against its twin: which way of comparing fits, and what comes of it.

use super::Both;
use super::compare::{Line, Lines, Merge, Pair};
use super::rows::By;
use super::sheet::{Found, Sheet};
use super::table::{ColumnLoss, Difference, Table, TableLoss};
use crate::postgres::{Connection, escape_identifier};
use crate::steps::stop::Stop;

/// Key columns of these types are ordered as numbers, by their index.
const NUMBERS: [&str; 3] = ["smallint", "integer", "bigint"];

/// A table that only one of the databases has.
pub(super) async fn alone(
    connection: &Connection,
    table: &Table,
    which: Difference,
    sheet: &mut Sheet,
) -> Result<TableLoss, Stop> {
    sheet.alone(connection, table, which).await?;
    let rows = count(connection, table).await?;
    let mut loss = TableLoss { alone: true, ..TableLoss::new(&table.name) };
    match which {
        Difference::OnlySide => {
            loss.only_side = rows;
            loss.notes.push("the live database has no such table".to_owned());
        }
        Difference::OnlyLive | Difference::Changed => {
            loss.only_live = rows;
            loss.notes.push("the side database has no such table".to_owned());
        }
    }
    Ok(loss)
}

async fn count(connection: &Connection, table: &Table) -> Result<u64, Stop> {
    let rows = connection.one(&format!("SELECT count(*) FROM ONLY {}", table.sql)).await?;
    Ok(rows.parse().unwrap_or(0))
}

/// Compares two tables of the same name.
pub(super) async fn of(
    both: &Both,
    live: &Table,
    side: &Table,
    most_rows: u64,
    sheet: &mut Sheet,
) -> Result<TableLoss, Stop> {
    let mut loss = TableLoss::new(&live.name);
    let shared = shared_columns(live, side, &mut loss);
    loss.columns = lost_columns(&both.live, live, &shared).await?;
    let with: Vec<String> =
        loss.columns.iter().filter(|one| one.values > 0).map(|one| one.column.clone()).collect();
    if !with.is_empty() {
        sheet.values(&both.live, live, &with).await?;
    }
    if live.estimate.max(side.estimate) > i64::try_from(most_rows).unwrap_or(i64::MAX) {
        return counted(both, live, side, loss).await;
    }
    let way = Way::of(live, side, shared, &mut loss);
    let (from_live, from_side) = tokio::try_join!(way.open(&both.live, live), way.open(&both.side, side))?;
    let mut merge = Merge::new(from_live, from_side);
    let mut found = Vec::new();
    while let Some(pair) = merge.next().await? {
        way.judge(pair, &mut loss, |difference, line, count| {
            if sheet.has_room(found.len()) {
                found.push(Found { difference, shown: line.shown, count });
            }
        });
    }
    drop(merge);
    sheet.add(both, live, side, &By { key: &way.key, row: &way.row() }, &found).await?;
    Ok(loss)
}

async fn counted(both: &Both, live: &Table, side: &Table, mut loss: TableLoss) -> Result<TableLoss, Stop> {
    let (here, there) = tokio::try_join!(count(&both.live, live), count(&both.side, side))?;
    loss.only_live = here.saturating_sub(there);
    loss.only_side = there.saturating_sub(here);
    loss.estimate = true;
    loss.notes.push(format!("only counted: {here} rows live, {there} in the side database"));
    Ok(loss)
}

/// What the columns hold that the side table does not have.
async fn lost_columns(
    connection: &Connection,
    live: &Table,
    shared: &[String],
) -> Result<Vec<ColumnLoss>, Stop> {
    let only: Vec<&String> =
        live.columns.iter().map(|(name, _)| name).filter(|name| !shared.contains(name)).collect();
    if only.is_empty() {
        return Ok(Vec::new());
    }
    let counts: Vec<String> =
        only.iter().map(|name| format!("count(t.{})", escape_identifier(name))).collect();
    let found = connection.last(&format!("SELECT {} FROM ONLY {} t", counts.join(", "), live.sql)).await?;
    let counted = found.rows.into_iter().next().unwrap_or_default();
    let values = counted.into_iter().map(|count| count.and_then(|text| text.parse().ok()).unwrap_or(0));
    Ok(only
        .into_iter()
        .zip(values)
        .map(|(name, values)| ColumnLoss { column: name.clone(), values })
        .collect())
}

/// Columns of both; what differs is noted.
fn shared_columns(live: &Table, side: &Table, loss: &mut TableLoss) -> Vec<String> {
    let names = |table: &Table| table.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (here, there) = (names(live), names(side));
    let list = |only: Vec<&String>| only.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let only_here = list(here.iter().filter(|name| !there.contains(name)).collect());
    let only_there = list(there.iter().filter(|name| !here.contains(name)).collect());
    if !only_here.is_empty() {
        loss.notes.push(format!("columns that only the live table has, not compared: {only_here}"));
    }
    if !only_there.is_empty() {
        loss.notes.push(format!("columns that only the side table has, not compared: {only_there}"));
    }
    here.into_iter().filter(|name| there.contains(name)).collect()
}

/// How two tables are compared.
pub(super) struct Way {
    /// Empty: by hash alone.
    pub key: Vec<String>,
    numbers: bool,
    columns: Vec<String>,
}

impl Way {
    fn of(live: &Table, side: &Table, columns: Vec<String>, loss: &mut TableLoss) -> Self {
        let usable = !live.key.is_empty() && live.key.iter().all(|name| columns.contains(name));
        // The key must be one on both sides, else a merge would pair the wrong rows.
        if !usable || live.key != side.key {
            let why = if live.key.is_empty() { "no key" } else { "no common key" };
            loss.notes.push(format!("{why}: a changed row counts as one lost and one brought back"));
            return Self { key: Vec::new(), numbers: false, columns };
        }
        let is_number = |table: &Table, name: &String| {
            table.columns.iter().any(|(column, of)| column == name && NUMBERS.contains(&of.as_str()))
        };
        let numbers = live.key.iter().all(|name| is_number(live, name) && is_number(side, name));
        Self { key: live.key.clone(), numbers, columns }
    }

    async fn open(&self, connection: &Connection, table: &Table) -> Result<Lines, crate::postgres::Error> {
        Lines::open(connection, &self.query(table), self.key.len().max(1), self.numbers).await
    }

    /// A row of the shared columns as text.
    fn row(&self) -> String {
        match self.columns.as_slice() {
            [] => "''".to_owned(),
            columns => {
                let list: Vec<String> =
                    columns.iter().map(|name| format!("t.{}", escape_identifier(name))).collect();
                format!("ROW({})::text", list.join(", "))
            }
        }
    }

    /// Text keys are ordered by the bytes of their UTF-8, which is the same everywhere.
    fn query(&self, table: &Table) -> String {
        let row = self.row();
        if self.key.is_empty() {
            return format!(
                "SELECT h, h, count(*) FROM (SELECT md5({row}) AS h FROM ONLY {} t) q GROUP BY h ORDER BY h COLLATE \"C\"",
                table.sql
            );
        }
        let key: Vec<String> = self.key.iter().map(|name| format!("t.{}", escape_identifier(name))).collect();
        let shown: Vec<String> = key.iter().map(|name| format!("{name}::text")).collect();
        let order: Vec<String> = match self.numbers {
            true => key,
            false => key.iter().map(|name| format!("convert_to({name}::text, 'UTF8')")).collect(),
        };
        format!(
            "SELECT {}, md5({row}), 1 FROM ONLY {} t ORDER BY {}",
            shown.join(", "),
            table.sql,
            order.join(", ")
        )
    }

    fn judge(&self, pair: Pair, loss: &mut TableLoss, mut tell: impl FnMut(Difference, Line, u64)) {
        match pair {
            Pair::Live(line) => {
                loss.only_live += line.count;
                let count = line.count;
                tell(Difference::OnlyLive, line, count);
            }
            Pair::Side(line) => {
                loss.only_side += line.count;
                let count = line.count;
                tell(Difference::OnlySide, line, count);
            }
            Pair::Both(live, side) if self.key.is_empty() => {
                let (lost, back) =
                    (live.count.saturating_sub(side.count), side.count.saturating_sub(live.count));
                loss.only_live += lost;
                loss.only_side += back;
                if lost > 0 {
                    tell(Difference::OnlyLive, live, lost);
                } else if back > 0 {
                    tell(Difference::OnlySide, side, back);
                }
            }
            Pair::Both(live, side) if live.hash != side.hash => {
                loss.changed += 1;
                tell(Difference::Changed, live, 1);
            }
            Pair::Both(..) => {}
        }
    }
}
