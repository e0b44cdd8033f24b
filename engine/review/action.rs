//! The final text of an action: templates rendered, late values as `‹steps.restored.database›`, secrets as
//! `‹secret NAME›`, missing parameters as `‹param NAME›`.

use super::words;
use crate::plan::action::{Http, Shell, Verify};
use crate::plan::template::{self, Scope};
use crate::plan::{
    Action, AgainstBackup, Changes, Check, Conditions, Differing, Expect, Json, Loaded, Plan, Probe,
    Question, Table, Text,
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// One field of an action as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub shown: Shown,
}

/// How a field reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Text(String),
    Number(u64),
    Flag(bool),
    Sql(String),
    Script(String),
    Argv(Vec<String>),
    List(Vec<String>),
    /// What the program does, in words, in this order.
    Words(Vec<String>),
    Data(Value),
    Fields(Vec<Field>),
    /// Named groups of fields: the checks of a verify.
    Groups(Vec<Vec<Field>>),
}

impl Shown {
    fn value(&self) -> Value {
        match self {
            Self::Text(text) | Self::Sql(text) | Self::Script(text) => Value::String(text.clone()),
            Self::Number(number) => Value::from(*number),
            Self::Flag(flag) => Value::Bool(*flag),
            Self::Argv(items) | Self::List(items) | Self::Words(items) => Value::from(items.clone()),
            Self::Data(value) => value.clone(),
            Self::Fields(fields) => object(fields),
            Self::Groups(groups) => Value::Array(groups.iter().map(|fields| object(fields)).collect()),
        }
    }
}

fn object(fields: &[Field]) -> Value {
    Value::Object(fields.iter().map(|field| (field.name.clone(), field.shown.value())).collect())
}

pub fn serialize<S: Serializer>(fields: &[Field], to: S) -> Result<S::Ok, S::Error> {
    object(fields).serialize(to)
}

pub fn serialize_optional<S: Serializer>(fields: &Option<Vec<Field>>, to: S) -> Result<S::Ok, S::Error> {
    fields.as_ref().map(|fields| object(fields)).serialize(to)
}

/// Writes actions with the values that are known.
pub struct Writer<'r> {
    plan: &'r Plan,
    loaded: &'r Loaded,
    scope: &'r Scope,
}

/// Collects fields; what is absent or a matter of course is left out.
#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn add(&mut self, name: &str, shown: Shown) {
        self.0.push(Field { name: name.to_owned(), shown });
    }

    fn text(&mut self, name: &str, text: impl ToString) {
        self.add(name, Shown::Text(text.to_string()));
    }

    fn maybe(&mut self, name: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &str, number: Option<impl std::convert::Into<u64>>) {
        if let Some(number) = number {
            self.add(name, Shown::Number(number.into()));
        }
    }

    fn flag(&mut self, name: &str, set: bool) {
        if set {
            self.add(name, Shown::Flag(true));
        }
    }

    fn list(&mut self, name: &str, items: Option<Vec<String>>) {
        if let Some(items) = items.filter(|items| !items.is_empty()) {
            self.add(name, Shown::List(items));
        }
    }
}

impl<'r> Writer<'r> {
    pub fn new(plan: &'r Plan, loaded: &'r Loaded, scope: &'r Scope) -> Self {
        Self { plan, loaded, scope }
    }

    /// What cannot be rendered is shown as it is written; `check` has told why.
    fn plain(&self, text: &Text) -> String {
        template::plain(&text.raw, self.scope).unwrap_or_else(|_| text.raw.clone())
    }

    fn message(&self, text: &Text) -> String {
        template::message(&text.raw, self.scope).unwrap_or_else(|_| text.raw.clone())
    }

    fn sql(&self, text: &Text) -> String {
        template::sql(&text.raw, self.scope).map_or_else(|_| text.raw.clone(), |sql| sql.text)
    }

    fn plains(&self, texts: &Option<Vec<Text>>) -> Option<Vec<String>> {
        texts.as_ref().map(|texts| texts.iter().map(|text| self.plain(text)).collect())
    }

    fn json(&self, json: &Json) -> Value {
        let rendered: Result<Value, std::convert::Infallible> = json.build(&mut |text| {
            Ok(template::value(&text.raw, self.scope).unwrap_or_else(|_| Value::String(text.raw.clone())))
        });
        rendered.unwrap_or_default()
    }

