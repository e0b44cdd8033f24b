//! Tables: CREATE TABLE taken apart into columns and constraints, and what ALTER TABLE adds to them.

use super::cursor::Cursor;
use super::{ORDER, Schema, TABLE};

/// After `CREATE TABLE`.
pub fn create(schema: &mut Schema, cursor: &mut Cursor, persistence: &str) -> Option<()> {
    cursor.take(&["if", "not", "exists"]);
    let table = cursor.name()?;
    let mut ahead = cursor.clone();
    let Some(items) = ahead.items() else {
        schema.add(
            TABLE,
            table.clone(),
            Some(table),
            format!("{persistence} {}", cursor.rest()).trim().to_owned(),
        );
        return Some(());
    };
    let mut order = Vec::new();
    for item in &items {
        let mut item = Cursor::new(item);
        if item.take(&["constraint"]) {
            let name = item.name()?;
            schema.add("constraint", format!("{table}.{name}"), Some(table.clone()), item.rest());
        } else {
            let column = item.name()?;
            schema.add("column", format!("{table}.{column}"), Some(table.clone()), item.rest());
            order.push(column);
        }
    }
    schema.add(ORDER, table.clone(), Some(table.clone()), order.join(", "));
    let definition = format!("{persistence} {}", ahead.rest());
    schema.add(TABLE, table.clone(), Some(table), definition.trim().to_owned());
    Some(())
}

/// After `ALTER TABLE`.
pub fn alter(schema: &mut Schema, cursor: &mut Cursor) -> Option<()> {
    cursor.take(&["if", "exists"]);
    cursor.take(&["only"]);
    let table = cursor.name()?;
    let owner = Some(table.clone());
    if cursor.take(&["add", "constraint"]) {
        let name = cursor.name()?;
        let kind = if cursor.is(&["foreign", "key"]) { "foreign key" } else { "constraint" };
        schema.add(kind, format!("{table}.{name}"), owner, cursor.rest());
    } else if cursor.take(&["alter", "column"]) {
        let column = cursor.name()?;
        if cursor.is(&["drop", "default"]) {
            // What `pg_dump --clean` writes before it creates everything anew.
        } else if cursor.take(&["set", "default"]) {
            schema.add("default", format!("{table}.{column}"), owner, cursor.rest());
        } else if cursor.take(&["add", "generated"]) {
            schema.add("identity", format!("{table}.{column}"), owner, cursor.rest());
        } else {
            schema.add("column setting", format!("{table}.{column} {}", cursor.rest()), owner, String::new());
        }
    } else if cursor.take(&["attach", "partition"]) {
        let part = cursor.name()?;
        let definition = format!("of {table} {}", cursor.rest());
        schema.add("partition", part.clone(), Some(part), definition);
    } else if cursor.take(&["drop", "constraint"]) {
        // As above.
    } else {
        schema.add("table setting", format!("{table} {}", cursor.rest()), owner, String::new());
    }
    Some(())
}
