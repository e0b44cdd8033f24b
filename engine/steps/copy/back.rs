//! The way back: rows that were new are removed, overwritten ones are put back as they were, in one transaction. Refused where
//! a row is not what the copy made of it, and where others have come to depend on one that would go.

use super::images::{self, Head, Kept};
use super::merge::differs;
use super::table::{Table, list, same_key};
use super::{Session, limits, rows};
use crate::plan::action::Copy;
use crate::postgres::{Connection, escape_identifier};
use crate::run::{Failure, Outcome, Outputs};
use crate::steps::attempt::Attempt;
use crate::steps::sql::transaction::{Doing, Inside, Short, Work};
use crate::steps::stop::Stop;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufReader, Read};

/// So many keys are named in a refusal.
const NAMED: usize = 5;

pub async fn put(attempt: &Attempt, action: &Copy) -> Result<Outcome, Stop> {
    let Some(kept) = attempt.outputs.get("before_images") else {
        return Ok(Outcome::Skipped("nothing had been copied".to_owned()));
    };
    let kept = Kept::deserialize(kept)
        .map_err(|error| Failure::new("runplan::copy::images", error.to_string()).permanent())?;
    // Looked at before anything is asked of the database.
    let (head, _) = images::open(attempt, &kept)?;
    let world = &attempt.world;
    let target = world.targets.find(world, &action.to).await?;
    let looking = rows::open(attempt, &target).await?;
    let table = Table::find(&looking, &head.table, &target.database).await?;
    drop(looking);
    expect_columns(&table, &head)?;
    let hold = world.targets.claim(world, &target).await?;
    let inside = Back { attempt, kept: &kept, head: &head, table: &table };
    let work = Work { attempt, target: &target, hold: Some(hold), limits: limits(), inside: &inside };
    Ok(work.run().await)
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new("runplan::copy::changed", message)
        .help("look at them and put them right by hand, then answer with `runplan resolve` as `runplan status` shows; nothing was changed")
}

/// The table still has the columns whose values were kept.
fn expect_columns(table: &Table, head: &Head) -> Result<(), Failure> {
    let now: Vec<(String, String)> =
        table.stored().iter().map(|column| (column.name.clone(), column.of.clone())).collect();
    if now == head.columns {
        return Ok(());
    }
    Err(refused(format!("the columns of {} were changed since the copy", table.name)))
}

struct Back<'a> {
    attempt: &'a Attempt,
    kept: &'a Kept,
    head: &'a Head,
    table: &'a Table,
}

impl Inside for Back<'_> {
    fn run<'a>(&'a self, connection: &'a Connection) -> Doing<'a> {
        Box::pin(async move { self.all(&Session { attempt: self.attempt, connection }).await })
    }
}

