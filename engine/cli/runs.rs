//! `runplan runs`: the history. Must never hide a run because its journal cannot be read, unless it was asked for others.

use super::actor;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::incident;
use super::runs_prune::PruneRuns;
use super::state_dir;
use super::stored::Stored;
use crate::clock::{self, Timestamp};
use crate::report::amount::{between, span};
use crate::run::{Course, Finish, Phase, Standing};
use crate::store::{Brief, Store, Summary};
use crate::terminal::{self, Screen, Tone};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// Lists the runs, the newest first.
///
/// With --format json the oldest comes first, as it is appended.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  runplan runs
  runplan runs --open                                  only those that are not over
  runplan runs --plan scenario_2 --since 7d -n 20
  runplan runs --result failed --database app --operator ann
  runplan runs --since 2026-11-01 --until 2026-12-01 --format json
  runplan runs prune --older-than 90d --dry-run"
)]
pub struct Runs {
    #[command(subcommand)]
    what: Option<What>,
    /// Only runs that are not over
    #[arg(long)]
    open: bool,
    /// Only runs of the plan of this name
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// Only runs that started since then: `7d` ago, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only runs that started before then: `7d` ago, or a time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only runs that ended so, or stand so; may be given several times
    #[arg(long, value_enum, value_name = "RESULT")]
    result: Vec<Outcome>,
    /// Only runs that changed this database, as the plan calls it; or on the server with this system identifier
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Only runs that this person started
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// Only the newest so many
    #[arg(short = 'n', long = "last", value_name = "COUNT")]
    last: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum What {
    Prune(PruneRuns),
}

/// How a run ended, or how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    Done,
    Failed,
    Undone,
    Parked,
    /// Some process drives it.
    Running,
    /// No process drives it, and it is neither parked nor over.
    Interrupted,
    /// It was written to a file, to go on elsewhere.
    Moved,
}

impl Runs {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        if let Some(What::Prune(prune)) = self.what {
            return prune.run(screen, globals);
        }
        let store = state_dir::open_to_read(globals)?;
        let all = if self.open { state_dir::unfinished(&store)? } else { store.list()? };
        let is_empty = all.is_empty();
        let briefs = self.among(screen, &store, all)?;
        if screen.is_json() {
            let runs: Vec<Value> = briefs.iter().map(|brief| as_json(&store, brief)).collect();
            screen.document(&json!({ "format": 1, "runs": runs }));
        } else if is_empty {
            let none = if self.open { "every run is over" } else { "no runs yet" };
            let absence = state_dir::absence(globals)?;
            screen.say(&absence.map_or_else(|| none.to_owned(), |absence| format!("no runs yet: {absence}")));
        } else if briefs.is_empty() {
            screen.say("no run is like that; `runplan runs` lists all");
        } else {
            show(screen, &store, &briefs);
        }
        Ok(Exit::Done)
    }

    fn among(&self, screen: &Screen, store: &Store, mut briefs: Vec<Brief>) -> Result<Vec<Brief>, Error> {
        let time = |text: &Option<String>| text.as_deref().map(when).transpose();
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        for (option, text, at) in [("--since", &self.since, since), ("--until", &self.until, until)] {
            if let (Some(text), Some(at)) = (text, at) {
                incident::tell(screen, option, text, at);
            }
        }
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err(Error::usage("no run can have started since a time that is not before --until"));
        }
        let is_filtered = since.is_some()
            || until.is_some()
            || self.plan.is_some()
            || self.database.is_some()
            || self.operator.is_some()
            || !self.result.is_empty();
        briefs.retain(|brief| match &brief.summary {
            Some(one) => {
                self.plan.as_ref().is_none_or(|plan| one.plan.as_str() == plan)
                    && since.is_none_or(|since| one.started_at >= since)
                    && until.is_none_or(|until| one.started_at < until)
                    && self.operator.as_ref().is_none_or(|name| one.operator == *name)
                    && self.database.as_ref().is_none_or(|wanted| {
                        one.targets.iter().any(|(name, server)| name == wanted || server == wanted)
                    })
                    && (self.result.is_empty()
                        || self.result.contains(&Stands::of(store, brief, one).outcome()))
            }
            None => !is_filtered,
        });
        let many = briefs.len().saturating_sub(self.last.unwrap_or(usize::MAX));
        Ok(briefs.split_off(many))
    }
}

fn when(text: &str) -> Result<Timestamp, Error> {
    incident::moment(text).ok_or_else(|| {
        Error::usage_with(
            format!("`{text}` does not say when"),
            "write how long ago (`7d`), or a time: `03:11`, `2026-11-22`, `2026-11-22T03:11Z`, `2026-11-22 03:11`",
        )
    })
}

/// A run of the list, and how it is getting on.
struct Line<'b> {
    brief: &'b Brief,
    /// None: its journal cannot be read.
    stands: Option<Stands>,
}

struct Stands {
    course: Course,
    /// The words of `status`.
    words: String,
    is_held: bool,
}

impl<'b> Line<'b> {
    fn of(store: &Store, brief: &'b Brief) -> Self {
        let stands = brief.summary.as_ref().map(|summary| Stands::of(store, brief, summary));
        Self { brief, stands }
    }
}

