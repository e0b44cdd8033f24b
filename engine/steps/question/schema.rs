//! `schema`: the definitions of a database against those of a backup, and whether its indexes and constraints do their work.
//!
//! Both sides are read as pg_dump writes them, the backup by its reader, the database by `pg_dump --schema-only`: that needs
//! no right but to read, makes nothing on any server (restoring into a throw-away database would need CREATEDB, and a
//! superuser for many an extension), and works on a frozen database. What pg_dump keeps silent about, invalid indexes and
//! constraints that were never validated, the catalog is asked for. Only ever reads.

mod catalog;

use super::super::archive::{Manifest, Reading};
use super::super::attempt::Attempt;
use super::super::definitions;
use super::super::expectation::{Answer, Doubt};
use super::super::sql::rows::Rows;
use super::super::sql::session::{self, Limits};
use super::{Unanswered, given, plain_list};
use crate::plan::check::AgainstBackup;
use crate::plan::{Differing, Duration, Text};
use crate::postgres::identity;
use crate::sql::is_called;
use crate::sql::schema::{Difference, Fault, Schema, compare};
use serde_json::{Map, Value};

/// How long a look may wait for somebody else's lock.
const LOCKS: Duration = Duration::from_secs(30);

pub async fn ask(
    attempt: &Attempt,
    check: &AgainstBackup,
    database: Option<&Text>,
) -> Result<Answer, Unanswered> {
    let target = attempt.world.targets.find(&attempt.world, given(database)?).await?;
    let path = attempt.path(&check.matches).await?;
    let chosen = plain_list(attempt, check.tables.as_deref()).await?;
    let is_part = Manifest::read(&path)?.is_some_and(|manifest| !manifest.scope.is_empty());
    let reading = Reading::new(&attempt.world.programs, &attempt.cancelled);
    let backup = definitions::of_backup(&reading, &path).await.map_err(|failure| ended(attempt, failure))?;
    let limits = Limits { lock_timeout: Some(LOCKS), statement_timeout: None };
    let connection =
        session::open(attempt, &target, limits).await.map_err(|error| session::failure(&error, ""))?;
    let version =
        identity::server_version(&connection).await.map_err(|error| session::failure(&error, ""))?;
    let major = version / 10_000;
    let mut now =
        definitions::of_database(attempt, &target, major).await.map_err(|failure| ended(attempt, failure))?;
    let mut wanted = backup.schema;
    if let Some(missing) =
        choose(&mut wanted, &mut now, chosen.as_deref(), is_part && !asks_for_extras(check))
    {
        let message = format!("the backup holds no table {missing}");
        return Ok(Answer { wrong: Some(message), ..Answer::default() });
    }
    let of = wanted.objects.len();
    let versions = backup.major.filter(|then| *then != major).map(|then| (then, major));
    let mut differences = compare(&wanted, &now);
    if let Some((then, now)) = versions {
        differences.retain(|one| !one.is_only_written_otherwise(then, now));
    }
    let counts = |fault: Fault| check.only.as_ref().is_none_or(|only| only.contains(&differing(fault)));
    let is_chosen =
        |table: &str| chosen.as_ref().is_none_or(|chosen| chosen.iter().any(|name| is_called(table, name)));
    let invalid = catalog::invalid(&connection).await?;
    for (_, fault) in invalid.into_iter().filter(|(table, _)| is_chosen(table)) {
        // pg_dump leaves an invalid index out, which does not make it missing.
        differences.retain(|known| {
            known.fault != Fault::Missing || (known.kind, &known.name) != (fault.kind, &fault.name)
        });
        differences.push(fault);
    }
    differences.retain(|one| counts(one.fault));
    differences.sort();
    let mut answer = answer(&differences, of, is_part, versions);
    if asks_for_extras(check) && check.only.as_ref().is_some_and(|only| only.len() == 1) {
        extras(&mut answer, &differences);
    }
    Ok(answer)
}

/// Whether what the backup does not hold is asked for by name: then that it is a part of a database is no excuse.
fn asks_for_extras(check: &AgainstBackup) -> bool {
    check.only.as_ref().is_some_and(|only| only.contains(&Differing::Extra))
}

fn differing(fault: Fault) -> Differing {
    match fault {
        Fault::Missing => Differing::Missing,
        Fault::Extra => Differing::Extra,
        Fault::Invalid => Differing::Invalid,
        Fault::Changed => Differing::Changed,
    }
}

