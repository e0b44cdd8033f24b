//! Changes every text and every name of a step in place: the ground of `for_each` and `uses`. It must reach whatever a
//! template can stand in, and must never change what a text means otherwise.

use super::action::{Action, Http, Shell};
use super::check::{Check, Probe, Question};
use super::expect::Conditions;
use super::json::Json;
use super::name::Name;
use super::step::{Bare, Changes, Step};
use super::template::{Reference, Scope, plain, read, read_condition};
use super::text::Text;

/// What a text is, as far as rewriting it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The whole template language.
    Message,
    /// An expression without `{{ }}`.
    Condition,
    /// The name of a database, or one in `{{ }}`.
    Database,
    /// A file that is read with the plan.
    File,
    Plain,
}

/// What is to be changed.
pub trait Rewrite {
    fn text(&mut self, text: &mut Text, form: Form);
    /// The name of a database outside a template.
    fn database(&mut self, _name: &mut Name) {}
    /// The name of a set of checks.
    fn checks(&mut self, _name: &mut Name) {}
}

pub fn step(step: &mut Step, with: &mut dyn Rewrite) {
    each(&mut step.when, Form::Condition, with);
    action(&mut step.action.value, with);
    if let Some(undo) = &mut step.undo {
        bare(undo, with);
    }
}

pub fn bare(bare: &mut Bare, with: &mut dyn Rewrite) {
    action(&mut bare.action.value, with);
}

fn each<'t>(texts: impl IntoIterator<Item = &'t mut Text>, form: Form, with: &mut dyn Rewrite) {
    texts.into_iter().for_each(|text| with.text(text, form));
}

fn action(action: &mut Action, with: &mut dyn Rewrite) {
    match action {
        Action::Backup(backup) => {
            with.text(&mut backup.database, Form::Database);
            with.text(&mut backup.to, Form::Plain);
            for list in [&mut backup.tables, &mut backup.exclude_tables, &mut backup.schemas] {
                each(list.iter_mut().flatten(), Form::Plain, with);
            }
            backup.record.iter_mut().for_each(|name| with.checks(&mut name.value));
        }
        Action::Restore(restore) => {
            with.text(&mut restore.from, Form::Plain);
            with.text(&mut restore.database, Form::Database);
            each(restore.tables.iter_mut().flatten(), Form::Plain, with);
            if let super::action::restore::Into::Other(name) = &mut restore.into {
                with.database(&mut name.value);
            }
        }
        Action::Swap(swap) => {
            with.text(&mut swap.database, Form::Database);
            with.text(&mut swap.with, Form::Database);
        }
        Action::Copy(copy) => {
            with.text(&mut copy.from, Form::Database);
            with.text(&mut copy.to, Form::Database);
            with.text(&mut copy.table, Form::Plain);
            each(&mut copy.where_, Form::Plain, with);
            each(&mut copy.still, Form::Plain, with);
            for list in [&mut copy.key, &mut copy.columns] {
                each(list.iter_mut().flatten(), Form::Plain, with);
            }
        }
        Action::Freeze(freeze) => with.text(&mut freeze.database, Form::Database),
        Action::Sql(sql) => {
            with.text(&mut sql.database, Form::Database);
            each(&mut sql.statement, Form::Plain, with);
            each(&mut sql.file, Form::File, with);
            probe(sql.probe.as_deref_mut(), with);
        }
        Action::Shell(action) => shell(action, with),
        Action::Http(action) => http(action, with),
        Action::Verify(verify) => {
            each(&mut verify.database, Form::Database, with);
            verify.use_.iter_mut().for_each(|name| with.checks(&mut name.value));
            verify.checks.iter_mut().for_each(|one| check(one, with));
        }
        Action::Approve(approve) => {
            each(approve.message.iter_mut().chain(&mut approve.confirm), Form::Message, with);
        }
        Action::Notify(notify) => {
            with.text(&mut notify.message, Form::Message);
            each(notify.details.values_mut(), Form::Message, with);
        }
    }
}

fn shell(shell: &mut Shell, with: &mut dyn Rewrite) {
    each(shell.argv.iter_mut().flatten(), Form::Plain, with);
    each(&mut shell.run, Form::Plain, with);
    each(&mut shell.cwd, Form::Plain, with);
    each(shell.env.values_mut(), Form::Plain, with);
    each(&mut shell.stdin, Form::Plain, with);
    changes(shell.changes.as_mut(), with);
    each(&mut shell.replaces, Form::Database, with);
    probe(shell.probe.as_deref_mut(), with);
}

