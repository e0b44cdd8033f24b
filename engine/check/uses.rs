//! Every text of a plan with the place it goes to: one walk, which all rules share. It must never leave out a field that
//! can hold a template.

use crate::plan::action::{Action, Sql};
use crate::plan::template::{self, Names};
use crate::plan::{Check, Conditions, Json, Loaded, Plan, Probe, Question, Site, Step, Text};
use std::collections::HashMap;

/// Where a text goes; decides what it may hold and how its values are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The statements of an `sql` step.
    Sql,
    /// The query of a check or a probe.
    Query,
    /// What stands after WHERE.
    Predicate,
    Script,
    Argument,
    Environment,
    Stdin,
    Url,
    Header,
    Body,
    /// A query of GraphQL, which holds no values: they go by its variables.
    Graphql,
    /// Read by people: the whole template language.
    Message,
    Path,
    /// The name of a database, or a step's database output.
    Database,
    /// A table, a column or a schema.
    Object,
    /// `when`
    Condition,
    /// What an answer is compared with.
    Expected,
    /// How a server or a channel is reached.
    Connection,
    Severity,
}

impl Place {
    /// What stands there, for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Sql | Self::Query | Self::Predicate => "SQL",
            Self::Script => "a script",
            Self::Argument => "an argument",
            Self::Environment => "the environment",
            Self::Stdin => "stdin",
            Self::Url => "a URL",
            Self::Header => "a header",
            Self::Body => "a body",
            Self::Graphql => "a GraphQL query",
            Self::Message => "a message",
            Self::Path => "a path",
            Self::Database => "the name of a database",
            Self::Object => "the name of a table",
            Self::Condition => "a condition",
            Self::Expected => "an expected value",
            Self::Connection => "a connection",
            Self::Severity => "the severity",
        }
    }

    /// Whether values become literals of SQL there.
    pub fn is_sql(self) -> bool {
        matches!(self, Self::Sql | Self::Query | Self::Predicate)
    }

    /// Whether a secret may go there: the place is neither shown nor stored.
    pub fn keeps_secrets(self) -> bool {
        matches!(
            self,
            Self::Sql
                | Self::Query
                | Self::Predicate
                | Self::Environment
                | Self::Stdin
                | Self::Url
                | Self::Header
                | Self::Body
                | Self::Connection
        )
    }
}

/// Who holds a text; decides which steps are finished when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner<'l> {
    /// A step of the flow.
    Step(usize),
    /// The undo of a step, or its probe: its own outputs are there too.
    After(usize),
    /// A named check: as early as the first step that uses it.
    Checks(&'l str),
    /// A handler: any step may or may not be finished.
    Handler(&'l str),
    /// Read before the first step.
    Setting,
    Rehearsal,
}

/// A text, its place and its owner.
#[derive(Debug, Clone, Copy)]
pub struct Use<'l> {
    pub text: &'l Text,
    pub place: Place,
    pub owner: Owner<'l>,
    /// The action that the statements belong to.
    pub sql: Option<&'l Sql>,
}

/// What a text names.
///
/// # Errors
/// Its template cannot be read.
pub fn names(one: &Use<'_>) -> Result<Names, template::Error> {
    match one.place {
        Place::Message => template::read(&one.text.raw, true),
        Place::Condition => template::read_condition(&one.text.raw),
        _ => template::read(&one.text.raw, false),
    }
}

/// All texts of a plan and its site, in the order of the flow.
pub fn collect<'l>(loaded: &'l Loaded, plan: &'l Plan) -> Vec<Use<'l>> {
    let mut walk = Walk { uses: Vec::with_capacity(4 * loaded.flow.len() + 16), files: &loaded.file_texts };
    walk.settings(plan, loaded.site.as_deref());
    for (at, step) in loaded.flow.steps().iter().enumerate() {
        walk.step(at, step);
    }
    for (name, checks) in &plan.checks {
        checks.iter().for_each(|check| walk.check(check, Owner::Checks(&name.value)));
    }
    for (name, window) in &plan.windows {
        // Those of a window in use are steps of the flow.
        if loaded.flow.index(&format!("{}.open", name.value)).is_none() {
            walk.action(&window.open.action, Owner::Setting);
            walk.action(&window.close.action, Owner::Setting);
        }
    }
    let handlers = &plan.handlers;
    for (when, list) in [
        ("waiting", &handlers.waiting),
        ("parked", &handlers.parked),
        ("failed", &handlers.failed),
        ("finished", &handlers.finished),
    ] {
        list.iter().for_each(|bare| walk.action(&bare.action, Owner::Handler(when)));
    }
    walk.rehearsal(plan);
    walk.uses
}

