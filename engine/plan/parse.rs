//! Files -> a plan and its site, with every fault of shape in one pass. The files come through a function, so that a
//! plan can be read from a directory or from a journal.

use super::action::Action;
use super::decode::{Decode, Reader};
use super::defaults;
use super::each::{self, Known};
use super::expand;
use super::finding::Finding;
use super::flow::Flow;
use super::include::{self, Include, Lent};
use super::node::{self, Node};
use super::site::{Channel, Database, Role, SecretSource};
use super::source::{FileId, Sources, Span};
use super::{MOST_STEPS, Plan, Site, Step, Table, Text};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Everything that was read, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub sources: Sources,
    /// None: the file is not a plan at all; the findings say why. With errors among the findings it holds what could be
    /// read, so that all faults are told at once; it must not be run then.
    pub plan: Option<Arc<Plan>>,
    /// The plan with its lists, before they became steps.
    pub written: Option<Arc<Plan>>,
    pub site: Option<Arc<Site>>,
    pub flow: Arc<Flow>,
    /// The texts of `sql: { file }`, by the path as written.
    pub files: Arc<HashMap<String, Arc<str>>>,
    /// The same as templated texts, which know their places: SQL in a file is SQL in a `statement`.
    pub file_texts: Arc<HashMap<String, Text>>,
    /// What included plans are given, as far as only a run's values tell whether they may have it.
    pub lent: Arc<Vec<Lent>>,
    pub findings: Vec<Finding>,
    /// Names of steps, parameters and the like that were written but could not be read: a finding says why, and a
    /// reference to one of them is no second fault.
    pub broken: HashSet<String>,
}

impl Loaded {
    /// The databases of the plan and of its site; a plan's own goes before the site's of the same name.
    pub fn databases(&self) -> IndexMap<&str, &Database> {
        merged(self.plan.as_ref().map(|plan| &plan.databases), self.site.as_ref().map(|site| &site.databases))
    }

    /// The secrets of the plan and of its site, likewise.
    pub fn secrets(&self) -> IndexMap<&str, &SecretSource> {
        merged(self.plan.as_ref().map(|plan| &plan.secrets), self.site.as_ref().map(|site| &site.secrets))
    }

    /// The channels of the site; `console` is always there, without an entry of its own.
    pub fn channels(&self) -> IndexMap<&str, &Channel> {
        merged(None, self.site.as_ref().map(|site| &site.channels))
    }

    /// The roles of the site.
    pub fn roles(&self) -> IndexMap<&str, &Role> {
        merged(None, self.site.as_ref().map(|site| &site.roles))
    }

    /// The same plan with the lists of `for_each` that its parameters give.
    pub fn with_params(&self, values: &Map<String, Value>) -> Self {
        let Some(written) = self.written.as_ref().filter(|_| self.has_lists()) else { return self.clone() };
        let mut findings = self.findings.clone();
        let plan = unrolled(written, Some(values), &mut findings);
        let flow = Arc::new(expand::flow(&plan));
        Self { plan: Some(plan), flow, findings, ..self.clone() }
    }

    /// Whether a step is written once for each item of a list.
    pub fn has_lists(&self) -> bool {
        self.written.as_ref().is_some_and(|plan| plan.steps.iter().any(|step| step.for_each.is_some()))
    }

    /// Whether anything that was read forbids a run.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }
}

fn merged<'l, T>(plan: Option<&'l Table<T>>, site: Option<&'l Table<T>>) -> IndexMap<&'l str, &'l T> {
    let mut all = IndexMap::new();
    for (name, value) in plan.into_iter().chain(site).flatten() {
        all.entry(name.value.as_str()).or_insert(value);
    }
    all
}

/// Reads a file that the plan names, by the path as it is written there.
pub type Read<'r> = &'r dyn Fn(&str) -> Result<String, String>;

/// Reads a plan, its site file and the SQL files it names.
pub fn load(plan: (&str, &str), site: Option<(&str, &str)>, read: Read<'_>) -> Loaded {
    let mut sources = Sources::default();
    let mut findings = Vec::new();
    let mut broken = HashSet::new();
    let mut lent = Vec::new();
    let plan_file = sources.add(plan.0, plan.1);
    let site_file = site.map(|(name, text)| (sources.add(name, text), text));
    let site_defaults = site_file.and_then(|(file, text)| defaults::written(&node::read(text, file).ok()?));
    let mut reading = Reading {
        read,
        sources: &mut sources,
        findings: &mut findings,
        broken: &mut broken,
        lent: &mut lent,
        defaults: site_defaults.into_iter().collect(),
    };
    let decoded = reading.plan(plan.1, plan_file);
    let decoded = decoded.map(Arc::new);
    let plan = decoded.as_ref().map(|plan| unrolled(plan, None, &mut findings));
    let site = site_file.and_then(|(file, text)| decode::<Site>(text, file, &mut findings, &mut broken));
    let mut files = Files::default();
    if let Some(plan) = &plan {
        for text in sql_files(plan.steps.iter()) {
            add_file(text, read, &mut sources, &mut files, &mut findings);
        }
        if plan.steps.len() > MOST_STEPS {
            let message = format!("the plan has {} steps; {MOST_STEPS} are the most", plan.steps.len());
            findings.push(Finding::error("runplan::plan::too_many_steps", plan.name.span, message));
        }
    }
    let flow = plan.as_deref().map(expand::flow).unwrap_or_default();
    Loaded {
        sources,
        plan,
        written: decoded,
        site: site.map(Arc::new),
        flow: Arc::new(flow),
        files: Arc::new(files.contents),
        file_texts: Arc::new(files.texts),
        lent: Arc::new(lent),
        findings,
        broken,
    }
}