    /// The fields of an action's final text.
    pub fn fields(&self, action: &Action) -> Vec<Field> {
        let mut out = Fields::default();
        match action {
            Action::Backup(backup) => {
                out.text("database", self.plain(&backup.database));
                out.text("to", self.plain(&backup.to));
                out.text("format", backup.format);
                out.maybe("compress", backup.compress);
                out.number("jobs", backup.jobs.as_ref().map(|jobs| jobs.value));
                out.list("tables", self.plains(&backup.tables));
                out.list("exclude_tables", self.plains(&backup.exclude_tables));
                out.list("schemas", self.plains(&backup.schemas));
                out.maybe("keep", backup.keep);
                out.list("record", Some(backup.record.iter().map(ToString::to_string).collect()));
                out.add("does", Shown::Words(words::backup(backup, &self.plain(&backup.database))));
            }
            Action::Restore(restore) => {
                out.text("from", self.plain(&restore.from));
                out.text("database", self.plain(&restore.database));
                out.text("into", &restore.into);
                out.list("tables", self.plains(&restore.tables));
                out.number("jobs", restore.jobs.as_ref().map(|jobs| jobs.value));
                out.text("owners", &restore.owners);
                let (from, database) = (self.plain(&restore.from), self.plain(&restore.database));
                out.add("does", Shown::Words(words::restore(restore, &from, &database)));
            }
            Action::Swap(swap) => {
                let (live, with) = (self.plain(&swap.database), self.plain(&swap.with));
                out.add("does", Shown::Words(words::swap(&live, &with, swap.keep_old)));
                out.0.insert(0, Field { name: "database".to_owned(), shown: Shown::Text(live) });
                out.0.insert(1, Field { name: "with".to_owned(), shown: Shown::Text(with) });
                out.0.insert(
                    2,
                    Field { name: "keep_old".to_owned(), shown: Shown::Text(swap.keep_old.to_string()) },
                );
            }
            Action::Copy(copy) => {
                let (from, to) = (self.plain(&copy.from), self.plain(&copy.to));
                out.text("from", &from);
                out.text("to", &to);
                out.text("table", self.plain(&copy.table));
                if let Some(text) = &copy.where_ {
                    out.add("where", Shown::Sql(self.sql(text).trim_end().to_owned()));
                }
                out.list("key", self.plains(&copy.key));
                out.list("columns", self.plains(&copy.columns));
                out.text("on_conflict", copy.on_conflict);
                if let Some(text) = &copy.still {
                    out.add("still", Shown::Sql(self.sql(text).trim_end().to_owned()));
                }
                out.number("max_rows", copy.max_rows.as_ref().map(|most| most.value));
                out.add("does", Shown::Words(words::copy(copy, &self.plain(&copy.table), &from, &to)));
            }
            Action::Freeze(freeze) => {
                let database = self.plain(&freeze.database);
                out.text("database", &database);
                out.text("mode", freeze.mode);
                out.text("quiet", freeze.quiet);
                out.add("does", Shown::Words(words::freeze(freeze, &database)));
            }
            Action::Sql(sql) => {
                out.text("database", self.plain(&sql.database));
                out.maybe("file", sql.file.as_ref().map(|file| &file.raw));
                let from_file = sql.file.as_ref().and_then(|file| self.loaded.file_texts.get(&file.raw));
                if let Some(text) = sql.statement.as_ref().or(from_file) {
                    out.add("statement", Shown::Sql(self.sql(text)));
                }
                out.flag("read_only", sql.read_only);
                if !sql.transaction {
                    out.add("transaction", Shown::Flag(false));
                }
                out.text("lock_timeout", sql.lock_timeout);
                out.maybe("statement_timeout", sql.statement_timeout);
                if let Some(expect) = &sql.expect {
                    out.number("expect_rows", expect.rows);
                    out.number("max_rows", expect.max_rows);
                }
                self.probe(sql.probe.as_deref(), &mut out);
            }
            Action::Shell(shell) => self.shell(shell, &mut out),
            Action::Http(http) => self.http(http, &mut out),
            Action::Verify(verify) => self.verify(verify, &mut out),
            Action::Approve(approve) => {
                out.maybe("message", approve.message.as_ref().map(|text| self.message(text)));
                out.maybe("confirm", approve.confirm.as_ref().map(|text| self.message(text)));
            }
            Action::Notify(notify) => {
                out.list("channels", Some(notify.channels.iter().map(ToString::to_string).collect()));
                out.text("message", self.message(&notify.message));
                out.text("level", notify.level);
                let details: Table<Text> = notify.details.clone();
                self.table("details", &details, &mut out);
                out.flag("required", notify.required);
            }
        }
        out.0
    }

