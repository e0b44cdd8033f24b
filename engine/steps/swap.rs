//! `swap`: puts a side database in the live one's place, in one transaction, and keeps the old one, closed. Databases are
//! told by their OIDs, which are journaled first: before, after, and nothing in between. Must never close the live database
//! in a transaction of its own: a crash then would lock everybody out.

mod exchange;
mod loss;
mod pooled;
mod refusals;
mod replicas;
mod sequences;
pub(super) mod settings;

use super::attempt::Attempt;
use super::database::{self, Database, comment_sql, name_with};
use super::freeze::{self, Counters, Watch};
use super::mark::{self, Kind, Mark};
use super::sessions;
use super::stop::{self, Stop};
use super::targets::{Target, application_name};
use crate::clock;
use crate::plan::action::Swap;
use crate::postgres::{Backend, Connection, escape_identifier};
use crate::run::{Evidence, Failure, Outcome, Outputs};
use exchange::{Exchange, Move, Quiet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The fact: which databases change names, and what stood in their comments.
const SWAPPING: &str = "swapping";
/// The fact of an undo: the session that renames back.
const BACK: &str = "renamer";

/// So many tables' counts are journaled.
const MOST_TABLES: usize = 500;

/// How long the session of an attempt that died may take to be gone.
const ENDING: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Swapping {
    live: String,
    side: String,
    old: String,
    live_oid: u32,
    side_oid: u32,
    side_comment: String,
    /// Whether sessions could begin on the live one.
    live_open: bool,
    keep_until: Option<String>,
    /// What had been written to the side when it went live; an undo is refused when there is more.
    counters: Counters,
    /// The same by table, where there are not too many: to say how much more there is.
    #[serde(default)]
    written: BTreeMap<String, u64>,
    /// Our session that renames: after a crash it may still be at it.
    backend: Backend,
}

impl Swapping {
    /// Which one leaves the name, and which comes to it.
    fn moves(&self) -> (Move, Move) {
        (
            Move { oid: self.live_oid, from: self.live.clone(), to: self.old.clone() },
            Move { oid: self.side_oid, from: self.side.clone(), to: self.live.clone() },
        )
    }
}

pub async fn act(attempt: &Attempt, action: &Swap) -> Outcome {
    stop::outcome(begin(attempt, action).await)
}

/// By the OIDs behind the names.
pub async fn settle(attempt: &Attempt, action: &Swap) -> Outcome {
    stop::outcome(look(attempt, action).await.map_err(Stop::in_doubt))
}

/// The same transaction, reversed.
pub async fn undo(attempt: &Attempt, action: &Swap) -> Outcome {
    stop::outcome(back(attempt, action).await)
}

/// Two sessions on the maintenance database: one renames, the other ends sessions meanwhile.
struct Sessions {
    renamer: Connection,
    other: Connection,
}

impl Sessions {
    async fn open(attempt: &Attempt, target: &Target) -> Result<Self, Stop> {
        let name = application_name(&attempt.world, attempt.step.id.value.as_str());
        let both = async {
            let renamer = Connection::connect(&target.maintenance, &name).await?;
            let other = Connection::connect(&target.maintenance, &name).await?;
            Ok::<Self, crate::postgres::Error>(Self { renamer, other })
        };
        stop::unless_cancelled(attempt, both).await
    }
}

async fn begin(attempt: &Attempt, action: &Swap) -> Result<Outputs, Stop> {
    let world = &attempt.world;
    let target = world.targets.find(world, &action.database).await?;
    let with = world.targets.find(world, &action.with).await?;
    if with.name != target.name || !with.is_side {
        let message = format!("{} is not a side database of {}", with.database, target.database);
        return Err(Failure::new("runplan::swap::not_a_side", message)
            .help("`with` takes the database output of a restore step")
            .permanent()
            .into());
    }
    let sessions = Sessions::open(attempt, &target).await?;
    let live = Database::expect(&sessions.other, &target.database).await?;
    let side = Database::expect(&sessions.other, &with.database).await?;
    let frozen = freeze::before(attempt, &target);
    refusals::check(attempt, &target, &sessions.other, &live, &side, frozen.as_ref()).await?;
    refuse_opened(&sessions.other, &live, frozen.as_ref()).await?;
    let hold = world.targets.claim(world, &target).await?;
    // Read again: the claim may stand in its comment.
    let live = Database::expect(&sessions.other, &target.database).await?;
    let now = clock::now();
    let keep_until = now.checked_add(action.keep_old.std()).ok().map(|at| at.to_string());
    stop::unless_cancelled(attempt, sequences::raise(attempt, &target, &with, live.open)).await?;
    let watch = watch(attempt, &with).await?;
    let swapping = Swapping {
        live: live.name.clone(),
        side: side.name.clone(),
        old: free_name(attempt, &sessions.other, &live.name).await?,
        live_oid: live.oid,
        side_oid: side.oid,
        side_comment: side.comment.clone(),
        live_open: live.open,
        keep_until,
        counters: watch.counters(side.oid),
        written: watch.by_table().into_iter().take(MOST_TABLES).collect(),
        backend: sessions.renamer.backend().clone(),
    };
    attempt.note(SWAPPING, json!(swapping)).await?;
    let (leaves, comes) = swapping.moves();
    let exchange = Exchange {
        attempt,
        sessions: &sessions,
        leaves,
        comes,
        before: settings::carry(&sessions.other, &live, &side, frozen.as_ref()).await?,
        after: closing(attempt, &sessions.other, &live, &swapping).await?,
        check_sql: hold.check_sql(),
        quiet: quiet(&target, frozen.as_ref())?,
        version: frozen.as_ref().and_then(version_of).map(str::to_owned),
    };
    let exchanged = exchange.run_pooled(&target).await?;
    let mut outputs = outputs(&swapping, Some(&exchanged));
    if frozen.is_none() {
        attempt.warn(format!(
            "nothing kept {} from being written to before the swap: what came after its losses were counted is in {} alone",
            swapping.live, swapping.old
        ));
    }
    replicas::follow(attempt, &target, &exchange.leaves, &exchange.comes, &mut outputs).await;
    Ok(outputs)
}

/// A freeze that let nobody in has no counters: it holds while nobody can get in, nor could in between.
async fn refuse_opened(server: &Connection, live: &Database, frozen: Option<&Value>) -> Result<(), Stop> {
    let closed = frozen.filter(|frozen| frozen.get("counters").is_none_or(Value::is_null));
    let Some(frozen) = closed else { return Ok(()) };
    let now = database::version(server, live.oid).await?;
    let message = if live.open {
        format!("{} was opened to connections again since the freeze", live.name)
    } else if version_of(frozen).is_some_and(|version| Some(version) != now.as_deref()) {
        format!(
            "{} was altered since the freeze: it may have been open to connections for a while, and written to",
            live.name
        )
    } else {
        return Ok(());
    };
    Err(Failure::new("runplan::swap::reopened", message).help(freeze::reopened(&live.name, live.open)).into())
}

fn version_of(frozen: &Value) -> Option<&str> {
    frozen.get("version").and_then(Value::as_str)
}

/// What the old one must still be, if a freeze proved it quiet.
fn quiet(target: &Target, frozen: Option<&Value>) -> Result<Option<Quiet>, Stop> {
    let counters = frozen.map(freeze::counted).transpose();
    let counters = counters.map_err(|error| Failure::new("runplan::swap::counters", error.to_string()))?;
    let Some(counters) = counters.flatten() else { return Ok(None) };
    let why = freeze::refusal(&target.database);
    Ok(Some(Quiet { settings: target.settings.clone(), counters, why }))
}

async fn watch(attempt: &Attempt, with: &Target) -> Result<Watch, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let inside = stop::unless_cancelled(attempt, Connection::connect(&with.settings, &name)).await?;
    Ok(Watch::take(&inside).await?)
}

