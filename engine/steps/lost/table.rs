//! The tables of a database as a comparison needs them, and what was found about them.

use crate::postgres::{Connection, Error};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub oid: u32,
    /// `schema.table`, for people; quoted where a name has a dot of its own, so that no two are called the same.
    pub name: String,
    /// Quoted, for SQL.
    pub sql: String,
    /// As the statistics have it; negative: never counted.
    pub estimate: i64,
    /// Name and type of each column, in order.
    pub columns: Vec<(String, String)>,
    /// The columns of the primary key, else of a unique index over columns that are never NULL.
    pub key: Vec<String>,
}

impl Table {
    /// The type of a column, as SQL reads it.
    pub fn type_of(&self, name: &str) -> &str {
        self.columns.iter().find(|(column, _)| column == name).map_or("text", |(_, of)| of)
    }
}

/// Every ordinary table, partitions among them, that is not the server's, not temporary and not an extension's.
pub async fn list(connection: &Connection) -> Result<BTreeMap<String, Table>, Error> {
    let found = connection.last(TABLES).await?;
    let mut tables = BTreeMap::new();
    for row in found.rows {
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let names = |at: usize| serde_json::from_str::<Vec<String>>(&text(at)).unwrap_or_default();
        let columns = serde_json::from_str::<Vec<(String, String)>>(&text(4)).unwrap_or_default();
        let table = Table {
            oid: text(0).parse().unwrap_or_default(),
            name: text(1),
            sql: text(2),
            estimate: text(3).parse().unwrap_or(-1),
            columns,
            key: names(5),
        };
        tables.insert(table.name.clone(), table);
    }
    Ok(tables)
}

const TABLES: &str = "SELECT c.oid, \
    CASE WHEN n.nspname ~ '[.]' OR c.relname ~ '[.]' THEN format('%I.%I', n.nspname, c.relname) \
     ELSE concat(n.nspname, '.', c.relname) END, format('%I.%I', n.nspname, c.relname), \
    c.reltuples::int8, \
    (SELECT coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum), '[]') \
     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
    (SELECT coalesce(json_agg(a.attname ORDER BY k.n), '[]') FROM (SELECT i.indkey, i.indrelid FROM pg_index i \
      WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
      AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) p JOIN pg_attribute a \
       ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] WHERE NOT a.attnotnull) \
      ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) best \
     CROSS JOIN LATERAL unnest(best.indkey::int2[]) WITH ORDINALITY k(attnum, n) \
     JOIN pg_attribute a ON a.attrelid = best.indrelid AND a.attnum = k.attnum) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
    ORDER BY 2";

/// How a row, or a table, differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The swap would lose it.
    OnlyLive,
    /// The swap would bring it back.
    OnlySide,
    /// The same key, other values: the swap would put the older ones back.
    Changed,
}

impl Difference {
    pub fn word(self) -> &'static str {
        match self {
            Self::OnlyLive => "lost",
            Self::OnlySide => "brought back",
            Self::Changed => "changed back",
        }
    }
}

/// What was found about one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLoss {
    pub table: String,
    /// Rows that are only in the live database: the swap would lose them.
    pub only_live: u64,
    /// Rows that are only in the side one: the swap would bring them back.
    pub only_side: u64,
    /// Rows with the same key and other values.
    pub changed: u64,
    /// Too large to compare: the numbers are differences of counts, and changed rows are not seen.
    pub estimate: bool,
    /// Only one of the databases has the table.
    #[serde(default)]
    pub alone: bool,
    /// Columns that only the live table has, with what they hold: the swap would lose that.
    #[serde(default)]
    pub columns: Vec<ColumnLoss>,
    /// What else differs: no such table, other columns, no key.
    pub notes: Vec<String>,
}

/// A column that only the live table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnLoss {
    pub column: String,
    /// How many rows have a value in it.
    pub values: u64,
}

impl TableLoss {
    pub fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            only_live: 0,
            only_side: 0,
            changed: 0,
            estimate: false,
            alone: false,
            columns: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Why the numbers are an estimate, of large objects.
    fn doubt(&self) -> String {
        format!("of the large objects, {}", self.notes.join("; "))
    }

    pub fn differs(&self) -> bool {
        self.only_live + self.only_side + self.changed > 0 || self.alone || !self.columns.is_empty()
    }
}

/// What swapping would lose and bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostReport {
    pub tables: Vec<TableLoss>,
    /// Large objects; None: neither database has any, or only some tables were asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<TableLoss>,
    /// Rows, and large objects, that only the live database has.
    pub only_live: u64,
    pub only_side: u64,
    pub changed: u64,
    /// Some tables were only counted.
    pub estimate: bool,
    /// When the backup in the side database was taken, if anybody wrote it down.
    pub since: Option<String>,
    /// When the live database was frozen, else when it was compared.
    pub until: String,
    /// One sentence for whoever decides.
    pub summary: String,
    /// The differing rows.
    pub file: Option<PathBuf>,
}

impl LostReport {
    pub fn new(since: Option<String>, until: String) -> Self {
        Self {
            tables: Vec::new(),
            objects: None,
            only_live: 0,
            only_side: 0,
            changed: 0,
            estimate: false,
            since,
            until,
            summary: String::new(),
            file: None,
        }
    }

