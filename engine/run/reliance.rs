//! What a step goes by besides its own text: the run's parameters, and the files of SQL it names. Must find whatever a template
//! can stand in: the action, its undo and probe, `when`, the named checks.

use super::shape::Shape;
use crate::plan::rewrite::{self, Form, Rewrite};
use crate::plan::template::{read, read_condition};
use crate::plan::{Name, Step, Text};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Reliance {
    pub params: BTreeSet<String>,
    /// They are named as a whole, or by a computed name.
    pub all_params: bool,
    /// The texts of the files, by the names it has for them.
    pub files: BTreeMap<String, String>,
}

pub(super) fn reliance(step: &Step, shape: &Shape) -> Reliance {
    let mut finder = Finder { shape, found: Reliance::default() };
    rewrite::step(&mut step.clone(), &mut finder);
    finder.found
}

struct Finder<'s> {
    shape: &'s Shape,
    found: Reliance,
}

impl Finder<'_> {
    fn names(&mut self, raw: &str, form: Form) {
        let names = match form {
            Form::Condition => read_condition(raw),
            Form::Message => read(raw, true),
            Form::Database | Form::File | Form::Plain => read(raw, false),
        };
        // A plan that runs has no text that cannot be read.
        for reference in names.map(|names| names.references).unwrap_or_default() {
            match reference.parts.as_slice() {
                [root, name, ..] if root == "params" => drop(self.found.params.insert(name.clone())),
                [root] if root == "params" => self.found.all_params = true,
                _ => {}
            }
        }
    }
}

impl Rewrite for Finder<'_> {
    fn text(&mut self, text: &mut Text, form: Form) {
        self.names(&text.raw, form);
        if form == Form::File
            && let Some(file) = self.shape.loaded.file_texts.get(&text.raw)
        {
            self.names(&file.raw, Form::Plain);
            self.found.files.insert(text.raw.clone(), file.raw.clone());
        }
    }

    fn checks(&mut self, name: &mut Name) {
        let named = self.shape.plan.checks.get(name.as_str()).cloned();
        for mut check in named.into_iter().flatten() {
            rewrite::check(&mut check, self);
        }
    }
}
