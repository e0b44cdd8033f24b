//! One statement of a dump as objects. It must never drop a statement that it does not know: that is an object of its own.

use super::Schema;
use super::cursor::Cursor;
use super::table;

/// Says nothing of what there is: settings, rows, and who may do what.
const SILENT: [&[&str]; 22] = [
    &["set"],
    &["select"],
    &["insert"],
    &["copy"],
    &["grant"],
    &["revoke"],
    &["comment"],
    &["security"],
    &["begin"],
    &["commit"],
    &["drop"],
    &["refresh"],
    &["reset"],
    &["alter", "default", "privileges"],
    &["create", "publication"],
    &["alter", "publication"],
    &["create", "subscription"],
    &["alter", "subscription"],
    &["create", "database"],
    &["alter", "database"],
    &["alter", "large", "object"],
    // It is always there.
    &["create", "schema", "public"],
];

/// Kinds that are `CREATE <words> <name> <definition>`.
const NAMED: [(&[&str], &str); 13] = [
    (&["materialized", "view"], "materialized view"),
    (&["recursive", "view"], "view"),
    (&["view"], "view"),
    (&["unlogged", "sequence"], "sequence"),
    (&["sequence"], "sequence"),
    (&["domain"], "domain"),
    (&["schema"], "schema"),
    (&["collation"], "collation"),
    (&["server"], "server"),
    (&["event", "trigger"], "event trigger"),
    (&["statistics"], "statistics"),
    (&["text", "search", "configuration"], "text search configuration"),
    (&["text", "search", "dictionary"], "text search dictionary"),
];

/// Reads one statement into the schema.
pub fn read(schema: &mut Schema, text: &str) {
    let mut cursor = Cursor::new(text);
    let whole = cursor.clone();
    let silent =
        cursor.is_at_end() || SILENT.iter().any(|words| cursor.is(words)) || is_owner(cursor.clone());
    if silent || known(schema, &mut cursor).is_some() {
        return;
    }
    schema.add("statement", whole.rest(), None, String::new());
}

/// `ALTER ... OWNER TO somebody`: the last three words.
fn is_owner(mut cursor: Cursor) -> bool {
    cursor.take(&["alter"]) && cursor.seek("owner") && cursor.take(&["owner", "to"])
}

fn known(schema: &mut Schema, cursor: &mut Cursor) -> Option<()> {
    if cursor.take(&["alter"]) {
        return alter(schema, cursor);
    }
    if !cursor.take(&["create"]) {
        return None;
    }
    cursor.take(&["or", "replace"]);
    if let Some((_, kind)) = NAMED.iter().find(|(words, _)| cursor.take(words)) {
        cursor.take(&["if", "not", "exists"]);
        let name = cursor.name()?;
        schema.add(kind, name, None, cursor.rest());
        return Some(());
    }
    for (words, persistence) in
        [(&["table"][..], ""), (&["unlogged", "table"], "unlogged"), (&["foreign", "table"], "foreign")]
    {
        if cursor.take(words) {
            return table::create(schema, cursor, persistence);
        }
    }
    if cursor.is(&["index"]) || cursor.is(&["unique", "index"]) {
        return index(schema, cursor);
    }
    if cursor.take(&["type"]) {
        let name = cursor.name()?;
        let kind = if cursor.take(&["as", "enum"]) { "enum" } else { "type" };
        schema.add(kind, name, None, cursor.rest());
        return Some(());
    }
    if cursor.take(&["extension"]) {
        cursor.take(&["if", "not", "exists"]);
        let name = cursor.name()?;
        schema.add("extension", name, None, cursor.rest());
        return Some(());
    }
    for (word, kind) in [("function", "function"), ("procedure", "procedure"), ("aggregate", "aggregate")] {
        if cursor.take(&[word]) {
            let name = cursor.name()?;
            let arguments = cursor.items()?.join(", ");
            schema.add(kind, format!("{name}({arguments})"), None, cursor.rest());
            return Some(());
        }
    }
    on_table(schema, cursor)
}

/// Policies, triggers and rules: named within their table.
fn on_table(schema: &mut Schema, cursor: &mut Cursor) -> Option<()> {
    let definition = cursor.rest();
    let (kind, before) = if cursor.take(&["policy"]) {
        ("policy", "on")
    } else if cursor.take(&["trigger"]) || cursor.take(&["constraint", "trigger"]) {
        ("trigger", "on")
    } else if cursor.take(&["rule"]) {
        ("rule", "to")
    } else {
        return None;
    };
    let name = cursor.name()?;
    cursor.seek(before);
    cursor.word()?;
    let table = cursor.name()?;
    schema.add(kind, format!("{table}.{name}"), Some(table), definition);
    Some(())
}

fn index(schema: &mut Schema, cursor: &mut Cursor) -> Option<()> {
    let unique = if cursor.take(&["unique"]) { "UNIQUE " } else { "" };
    cursor.take(&["index"]);
    let name = cursor.name()?;
    let definition = format!("{unique}{}", cursor.rest());
    if !cursor.take(&["on"]) {
        return None;
    }
    cursor.take(&["only"]);
    let table = cursor.name()?;
    // An index is in the schema of its table.
    let name = match table.rsplit_once('.') {
        Some((schema, _)) => format!("{schema}.{name}"),
        None => name,
    };
    schema.add("index", name, Some(table), definition);
    Some(())
}

fn alter(schema: &mut Schema, cursor: &mut Cursor) -> Option<()> {
    if cursor.take(&["table"]) || cursor.take(&["foreign", "table"]) {
        return table::alter(schema, cursor);
    }
    if cursor.take(&["sequence"]) {
        let name = cursor.name()?;
        cursor.is(&["owned", "by"]).then_some(())?;
        schema.add("sequence", format!("{name} (its column)"), None, cursor.rest());
        return Some(());
    }
    if cursor.take(&["index"]) {
        let name = cursor.name()?;
        let definition = cursor.rest();
        cursor.take(&["attach", "partition"]).then_some(())?;
        schema.add("index partition", cursor.name()?, None, format!("of {name}: {definition}"));
        return Some(());
    }
    None
}