/// `<database>_old_<run>`.
async fn free_name(attempt: &Attempt, server: &Connection, live: &str) -> Result<String, Stop> {
    let tail = mark::tail(&attempt.world.run);
    for number in 1..100 {
        let tail = if number == 1 { format!("_old_{tail}") } else { format!("_old_{tail}_{number}") };
        let name = name_with(live, &tail);
        if Database::by_name(server, &name).await?.is_none() {
            return Ok(name);
        }
    }
    Err(Failure::new("runplan::swap::name", format!("too many old databases of {live}"))
        .help("`runplan status RUN` of the run that made it tells how it is removed")
        .into())
}

/// The statements after the renames: the old one is closed, marked, and no longer claimed; the comment goes with the name.
async fn closing(
    attempt: &Attempt,
    server: &Connection,
    live: &Database,
    swapping: &Swapping,
) -> Result<Vec<String>, Stop> {
    let mark = Mark {
        kind: Kind::Old,
        complete: true,
        keep_until: swapping.keep_until.clone(),
        oid: Some(swapping.live_oid),
        replaced_by: Some(swapping.side_oid),
        ..Mark::side(&attempt.world.run, &attempt.step.id.value, &swapping.live)
    };
    let mut statements = vec![
        freeze::connections(&swapping.old, false),
        comment_sql(&swapping.live, &live.comment),
        comment_sql(&swapping.old, &mark.text()),
    ];
    statements.extend(settings::unclaim(server, live.oid, &swapping.old).await?);
    Ok(statements)
}