struct Walk<'l> {
    uses: Vec<Use<'l>>,
    /// The SQL files, by the path as written.
    files: &'l HashMap<String, Text>,
}

impl<'l> Walk<'l> {
    fn add(&mut self, text: &'l Text, place: Place, owner: Owner<'l>) {
        self.uses.push(Use { text, place, owner, sql: None });
    }

    fn each(&mut self, texts: impl IntoIterator<Item = &'l Text>, place: Place, owner: Owner<'l>) {
        texts.into_iter().for_each(|text| self.add(text, place, owner));
    }

    fn settings(&mut self, plan: &'l Plan, site: Option<&'l Site>) {
        self.each(&plan.severity, Place::Severity, Owner::Setting);
        let databases =
            plan.databases.values().chain(site.into_iter().flat_map(|site| site.databases.values()));
        for database in databases {
            self.add(&database.url, Place::Connection, Owner::Setting);
            self.each(
                database.pooler.iter().map(|pooler| &pooler.admin_url),
                Place::Connection,
                Owner::Setting,
            );
            if let Some(crate::plan::site::Replicas::Urls(urls)) = &database.replicas {
                self.each(urls, Place::Connection, Owner::Setting);
            }
        }
        for channel in site.into_iter().flat_map(|site| site.channels.values()) {
            self.each(&channel.url, Place::Connection, Owner::Setting);
            self.each(channel.headers.values(), Place::Header, Owner::Setting);
            for text in [
                &channel.secret,
                &channel.server,
                &channel.user,
                &channel.password,
                &channel.from,
                &channel.routing_key,
            ] {
                self.each(text, Place::Connection, Owner::Setting);
            }
            self.each(&channel.to, Place::Connection, Owner::Setting);
            self.each(channel.argv.iter().flatten(), Place::Argument, Owner::Setting);
            self.each(channel.env.values(), Place::Environment, Owner::Setting);
            self.each(&channel.message, Place::Message, Owner::Setting);
        }
    }

    fn step(&mut self, at: usize, step: &'l Step) {
        self.each(&step.when, Place::Condition, Owner::Step(at));
        self.action(&step.action, Owner::Step(at));
        if let Some(undo) = &step.undo {
            self.action(&undo.action, Owner::After(at));
        }
    }

    fn action(&mut self, action: &'l Action, owner: Owner<'l>) {
        match action {
            Action::Backup(backup) => {
                self.add(&backup.database, Place::Database, owner);
                self.add(&backup.to, Place::Path, owner);
                for list in [&backup.tables, &backup.exclude_tables, &backup.schemas] {
                    self.each(list.iter().flatten(), Place::Object, owner);
                }
            }
            Action::Restore(restore) => {
                self.add(&restore.from, Place::Path, owner);
                self.add(&restore.database, Place::Database, owner);
                self.each(restore.tables.iter().flatten(), Place::Object, owner);
            }
            Action::Swap(swap) => {
                self.add(&swap.database, Place::Database, owner);
                self.add(&swap.with, Place::Database, owner);
            }
            Action::Copy(copy) => {
                self.add(&copy.from, Place::Database, owner);
                self.add(&copy.to, Place::Database, owner);
                self.add(&copy.table, Place::Object, owner);
                self.each(copy.where_.iter().chain(&copy.still), Place::Predicate, owner);
                for list in [&copy.key, &copy.columns] {
                    self.each(list.iter().flatten(), Place::Object, owner);
                }
            }
            Action::Freeze(freeze) => self.add(&freeze.database, Place::Database, owner),
            Action::Sql(sql) => {
                self.add(&sql.database, Place::Database, owner);
                let file = sql.file.as_ref().and_then(|file| self.files.get(&file.raw));
                for text in sql.statement.iter().chain(file) {
                    self.uses.push(Use { text, place: Place::Sql, owner, sql: Some(sql) });
                }
                self.probe(sql.probe.as_deref(), owner);
            }
            Action::Shell(shell) => self.shell(shell, owner),
            Action::Http(http) => self.http(http, owner),
            Action::Verify(verify) => {
                self.each(&verify.database, Place::Database, owner);
                verify.checks.iter().for_each(|check| self.check(check, owner));
            }
            Action::Approve(approve) => {
                self.each(approve.message.iter().chain(&approve.confirm), Place::Message, owner);
            }
            Action::Notify(notify) => {
                self.add(&notify.message, Place::Message, owner);
                self.each(notify.details.values(), Place::Message, owner);
            }
        }
    }

