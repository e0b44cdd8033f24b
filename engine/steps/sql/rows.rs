//! Rows as data: each value by its column's type, and no more of them than the journal should hold.

use super::text::Statement;
use crate::postgres::{Connection, Error, ResultSet};
use crate::run::Outputs;
use serde_json::{Map, Number, Value};
use tokio_postgres::types::{Kind, Type};

/// Most rows that are kept in a step's outputs.
const MOST_ROWS: usize = 1000;
/// Most bytes of them, as JSON.
const MOST_BYTES: usize = 1 << 20;
/// A number with so many digits comes back the same from a JSON reader that uses doubles.
const SAFE_DIGITS: usize = 15;

/// A result with the types of its columns, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Unique: a second `id` is `id_2`.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    pub affected: u64,
}

/// The types of the columns that a statement gives; empty when it gives none or they cannot be told before it runs.
///
/// # Errors
/// The statement is wrong; inside a transaction it is aborted then.
pub async fn types(connection: &Connection, statement: &Statement) -> Result<Vec<Type>, Error> {
    if !statement.returns {
        return Ok(Vec::new());
    }
    let prepared = connection
        .client()
        .prepare(&statement.sql)
        .await
        .map_err(|error| Error::of_statement(&error, connection.endpoint(), None))?;
    Ok(prepared.columns().iter().map(|column| column.type_().clone()).collect())
}

impl Rows {
    pub fn new(result: ResultSet, types: &[Type]) -> Self {
        let typed = |row: Vec<Option<String>>| {
            row.into_iter().enumerate().map(|(at, text)| value(types.get(at), text)).collect()
        };
        Self {
            rows: result.rows.into_iter().map(typed).collect(),
            columns: unique(result.columns),
            affected: result.affected,
        }
    }

    /// Whether the statement gives rows at all, if only none.
    pub fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    pub fn object(&self, row: &[Value]) -> Value {
        let pairs = self.columns.iter().cloned().zip(row.iter().cloned());
        Value::Object(pairs.collect::<Map<_, _>>())
    }

    /// `rows`, `first`, and whether some were left out.
    pub fn outputs(&self) -> (Outputs, bool) {
        let mut outputs = Outputs::new();
        let mut bytes = 0;
        let mut kept = Vec::new();
        for row in self.rows.iter().take(MOST_ROWS) {
            let object = self.object(row);
            bytes += object.to_string().len();
            if bytes > MOST_BYTES {
                break;
            }
            kept.push(object);
        }
        let cut = kept.len() < self.rows.len();
        outputs.insert("first".to_owned(), kept.first().cloned().unwrap_or(Value::Null));
        outputs.insert("rows".to_owned(), Value::Array(kept));
        (outputs, cut)
    }
}

fn unique(names: Vec<String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let mut candidate = name.clone();
        let mut number = 1;
        while found.contains(&candidate) {
            number += 1;
            candidate = format!("{name}_{number}");
        }
        found.push(candidate);
    }
    found
}

/// A value as the server wrote it, as JSON: numbers and booleans as such, JSON as itself, the rest as text.
fn value(kind: Option<&Type>, text: Option<String>) -> Value {
    let Some(text) = text else { return Value::Null };
    if let Some(Kind::Domain(base)) = kind.map(Type::kind) {
        return value(Some(base), Some(text));
    }
    let number = match kind {
        Some(&Type::BOOL) => return Value::Bool(text == "t"),
        Some(&Type::JSON | &Type::JSONB) => serde_json::from_str(&text).ok(),
        Some(&Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::OID) => {
            text.parse::<i64>().ok().map(Value::from)
        }
        Some(&Type::FLOAT4 | &Type::FLOAT8) => float(&text),
        Some(&Type::NUMERIC) => exact(&text),
        _ => None,
    };
    number.unwrap_or(Value::String(text))
}

fn float(text: &str) -> Option<Value> {
    text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number)
}

/// A numeric that a double holds exactly enough; a longer one stays text, so that no digit is lost.
fn exact(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let plain = text.trim_start_matches(['-', '0', '.']);
    let plain = if text.contains('.') { plain.trim_end_matches(['0', '.']) } else { plain };
    let digits = plain.bytes().filter(u8::is_ascii_digit).count();
    if digits <= SAFE_DIGITS { float(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_keeps_its_type_and_every_digit() {
        let of = |kind: Type, text: &str| value(Some(&kind), Some(text.to_owned()));
        assert_eq!(of(Type::INT8, "9007199254740993"), json!(9_007_199_254_740_993_i64));
        assert_eq!(of(Type::NUMERIC, "10.50"), json!(10.5));
        assert_eq!(of(Type::NUMERIC, "-0.00000000000000000000125"), json!(-1.25e-21));
        assert_eq!(of(Type::NUMERIC, "0.000"), json!(0.0));
        assert_eq!(of(Type::NUMERIC, "NaN"), json!("NaN"));
        assert_eq!(of(Type::NUMERIC, "12345678901234567.89"), json!("12345678901234567.89"));
        assert_eq!(of(Type::FLOAT8, "NaN"), json!("NaN"));
        assert_eq!(of(Type::BOOL, "f"), json!(false));
        assert_eq!(of(Type::JSONB, "{\"a\": 1}"), json!({ "a": 1 }));
        assert_eq!(of(Type::TEXT, "5"), json!("5"));
        assert_eq!(value(None, Some("5".to_owned())), json!("5"));
        assert_eq!(value(Some(&Type::INT4), None), json!(null));
    }

    #[test]
    fn what_is_too_much_is_cut_and_said() {
        let result = |count: usize, width: usize| ResultSet {
            columns: vec!["a".to_owned(), "a".to_owned()],
            rows: vec![vec![Some("x".repeat(width)), None]; count],
            affected: count as u64,
        };
        for (count, width, kept) in [(3, 1, 3), (2000, 1, 1000), (10, 300_000, 3), (1, 2_000_000, 0)] {
            let (outputs, cut) = Rows::new(result(count, width), &[]).outputs();
            assert_eq!(outputs["rows"].as_array().unwrap().len(), kept);
            assert_eq!(cut, kept < count);
        }
        let (outputs, _) = Rows::new(result(1, 1), &[]).outputs();
        assert_eq!(outputs["first"], json!({ "a": "x", "a_2": null }));
    }
}
