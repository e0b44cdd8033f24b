//! The transaction of a copy: rows come into a temporary table, the target's table is closed to other writers, what is
//! there is told from what is new, and what is overwritten is kept before it is.

use super::images::{Head, Writer};
use super::table::{list, same_key};
use super::{Ends, Session, refused, rows, sequences, short};
use crate::plan::action::Copy;
use crate::plan::action::copy::OnConflict;
use crate::postgres::{Connection, escape_identifier};
use crate::run::Outputs;
use crate::steps::attempt::Attempt;
use crate::steps::sql::transaction::{Doing, Inside, Short};
use crate::steps::stop::Stop;
use serde_json::json;

/// So many keys are named in a refusal.
const NAMED: usize = 5;
/// So many rows that others wrote since are named in the outputs.
const LEFT: usize = 100;

pub struct Merge<'a> {
    pub attempt: &'a Attempt,
    pub action: &'a Copy,
    pub ends: &'a Ends,
}

/// Rows that are there, new, the same already.
struct Told {
    came: u64,
    new: u64,
    overwritten: u64,
    left: Left,
}

/// Rows that are no longer as `still` says, or gone: how many, and the first of them by their keys.
#[derive(Default)]
struct Left {
    rows: u64,
    keys: Vec<String>,
}

impl Inside for Merge<'_> {
    fn run<'a>(&'a self, connection: &'a Connection) -> Doing<'a> {
        Box::pin(async move { self.all(&Session { attempt: self.attempt, connection }).await })
    }
}

