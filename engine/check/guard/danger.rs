//! What a step destroys: by its kind, by what it declares, by its SQL; and whether a backup holds it.

use super::same;
use crate::check::context::Context;
use crate::plan::action::Backup;
use crate::plan::action::restore::Into;
use crate::plan::{Action, Changes, Sp, Span, Step, Text, rewrite};
use crate::sql::{Destruction, Effect, Loss, Object, Scope};

/// One thing that a step destroys.
pub struct Danger<'l> {
    pub step: usize,
    pub database: String,
    /// The tables it hits; none: the whole database, or nobody knows.
    pub tables: Vec<&'l Object>,
    pub known: bool,
    /// Rows or values are gone, not only a definition.
    pub data: bool,
    /// A schema that goes with all it holds.
    pub schemas: Vec<&'l Object>,
    /// What hangs on it goes too, whatever schema or table that is in.
    pub cascade: bool,
    pub span: Span,
    pub what: String,
}

/// Everything that the steps destroy, in their order.
pub fn all<'l>(context: &'l Context<'_>) -> Vec<Danger<'l>> {
    context.steps().iter().enumerate().flat_map(|(at, step)| of_step(context, at, step)).collect()
}

fn of_step<'l>(context: &'l Context<'_>, at: usize, step: &'l Step) -> Vec<Danger<'l>> {
    let mut found = of_action(context, at, &step.action);
    if let Action::Sql(sql) = &step.action.value {
        found.extend(of_sql(context, at, step, &same(&sql.database.raw)));
    }
    // What reverses a step can destroy as well. Its SQL is for that: it drops what the step made.
    if let Some(undo) = step.undo.as_ref().filter(|_| context.flow.made(&step.id.value).is_none()) {
        let undo = of_action(context, at, &undo.action).into_iter();
        found.extend(undo.map(|danger| Danger { what: format!("its undo: {}", danger.what), ..danger }));
    }
    found
}

fn of_action<'l>(context: &Context<'_>, at: usize, action: &Sp<Action>) -> Vec<Danger<'l>> {
    let whole = |database: String, what: &str| Danger {
        step: at,
        database,
        tables: Vec::new(),
        known: false,
        schemas: Vec::new(),
        cascade: false,
        data: true,
        span: action.span,
        what: what.to_owned(),
    };
    match &action.value {
        Action::Restore(restore) if restore.into == Into::InPlace => {
            vec![whole(same(&restore.database.raw), "a restore in place")]
        }
        Action::Shell(shell) if shell.destructive || shell.replaces.is_some() => {
            let database = changed(context, shell.changes.as_ref(), shell.replaces.as_ref());
            vec![whole(database, "declared destructive")]
        }
        Action::Http(http) if http.destructive || http.replaces.is_some() => {
            let database = changed(context, http.changes.as_ref(), http.replaces.as_ref());
            vec![whole(database, "declared destructive")]
        }
        _ => Vec::new(),
    }
}

/// What `changes` or `replaces` names; where there is one database it is that one. Empty: nobody says which.
fn changed(context: &Context<'_>, changes: Option<&Changes>, replaces: Option<&Text>) -> String {
    match (replaces, changes) {
        (Some(text), _) => same(&text.raw),
        (None, Some(Changes::Database(name))) => name.to_string(),
        (None, _) if context.databases.len() == 1 => {
            context.databases.keys().map(|name| (*name).to_owned()).collect()
        }
        (None, _) => String::new(),
    }
}

fn of_sql<'l>(context: &'l Context<'_>, at: usize, step: &'l Step, database: &str) -> Vec<Danger<'l>> {
    let Some(read) = context.statements.of_step(at) else { return Vec::new() };
    let text = context.statements.text_of_step(context, at);
    let mut found = Vec::new();
    for statement in &read.script.statements {
        for effect in &statement.effects {
            let Effect::Destroys { what, objects, scope, cascade, range } = effect else { continue };
            // What holds no rows can be made anew, when the author says how.
            if what.loss(*cascade) != Loss::Data && step.undo.is_some() {
                continue;
            }
            let span = text.map_or(step.action.span, |text| context.place(text, range.clone()));
            let resolved = |object: &&Object| object.resolved && !read.is_late(&object.range);
            let known = !objects.is_empty() && objects.iter().all(|object| resolved(&object));
            let is_schema = *scope == Scope::Schema;
            found.push(Danger {
                step: at,
                database: database.to_owned(),
                tables: if is_schema { Vec::new() } else { objects.iter().collect() },
                schemas: if is_schema { objects.iter().collect() } else { Vec::new() },
                known: known
                    && !matches!(what, Destruction::Drop(noun) if noun == "owned" || noun == "database"),
                cascade: *cascade,
                data: what.loss(*cascade) == Loss::Data,
                span,
                what: what.to_string(),
            });
        }
    }
    found
}

/// Whether a backup of the right database holds what is destroyed.
pub fn covers(backup: &Backup, danger: &Danger<'_>) -> bool {
    let whole = backup.tables.is_none() && backup.exclude_tables.is_none() && backup.schemas.is_none();
    if whole {
        return true;
    }
    // Nobody can say what CASCADE reaches: tables with foreign keys, heirs, columns of a type.
    if !danger.known || danger.cascade {
        return false;
    }
    let names = |list: &Option<Vec<Text>>| -> Option<Vec<String>> {
        let fixed = |raw: &str| rewrite::fixed(raw).unwrap_or_else(|| raw.to_owned());
        list.as_ref().map(|list| list.iter().map(|text| fixed(text.raw.trim())).collect())
    };
    let (tables, excluded, schemas) =
        (names(&backup.tables), names(&backup.exclude_tables), names(&backup.schemas));
    let is_plain = |name: &str| !name.contains(['*', '?', '{', '[']);
    let named = |list: &[String], object: &Object| {
        let full = object.to_string();
        list.iter().any(|name| {
            is_plain(name) && (*name == full || (object.schema().is_none() && name == object.local_name()))
        })
    };
    if !danger.schemas.is_empty() {
        let listed = |object: &&Object| schemas.as_ref().is_some_and(|list| named(list, object));
        return tables.is_none() && excluded.is_none() && danger.schemas.iter().all(listed);
    }
    danger.tables.iter().all(|object| {
        let included = tables.as_ref().is_none_or(|list| named(list, object));
        let left_out = excluded.as_ref().is_some_and(|list| {
            list.iter().any(|name| !is_plain(name) || name.rsplit('.').next() == Some(object.local_name()))
        });
        let in_schema = schemas.as_ref().is_none_or(|list| {
            object.schema().is_some_and(|schema| list.iter().any(|name| is_plain(name) && name == schema))
        });
        included && !left_out && in_schema
    })
}