    fn table(&self, name: &str, table: &Table<Text>, out: &mut Fields) {
        if !table.is_empty() {
            let entries = table
                .iter()
                .map(|(key, text)| Field { name: key.value.clone(), shown: Shown::Text(self.plain(text)) })
                .collect();
            out.add(name, Shown::Fields(entries));
        }
    }

    fn shell(&self, shell: &Shell, out: &mut Fields) {
        if let Some(argv) = &shell.argv {
            out.add("argv", Shown::Argv(argv.iter().map(|text| self.plain(text)).collect()));
        }
        let mut values = Vec::new();
        if let Some(run) = &shell.run {
            out.add("shell", Shown::Argv(shell.shell.clone()));
            match template::script(&run.raw, self.scope) {
                Ok(script) => {
                    out.add("run", Shown::Script(script.text));
                    values = script.env;
                }
                Err(_) => out.add("run", Shown::Script(run.raw.clone())),
            }
        }
        out.maybe("cwd", shell.cwd.as_ref().map(|text| self.plain(text)));
        let env = shell.env.iter().map(|(name, text)| (name.value.clone(), self.plain(text))).chain(values);
        let env: Vec<Field> = env.map(|(name, text)| Field { name, shown: Shown::Text(text) }).collect();
        if !env.is_empty() {
            out.add("env", Shown::Fields(env));
        }
        out.maybe("stdin", shell.stdin.as_ref().map(|text| self.plain(text)));
        if shell.success_codes != [0] {
            out.list("success_codes", Some(shell.success_codes.iter().map(ToString::to_string).collect()));
        }
        out.list("outputs", Some(shell.outputs.keys().map(|name| name.value.clone()).collect()));
        self.world(shell.repeatable, shell.changes.as_ref(), shell.destructive, shell.replaces.as_ref(), out);
        self.probe(shell.probe.as_deref(), out);
    }

    fn http(&self, http: &Http, out: &mut Fields) {
        out.text("method", http.method);
        out.text("url", template::url(&http.url.raw, self.scope).unwrap_or_else(|_| http.url.raw.clone()));
        self.table("headers", &http.headers, out);
        if let Some(json) = &http.json {
            out.add("json", Shown::Data(self.json(json)));
        }
        out.maybe("body", http.body.as_ref().map(|text| self.plain(text)));
        if let Some(graphql) = &http.graphql {
            out.add("graphql", Shown::Script(graphql.query.raw.clone()));
            if let Some(variables) = &graphql.variables {
                out.add("variables", Shown::Data(self.json(variables)));
            }
            out.maybe("operation", graphql.operation.as_ref());
        }
        self.expect("expect", http.expect.as_ref(), out);
        self.expect("until", http.until.as_ref(), out);
        if http.until.is_some() {
            out.text("every", http.every);
        }
        self.world(http.repeatable, http.changes.as_ref(), http.destructive, http.replaces.as_ref(), out);
        self.probe(http.probe.as_deref(), out);
    }

    fn world(
        &self,
        repeatable: bool,
        changes: Option<&Changes>,
        destructive: bool,
        replaces: Option<&Text>,
        out: &mut Fields,
    ) {
        out.flag("repeatable", repeatable);
        out.maybe(
            "changes",
            changes.map(|changes| match changes {
                Changes::Nothing => "none".to_owned(),
                Changes::Database(name) => name.to_string(),
            }),
        );
        out.flag("destructive", destructive);
        out.maybe("replaces", replaces.map(|text| self.plain(text)));
    }

    fn probe(&self, probe: Option<&Probe>, out: &mut Fields) {
        let Some(probe) = probe else { return };
        let mut fields = Fields::default();
        fields.maybe("database", probe.database.as_ref().map(|text| self.plain(text)));
        self.question(&probe.question, &mut fields);
        self.expect("expect", probe.expect.as_ref(), &mut fields);
        out.add("probe", Shown::Fields(fields.0));
    }

