//! What the steps of a plan will use: databases, programs, backups, channels, secrets. Reads the plan only; the world is
//! asked for nothing but conditions, so that nothing is asked about a step that will be skipped.

use super::{late, scripts};
use crate::plan::action::{self, Action, backup::Compress, backup::Format, restore::Into};
use crate::plan::template;
use crate::plan::{Bare, Changes, Check, Question, StepId, Text};
use crate::steps::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// What the whole plan uses.
#[derive(Debug, Default)]
pub struct Uses {
    pub databases: Vec<Use>,
    pub programs: Vec<ProgramUse>,
    pub scripts: Vec<ScriptUse>,
    pub archives: Vec<ArchiveUse>,
    /// By their names, with the first step that speaks there.
    pub channels: BTreeMap<String, StepId>,
    pub secrets: BTreeSet<String>,
}

/// One step's use of one database.
#[derive(Debug, Clone)]
pub struct Use {
    pub step: StepId,
    /// The step's place in the flow.
    pub at: usize,
    /// The plan's name of the database, or of the live one beside which it stands.
    pub database: String,
    /// The step that makes the database, which stands beside that one and does not exist yet.
    pub side: Option<StepId>,
    pub what: What,
}

/// What is done with it.
#[derive(Debug, Clone)]
pub enum What {
    Backup {
        to: Text,
        compressed: bool,
        format: Format,
        compress: Option<Compress>,
        tables: Option<Vec<Text>>,
        schemas: Option<Vec<Text>>,
        excluded: Option<Vec<Text>>,
    },
    Restore {
        in_place: bool,
        action: Box<action::Restore>,
    },
    Swap,
    Freeze,
    Sql(Box<Sql>),
    /// Everything is read: a comparison with a backup or a side database.
    /// Its rows are read; with `schema` its definitions too, by pg_dump.
    Compare {
        schema: bool,
    },
    /// One end of a copy.
    Copy {
        action: Box<action::Copy>,
        /// The end that is written to.
        into: bool,
    },
    /// A program or a request changes it.
    Foreign,
}

/// SQL of a step.
#[derive(Debug, Clone)]
pub struct Sql {
    /// What of the step it is: `statement`, `check NAME`, `undo`.
    pub part: String,
    pub text: Text,
    /// The text itself, when it stands in a file.
    pub from_file: Option<String>,
    pub read_only: bool,
    pub max_rows: Option<u64>,
    /// The rows it returns are copied.
    pub copied: bool,
    /// It runs after its own step: what that makes may be missing now.
    pub afterwards: bool,
}

/// A program that a step starts.
#[derive(Debug, Clone)]
pub struct ProgramUse {
    pub step: StepId,
    pub program: Text,
    pub cwd: Option<Text>,
}

/// A script that a step has a shell run.
#[derive(Debug, Clone)]
pub struct ScriptUse {
    pub step: StepId,
    /// The step's place in the flow.
    pub at: usize,
    pub run: Text,
    pub cwd: Option<Text>,
    /// The step looks for programs elsewhere than this process.
    pub own_path: bool,
}

/// A backup that a step reads.
#[derive(Debug, Clone)]
pub struct ArchiveUse {
    pub step: StepId,
    pub path: Text,
    pub max_age: Option<crate::plan::Duration>,
    /// Tables that it must hold.
    pub tables: Vec<Text>,
}

impl What {
    /// Whether the database is another one afterwards.
    pub fn mutates(&self) -> bool {
        match self {
            Self::Backup { .. } | Self::Compare { .. } => false,
            Self::Copy { into, .. } => *into,
            Self::Restore { .. } | Self::Swap | Self::Freeze | Self::Foreign => true,
            Self::Sql(sql) => !sql.read_only,
        }
    }
}

/// What the plan uses, without the steps that will certainly be skipped.
pub async fn of(world: &World) -> Uses {
    let mut uses = Uses::default();
    let plan = &world.shape.plan;
    for (at, step) in world.shape.flow.steps().iter().enumerate() {
        if let Some(when) = &step.when
            && late::condition(world, when).await == Some(false)
        {
            continue;
        }
        let mut walk = Walk { world, uses: &mut uses, step: step.id.value.clone(), at };
        walk.action(&step.action.value, false);
        if let Some(undo) = &step.undo {
            walk.action(&undo.action.value, true);
        }
    }
    let handlers = &plan.handlers;
    for bare in
        [&handlers.waiting, &handlers.parked, &handlers.failed, &handlers.finished].into_iter().flatten()
    {
        let mut walk = Walk { world, uses: &mut uses, step: StepId::new("handlers"), at: usize::MAX };
        walk.handler(bare);
    }
    uses
}

struct Walk<'w> {
    world: &'w World,
    uses: &'w mut Uses,
    step: StepId,
    at: usize,
}

