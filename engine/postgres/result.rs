//! Results as text, the way the simple query protocol gives them. Pure.

use super::error::{Error, Kind};
use tokio_postgres::{SimpleColumn, SimpleQueryRow};

/// One statement's result. `affected` counts its rows, also those of a SELECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultSet {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    pub affected: u64,
}

/// One row with its column names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub columns: Vec<String>,
    pub values: Vec<Option<String>>,
}

impl ResultSet {
    pub(super) fn into_one(self) -> Result<Row, Error> {
        let count = self.rows.len();
        self.into_one_or_none()?.ok_or_else(|| shape(format!("one row was expected, {count} came")))
    }

    pub(super) fn into_one_or_none(mut self) -> Result<Option<Row>, Error> {
        if self.rows.len() > 1 {
            return Err(shape(format!("one row was expected, {} came", self.rows.len())));
        }
        Ok(self.rows.pop().map(|values| Row { columns: self.columns, values }))
    }
}

impl Row {
    /// The value of a column, which must not be NULL.
    pub fn text(&self, at: usize) -> Result<String, Error> {
        self.optional(at).ok_or_else(|| shape(format!("column {} is NULL or missing", at + 1)))
    }

    pub fn optional(&self, at: usize) -> Option<String> {
        self.values.get(at).cloned().flatten()
    }

    /// A number by its column's name.
    pub fn number<T: std::str::FromStr>(&self, column: &str) -> Result<T, Error> {
        let at = self.columns.iter().position(|name| name == column);
        let text = at.and_then(|at| self.optional(at));
        text.as_deref().and_then(|text| text.parse().ok()).ok_or_else(|| {
            shape(format!("column {column} is not a number: {}", text.as_deref().unwrap_or("NULL")))
        })
    }

    /// Whether a column is `t`.
    pub fn is_true(&self, at: usize) -> bool {
        self.values.get(at).is_some_and(|value| value.as_deref() == Some("t"))
    }
}

fn shape(message: String) -> Error {
    Error::new(
        Kind::Shape,
        message,
        "report this: the server's answer has another shape than its version promises",
    )
}

/// Gathers the messages of a simple query.
#[derive(Debug, Default)]
pub(super) struct Rows {
    done: Vec<ResultSet>,
    now: ResultSet,
    count: usize,
}

impl Rows {
    pub(super) fn describe(&mut self, columns: &[SimpleColumn]) {
        self.now.columns = columns.iter().map(|column| column.name().to_owned()).collect();
    }

    pub(super) fn push(&mut self, row: &SimpleQueryRow) {
        self.now.rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
        self.count += 1;
    }

    /// Fails when there are more rows than may be kept.
    pub(super) fn bound(&self, most: usize) -> Result<(), Error> {
        if self.count <= most {
            return Ok(());
        }
        let help = "narrow the query, or count in SQL";
        Err(Error::new(Kind::Shape, format!("the answer has more than {most} rows"), help))
    }

    pub(super) fn complete(&mut self, affected: u64) {
        let done = std::mem::take(&mut self.now);
        self.done.push(ResultSet { affected, ..done });
    }

    pub(super) fn finish(self) -> Vec<ResultSet> {
        self.done
    }
}