/// The files that the plan's rehearsal names; a run has no use for them, and its digest does not count them.
pub fn load_rehearsal(loaded: &mut Loaded, read: Read<'_>) {
    let Some(rehearsal) = loaded.plan.as_ref().and_then(|plan| plan.rehearsal.as_ref()) else { return };
    let mut files = Files { contents: (*loaded.files).clone(), texts: (*loaded.file_texts).clone() };
    let mut names = sql_files(rehearsal.prepare.iter());
    names.extend(rehearsal.stand_ins.iter().filter_map(|stand_in| sql_file(&stand_in.with.action.value)));
    names.extend(rehearsal.load.values().filter_map(|source| source.seed.as_ref()));
    for text in names {
        add_file(text, read, &mut loaded.sources, &mut files, &mut loaded.findings);
    }
    loaded.files = Arc::new(files.contents);
    loaded.file_texts = Arc::new(files.texts);
}

fn unrolled(
    written: &Arc<Plan>,
    values: Option<&Map<String, Value>>,
    findings: &mut Vec<Finding>,
) -> Arc<Plan> {
    let prepared = written.rehearsal.iter().flat_map(|rehearsal| &rehearsal.prepare);
    if written.steps.iter().chain(prepared).all(|step| step.for_each.is_none()) {
        return written.clone();
    }
    let mut plan = (**written).clone();
    let known = Known { params: &plan.params, values };
    if let Some(rehearsal) = &mut plan.rehearsal {
        rehearsal.prepare = each::unroll(std::mem::take(&mut rehearsal.prepare), &known, findings);
        rehearsal.stand_ins = each::stand_ins(std::mem::take(&mut rehearsal.stand_ins), &plan.steps, &known);
    }
    plan.steps = each::unroll(std::mem::take(&mut plan.steps), &known, findings);
    Arc::new(plan)
}

/// What reading a plan and its includes needs.
struct Reading<'r> {
    read: Read<'r>,
    sources: &'r mut Sources,
    findings: &'r mut Vec<Finding>,
    broken: &'r mut HashSet<String>,
    lent: &'r mut Vec<Lent>,
    /// The nearest first: an outer plan's and the site's.
    defaults: Vec<Node>,
}

impl Reading<'_> {
    fn plan(&mut self, text: &str, file: FileId) -> Option<Plan> {
        let (mut plan, includes) = self.decode(text, file)?;
        made_ids(&plan.steps, self.findings);
        if !includes.is_empty() {
            self.nearer(text, file);
        }
        for (at, include) in includes.into_iter().rev() {
            match self.included(&include) {
                Some(inner) => {
                    let steps = include::inline(&include, inner, &mut plan, self.lent, self.findings);
                    let at = at.min(plan.steps.len());
                    plan.steps.splice(at..at, steps);
                }
                None => drop(self.broken.insert(include.id.value.to_string())),
            }
        }
        Some(plan)
    }

    /// For what this file includes, its defaults go before those known so far.
    fn nearer(&mut self, text: &str, file: FileId) {
        let written = node::read(text, file).ok().and_then(|node| defaults::written(&node));
        self.defaults.splice(0..0, written);
    }

    fn included(&mut self, include: &Include) -> Option<Plan> {
        let name = include.uses.raw.as_str();
        let mut wrong = |code, message: String, help: &str| {
            self.findings.push(Finding::error(code, include.uses.span, message).help(help));
            None
        };
        if include.uses.has_template() {
            let message = "the name of an included plan cannot hold a template".to_owned();
            return wrong("runplan::plan::late_file", message, "write the name out");
        }
        let text = match (self.read)(name) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("`{name}` cannot be read: {why}");
                return wrong(
                    "runplan::plan::file_missing",
                    message,
                    "paths in a plan are relative to the plan's directory",
                );
            }
        };
        let known = self.sources.iter().position(|source| source.name == name).filter(|at| *at > 0);
        let file = match known.and_then(|at| u16::try_from(at).ok()) {
            Some(at) => FileId(at),
            None => self.sources.add(name, text.as_str()),
        };
        let (plan, deeper) = self.decode(&text, file)?;
        if let Some((_, inner)) = deeper.first() {
            let finding = Finding::error(
                "runplan::plan::nested_include",
                inner.uses.span,
                "an included plan cannot include another",
            );
            self.findings.push(finding.help("include both from the outer plan"));
        }
        made_ids(&plan.steps, self.findings);
        Some(plan)
    }

    fn decode(&mut self, text: &str, file: FileId) -> Option<(Plan, Vec<(usize, Include)>)> {
        match node::read(text, file) {
            Ok(mut node) => {
                let mut reader = Reader::default();
                let includes = include::take(&mut node, &mut reader);
                let nearest: Vec<Node> =
                    defaults::written(&node).into_iter().chain(self.defaults.iter().cloned()).collect();
                defaults::apply(&mut node, &nearest);
                let plan = Plan::decode(&node, &mut reader);
                self.findings.extend(reader.findings);
                self.broken.extend(reader.broken);
                Some((plan?, includes))
            }
            Err(found) => {
                self.findings.extend(found);
                None
            }
        }
    }
}