impl Walk<'_> {
    fn handler(&mut self, bare: &Bare) {
        self.action(&bare.action.value, true);
    }

    fn action(&mut self, action: &Action, afterwards: bool) {
        match action {
            Action::Backup(backup) => self.backup(backup),
            Action::Restore(restore) => {
                let what = What::Restore {
                    in_place: restore.into == Into::InPlace,
                    action: Box::new(restore.clone()),
                };
                match &restore.into {
                    Into::Other(name) => self.database(&Text::made(name.value.as_str()), what),
                    Into::Side | Into::InPlace => self.database(&restore.database, what),
                }
                self.archive(&restore.from, None, restore.tables.as_deref());
            }
            Action::Swap(swap) => self.database(&swap.database, What::Swap),
            Action::Copy(copy) => {
                for (end, into) in [(&copy.from, false), (&copy.to, true)] {
                    self.database(end, What::Copy { action: Box::new(copy.clone()), into });
                }
            }
            Action::Freeze(freeze) => self.database(&freeze.database, What::Freeze),
            Action::Sql(sql) => self.sql(sql, afterwards),
            Action::Shell(shell) => {
                self.shell(shell);
                self.foreign(shell.changes.as_ref());
            }
            Action::Http(http) => {
                self.http(http);
                self.foreign(http.changes.as_ref());
            }
            Action::Verify(verify) => {
                let named = verify
                    .use_
                    .iter()
                    .filter_map(|name| self.world.shape.plan.checks.get(name.as_str()).cloned());
                let checks: Vec<Check> = named.flatten().chain(verify.checks.iter().cloned()).collect();
                for check in &checks {
                    let database = check.database.as_ref().or(verify.database.as_ref());
                    let part = format!("check `{}`", check.name.value);
                    self.question(&check.question.value, database, part, afterwards);
                }
            }
            Action::Approve(approve) => {
                [&approve.message, &approve.confirm]
                    .into_iter()
                    .flatten()
                    .for_each(|text| self.text(text, true));
            }
            Action::Notify(notify) => self.notify(notify),
        }
    }

    fn backup(&mut self, backup: &action::Backup) {
        self.text(&backup.to, false);
        let what = What::Backup {
            to: backup.to.clone(),
            format: backup.format,
            compress: backup.compress,
            compressed: match backup.compress {
                Some(how) => how != Compress::None,
                None => backup.format != Format::Plain,
            },
            tables: backup.tables.clone(),
            schemas: backup.schemas.clone(),
            excluded: backup.exclude_tables.clone(),
        };
        self.database(&backup.database, what);
        for name in &backup.record {
            for check in self.world.shape.plan.checks.get(name.as_str()).cloned().unwrap_or_default() {
                let part = format!("check `{}`", check.name.value);
                let database = check.database.clone().unwrap_or_else(|| backup.database.clone());
                self.question(&check.question.value, Some(&database), part, false);
            }
        }
    }

    fn sql(&mut self, sql: &action::Sql, afterwards: bool) {
        let file = sql.file.as_ref().map(|file| {
            let read = self.world.shape.loaded.files.get(file.raw.as_str()).map(|text| text.to_string());
            (file.clone(), read)
        });
        let Some((text, from_file)) = sql.statement.clone().map(|text| (text, None)).or(file) else { return };
        let what = Sql {
            part: if afterwards { "undo".to_owned() } else { "statement".to_owned() },
            text,
            from_file,
            read_only: sql.read_only,
            max_rows: sql.expect.as_ref().and_then(|expect| expect.max_rows),
            copied: false,
            afterwards,
        };
        self.database(&sql.database, What::Sql(Box::new(what)));
        if let Some(probe) = &sql.probe {
            let database = probe.database.clone().unwrap_or_else(|| sql.database.clone());
            self.question(&probe.question.value, Some(&database), "probe".to_owned(), true);
        }
    }

    fn shell(&mut self, shell: &action::Shell) {
        let texts = shell.argv.iter().flatten().chain(&shell.run).chain(&shell.cwd).chain(&shell.stdin);
        texts.chain(shell.env.values()).for_each(|text| self.text(text, false));
        let program = match &shell.argv {
            Some(argv) => argv.first().cloned(),
            None => shell.shell.first().map(Text::made),
        };
        if let Some(run) = shell.run.clone().filter(|_| scripts::is_shell(&shell.shell)) {
            let (step, cwd) = (self.step.clone(), shell.cwd.clone());
            let own_path = shell.env.contains_key("PATH");
            self.uses.scripts.push(ScriptUse { step, at: self.at, run, cwd, own_path });
        }
        if let Some(program) = program {
            self.uses.programs.push(ProgramUse { step: self.step.clone(), program, cwd: shell.cwd.clone() });
        }
        if let Some(probe) = &shell.probe {
            self.question(&probe.question.value, probe.database.as_ref(), "probe".to_owned(), true);
        }
    }

    fn http(&mut self, http: &action::Http) {
        let json = http.json.iter().flat_map(|json| json.texts());
        let texts: Vec<&Text> =
            std::iter::once(&http.url).chain(http.headers.values()).chain(&http.body).chain(json).collect();
        texts.into_iter().for_each(|text| self.text(text, false));
        if let Some(probe) = &http.probe {
            self.question(&probe.question.value, probe.database.as_ref(), "probe".to_owned(), true);
        }
    }

    fn foreign(&mut self, changes: Option<&Changes>) {
        if let Some(Changes::Database(name)) = changes {
            self.database(&Text::made(name.as_str()), What::Foreign);
        }
    }

    fn question(&mut self, question: &Question, database: Option<&Text>, part: String, afterwards: bool) {
        match question {
            Question::Sql(text) => {
                let sql = Sql {
                    part,
                    text: text.clone(),
                    from_file: None,
                    read_only: true,
                    max_rows: None,
                    copied: false,
                    afterwards,
                };
                if let Some(database) = database {
                    self.database(database, What::Sql(Box::new(sql)));
                }
            }
            Question::Http(http) => self.http(http),
            Question::Shell(shell) => self.shell(shell),
            Question::File(file) => self.text(&file.path, false),
            Question::Backup(backup) => {
                self.archive(&backup.path, backup.max_age, backup.tables.as_deref());
            }
            Question::Amcheck(_) => {
                if let Some(database) = database {
                    self.database(database, What::Compare { schema: false });
                }
            }
            Question::Schema(against) | Question::Counts(against) => {
                self.archive(&against.matches, None, against.tables.as_deref());
                self.compare(database, matches!(question, Question::Schema(_)));
            }
            Question::Lost(lost) => {
                self.text(&lost.side, false);
                self.compare(database, false);
            }
        }
    }

    fn compare(&mut self, database: Option<&Text>, schema: bool) {
        if let Some(database) = database {
            self.database(database, What::Compare { schema });
        }
    }

    fn notify(&mut self, notify: &action::Notify) {
        self.text(&notify.message, true);
        notify.details.values().for_each(|text| self.text(text, true));
        for channel in &notify.channels {
            let known = self.world.shape.loaded.channels().get(channel.as_str()).map(|channel| {
                channel.url.iter().chain(channel.headers.values()).cloned().collect::<Vec<_>>()
            });
            known.iter().flatten().for_each(|text| self.text(text, false));
            self.uses.channels.entry(channel.as_str().to_owned()).or_insert_with(|| self.step.clone());
        }
    }

    fn archive(&mut self, path: &Text, max_age: Option<crate::plan::Duration>, tables: Option<&[Text]>) {
        self.text(path, false);
        let tables = tables.unwrap_or_default().to_vec();
        self.uses.archives.push(ArchiveUse { step: self.step.clone(), path: path.clone(), max_age, tables });
    }

    fn database(&mut self, text: &Text, what: What) {
        if let What::Copy { action, into: true } = &what {
            let texts = std::iter::once(&action.table).chain(&action.where_).chain(&action.still);
            let names = action.key.iter().flatten().chain(action.columns.iter().flatten());
            texts.chain(names).for_each(|text| self.text(text, false));
        }
        if let What::Sql(sql) = &what {
            let raw = sql.from_file.clone().unwrap_or_else(|| sql.text.raw.clone());
            self.text(&Text::made(raw), false);
        }
        let side = late::step_of(self.world, &text.raw).map(|(step, _)| step);
        let database = match &side {
            Some(step) => self.beside(step, 0),
            None if text.has_template() => None,
            None => Some(text.raw.trim().to_owned()),
        };
        // A name that only a parameter gives is refused by `check`.
        let Some(database) = database else { return };
        self.address(&database);
        let (step, at) = (self.step.clone(), self.at);
        self.uses.databases.push(Use { step, at, database, side, what });
    }

    /// The live database beside which a step makes another one.
    fn beside(&self, step: &StepId, depth: usize) -> Option<String> {
        let made_by = self.world.shape.flow.step(step.as_str())?;
        let text = match &made_by.action.value {
            Action::Restore(restore) => &restore.database,
            Action::Swap(swap) => &swap.database,
            _ => return None,
        };
        match late::step_of(self.world, &text.raw) {
            Some((step, _)) if depth < 8 => self.beside(&step, depth + 1),
            Some(_) => None,
            None => Some(text.raw.trim().to_owned()),
        }
    }

    /// The secrets of a database's address.
    fn address(&mut self, name: &str) {
        let Some(database) = self.world.targets.declared(name).cloned() else { return };
        self.names(&database.url.raw, false);
        if let Some(pooler) = &database.pooler {
            self.names(&pooler.admin_url.raw, false);
        }
        if let Some(crate::plan::site::Replicas::Urls(urls)) = &database.replicas {
            for url in urls {
                self.names(&url.raw, false);
            }
        }
    }

    /// The secrets and databases that a text names.
    fn text(&mut self, text: &Text, whole: bool) {
        for name in self.names(&text.raw, whole) {
            self.address(&name);
        }
    }

    /// Notes the secrets; gives the databases.
    fn names(&mut self, raw: &str, whole: bool) -> Vec<String> {
        let mut databases = Vec::new();
        for reference in template::references(raw, whole).unwrap_or_default() {
            match (reference.parts.first().map(String::as_str), reference.parts.get(1)) {
                (Some("secrets"), Some(name)) => drop(self.uses.secrets.insert(name.clone())),
                (Some("databases"), Some(name)) => databases.push(name.clone()),
                _ => {}
            }
        }
        databases
    }
}