impl Back<'_> {
    async fn all(&self, session: &Session<'_>) -> Result<Outputs, Short> {
        session.run(rows::FAITHFUL).await?;
        let names: Vec<&str> = self.head.columns.iter().map(|(name, _)| name.as_str()).collect();
        self.load(session, &names).await?;
        session.run(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.table.only())).await?;
        self.expect_unchanged(session, &names).await?;
        self.expect_unused(session).await?;
        let key = same_key("t", "u", &self.head.key);
        let only = self.table.only();
        let removed = session
            .run(&format!("DELETE FROM {only} t USING pg_temp.runplan_made u WHERE u.runplan_new AND {key}"))
            .await?;
        let always = |name: &&&str| self.table.column(name).is_some_and(|column| !column.always);
        let set: Vec<String> = names
            .iter()
            .filter(|name| !self.head.key.iter().any(|key| key == *name))
            .filter(always)
            .map(|name| format!("{0} = w.{0}", escape_identifier(name)))
            .collect();
        let mut put_back = 0;
        if !set.is_empty() {
            let key = same_key("t", "w", &self.head.key);
            let sql =
                format!("UPDATE {only} t SET {} FROM pg_temp.runplan_was w WHERE {key}", set.join(", "));
            put_back = session.run(&sql).await?.affected;
        }
        self.remark(session, &names).await?;
        let mut outputs = Outputs::new();
        outputs.insert("removed".to_owned(), removed.affected.into());
        outputs.insert("put_back".to_owned(), put_back.into());
        let note = format!("{} rows removed, {put_back} put back as they were", removed.affected);
        outputs.insert("note".to_owned(), note.into());
        Ok(outputs)
    }

    /// Two tables: how rows were, and what they became.
    async fn load(&self, session: &Session<'_>, names: &[&str]) -> Result<(), Short> {
        let columns = |prefix: &str| {
            let one = |at: usize| format!("{prefix}{at} text");
            (0..names.len()).map(one).collect::<Vec<_>>().join(", ")
        };
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE runplan_images (kind text, {}, {}) ON COMMIT DROP",
                columns("b"),
                columns("a")
            ))
            .await?;
        let (_, mut file) = images::open(self.attempt, self.kept).map_err(Short::Failed)?;
        rows::write(session, "pg_temp.runplan_images", || piece(&mut file, self.kept)).await?;
        let typed = |prefix: &str| {
            let one = |(at, (name, of)): (usize, &(String, String))| {
                format!("{prefix}{at}::{of} AS {}", escape_identifier(name))
            };
            self.head.columns.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
        };
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE runplan_made ON COMMIT DROP AS SELECT kind = 'new' AS runplan_new, {} FROM \
                 pg_temp.runplan_images; CREATE TEMPORARY TABLE runplan_was ON COMMIT DROP AS SELECT {} FROM \
                 pg_temp.runplan_images WHERE kind = 'was'",
                typed("a"),
                typed("b")
            ))
            .await
            .map(drop)
    }

    async fn expect_unchanged(&self, session: &Session<'_>, names: &[&str]) -> Result<(), Short> {
        let key = same_key("t", "u", &self.head.key);
        let shown = list("u.", &self.head.key);
        let changed = format!(
            "FROM pg_temp.runplan_made u LEFT JOIN {} t ON {key} WHERE t.{} IS NULL OR {}",
            self.table.only(),
            escape_identifier(self.head.key.first().map_or("", String::as_str)),
            differs("t", "u", names)
        );
        let count = session.count(&format!("SELECT count(*) {changed}")).await?;
        if count == 0 {
            return Ok(());
        }
        let some = session
            .list(&format!("SELECT concat_ws(', ', {shown}) {changed} ORDER BY {shown} LIMIT {NAMED}"))
            .await?;
        let more = if count > NAMED as u64 { "; ..." } else { "" };
        Err(Short::Failed(refused(format!(
            "{count} rows of {} were changed since the copy ({}: {}{more}); putting them back would lose that",
            self.table.name,
            self.head.key.join(", "),
            some.join("; ")
        ))))
    }

    /// A foreign key that deletes or empties the rows that refer to one would lose what came since.
    async fn expect_unused(&self, session: &Session<'_>) -> Result<(), Short> {
        let found = session
            .run(&format!(
                "SELECT c.conrelid::regclass::text, (SELECT string_agg(format('x.%I = u.%I', a.attname, b.attname), ' AND ') \
                 FROM unnest(c.conkey, c.confkey) k(own, other) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own \
                 JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.other) FROM pg_constraint c \
                 WHERE c.contype = 'f' AND c.confrelid = {} AND c.confdeltype IN ('c', 'n', 'd')",
                self.table.oid
            ))
            .await?;
        for row in found.rows {
            let mut row = row.into_iter().flatten();
            let (Some(child), Some(same)) = (row.next(), row.next()) else { continue };
            let count = format!(
                "SELECT count(*) FROM {child} x JOIN pg_temp.runplan_made u ON {same} WHERE u.runplan_new"
            );
            let users = session.count(&count).await?;
            if users > 0 {
                let message = format!(
                    "{users} rows of {child} refer to rows that came with the copy and would go with them"
                );
                return Err(Short::Failed(refused(message)));
            }
        }
        Ok(())
    }

    /// A trigger may have had its own idea of what a row was.
    async fn remark(&self, session: &Session<'_>, names: &[&str]) -> Result<(), Short> {
        let other = session
            .count(&format!(
                "SELECT count(*) FROM pg_temp.runplan_was w LEFT JOIN {} t ON {} WHERE {}",
                self.table.only(),
                same_key("t", "w", &self.head.key),
                differs("t", "w", names)
            ))
            .await?;
        if other > 0 {
            self.attempt
                .warn(format!("a trigger gave {other} rows other values than they had before the copy"));
        }
        Ok(())
    }
}

fn piece(file: &mut BufReader<File>, kept: &Kept) -> Result<Option<Vec<u8>>, Failure> {
    let mut piece = vec![0; 1 << 16];
    let count = file.read(&mut piece).map_err(|error| crate::steps::failures::file(&kept.path, &error))?;
    piece.truncate(count);
    Ok((count > 0).then_some(piece))
}
