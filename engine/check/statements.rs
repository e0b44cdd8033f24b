//! SQL with something in the place of its templates -> what it does. Every text is read once, however often it is used;
//! what is put in is as long as the template, so that every place in the result is a place in the text.

use super::context::Context;
use super::quoting;
use super::uses::{Owner, Place, Use};
use crate::plan::param::Type;
use crate::plan::template::{Piece, Reference, pieces, read};
use crate::plan::{Action, Text, vocabulary};
use crate::sql::{self, Script};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// SQL as it was read.
pub struct Read {
    pub script: Script,
    /// The places of templates: an object named there is not known before the run.
    pub templates: Vec<Range<usize>>,
}

/// All SQL of a plan.
#[derive(Default)]
pub struct Statements {
    by_use: HashMap<usize, Rc<Read>>,
    /// By step: the statements of its action.
    by_step: HashMap<usize, (usize, Rc<Read>)>,
}

impl Statements {
    pub fn new(context: &Context<'_>) -> Self {
        let mut by_text: HashMap<&str, Option<Rc<Read>>> = HashMap::new();
        let mut all = Self::default();
        for (at, one) in context.uses.iter().enumerate() {
            if !matches!(one.place, Place::Sql | Place::Query) || context.names[at].is_err() {
                continue;
            }
            let known = by_text.entry(one.text.raw.as_str());
            let script = known.or_insert_with(|| read_sql(context, one.text).map(Rc::new)).clone();
            let Some(script) = script else { continue };
            if let (Owner::Step(step), Place::Sql) = (one.owner, one.place) {
                all.by_step.insert(step, (at, script.clone()));
            }
            all.by_use.insert(at, script);
        }
        all
    }

    pub fn of_step(&self, step: usize) -> Option<&Read> {
        self.by_step.get(&step).map(|(_, read)| &**read)
    }

    /// The text that the statements of a step are written in.
    pub fn text_of_step<'l>(&self, context: &Context<'l>, step: usize) -> Option<&'l Text> {
        let (at, _) = self.by_step.get(&step)?;
        context.uses.get(*at).map(|one| one.text)
    }

    /// Every SQL text with what it does.
    pub fn uses<'c, 'l>(&'c self, context: &'c Context<'l>) -> impl Iterator<Item = (&'c Use<'l>, &'c Read)> {
        context.uses.iter().enumerate().filter_map(|(at, one)| Some((one, &**self.by_use.get(&at)?)))
    }
}

impl Read {
    pub fn is_late(&self, range: &Range<usize>) -> bool {
        self.templates.iter().any(|template| template.start < range.end && range.start < template.end)
    }

    /// Whether it certainly changes nothing.
    pub fn is_read_only(&self) -> bool {
        sql::is_read_only(&self.script)
    }
}

/// None: a template stands where no value can, which is told by itself.
fn read_sql(context: &Context<'_>, text: &Text) -> Option<Read> {
    let parts = pieces(&text.raw).unwrap_or_default();
    let templates: Vec<Range<usize>> = parts
        .iter()
        .filter_map(|piece| match piece {
            Piece::Expression(_, range) => Some(range.start - 2..range.end + 2),
            Piece::Literal(..) => None,
        })
        .collect();
    if templates.is_empty() {
        return Some(Read { script: sql::read(&text.raw), templates });
    }
    if !quoting::faults(&text.raw).is_empty() {
        return None;
    }
    let first = sql::read(&fill(context, &parts, Form::Text));
    let script = if first.errors.is_empty() {
        first
    } else {
        // What nobody can know before the run may be a number.
        let second = sql::read(&fill(context, &parts, Form::Number));
        if second.errors.len() < first.errors.len() { second } else { first }
    };
    Some(Read { script, templates })
}

/// What stands before a condition, so that it can be read as a query.
const ASK: &str = "SELECT 1 WHERE (";

/// What stands after WHERE, read as the condition of a query; places count from the beginning of the query.
pub struct Condition {
    pub read: Read,
    /// How far its places are from those in the text.
    pub shift: usize,
}

/// None: a template stands where no value can, which is told by itself.
pub fn condition(context: &Context<'_>, text: &Text) -> Option<Condition> {
    if !quoting::faults(&text.raw).is_empty() {
        return None;
    }
    let parts = pieces(&text.raw).ok()?;
    let ask = |form| sql::read(&format!("{ASK}{}\n)", fill(context, &parts, form)));
    let first = ask(Form::Text);
    let script = if first.errors.is_empty() { first } else { ask(Form::Number) };
    Some(Condition { read: Read { script, templates: Vec::new() }, shift: ASK.len() })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Name,
    Number,
    Text,
}

fn fill(context: &Context<'_>, parts: &[Piece<'_>], unknown: Form) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Piece::Literal(text, _) => out.push_str(text),
            Piece::Expression(expression, range) => {
                let length = range.len() + 4;
                match form(context, expression).unwrap_or(unknown) {
                    Form::Name => out.extend(std::iter::repeat_n('x', length)),
                    Form::Number => out.extend(std::iter::repeat_n('1', length)),
                    Form::Text => {
                        out.push('\'');
                        out.extend(std::iter::repeat_n('x', length - 2));
                        out.push('\'');
                    }
                }
            }
        }
    }
    out
}

/// What an expression becomes, as far as its filters and names tell.
fn form(context: &Context<'_>, expression: &str) -> Option<Form> {
    let names = read(&format!("{{{{{expression}}}}}"), false).ok()?;
    if let Some(last) = names.filters.last() {
        return match last.name.as_str() {
            "ident" => Some(Form::Name),
            "int" | "float" | "round" | "abs" | "length" | "count" | "sum" => Some(Form::Number),
            "default" | "d" | "first" | "last" | "min" | "max" | "attr" => None,
            _ => Some(Form::Text),
        };
    }
    match names.references.as_slice() {
        [one] => of_reference(context, one),
        _ => None,
    }
}

fn of_reference(context: &Context<'_>, reference: &Reference) -> Option<Form> {
    let name = reference.parts.get(1)?;
    match reference.parts[0].as_str() {
        "params" => context.plan.params.get(name.as_str()).map(|param| match param.type_.value {
            Type::Integer | Type::Number => Form::Number,
            _ => Form::Text,
        }),
        "steps" => {
            let parts = &reference.parts[1..];
            let (at, taken) = context.step_of(parts)?;
            let output = parts.get(taken)?;
            let step = &context.steps()[at];
            let named = matches!(&step.action.value, Action::Shell(shell) if shell.outputs.contains_key(output.as_str()));
            match () {
                () if named || vocabulary::has_parts(output, step) => None,
                () if vocabulary::is_number(output) => Some(Form::Number),
                () => Some(Form::Text),
            }
        }
        "databases" | "secrets" | "run" => Some(Form::Text),
        _ => None,
    }
}
