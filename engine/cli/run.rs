//! `runplan run`, also `runplan PLAN`.

use super::check;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::files::{self, Opened};
use super::launch::{self, Launch};
use super::past::Past;
use super::preflight::AcceptArgs;
use super::surroundings::{self, Given};
use super::values::{self, ValueArgs};
use super::{actor, incident, matrix, state_dir, stored};
use crate::clock;
use crate::drive::Start;
use crate::plan::{Finding, Loaded, RunId, StepId, digest};
use crate::review::{self, ReviewInput};
use crate::run::{Started, State, StoredSource, standing};
use crate::store::Store;
use crate::terminal::{self, Screen};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Runs a plan; `runplan PLAN` is the same.
///
/// The plan is checked first. Everything that happens is journaled before anything follows from it, so that the run can
/// be stopped, killed and resumed at any time. With --dry-run nothing is touched: no server, no secret, no file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan plans/scenario-2.yaml --dry-run
  runplan plans/scenario-2.yaml -p backup=\"$PWD/backups/before.sql.gz\" --reason 'wallets are empty'
  runplan run plans/scenario-2.yaml --params values.yaml --reason 'wallets are empty' --format json")]
pub struct Run {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    values: ValueArgs,
    /// Show what it would do, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: how long steps took before
    #[arg(long, requires = "dry_run")]
    estimates: bool,
    /// Why it is run; a plan with a severity asks for it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Run only what was reviewed: the digest that the dry run showed
    #[arg(long, value_name = "DIGEST")]
    expect_digest: Option<String>,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
    /// Run although the decision matrix says to fix forward; why
    #[arg(long = "override", value_name = "REASON")]
    override_: Option<String>,
    /// When the incident began: `40m` ago, or a time; deadlines count from then [default: now]
    #[arg(long, value_name = "WHEN")]
    incident_started: Option<String>,
    #[command(flatten)]
    accepts: AcceptArgs,
    /// Wait for approvals instead of parking; a log is told every five minutes who is waited for
    #[arg(long)]
    wait: bool,
    /// Confirm what would be asked before it begins; never approves
    #[arg(short, long)]
    yes: bool,
    /// Where PostgreSQL's client programs are
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

impl Run {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let opened = files::open(&self.plan, self.site.as_deref())?;
        let found = check::findings(&opened.loaded);
        if self.dry_run {
            return self.show(screen, globals, opened, found);
        }
        check::stop_on(screen, &found, &opened.loaded, self.strict)?;
        self.start(screen, globals, opened)
    }

    fn show(
        &self,
        screen: &Screen,
        globals: &Globals,
        opened: Opened,
        found: Vec<Finding>,
    ) -> Result<Exit, Error> {
        let errors: Vec<Finding> = found.iter().filter(|finding| finding.is_error()).cloned().collect();
        check::stop_on(screen, &errors, &opened.loaded, false)?;
        let shape = stored::shape_of(opened.loaded)?;
        let resolved = self.values.resolve(screen, &shape.plan)?;
        values::stop_on(screen, &resolved.findings, &self.plan.display().to_string())?;
        let shape = stored::with_values(screen, shape, &resolved.values)?;
        let asked = self.estimates || screen.is_attended();
        let past = asked.then(|| Past::of(globals, &shape, &resolved.values, &opened.directory));
        let history = past.as_ref().map(|past| past.words(clock::now()));
        let strict = self.strict && !found.is_empty();
        let input = ReviewInput {
            params: resolved.values,
            missing: resolved.missing,
            rehearsal: false,
            findings: found,
            estimates: past.map(|past| past.estimates).unwrap_or_default(),
            history,
        };
        let review = review::review(&shape.loaded, &shape.graph, &input);
        self.prove_digest(review.digest.as_deref(), &review.plan_digest)?;
        terminal::review(screen, &review);
        Ok(if strict { Exit::Invalid } else { Exit::Done })
    }