/// So many objects are named in a sentence; the rows have them all.
const NAMED: usize = 30;
/// Of tables, whose rows go with them, that many.
const TABLES: usize = 300;

/// In words: what is there and not in the backup, by kind and name; first what holds rows.
fn extras(answer: &mut Answer, extras: &[Difference]) {
    let short = |one: &&Difference| match one.name.char_indices().nth(120) {
        Some((end, _)) => format!("{} {}...", one.kind, one.name.get(..end).unwrap_or(&one.name)),
        None => format!("{} {}", one.kind, one.name),
    };
    let of =
        |kinds: &'static [&str], is: bool| extras.iter().filter(move |one| kinds.contains(&one.kind) == is);
    let others = of(&["column"], true).chain(of(&["table", "column"], false));
    let tables = of(&["table"], true);
    let mut names: Vec<String> =
        tables.take(TABLES).chain(others.take(NAMED)).map(|one| short(&one)).collect();
    if extras.len() > names.len() {
        names.push(format!("{} more", extras.len() - names.len()));
    }
    let objects = if extras.len() == 1 { "object" } else { "objects" };
    let said = format!("{} {objects} that the backup does not hold: {}", extras.len(), names.join(", "));
    match &mut answer.doubt {
        Some(doubt) => {
            "a backup that holds everything that is there".clone_into(&mut doubt.expected);
            doubt.actual.clone_from(&said);
            answer.summary = Some(said);
        }
        None => answer.summary = Some("the backup holds everything that is there".to_owned()),
    }
}

/// A program that was ended because the attempt was cancelled gave no answer.
fn ended(attempt: &Attempt, failure: crate::run::Failure) -> Unanswered {
    match attempt.cancelled.is_cancelled() {
        true => Unanswered::Cancelled,
        false => Unanswered::Failed(failure),
    }
}

/// Leaves only what is asked about; gives a table that the backup does not hold.
fn choose(wanted: &mut Schema, now: &mut Schema, chosen: Option<&[String]>, is_part: bool) -> Option<String> {
    if let Some(chosen) = chosen {
        if let Some(missing) = chosen.iter().find(|name| !wanted.tables().any(|table| is_called(table, name)))
        {
            return Some(missing.clone());
        }
        for schema in [wanted, now] {
            schema.retain_tables(|table| chosen.iter().any(|name| is_called(table, name)));
        }
    } else if is_part {
        // What else there is was never to be in it.
        let tables: Vec<String> = wanted.tables().map(str::to_owned).collect();
        let kinds: Vec<_> = wanted.objects.keys().cloned().collect();
        now.objects.retain(|key, object| {
            kinds.contains(key) || object.table.as_ref().is_some_and(|table| tables.contains(table))
        });
    }
    None
}

fn answer(differences: &[Difference], of: usize, is_part: bool, versions: Option<(u32, u32)>) -> Answer {
    let counts: Vec<String> = Fault::ALL
        .iter()
        .filter_map(|fault| match differences.iter().filter(|one| one.fault == *fault).count() {
            0 => None,
            count => Some(format!("{count} {}", fault.word())),
        })
        .collect();
    let part = if is_part { " (the backup holds only a part of the database)" } else { "" };
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
    let rows = differences.iter().map(|one| {
        vec![
            one.fault.word().into(),
            one.kind.into(),
            one.name.clone().into(),
            text(&one.wanted),
            text(&one.found),
        ]
    });
    let rows = Rows { columns: COLUMNS.map(str::to_owned).to_vec(), rows: rows.collect(), affected: 0 };
    let mut details = Map::new();
    details.insert("objects".to_owned(), of.into());
    let note = versions.filter(|_| !differences.is_empty()).map_or_else(String::new, |(then, now)| {
        let way_on = match differences.iter().any(|one| one.fault == Fault::Changed) {
            true => ": where only the writing differs, `only: [missing, extra, invalid]` leaves changes out",
            false => "",
        };
        format!(
            "; the backup is of PostgreSQL {then}, this is {now}, which may write a definition otherwise{way_on}"
        )
    });
    Answer {
        doubt: (!differences.is_empty()).then(|| Doubt {
            expected: "the schema of the backup".to_owned(),
            actual: format!("{}{part}{note}", counts.join(", ")),
        }),
        summary: differences.is_empty().then(|| format!("{of} objects are as in the backup{part}")),
        value: differences.len().into(),
        rows: Some(rows),
        details,
        ..Answer::default()
    }
}

const COLUMNS: [&str; 5] = ["difference", "kind", "object", "backup", "now"];
