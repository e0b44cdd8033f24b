//! Rows that a check found, as a table of plain text: for a terminal, a log and a report alike. Must never grow with what a
//! database holds: long values and many rows are cut, and that is said.

use serde_json::Value;

/// Characters of a cell.
const WIDEST: usize = 60;
const MOST_ROWS: usize = 20;
const FEW_ROWS: usize = 3;
const MOST_COLUMNS: usize = 8;

/// A line for the names of the columns, and one for each row of a check's result; empty when it kept no rows.
pub fn table(result: &Value) -> Vec<String> {
    told(result, MOST_ROWS)
}

/// The same for a log: of rows that only show what is wrong a few are enough, of differences all are wanted.
pub fn brief(result: &Value) -> Vec<String> {
    let differs = result.pointer("/rows/0/difference").is_some();
    told(result, if differs { MOST_ROWS } else { FEW_ROWS })
}

fn told(result: &Value, most: usize) -> Vec<String> {
    let rows: Vec<&Value> = result.get("rows").and_then(Value::as_array).into_iter().flatten().collect();
    let Some(Value::Object(first)) = rows.first() else { return Vec::new() };
    let is_told =
        |name: &&String| rows.iter().any(|row| row.get(name.as_str()).is_some_and(|value| !value.is_null()));
    let columns: Vec<&String> = first.keys().filter(is_told).take(MOST_COLUMNS).collect();
    let mut cells: Vec<Vec<String>> =
        vec![columns.iter().map(|name| cell(&Value::String((*name).clone()))).collect()];
    for row in rows.iter().take(most) {
        cells.push(columns.iter().map(|name| row.get(name.as_str()).map(cell).unwrap_or_default()).collect());
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut lines: Vec<String> = cells.iter().map(|row| line(row, &widths)).collect();
    let all = result.get("row_count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    let left_out = all.unwrap_or(rows.len()).saturating_sub(cells.len() - 1);
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// In one line, whatever it holds.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WIDEST + 1).collect();
    match flat.char_indices().nth(WIDEST - 1) {
        Some((at, _)) if flat.chars().count() > WIDEST => format!("{}…", &flat[..at]),
        _ => flat,
    }
}

#[cfg(test)]
mod tests {
    use super::{brief, table};
    use serde_json::{Value, json};

    #[test]
    fn rows_stand_in_columns() {
        let result = json!({ "row_count": 25, "rows": [
            { "difference": "missing", "object": "a", "now": null },
            { "difference": "extra", "object": "public.b\nforged  line", "now": null },
        ] });
        let wanted =
            ["difference  object", "missing     a", "extra       public.b forged  line", "and 23 more"];
        assert_eq!(table(&result), wanted);
        assert_eq!(table(&json!({})), Vec::<String>::new());
    }

    #[test]
    fn much_is_cut() {
        let rows: Vec<Value> = (0..100).map(|n| json!({ "n": n, "text": "ä".repeat(1000) })).collect();
        let lines = table(&json!({ "rows": rows }));
        assert_eq!((lines.len(), lines[21].as_str()), (22, "and 80 more"));
        assert_eq!(brief(&json!({ "rows": rows })).len(), 5);
        assert!(lines[1].chars().count() < 70 && lines[1].ends_with('…'), "{}", lines[1]);
    }
}