impl Stands {
    fn of(store: &Store, brief: &Brief, summary: &Summary) -> Self {
        // Somebody who does not say who holds it too.
        let is_held = !matches!(store.holder(&brief.run), Ok(None));
        if let Some((_, result)) = summary.finished {
            return Self { course: Course::Over(result), words: result.word().to_owned(), is_held };
        }
        if let Ok(stored) = Stored::read(store, &brief.run) {
            let course = Course::of(&stored.state, is_held, clock::now(), Some(&actor::whoami().name));
            let words = course.words(&stored.state);
            return Self { course, words, is_held };
        }
        // What the end of the journal says where the whole of it cannot be read.
        let (course, words) = match &summary.parked {
            _ if is_held => (Course::UnderWay, "under way".to_owned()),
            Some(why) => {
                let (words, command) = (why.words(), why.command(&brief.run));
                let said = format!("parked: {words}");
                (Course::Parked(Standing { words, whose: None, command, others: Vec::new() }), said)
            }
            None => (Course::Interrupted, "interrupted".to_owned()),
        };
        Self { course, words, is_held }
    }

    fn outcome(&self) -> Outcome {
        match self.course {
            Course::Over(Finish::Done) => Outcome::Done,
            Course::Over(Finish::Failed) => Outcome::Failed,
            Course::Over(Finish::Undone) => Outcome::Undone,
            Course::Moved => Outcome::Moved,
            Course::Parked(_) => Outcome::Parked,
            Course::Waits(_) | Course::UnderWay => Outcome::Running,
            Course::Interrupted | Course::Killed => Outcome::Interrupted,
        }
    }

    fn tone(&self) -> Tone {
        match self.outcome() {
            Outcome::Done => Tone::Good,
            Outcome::Failed => Tone::Bad,
            Outcome::Running => Tone::Strong,
            Outcome::Undone | Outcome::Parked | Outcome::Interrupted | Outcome::Moved => Tone::Caution,
        }
    }

    /// How long it took; one that drives still, until now; else until its last word.
    fn took(&self, summary: &Summary) -> u64 {
        let end = match (self.outcome(), summary.finished) {
            (_, Some((at, _))) => at,
            (Outcome::Running, None) => clock::now(),
            (_, None) => summary.last_at,
        };
        between(summary.started_at, end)
    }
}

fn as_json(store: &Store, brief: &Brief) -> Value {
    let Line { brief, stands } = Line::of(store, brief);
    let summary = brief.summary.as_ref();
    let parked = stands.as_ref().and_then(|stands| match &stands.course {
        Course::Parked(standing) => Some(standing),
        _ => None,
    });
    json!({
        "run": brief.run.as_str(),
        "plan": summary.map(|summary| summary.plan.as_str().to_owned()),
        "rehearsal": summary.map(|summary| summary.rehearsal),
        "phase": summary.map(|summary| summary.phase.word()),
        "result": summary.and_then(|summary| summary.finished).map(|(_, result)| result.word()),
        "started_at": summary.map(|summary| summary.started_at.to_string()),
        "finished_at": summary.and_then(|summary| summary.finished).map(|(at, _)| at.to_string()),
        "parked": parked.map(Standing::as_json),
        "state": stands.as_ref().map(|stands| stands.words.clone()),
        "problem": brief.problem,
        "held": stands.as_ref().is_none_or(|stands| stands.is_held),
        "elapsed_ms": summary.zip(stands.as_ref()).map(|(summary, stands)| stands.took(summary)),
        "operator": summary.map(|summary| summary.operator.clone()),
        "reason": summary.and_then(|summary| summary.reason.clone()),
        "databases": summary.map(|summary| summary.targets.clone()),
        "rehearsal": summary.map(|summary| summary.rehearsal),
    })
}

/// A table of runs, which are given the oldest first: the newest first.
pub fn show(screen: &Screen, store: &Store, briefs: &[Brief]) {
    let paint = screen.paint();
    let rows = briefs.iter().rev().map(|brief| {
        let (Some(summary), Some(stands)) = (&brief.summary, Line::of(store, brief).stands) else {
            let problem = brief.problem.clone().unwrap_or_default();
            let state = paint.of(Tone::Bad, &problem);
            return vec![
                brief.run.to_string(),
                String::new(),
                String::new(),
                state,
                String::new(),
                String::new(),
            ];
        };
        let mut state = stands.words.clone();
        if summary.phase == Phase::Backward {
            state.push_str(" (going back)");
        }
        if summary.rehearsal {
            state.insert_str(0, "rehearsal: ");
        }
        let began = terminal::day(screen, summary.started_at);
        let took = span(stands.took(summary));
        let by = summary.operator.clone();
        let reason = summary.reason.clone().unwrap_or_default();
        vec![brief.run.to_string(), began, took, paint.of(stands.tone(), &state), by, reason]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let mut columns = vec!["run", "started", "took", "state", "by", "reason"];
    // Room for what there is.
    let is_empty = |row: &Vec<String>| row.last().is_none_or(String::is_empty);
    while columns.len() > 4 && rows.iter().all(is_empty) {
        columns.pop();
        rows.iter_mut().for_each(|row| drop(row.pop()));
    }
    screen.text(&terminal::table(screen, &columns, rows));
}
