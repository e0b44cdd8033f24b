//! What all rules share: the plan, its order, every text with the names in it. Made once for a check.

use super::statements::Statements;
use super::uses::{self, Owner, Use};
use crate::graph::{Cycle, Graph};
use crate::plan::site::{Channel, Database, Role, SecretSource};
use crate::plan::template::{Error, Names};
use crate::plan::{Flow, Loaded, Plan, Span, Step, StepId, Text};
use indexmap::IndexMap;
use std::ops::Range;
use std::sync::Arc;

pub struct Context<'l> {
    pub loaded: &'l Loaded,
    pub plan: &'l Plan,
    pub flow: &'l Flow,
    pub graph: Result<Graph, Cycle>,
    pub uses: Vec<Use<'l>>,
    /// What each of the uses names.
    pub names: Vec<Result<Names, Error>>,
    pub databases: IndexMap<&'l str, &'l Database>,
    pub secrets: IndexMap<&'l str, &'l SecretSource>,
    pub channels: IndexMap<&'l str, &'l Channel>,
    pub roles: IndexMap<&'l str, &'l Role>,
    /// What the SQL of the plan does.
    pub statements: Statements,
}

impl<'l> Context<'l> {
    pub fn new(loaded: &'l Loaded, plan: &'l Plan) -> Self {
        let uses = uses::collect(loaded, plan);
        let names = uses.iter().map(uses::names).collect();
        let mut context = Self {
            loaded,
            plan,
            flow: &loaded.flow,
            graph: Graph::new(&loaded.flow),
            uses,
            names,
            databases: loaded.databases(),
            secrets: loaded.secrets(),
            channels: loaded.channels(),
            roles: loaded.roles(),
            statements: Statements::default(),
        };
        context.statements = Statements::new(&context);
        context
    }

    /// Every text whose template can be read, with what it names.
    pub fn read_uses(&self) -> impl Iterator<Item = (&Use<'l>, &Names)> {
        self.uses.iter().zip(&self.names).filter_map(|(one, names)| Some((one, names.as_ref().ok()?)))
    }

    pub fn steps(&self) -> &'l [Arc<Step>] {
        self.flow.steps()
    }

    /// A range of a text, where it stands in its file.
    pub fn place(&self, text: &Text, range: Range<usize>) -> Span {
        let source = self.loaded.sources.get(text.file()).map_or("", |source| &source.text);
        text.locate(range, source)
    }

    /// Whether something of this name was written but could not be read.
    pub fn is_broken(&self, name: &str) -> bool {
        self.loaded.broken.contains(name)
    }

    /// The step that a dotted name begins with (`maintenance.open.exit_code`), and how many parts its id takes.
    pub fn step_of(&self, parts: &[String]) -> Option<(usize, usize)> {
        (1..=parts.len().min(4)).rev().find_map(|taken| {
            let id = parts[..taken].join(".");
            self.flow.index(&id).map(|at| (at, taken))
        })
    }

    pub fn id(&self, at: usize) -> &'l StepId {
        &self.flow.steps()[at].id.value
    }
}

impl Owner<'_> {
    /// What holds the text, for messages.
    pub fn describe(self, context: &Context<'_>) -> String {
        match self {
            Self::Step(at) => format!("`{}`", context.id(at)),
            Self::After(at) => format!("the undo of `{}`", context.id(at)),
            Self::Checks(name) => format!("one of the named checks `{name}`"),
            Self::Handler(name) => format!("the handler `{name}`"),
            Self::Setting => "a setting that is read before the first step".to_owned(),
            Self::Rehearsal => "the rehearsal".to_owned(),
        }
    }
}