    /// Nothing differs, as far as was looked.
    pub fn is_same(&self) -> bool {
        !self.tables.iter().chain(&self.objects).any(TableLoss::differs)
    }

    /// Values in columns that the side database does not have.
    pub fn values(&self) -> u64 {
        self.tables.iter().flat_map(|table| &table.columns).map(|column| column.values).sum()
    }

    /// Adds the tables up and writes the sentence.
    pub fn sum_up(&mut self, database: &str) {
        for table in self.tables.iter().chain(&self.objects) {
            self.only_live += table.only_live;
            self.only_side += table.only_side;
            self.changed += table.changed;
            self.estimate |= table.estimate;
        }
        let mut parts = Vec::new();
        for (verb, count) in [
            ("lose", (|table| table.only_live) as fn(&TableLoss) -> u64),
            ("take back changes to", |table| table.changed),
            ("bring back", |table| table.only_side),
        ] {
            if let Some(rows) = rows(&self.tables, count) {
                parts.push(format!("{verb} {rows}"));
            }
            match self.objects.as_ref().map_or(0, count) {
                0 => {}
                1 => parts.push(format!("{verb} 1 large object")),
                many => parts.push(format!("{verb} {many} large objects")),
            }
        }
        parts.extend(gone(&self.tables));
        let what = match parts.as_slice() {
            [] if self.objects.is_some() => format!("no row and no large object of {database}"),
            [] => format!("no row of {database}"),
            many => many.join(", "),
        };
        // Whoever asks may swap the databases, or only copy rows over.
        let what = if parts.is_empty() {
            format!("the side would change {what}")
        } else {
            format!("the side would {what}")
        };
        let about = match (self.tables.iter().any(|table| table.estimate), &self.objects) {
            (true, _) => " (an estimate: large tables were only counted)".to_owned(),
            (false, Some(objects)) if objects.estimate => format!(" (an estimate: {})", objects.doubt()),
            _ => String::new(),
        };
        let window = match &self.since {
            Some(since) => format!("; loss window {} to {}", minute(since), minute(&self.until)),
            None => "; when the backup was taken is not known".to_owned(),
        };
        self.summary = format!("{what}{about}{window}");
    }
}

/// What goes beside rows: columns, and tables that hold nothing.
fn gone(tables: &[TableLoss]) -> Vec<String> {
    let list = |what: &str, names: Vec<String>| match names.len() {
        0 => None,
        1..=4 => Some(format!("{what} {}", names.join(", "))),
        many => Some(format!("{what} {} and {} more", names[..4].join(", "), many - 4)),
    };
    let columns = tables.iter().flat_map(|table| {
        table
            .columns
            .iter()
            .map(|one| format!("{}.{} ({} values)", short(&table.table), one.column, one.values))
    });
    let empty = tables.iter().filter(|table| table.alone && table.only_live + table.only_side == 0);
    [
        list("lose the columns", columns.collect()),
        list("make or drop the empty tables", empty.map(|table| short(&table.table).to_owned()).collect()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}

/// `2300 rows (2288 of public.messages, 12 of public.users)`.
fn rows(tables: &[TableLoss], count: fn(&TableLoss) -> u64) -> Option<String> {
    let mut with: Vec<(&str, u64)> = tables
        .iter()
        .map(|table| (table.table.as_str(), count(table)))
        .filter(|(_, rows)| *rows > 0)
        .collect();
    with.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let of = |rows: u64| if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    match with.as_slice() {
        [] => None,
        [(name, rows)] => Some(format!("{} of {}", of(*rows), short(name))),
        many => {
            let total: u64 = many.iter().map(|(_, rows)| rows).sum();
            let mut parts: Vec<String> =
                many.iter().take(4).map(|(name, rows)| format!("{rows} of {}", short(name))).collect();
            if many.len() > 4 {
                parts.push(format!("and of {} more tables", many.len() - 4));
            }
            Some(format!("{} ({})", of(total), parts.join(", ")))
        }
    }
}

/// `2026-11-22T03:11:02.123Z` to the second.
fn minute(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, fraction)) if fraction.ends_with('Z') => format!("{whole}Z"),
        // An archive that runplan did not make has the clock of the machine that dumped, without its zone.
        _ if !time.ends_with('Z') => format!("{time} (local time where it was dumped)"),
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(table: &str, only_live: u64, only_side: u64, changed: u64) -> TableLoss {
        TableLoss { only_live, only_side, changed, ..TableLoss::new(table) }
    }

    #[test]
    fn the_sentence_says_what_goes_and_what_comes_back() {
        let since = Some("2026-11-22T03:11:02.123Z".to_owned());
        let mut report = LostReport::new(since, "2026-11-22T03:40:00.000Z".to_owned());
        report.tables = vec![loss("public.messages", 12, 0, 0), loss("public.users", 0, 2300, 1)];
        report.sum_up("app");
        assert_eq!(
            report.summary,
            "the side would lose 12 rows of messages, take back changes to 1 row of users, bring back 2300 rows of \
             users; loss window 2026-11-22T03:11:02Z to 2026-11-22T03:40:00Z"
        );
        let mut report = LostReport::new(None, "x".to_owned());
        report.sum_up("app");
        assert_eq!(
            report.summary,
            "the side would change no row of app; when the backup was taken is not known"
        );
    }
}