impl Merge<'_> {
    async fn all(&self, session: &Session<'_>) -> Result<Outputs, Short> {
        session.run(rows::FAITHFUL).await?;
        let came = self.fetch(session).await?;
        self.expect_keys(session).await?;
        let target = &self.ends.shape.target;
        // Others read on. What is looked at from here on stays as it is until the end.
        session.run(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", target.only())).await?;
        let told = self.tell_apart(session, came).await?;
        self.write(session, &told).await?;
        let moved = sequences::move_on(session, target, &self.ends.shape.columns).await?;
        let kept = self.keep(session).await?;
        let mut outputs = Outputs::new();
        outputs.insert("rows".to_owned(), told.came.into());
        outputs.insert("inserted".to_owned(), told.new.into());
        outputs.insert("updated".to_owned(), told.overwritten.into());
        outputs.insert("skipped".to_owned(), (told.came - told.new - told.overwritten).into());
        outputs.insert("left".to_owned(), told.left.rows.into());
        outputs.insert("left_keys".to_owned(), json!(told.left.keys));
        outputs.insert("before_images".to_owned(), json!(kept));
        outputs.insert("triggers".to_owned(), json!(self.ends.shape.triggers));
        outputs.insert("sequences".to_owned(), json!(moved));
        Ok(outputs)
    }

    /// The source's rows, in a table that ends with the transaction.
    async fn fetch(&self, session: &Session<'_>) -> Result<u64, Short> {
        let Ends { source, shape, wish, from, .. } = self.ends;
        let columns = list("", &shape.columns);
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE runplan_rows ON COMMIT DROP AS SELECT {columns} FROM {} WITH NO DATA",
                shape.target.sql
            ))
            .await?;
        let condition =
            wish.condition.as_ref().map_or_else(String::new, |text| format!(" WHERE (\n{text}\n)"));
        let most = self.action.max_rows.as_ref().map(|most| most.value);
        let limit = most.map_or_else(String::new, |most| format!(" LIMIT {}", most.saturating_add(1)));
        let query = format!("SELECT {columns} FROM {}{condition}{limit}", shape.source.only());
        let came = rows::carry(session, source, &query, &format!("pg_temp.runplan_rows ({columns})")).await?;
        match most {
            Some(most) if came > most => {
                let message =
                    format!("more than {most} rows of {} in {} fit", shape.source.name, from.database);
                let help = "see which by the same condition; raise `max_rows` if they are right; nothing was changed";
                Err(Short::Failed(refused("runplan::copy::max_rows", message).help(help)))
            }
            _ => Ok(came),
        }
    }

    /// Each row that came is told from every other by its key.
    async fn expect_keys(&self, session: &Session<'_>) -> Result<(), Short> {
        let shape = &self.ends.shape;
        let missing: Vec<String> =
            shape.key.iter().map(|name| format!("s.{} IS NULL", escape_identifier(name))).collect();
        let count = format!("SELECT count(*) FROM pg_temp.runplan_rows s WHERE {}", missing.join(" OR "));
        let keyless = session.count(&count).await?;
        if keyless > 0 {
            let message = format!("{keyless} rows have NULL in their key ({})", shape.key.join(", "));
            return Err(Short::Failed(
                refused("runplan::copy::key", message).help("choose other columns for `key`"),
            ));
        }
        self.expect_single(session, "pg_temp.runplan_rows", "the rows to be copied").await
    }

    async fn expect_single(&self, session: &Session<'_>, table: &str, what: &str) -> Result<(), Short> {
        let key = list("s.", &self.ends.shape.key);
        let twice = format!(
            "SELECT concat_ws(', ', {key}) FROM {table} s GROUP BY {key} HAVING count(*) > 1 LIMIT {NAMED}"
        );
        let twice = session.list(&twice).await?;
        if twice.is_empty() {
            return Ok(());
        }
        let names = self.ends.shape.key.join(", ");
        let message =
            format!("in {what} there are several with the same key ({names}): {}", twice.join("; "));
        Err(Short::Failed(
            refused("runplan::copy::key", message).help("choose columns for `key` that tell every row apart"),
        ))
    }

    /// Which rows are new, and how those were that are overwritten.
    async fn tell_apart(&self, session: &Session<'_>, came: u64) -> Result<Told, Short> {
        let shape = &self.ends.shape;
        let (target, same) = (shape.target.only(), same_key("t", "s", &shape.key));
        let stored: Vec<&str> = shape.target.stored().iter().map(|column| column.name.as_str()).collect();
        let there = format!("FROM {target} t JOIN pg_temp.runplan_rows s ON {same}");
        // Should the key not be unique there.
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE runplan_there ON COMMIT DROP AS SELECT {} {there}",
                list("s.", &shape.key)
            ))
            .await?;
        self.expect_single(session, "pg_temp.runplan_there", "the target").await?;
        let conflicts = session.count("SELECT count(*) FROM pg_temp.runplan_there").await?;
        if conflicts > 0 && self.action.on_conflict == OnConflict::Fail {
            return Err(self.conflict(session, conflicts).await);
        }
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE runplan_new ON COMMIT DROP AS SELECT {} FROM pg_temp.runplan_rows s \
                 WHERE {may_come} AND NOT EXISTS (SELECT FROM pg_temp.runplan_there t WHERE {same})",
                list("s.", &shape.key),
                // A row that is gone is no longer as it was.
                may_come = self.ends.wish.still.is_none(),
            ))
            .await?;
        let differs = match shape.updated.is_empty() {
            true => "false".to_owned(),
            false => differs("t", "s", &shape.updated),
        };
        // Its names are the target's alone.
        let still = match &self.ends.wish.still {
            None => target.clone(),
            Some(still) => format!("(SELECT * FROM {target} WHERE (\n{still}\n))"),
        };
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE runplan_before ON COMMIT DROP AS SELECT {} \
                 FROM {still} t JOIN pg_temp.runplan_rows s ON {same} WHERE {differs}",
                list("t.", &stored)
            ))
            .await?;
        Ok(Told {
            left: self.left(session, &differs).await?,
            came,
            new: session.count("SELECT count(*) FROM pg_temp.runplan_new").await?,
            overwritten: session.count("SELECT count(*) FROM pg_temp.runplan_before").await?,
        })
    }

    /// Which rows that others wrote since are left as they are.
    async fn left(&self, session: &Session<'_>, differs: &str) -> Result<Left, Short> {
        let shape = &self.ends.shape;
        if self.ends.wish.still.is_none() {
            return Ok(Left::default());
        }
        let left = format!(
            "FROM pg_temp.runplan_rows s LEFT JOIN {} t ON {} WHERE (t.{} IS NULL OR {differs}) \
             AND NOT EXISTS (SELECT FROM pg_temp.runplan_before b WHERE {})",
            shape.target.only(),
            same_key("t", "s", &shape.key),
            escape_identifier(shape.key.first().map_or("", String::as_str)),
            same_key("b", "s", &shape.key)
        );
        let rows = session.count(&format!("SELECT count(*) {left}")).await?;
        let key = list("s.", &shape.key);
        let keys = session
            .list(&format!("SELECT concat_ws(', ', {key}) {left} ORDER BY {key} LIMIT {LEFT}"))
            .await?;
        if rows > 0 {
            let some = keys.iter().take(20).cloned().collect::<Vec<_>>().join("; ");
            let more = if rows > 20 { "; ..." } else { "" };
            self.attempt.warn(format!(
                "{rows} of the rows of {} were written or removed by others since, and are left as they are ({}: {some}{more})",
                shape.target.name,
                shape.key.join(", ")
            ));
        }
        Ok(Left { rows, keys })
    }

    async fn conflict(&self, session: &Session<'_>, conflicts: u64) -> Short {
        let shape = &self.ends.shape;
        let key = list("t.", &shape.key);
        let some = format!(
            "SELECT concat_ws(', ', {key}) FROM pg_temp.runplan_there t ORDER BY {key} LIMIT {NAMED}"
        );
        let some = match session.list(&some).await {
            Ok(some) => some.join("; "),
            Err(short) => return short,
        };
        let more = if conflicts > NAMED as u64 { "; ..." } else { "" };
        let message = format!(
            "{conflicts} rows are in {} already ({}: {some}{more})",
            shape.target.name,
            shape.key.join(", ")
        );
        let help =
            "`on_conflict: skip` leaves those as they are, `update` overwrites them; nothing was changed";
        Short::Failed(refused("runplan::copy::conflict", message).help(help))
    }

    async fn write(&self, session: &Session<'_>, told: &Told) -> Result<(), Short> {
        let shape = &self.ends.shape;
        if told.new > 0 {
            let inserted = session
                .run(&format!(
                    "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.runplan_rows s \
                     JOIN pg_temp.runplan_new n ON {}",
                    shape.target.sql,
                    list("", &shape.columns),
                    list("s.", &shape.columns),
                    same_key("n", "s", &shape.key)
                ))
                .await?;
            self.expect_written(inserted.affected, told.new, "inserted")?;
        }
        if told.overwritten > 0 {
            let set: Vec<String> =
                shape.updated.iter().map(|name| format!("{0} = s.{0}", escape_identifier(name))).collect();
            let updated = session
                .run(&format!(
                    "UPDATE {} t SET {} FROM pg_temp.runplan_rows s JOIN pg_temp.runplan_before b ON {} WHERE {}",
                    shape.target.only(),
                    set.join(", "),
                    same_key("b", "s", &shape.key),
                    same_key("t", "s", &shape.key)
                ))
                .await?;
            self.expect_written(updated.affected, told.overwritten, "updated")?;
        }
        if !shape.triggers.is_empty() && told.new + told.overwritten > 0 {
            self.attempt.warn(format!(
                "triggers of {} fired for the rows: {}; foreign keys were checked",
                shape.target.name,
                shape.triggers.join(", ")
            ));
        }
        Ok(())
    }

    fn expect_written(&self, written: u64, wanted: u64, what: &str) -> Result<(), Short> {
        if written == wanted {
            return Ok(());
        }
        let triggers = self.ends.shape.triggers.join(", ");
        let message =
            format!("{written} of {wanted} rows were {what}: a trigger keeps others out ({triggers})");
        Err(Short::Failed(refused("runplan::copy::kept_out", message)))
    }

    /// How each row was and what it became, on disk.
    async fn keep(&self, session: &Session<'_>) -> Result<super::images::Kept, Short> {
        let shape = &self.ends.shape;
        let stored = shape.target.stored();
        let names: Vec<&str> = stored.iter().map(|column| column.name.as_str()).collect();
        let head = Head {
            format: 1,
            table: shape.target.sql.clone(),
            key: shape.key.clone(),
            columns: stored.iter().map(|column| (column.name.clone(), column.of.clone())).collect(),
        };
        let mut writer = Writer::new(self.attempt, &head).map_err(|failure| short(Stop::from(failure)))?;
        let key = same_key("t", "k", &shape.key);
        let nothing = vec!["NULL"; names.len()].join(", ");
        let query = format!(
            "SELECT 'new', {nothing}, {after} FROM {target} t JOIN pg_temp.runplan_new k ON {key} \
             UNION ALL SELECT 'was', {before}, {after} FROM {target} t JOIN pg_temp.runplan_before k ON {key}",
            before = text("k", &names),
            after = text("t", &names),
            target = shape.target.only(),
        );
        rows::read(session, &query, |bytes| writer.add(bytes)).await?;
        writer.finish().map_err(Short::Failed)
    }
}

/// Each as text: some types know no equality, and others call different values equal.
fn text(of: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{of}.{}::text", escape_identifier(name))).collect::<Vec<_>>().join(", ")
}

/// Whether any of the columns is another text.
pub fn differs<S: AsRef<str>>(one: &str, other: &str, names: &[S]) -> String {
    let pair = |name: &S| {
        let name = escape_identifier(name.as_ref());
        format!("{one}.{name}::text IS DISTINCT FROM {other}.{name}::text")
    };
    format!("({})", names.iter().map(pair).collect::<Vec<_>>().join(" OR "))
}