fn outputs(swapping: &Swapping, exchanged: Option<&exchange::Exchanged>) -> Outputs {
    let mut outputs = Outputs::new();
    outputs.insert("old_database".to_owned(), swapping.old.clone().into());
    // Not known after a crash: nobody was there to measure it.
    outputs.insert("downtime_ms".to_owned(), json!(exchanged.map(|exchanged| exchanged.downtime_ms)));
    outputs.insert("sessions_ended".to_owned(), json!(exchanged.map(|exchanged| exchanged.ended)));
    outputs.insert("keep_until".to_owned(), json!(swapping.keep_until));
    outputs
}

/// Which names the two databases have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Before,
    After,
    Other,
}

async fn stand(server: &Connection, swapping: &Swapping) -> Result<(Stand, Vec<String>), Stop> {
    let name = |found: Option<Database>| found.map_or_else(|| "gone".to_owned(), |found| found.name);
    let live = name(Database::by_oid(server, swapping.live_oid).await?);
    let side = name(Database::by_oid(server, swapping.side_oid).await?);
    let facts = vec![
        format!("the database that was {} (OID {}) is {live}", swapping.live, swapping.live_oid),
        format!("the database that was {} (OID {}) is {side}", swapping.side, swapping.side_oid),
    ];
    let stand = if live == swapping.live && side == swapping.side {
        Stand::Before
    } else if side == swapping.live && (live == swapping.old || live == "gone") {
        Stand::After
    } else {
        Stand::Other
    };
    Ok((stand, facts))
}

async fn look(attempt: &Attempt, action: &Swap) -> Result<Outputs, Stop> {
    let Some(swapping) = stop::noted::<Swapping>(attempt, SWAPPING)? else {
        return Err(Stop::Again("nothing had been renamed".to_owned()));
    };
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let found = look_at(attempt, &target, &swapping).await;
    pooled::after_crash(attempt, &target, found).await
}

async fn look_at(attempt: &Attempt, target: &Target, swapping: &Swapping) -> Result<Outputs, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let server = stop::unless_cancelled(attempt, Connection::connect(&target.maintenance, &name)).await?;
    sessions::end_orphan(&server, &swapping.backend, ENDING).await?;
    match stand(&server, swapping).await? {
        (Stand::After, _) => {
            let mut outputs = outputs(swapping, None);
            let (leaves, comes) = swapping.moves();
            replicas::follow(attempt, target, &leaves, &comes, &mut outputs).await;
            Ok(outputs)
        }
        (Stand::Before, _) => Err(Stop::Again("no database was renamed".to_owned())),
        (Stand::Other, facts) => Err(Stop::Unknown(Evidence::new(
            "the databases are named neither as before nor as after the swap",
            facts,
        ))),
    }
}