fn http(http: &mut Http, with: &mut dyn Rewrite) {
    with.text(&mut http.url, Form::Plain);
    each(http.headers.values_mut(), Form::Plain, with);
    http.json.iter_mut().for_each(|value| json(value, with));
    each(&mut http.body, Form::Plain, with);
    if let Some(graphql) = &mut http.graphql {
        with.text(&mut graphql.query, Form::Plain);
        graphql.variables.iter_mut().for_each(|value| json(value, with));
    }
    for expect in http.expect.iter_mut().chain(&mut http.until) {
        conditions(&mut expect.conditions, with);
    }
    changes(http.changes.as_mut(), with);
    each(&mut http.replaces, Form::Database, with);
    probe(http.probe.as_deref_mut(), with);
}

fn changes(changes: Option<&mut Changes>, with: &mut dyn Rewrite) {
    if let Some(Changes::Database(name)) = changes {
        with.database(&mut name.value);
    }
}

fn json(value: &mut Json, with: &mut dyn Rewrite) {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
        Json::Text(text) => with.text(text, Form::Plain),
        Json::List(items) => items.iter_mut().for_each(|item| json(item, with)),
        Json::Map(entries) => entries.iter_mut().for_each(|(_, item)| json(item, with)),
    }
}

fn conditions(conditions: &mut Conditions, with: &mut dyn Rewrite) {
    for value in [
        &mut conditions.equals,
        &mut conditions.not,
        &mut conditions.at_least,
        &mut conditions.at_most,
        &mut conditions.unchanged_since,
        &mut conditions.json,
    ] {
        value.iter_mut().for_each(|value| json(value, with));
    }
    conditions.between.iter_mut().flatten().for_each(|value| json(value, with));
}

fn probe(probe: Option<&mut Probe>, with: &mut dyn Rewrite) {
    let Some(probe) = probe else { return };
    each(&mut probe.database, Form::Database, with);
    question(&mut probe.question.value, with);
    probe.expect.iter_mut().for_each(|expect| conditions(&mut expect.conditions, with));
}

pub fn check(check: &mut Check, with: &mut dyn Rewrite) {
    each(&mut check.database, Form::Database, with);
    question(&mut check.question.value, with);
    check.expect.iter_mut().for_each(|expect| conditions(&mut expect.conditions, with));
}

fn question(question: &mut Question, with: &mut dyn Rewrite) {
    match question {
        Question::Sql(text) => with.text(text, Form::Plain),
        Question::Http(action) => http(action, with),
        Question::Shell(action) => shell(action, with),
        Question::File(file) => {
            with.text(&mut file.path, Form::Plain);
            each(file.contains.iter_mut().chain(&mut file.sha256), Form::Plain, with);
        }
        Question::Backup(backup) => {
            with.text(&mut backup.path, Form::Plain);
            each(backup.tables.iter_mut().flatten(), Form::Plain, with);
        }
        Question::Schema(against) | Question::Counts(against) => {
            with.text(&mut against.matches, Form::Plain);
            each(against.tables.iter_mut().flatten(), Form::Plain, with);
        }
        Question::Amcheck(amcheck) => each(amcheck.tables.iter_mut().flatten(), Form::Plain, with),
        Question::Lost(lost) => {
            with.text(&mut lost.side, Form::Database);
            each(lost.tables.iter_mut().flatten(), Form::Plain, with);
        }
    }
}

/// Puts another expression in the place of the beginning of dotted names: `put` says how many parts, and what.
/// A text that cannot be read is left as it is; check tells why.
pub fn replace(text: &mut Text, form: Form, put: &mut dyn FnMut(&Reference) -> Option<(usize, String)>) {
    let names = match form {
        Form::Condition => read_condition(&text.raw),
        Form::Message => read(&text.raw, true),
        Form::Database | Form::File | Form::Plain => read(&text.raw, false),
    };
    let Ok(names) = names else { return };
    let mut raw = text.raw.clone();
    for reference in names.references.iter().rev() {
        let Some((taken, expression)) = put(reference) else { continue };
        let dotted = reference.parts.get(..taken).unwrap_or_default().join(".");
        let written = &raw[reference.range.clone()];
        let end = if taken >= reference.parts.len() {
            reference.range.end
        } else if written.starts_with(&dotted) {
            reference.range.start + dotted.len()
        } else {
            continue;
        };
        raw.replace_range(reference.range.start..end, &expression);
    }
    // The name of a database is no template once it is known.
    text.raw = if form == Form::Database { fixed(&raw).unwrap_or(raw) } else { raw };
}

/// What a text without names of its own comes to: `{{ "users" }}` is `users`.
pub fn fixed(raw: &str) -> Option<String> {
    let names = read(raw, false).ok()?;
    let known = names.references.is_empty() && names.functions.is_empty();
    if !known {
        return None;
    }
    plain(raw, &Scope::new([])).ok()
}

/// Data as an expression of the template language.
pub fn literal(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