    fn verify(&self, verify: &Verify, out: &mut Fields) {
        out.maybe("database", verify.database.as_ref().map(|text| self.plain(text)));
        out.flag("report_only", verify.report_only);
        let named = verify.use_.iter().filter_map(|name| {
            Some(
                self.plan.checks.get(name.as_str())?.iter().map(move |check| (Some(name.to_string()), check)),
            )
        });
        let own = verify.checks.iter().map(|check| (None, check));
        let checks = named.flatten().chain(own).map(|(from, check)| self.check(from, check)).collect();
        out.add("checks", Shown::Groups(checks));
    }

    fn check(&self, from: Option<String>, check: &Check) -> Vec<Field> {
        let mut out = Fields::default();
        out.text("name", &check.name.value);
        out.maybe("from", from);
        out.maybe("database", check.database.as_ref().map(|text| self.plain(text)));
        self.question(&check.question, &mut out);
        self.expect("expect", check.expect.as_ref(), &mut out);
        if let Some(retry) = &check.retry {
            out.text("retry", words::retry(retry));
        }
        out.maybe("timeout", check.timeout);
        out.list("mask", Some(check.mask.clone()));
        out.0
    }

    fn question(&self, question: &Question, out: &mut Fields) {
        let mut fields = Fields::default();
        match question {
            Question::Sql(text) => return out.add("sql", Shown::Sql(self.sql(text).trim_end().to_owned())),
            Question::Http(http) => self.http(http, &mut fields),
            Question::Shell(shell) => self.shell(shell, &mut fields),
            Question::File(file) => {
                fields.text("path", self.plain(&file.path));
                fields.maybe("contains", file.contains.as_ref().map(|text| self.plain(text)));
                fields.maybe("sha256", file.sha256.as_ref().map(|text| self.plain(text)));
                fields.add("exists", Shown::Flag(file.exists));
            }
            Question::Backup(backup) => {
                fields.text("path", self.plain(&backup.path));
                fields.maybe("max_age", backup.max_age);
                fields.list("tables", self.plains(&backup.tables));
            }
            Question::Schema(against) | Question::Counts(against) => self.against(against, &mut fields),
            Question::Amcheck(amcheck) => {
                fields.list("tables", self.plains(&amcheck.tables));
                fields.flag("heap", amcheck.heap);
                fields.flag("required", amcheck.required);
            }
            Question::Lost(lost) => {
                fields.text("side", self.plain(&lost.side));
                fields.list("tables", self.plains(&lost.tables));
            }
        }
        out.add(question.word(), Shown::Fields(fields.0));
    }

    fn against(&self, against: &AgainstBackup, out: &mut Fields) {
        out.text("matches", self.plain(&against.matches));
        out.maybe("tolerance", against.tolerance.as_ref().map(|text| &text.value));
        out.list("tables", self.plains(&against.tables));
        let words = |only: &Vec<Differing>| only.iter().map(|one| one.word().to_owned()).collect();
        out.list("only", against.only.as_ref().map(words));
    }

    fn expect(&self, name: &str, expect: Option<&Expect>, out: &mut Fields) {
        if let Some(expect) = expect {
            out.add(name, Shown::Data(self.conditions(&expect.conditions)));
        }
    }

    fn conditions(&self, conditions: &Conditions) -> Value {
        let mut map = Map::new();
        let mut add =
            |name: &str, value: Option<Value>| map.extend(value.map(|value| (name.to_owned(), value)));
        let json = |json: &Option<Json>| json.as_ref().map(|json| self.json(json));
        add("equals", json(&conditions.equals));
        add("not", json(&conditions.not));
        add("at_least", json(&conditions.at_least));
        add("at_most", json(&conditions.at_most));
        let between = conditions.between.as_ref();
        add("between", between.map(|ends| ends.iter().map(|json| self.json(json)).collect()));
        add("empty", conditions.empty.map(Value::Bool));
        add("matches", conditions.matches.as_ref().map(|text| text.value.clone().into()));
        add("unchanged_since", json(&conditions.unchanged_since));
        add("tolerance", conditions.tolerance.as_ref().map(|text| text.value.clone().into()));
        add("status", conditions.status.map(Value::from));
        add("json", json(&conditions.json));
        Value::Object(map)
    }
}