/// `WINDOW.open`, `INCLUDE.STEP` and `STEP[KEY]` are made, never written.
fn made_ids(steps: &[Step], findings: &mut Vec<Finding>) {
    for step in steps.iter().filter(|step| step.id.as_str().contains(['.', '['])) {
        let message = format!("`{}` cannot be the id of a written step", step.id.value);
        findings.push(
            Finding::error("runplan::plan::made_id", step.id.span, message)
                .label("`.` and `[` belong to steps that are made")
                .help("`WINDOW.open`, `INCLUDE.STEP` and `STEP[KEY]` are made by the program; use `_`"),
        );
    }
}

fn decode<T: Decode>(
    text: &str,
    file: super::FileId,
    findings: &mut Vec<Finding>,
    broken: &mut HashSet<String>,
) -> Option<T> {
    match node::read(text, file) {
        Ok(node) => {
            let mut reader = Reader::default();
            let value = T::decode(&node, &mut reader);
            findings.extend(reader.findings);
            broken.extend(reader.broken);
            value
        }
        Err(found) => {
            findings.extend(found);
            None
        }
    }
}

fn sql_files<'s>(steps: impl Iterator<Item = &'s Step>) -> Vec<&'s Text> {
    let mut texts = Vec::new();
    for step in steps {
        let undo = step.undo.as_ref().map(|undo| &undo.action);
        for action in std::iter::once(&step.action).chain(undo) {
            texts.extend(sql_file(&action.value));
        }
    }
    texts
}

fn sql_file(action: &Action) -> Option<&Text> {
    match action {
        Action::Sql(sql) => sql.file.as_ref(),
        _ => None,
    }
}

#[derive(Default)]
struct Files {
    contents: HashMap<String, Arc<str>>,
    texts: HashMap<String, Text>,
}

fn add_file(
    text: &Text,
    read: Read<'_>,
    sources: &mut Sources,
    files: &mut Files,
    findings: &mut Vec<Finding>,
) {
    if files.contents.contains_key(&text.raw) {
        return;
    }
    if text.has_template() {
        let message = "the name of an SQL file cannot hold a template";
        findings.push(Finding::error("runplan::plan::late_file", text.span, message).help(
            "write the name out: the file is read with the plan, so that what was reviewed is what runs",
        ));
        return;
    }
    match read(&text.raw) {
        Ok(content) if content.len() > node::LARGEST_FILE => {
            let message = format!(
                "`{}` has {} bytes; an SQL file may have {}",
                text.raw,
                content.len(),
                node::LARGEST_FILE
            );
            findings.push(
                Finding::error("runplan::plan::file_too_large", text.span, message)
                    .help("load data with `restore` or a `shell` step"),
            );
        }
        Ok(content) => {
            let content: Arc<str> = content.into();
            let file = sources.add(text.raw.clone(), content.clone());
            let span = Span::new(file, 0..content.len());
            files.texts.insert(text.raw.clone(), Text::written(&*content, span));
            files.contents.insert(text.raw.clone(), content);
        }
        Err(why) => {
            let message = format!("`{}` cannot be read: {why}", text.raw);
            findings.push(
                Finding::error("runplan::plan::file_missing", text.span, message)
                    .help("paths in a plan are relative to the plan's directory"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_plan_is_read_whole() {
        let text = include_str!("../../plans/scenario-2.yaml");
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/plans");
        let read = |name: &str| {
            std::fs::read_to_string(format!("{beside}/{name}")).map_err(|error| error.to_string())
        };
        let loaded = load(("scenario-2.yaml", text), None, &read);
        assert_eq!(loaded.findings, []);
        let needs: Vec<String> = loaded
            .flow
            .steps()
            .iter()
            .map(|step| format!("{} <- {:?}", step.id.value, Flow::needs(step).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            needs.join("\n"),
            "announce <- []\nservices <- [announce]\nservice_known <- [services]\nscope <- [service_known]\nrestored <- [scope]\nproven <- [restored]\n\
             maintenance.open <- [proven]\nclosed.set <- [maintenance.open]\nclosed.deployed <- [closed.set]\n\
             closed.live <- [closed.deployed]\nfrozen <- [closed.live]\nsafety_backup <- [frozen]\n\
             lost <- [safety_backup]\ngo <- [lost]\nswitched <- [go]\nopened.set <- [switched]\n\
             opened.deployed <- [opened.set]\nopened.live <- [opened.deployed]\nhealthy <- [opened.live]\n\
             maintenance.close <- [healthy]"
        );
    }
}