    fn start(self, screen: &Screen, globals: &Globals, opened: Opened) -> Result<Exit, Error> {
        let shape = stored::shape_of(opened.loaded)?;
        let params = self.values.complete(screen, &shape.plan, &self.plan.display().to_string())?;
        let shape = stored::with_values(screen, shape, &params)?;
        let plan_digest = digest::of_plan(&shape.loaded);
        let input = ReviewInput { params: params.clone(), ..ReviewInput::default() };
        let whole_digest = digest::with_params(&plan_digest, &review::shown_params(&shape.plan, &input));
        self.prove_digest(Some(&whole_digest), &plan_digest)?;
        let severity = matrix::severity(&shape, &params)?;
        matrix::prove(&shape, severity.as_deref(), self.override_.as_deref())?;
        matrix::prove_deciders(&shape, severity.as_deref(), &actor::whoami().name)?;
        let reason = self.reason(screen, severity.as_deref())?;
        let shown = serde_json::Value::Object(values::public(&shape.plan, &params)).to_string();
        for words in [&reason, &self.override_].into_iter().flatten().chain([&shown]) {
            surroundings::prove_open(&shape, &opened.directory, words)?;
        }
        matrix::confirm_protected(screen, &shape, self.yes)?;

        let incident_started_at = self.incident_started.as_deref().map(incident::began).transpose()?;
        if let (Some(text), Some(at)) = (&self.incident_started, incident_started_at) {
            incident::tell(screen, "--incident-started", text, at);
        }
        let store = state_dir::open(globals)?;
        let run = RunId::new(shape.plan.name.value.as_str(), clock::now(), rand::random());
        let attended = screen.is_attended();
        let mut started = Started {
            plan: shape.plan.name.value.clone(),
            title: shape.plan.title.clone(),
            sources: sources(&shape.loaded),
            has_site: shape.site.is_some(),
            params: values::public(&shape.plan, &params),
            plan_digest,
            digest: whole_digest,
            reason,
            severity,
            incident_started_at,
            overridden: self.override_.clone().filter(|reason| !reason.trim().is_empty()),
            directory: opened.directory.display().to_string(),
            attended,
            wait: self.wait,
            accepted: Vec::new(),
            targets: BTreeMap::new(),
            rehearsal: false,
            began_with: None,
            pg_bin: self.pg_bin.as_deref().map(absolute),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let given = Given { params, pg_bin: self.pg_bin, ..Given::default() };
        let state = State::new(run.clone(), shape.clone());
        let world = surroundings::world(&run, &shape, opened.directory, store.directory(&run), given)?;
        let runtime = launch::runtime()?;
        // Who has a target is told at once, with what is known here about it.
        if let Err(held @ Error::TargetHeld { .. }) = runtime.block_on(surroundings::hold(&world)) {
            return Err(told(&store, held));
        }
        let past = Past::read(&store, &shape, &world.params, &world.directory);
        started.accepted = self.accepts.prove(screen, &runtime, &world, &past)?;
        // Before the run exists: what cannot begin leaves nothing behind.
        started.targets = runtime.block_on(surroundings::hold(&world))?;
        let held = store.create(&run)?;
        let estimates = past.estimates;
        let launch = Launch { screen, store: &store, held, state, world, attended, estimates };
        launch.drive(runtime, Start::Begin(Box::new(started)))
    }

    fn prove_digest(&self, whole: Option<&str>, plan: &str) -> Result<(), Error> {
        let Some(wanted) = &self.expect_digest else { return Ok(()) };
        let wanted = wanted.trim().to_lowercase();
        if whole == Some(wanted.as_str()) || plan == wanted {
            return Ok(());
        }
        Err(Error::OtherDigest { wanted, found: whole.unwrap_or(plan).to_owned() })
    }

    fn reason(&self, screen: &Screen, severity: Option<&str>) -> Result<Option<String>, Error> {
        let given = self.reason.clone().filter(|reason| !reason.trim().is_empty());
        let severe = severity.map(|severity| format!("the plan has a severity, {severity}"));
        let needed = severe.or_else(|| self.accepts.wants_reason().map(str::to_owned));
        let Some(needed) = needed.filter(|_| given.is_none()) else { return Ok(given) };
        let not_empty = |text: &str| match text.trim() {
            "" => Err("a reason is wanted".to_owned()),
            _ => Ok(()),
        };
        let asked = match screen.is_attended() {
            true => terminal::ask_value(screen, "Why is it run? (for the report)", None, false, &not_empty),
            false => None,
        };
        asked.map(Some).ok_or_else(|| {
            Error::usage_with(format!("a reason is wanted: {needed}"), "give it with --reason '...'")
        })
    }
}

/// What the run did that has the target, when it is one of this machine's.
fn told(store: &Store, error: Error) -> Error {
    let Error::TargetHeld { message, help, run: Some(run) } = error else { return error };
    let Ok(stored) = stored::Stored::read(store, &run) else {
        return Error::TargetHeld { message, help, run: Some(run) };
    };
    let state = stored.state;
    let done: Vec<&str> = state.done().map(StepId::as_str).collect();
    let done = if done.is_empty() { "nothing yet".to_owned() } else { done.join(", ") };
    let parked = standing(&state, clock::now(), Some(&actor::whoami().name));
    let (stands, next) = match parked {
        Some(standing) => (standing.words, standing.command),
        None if state.running().next().is_some() => {
            let running: Vec<&str> = state.running().map(StepId::as_str).collect();
            (format!("under way or interrupted: {}", running.join(", ")), format!("runplan resume {run}"))
        }
        None => ("it was interrupted, or is under way".to_owned(), format!("runplan resume {run}")),
    };
    let message = format!("{message}; it has done: {done}; {stands}");
    let help = format!("its next command is `{next}`; {help}");
    Error::TargetHeld { message, help, run: Some(run) }
}

/// A path that means the same wherever the run goes on.
pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Every file of the plan as it is now.
pub fn sources(loaded: &Loaded) -> Vec<StoredSource> {
    let one = |source: &crate::plan::Source| StoredSource {
        name: source.name.clone(),
        text: source.text.to_string(),
    };
    loaded.sources.iter().map(one).collect()
}