    fn shell(&mut self, shell: &'l crate::plan::action::Shell, owner: Owner<'l>) {
        self.each(shell.argv.iter().flatten(), Place::Argument, owner);
        self.each(&shell.run, Place::Script, owner);
        self.each(&shell.cwd, Place::Path, owner);
        self.each(shell.env.values(), Place::Environment, owner);
        self.each(&shell.stdin, Place::Stdin, owner);
        self.each(&shell.replaces, Place::Database, owner);
        self.probe(shell.probe.as_deref(), owner);
    }

    fn http(&mut self, http: &'l crate::plan::action::Http, owner: Owner<'l>) {
        self.add(&http.url, Place::Url, owner);
        self.each(http.headers.values(), Place::Header, owner);
        self.json(http.json.as_ref(), Place::Body, owner);
        self.each(&http.body, Place::Body, owner);
        if let Some(graphql) = &http.graphql {
            self.add(&graphql.query, Place::Graphql, owner);
            self.json(graphql.variables.as_ref(), Place::Body, owner);
        }
        for expect in http.expect.iter().chain(&http.until) {
            self.conditions(&expect.conditions, owner);
        }
        self.each(&http.replaces, Place::Database, owner);
        self.probe(http.probe.as_deref(), owner);
    }

    fn json(&mut self, json: Option<&'l Json>, place: Place, owner: Owner<'l>) {
        self.each(json.into_iter().flat_map(Json::texts), place, owner);
    }

    fn conditions(&mut self, conditions: &'l Conditions, owner: Owner<'l>) {
        for json in [
            &conditions.equals,
            &conditions.not,
            &conditions.at_least,
            &conditions.at_most,
            &conditions.unchanged_since,
            &conditions.json,
        ] {
            self.json(json.as_ref(), Place::Expected, owner);
        }
        for json in conditions.between.iter().flatten() {
            self.json(Some(json), Place::Expected, owner);
        }
    }

    fn probe(&mut self, probe: Option<&'l Probe>, owner: Owner<'l>) {
        let Some(probe) = probe else { return };
        self.each(&probe.database, Place::Database, owner);
        self.question(&probe.question, owner);
        probe.expect.iter().for_each(|expect| self.conditions(&expect.conditions, owner));
    }

    fn check(&mut self, check: &'l Check, owner: Owner<'l>) {
        self.each(&check.database, Place::Database, owner);
        self.question(&check.question, owner);
        check.expect.iter().for_each(|expect| self.conditions(&expect.conditions, owner));
    }

    fn question(&mut self, question: &'l Question, owner: Owner<'l>) {
        match question {
            Question::Sql(text) => self.add(text, Place::Query, owner),
            Question::Http(http) => self.http(http, owner),
            Question::Shell(shell) => self.shell(shell, owner),
            Question::File(file) => {
                self.add(&file.path, Place::Path, owner);
                self.each(file.contains.iter().chain(&file.sha256), Place::Expected, owner);
            }
            Question::Backup(backup) => {
                self.add(&backup.path, Place::Path, owner);
                self.each(backup.tables.iter().flatten(), Place::Object, owner);
            }
            Question::Schema(against) | Question::Counts(against) => {
                self.add(&against.matches, Place::Path, owner);
                self.each(against.tables.iter().flatten(), Place::Object, owner);
            }
            Question::Amcheck(amcheck) => {
                self.each(amcheck.tables.iter().flatten(), Place::Object, owner);
            }
            Question::Lost(lost) => {
                self.add(&lost.side, Place::Database, owner);
                self.each(lost.tables.iter().flatten(), Place::Object, owner);
            }
        }
    }

    fn rehearsal(&mut self, plan: &'l Plan) {
        let Some(rehearsal) = &plan.rehearsal else { return };
        let owner = Owner::Rehearsal;
        rehearsal.params.values().for_each(|json| self.json(Some(json), Place::Expected, owner));
        for source in rehearsal.load.values() {
            self.each(&source.backup, Place::Path, owner);
            let file = source.seed.as_ref().and_then(|file| self.files.get(&file.raw));
            self.each(file, Place::Sql, owner);
        }
        for step in &rehearsal.prepare {
            self.each(&step.when, Place::Condition, owner);
            self.action(&step.action, owner);
        }
        rehearsal.serve.iter().for_each(|served| self.json(Some(&served.json), Place::Body, owner));
        rehearsal.stand_ins.iter().for_each(|stand_in| self.action(&stand_in.with.action, owner));
        self.each(rehearsal.secrets.values(), Place::Connection, owner);
    }
}
