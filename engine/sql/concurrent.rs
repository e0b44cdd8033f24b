//! Statements that build an index beside the readers and writers of its table: what they would leave when they are
//! interrupted. Reads names; what is there only the server knows.

use super::name::unquote;
use super::schema::cursor::Cursor;

/// What a statement builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The index that it names, as the server knows it; None: the server finds a name.
    pub index: Option<String>,
    /// The table, as it is written; None: REINDEX.
    pub table: Option<String>,
}

/// None: the statement builds no index CONCURRENTLY.
pub fn build(text: &str) -> Option<Build> {
    let mut words = Cursor::new(text);
    if words.take(&["reindex"]) {
        words.take(&["("]);
        return words.seek("concurrently").then_some(Build { index: None, table: None });
    }
    if !words.take(&["create"]) {
        return None;
    }
    words.take(&["unique"]);
    if !words.take(&["index", "concurrently"]) {
        return None;
    }
    words.take(&["if", "not", "exists"]);
    let index = if words.is(&["on"]) { None } else { Some(unquote(words.word()?)) };
    if !words.take(&["on"]) {
        return None;
    }
    words.take(&["only"]);
    let mut table = words.word()?.to_owned();
    while words.take(&["."]) {
        table = format!("{table}.{}", words.word()?);
    }
    Some(Build { index, table: Some(table) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_and_its_table_are_read_as_the_server_does() {
        let of = |index: Option<&str>, table: Option<&str>| {
            Some(Build { index: index.map(str::to_owned), table: table.map(str::to_owned) })
        };
        for (text, wanted) in [
            ("CREATE INDEX CONCURRENTLY Idx_A ON t (a);", of(Some("idx_a"), Some("t"))),
            (
                "create unique index concurrently if not exists \"My Idx\" on only s . \"T.x\" using btree (a)",
                of(Some("My Idx"), Some("s.\"T.x\"")),
            ),
            ("CREATE INDEX CONCURRENTLY /* a */ ON t (a)", of(None, Some("t"))),
            ("REINDEX TABLE CONCURRENTLY t", of(None, None)),
            ("REINDEX (CONCURRENTLY, VERBOSE) INDEX i", of(None, None)),
            ("CREATE INDEX i ON t (a)", None),
            ("DROP INDEX CONCURRENTLY i", None),
            ("VACUUM t", None),
            ("REINDEX TABLE t", None),
        ] {
            assert_eq!(build(text), wanted, "{text}");
        }
    }
}
