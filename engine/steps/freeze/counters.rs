//! What has been written to a database, as the server counts it: rows inserted, updated and deleted in every table, the
//! catalogs among them (DDL, TRUNCATE and large objects write there). Statistics, which autovacuum writes, temporary tables
//! and the catalogs shared with other databases do not count. Must never write itself.

use crate::postgres::{Connection, Error};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The counters of a moment, small enough for the journal. Equal counters of the same database, taken when no session is left
/// that has not reported: nothing was written in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The database's OID.
    pub oid: u32,
    /// Over every table's OID and count.
    pub fingerprint: String,
    pub writes: u64,
    /// Over those that are not the server's own catalogs, and the large objects.
    #[serde(default)]
    pub rows: Option<String>,
}

/// The counters table by table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    tables: BTreeMap<u32, (String, u64)>,
    /// The first transaction id that no finished transaction has, for the whole server.
    horizon: String,
}

const TABLES: &str = "SELECT c.oid AS oid, pg_catalog.concat(n.nspname, '.', c.relname), \
    s.n_tup_ins + s.n_tup_upd + s.n_tup_del AS writes \
    FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) s.relid \
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
    WHERE NOT c.relisshared AND c.relpersistence OPERATOR(pg_catalog.<>) 't' AND c.oid NOT IN (\
    SELECT pg_catalog.unnest(ARRAY[t.oid, t.reltoastrelid]) FROM pg_catalog.pg_class t \
    WHERE t.relnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace \
    AND t.relname IN ('pg_statistic', 'pg_statistic_ext_data')) ORDER BY c.oid";

impl Watch {
    /// Reads the counters in a session on the database itself.
    pub async fn take(inside: &Connection) -> Result<Self, Error> {
        let horizon =
            inside.one("SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())").await?;
        let mut tables = BTreeMap::new();
        for row in inside.last(TABLES).await?.rows {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            let (oid, name, writes) = (row.next(), row.next(), row.next());
            let number =
                |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
            tables.insert(
                u32::try_from(number(oid)).unwrap_or_default(),
                (name.unwrap_or_default(), number(writes)),
            );
        }
        Ok(Self { tables, horizon })
    }

    /// No transaction that had written anything, in any database of the server, ended in between. Certain at once: unlike
    /// the counters this does not wait for a session to report.
    pub fn same_horizon(&self, other: &Self) -> bool {
        self.horizon == other.horizon
    }

    pub fn same_writes(&self, other: &Self) -> bool {
        self.tables == other.tables
    }

    /// The writes to each table that is not the server's own.
    pub fn by_table(&self) -> BTreeMap<String, u64> {
        let own = |name: &str| name.starts_with("pg_");
        self.tables.values().filter(|(name, _)| !own(name)).cloned().collect()
    }

    pub fn counters(&self, oid: u32) -> Counters {
        let fingerprint = |counts: &dyn Fn(&str) -> bool| {
            let mut text = String::new();
            for (table, (_, writes)) in self.tables.iter().filter(|(_, (name, _))| counts(name)) {
                text.push_str(&format!("{table} {writes}\n"));
            }
            crate::plan::digest::sha256(text.as_bytes())
        };
        let rows = |name: &str| !name.starts_with("pg_") || name == "pg_catalog.pg_largeobject";
        Counters {
            oid,
            fingerprint: fingerprint(&|_| true),
            writes: self.tables.values().map(|(_, writes)| writes).sum(),
            rows: Some(fingerprint(&rows)),
        }
    }

    /// What changed until `later`, in words.
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let changed = later.tables.iter().filter_map(|(oid, (name, writes))| match self.tables.get(oid) {
            None => Some(format!("{name} (new)")),
            Some((_, before)) if before != writes => Some(match writes.checked_sub(*before) {
                Some(more) => format!("{name} ({more} rows)"),
                None => format!("{name} (counters were reset)"),
            }),
            Some(_) => None,
        });
        let gone = self.tables.iter().filter(|(oid, _)| !later.tables.contains_key(oid));
        changed.chain(gone.map(|(_, (name, _))| format!("{name} (dropped)"))).take(10).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(tables: &[(u32, u64)]) -> Watch {
        let tables = tables.iter().map(|(oid, writes)| (*oid, (format!("t{oid}"), *writes))).collect();
        Watch { tables, horizon: "1".into() }
    }

    #[test]
    fn every_change_is_told_and_changes_the_fingerprint() {
        let before = watch(&[(1, 5), (2, 7)]);
        for (later, said) in [
            (watch(&[(1, 6), (2, 7)]), "t1 (1 rows)"),
            (watch(&[(1, 0), (2, 7)]), "t1 (counters were reset)"),
            (watch(&[(2, 7)]), "t1 (dropped)"),
            (watch(&[(1, 5), (2, 7), (3, 0)]), "t3 (new)"),
        ] {
            assert_eq!(before.changes(&later), [said]);
            assert!(!before.same_writes(&later));
            assert_ne!(before.counters(9).fingerprint, later.counters(9).fingerprint);
        }
        assert_eq!(before.counters(9), watch(&[(1, 5), (2, 7)]).counters(9));
    }
}