async fn back(attempt: &Attempt, action: &Swap) -> Result<Outputs, Stop> {
    let Some(swapping) = stop::noted::<Swapping>(attempt, SWAPPING)? else { return Ok(Outputs::new()) };
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let done = go_back(attempt, &target, &swapping).await;
    // What an earlier try of this undo paused.
    pooled::after_crash(attempt, &target, done).await
}

async fn go_back(attempt: &Attempt, target: &Target, swapping: &Swapping) -> Result<Outputs, Stop> {
    let world = &attempt.world;
    let sessions = Sessions::open(attempt, target).await?;
    // An undo that was killed may still be renaming.
    if let Some(renamer) = attempt.own_fact(BACK).and_then(|fact| Backend::deserialize(fact).ok()) {
        sessions::end_orphan(&sessions.other, &renamer, ENDING).await?;
    }
    let mut outputs = Outputs::new();
    outputs.insert("database".to_owned(), swapping.live.clone().into());
    match stand(&sessions.other, swapping).await? {
        (Stand::Before, _) => return Ok(outputs),
        (Stand::After, _) => {}
        (Stand::Other, facts) => {
            refusals::later(&sessions.other, &world.run, &swapping.live, swapping.side_oid).await?;
            return Err(Stop::Unknown(Evidence::new(
                "the databases have other names than after the swap",
                facts,
            )));
        }
    }
    loss::shut_again(attempt, target).await?;
    let Some(old) = Database::by_oid(&sessions.other, swapping.live_oid).await? else {
        let message = format!("the old database {} is gone; there is nothing to swap back", swapping.old);
        return Err(Failure::new("runplan::swap::old_gone", message).permanent().into());
    };
    let now = Database::expect(&sessions.other, &swapping.live).await?;
    refusals::check_back(attempt, target, &sessions.other, &now, &old).await?;
    let hold = world.targets.claim(world, target).await?;
    // Read again: the claim may stand in its comment.
    let now = Database::expect(&sessions.other, &swapping.live).await?;
    let counters = loss::expect_agreed(attempt, target, &sessions, swapping, &old).await?;
    let mut after =
        vec![comment_sql(&swapping.live, &now.comment), comment_sql(&swapping.side, &swapping.side_comment)];
    after.extend(settings::claim_again(&sessions.other, now.oid, &swapping.live).await?);
    after.extend(settings::unclaim(&sessions.other, now.oid, &swapping.side).await?);
    let open = freeze::connections(&old.name, swapping.live_open);
    let why =
        format!("{} was written to since the swap; swapping back would lose those writes", swapping.live);
    attempt.note(BACK, json!(sessions.renamer.backend())).await?;
    let exchange = Exchange {
        attempt,
        sessions: &sessions,
        leaves: Move { oid: now.oid, from: swapping.live.clone(), to: swapping.side.clone() },
        comes: Move { oid: old.oid, from: old.name.clone(), to: swapping.live.clone() },
        before: vec![open],
        after,
        check_sql: hold.check_sql(),
        quiet: Some(Quiet { settings: target.settings.clone(), counters, why }),
        version: None,
    };
    let exchanged = exchange.run_pooled(target).await?;
    outputs.insert("downtime_ms".to_owned(), exchanged.downtime_ms.into());
    outputs.insert("sessions_ended".to_owned(), exchanged.ended.into());
    replicas::follow(attempt, target, &exchange.leaves, &exchange.comes, &mut outputs).await;
    Ok(outputs)
}

/// Renames, as a statement.
fn rename(from: &str, to: &str) -> String {
    format!("ALTER DATABASE {} RENAME TO {}", escape_identifier(from), escape_identifier(to))
}
