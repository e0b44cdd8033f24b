//! The claim: a durable mark on the target that says which run is in the middle of changing it. Written as a setting of
//! the database, so that it is transactional and leaves the user's comment alone; a role that may not set it
//! writes a marked last line into the comment instead. Must never be the only proof of anything: the journal is.

use super::connection::Connection;
use super::error::{Error, Kind};
use super::{escape_identifier, escape_literal};
use serde::{Deserialize, Serialize};

/// The database's setting.
const SETTING: &str = "runplan.claim";
/// What begins the line in the comment.
const MARK: &str = "runplan.claim=";

/// Who is changing the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub run: String,
    pub operator: String,
    pub host: String,
    /// When the run began to change it, UTC.
    pub since: String,
    /// Rises with each takeover.
    pub epoch: u64,
    /// The step that is changing it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// Whose account it is on that host; older claims do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The state directory there, where the run is found; older claims do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl Claim {
    /// Who put it there: the account, where it is known, and the host.
    pub fn by(&self) -> String {
        match self.uid {
            Some(uid) => format!("{} (uid {uid}) on {}", self.operator, self.host),
            None => format!("{} on {}", self.operator, self.host),
        }
    }
}

/// Where a claim stands, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Setting,
    Comment,
}

/// The claim on a database, wherever it stands.
pub async fn read(connection: &Connection, database: &str) -> Result<Option<Claim>, Error> {
    let marks = marks(connection, database).await?;
    marks.json().map(|json| parse(database, json)).transpose()
}

/// What came of writing a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It stands.
    At(Place),
    /// Something else stands there than was expected, and was left alone.
    Other(Option<Claim>),
}

/// Puts the claim in the place of what is expected to stand there (None: nothing). Nobody comes in between: those who
/// write claims wait for each other, in a transaction of their own, on the same maintenance database. `held`:
/// a boolean SQL expression that must be true, too.
///
/// # Errors
/// `LockLost` when `held` is not true; the claim there belongs to a superuser, and we are none.
pub async fn write(
    connection: &Connection,
    database: &str,
    expected: Option<&Claim>,
    claim: &Claim,
    held: &str,
) -> Result<Written, Error> {
    let work = async {
        let marks = alone(connection, database).await?;
        let standing = marks.json().map(|json| parse(database, json)).transpose()?;
        if standing.as_ref() != expected {
            return Ok(Written::Other(standing));
        }
        if connection.one(&format!("SELECT {held}")).await? != "t" {
            let message = format!("the lock on {database} is lost, so it is not claimed");
            return Err(Error::new(Kind::LockLost, message, "`runplan resume` takes the lock anew"));
        }
        put(connection, database, &marks, claim).await.map(Written::At)
    };
    finish(connection, work.await).await
}

/// Removes our claim. False: another stands there, and is left alone.
pub async fn clear(connection: &Connection, database: &str, ours: &Claim) -> Result<bool, Error> {
    let work = async {
        let marks = alone(connection, database).await?;
        let standing = marks.json().map(|json| parse(database, json)).transpose()?;
        if standing.as_ref().is_some_and(|standing| standing != ours) {
            return Ok(false);
        }
        take_off(connection, database, &marks).await?;
        Ok(true)
    };
    finish(connection, work.await).await
}

/// A boolean SQL expression, true while exactly this claim (as `standing` gives it) stands on the database, that any
/// session of any role on the server can evaluate.
pub fn check_sql(database: &str, standing: &str) -> String {
    let name = escape_literal(database);
    format!(
        "coalesce((SELECT coalesce((SELECT c FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c \
         WHERE s.setdatabase OPERATOR(pg_catalog.=) d.oid AND s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
         AND pg_catalog.starts_with(c, {mark})), pg_catalog.reverse(pg_catalog.split_part(pg_catalog.reverse(\
         pg_catalog.shobj_description(d.oid, 'pg_database')), pg_catalog.chr(10), 1))) \
         OPERATOR(pg_catalog.=) {whole} FROM pg_catalog.pg_database d \
         WHERE d.datname OPERATOR(pg_catalog.=) {name}), false)",
        mark = escape_literal(MARK),
        whole = escape_literal(&format!("{MARK}{standing}")),
    )
}

/// The claim as it is written there, for `check_sql`.
pub async fn standing(connection: &Connection, database: &str) -> Result<Option<String>, Error> {
    Ok(marks(connection, database).await?.json().map(str::to_owned))
}

/// Begins a transaction in which nobody else writes the claim, and reads what stands there.
async fn alone(connection: &Connection, database: &str) -> Result<Marks, Error> {
    // Whoever has this lock has it for a moment: it is waited for, but not for ever.
    connection
        .execute(&format!(
            "BEGIN READ WRITE; SET LOCAL lock_timeout = '10s'; SELECT pg_catalog.pg_advisory_xact_lock({})",
            super::lock::key_of(&format!("claim of {database}"))
        ))
        .await?;
    marks(connection, database).await
}

async fn finish<T>(connection: &Connection, done: Result<T, Error>) -> Result<T, Error> {
    match done {
        Ok(value) => connection.execute("COMMIT").await.map(|_| value),
        Err(error) => {
            // A session that is lost rolls back by itself.
            let _ = connection.execute("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn put(connection: &Connection, database: &str, marks: &Marks, claim: &Claim) -> Result<Place, Error> {
    let place = place(connection).await?;
    match place {
        Place::Setting => {
            connection.execute(&write_sql(database, claim)?).await?;
            if marks.in_comment().is_some() {
                connection.execute(&comment_sql(database, marks.own_comment(), None)?).await?;
            }
        }
        // Two claims that say different things would be worse than none.
        Place::Comment if marks.setting.is_some() => return Err(not_ours(connection, database)),
        Place::Comment => {
            connection.execute(&comment_sql(database, marks.own_comment(), Some(claim))?).await?;
        }
    }
    Ok(place)
}

async fn take_off(connection: &Connection, database: &str, marks: &Marks) -> Result<(), Error> {
    if marks.setting.is_some() {
        if place(connection).await? == Place::Comment {
            return Err(not_ours(connection, database));
        }
        connection.execute(&clear_sql(database)).await?;
    }
    if marks.in_comment().is_some() {
        connection.execute(&comment_sql(database, marks.own_comment(), None)?).await?;
    }
    Ok(())
}

/// The statement that writes the claim as a setting: for a superuser, or from 15 on a role that was granted
/// `SET ON PARAMETER "runplan.claim"`.
pub fn write_sql(database: &str, claim: &Claim) -> Result<String, Error> {
    let json = json(claim)?;
    Ok(format!(
        "ALTER DATABASE {} SET {} = {}",
        escape_identifier(database),
        escape_identifier(SETTING),
        escape_literal(&json)
    ))
}

/// The statement that removes the setting.
pub fn clear_sql(database: &str) -> String {
    format!("ALTER DATABASE {} RESET {}", escape_identifier(database), escape_identifier(SETTING))
}

/// Where this session's role may write a claim.
pub async fn place(connection: &Connection) -> Result<Place, Error> {
    let version = super::identity::server_version(connection).await?;
    let granted = if version >= 150_000 {
        format!("OR pg_catalog.has_parameter_privilege({}, 'SET')", escape_literal(SETTING))
    } else {
        String::new()
    };
    let may = connection
        .one(&format!("SELECT rolsuper {granted} FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user"))
        .await?;
    Ok(if may == "t" { Place::Setting } else { Place::Comment })
}

/// What stands on a database now.
struct Marks {
    setting: Option<String>,
    comment: String,
}

impl Marks {
    fn json(&self) -> Option<&str> {
        self.setting.as_deref().or(self.in_comment())
    }

    fn in_comment(&self) -> Option<&str> {
        split(&self.comment).1
    }

    fn own_comment(&self) -> &str {
        split(&self.comment).0
    }
}

async fn marks(connection: &Connection, database: &str) -> Result<Marks, Error> {
    let row = connection
        .row_if_any(&format!(
            "SELECT (SELECT pg_catalog.substr(c, {}) FROM pg_catalog.pg_db_role_setting s, \
             pg_catalog.unnest(s.setconfig) c WHERE s.setdatabase OPERATOR(pg_catalog.=) d.oid \
             AND s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND pg_catalog.starts_with(c, {})), \
             pg_catalog.shobj_description(d.oid, 'pg_database') \
             FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) {}",
            MARK.len() + 1,
            escape_literal(MARK),
            escape_literal(database)
        ))
        .await?
        .ok_or_else(|| no_database(connection, database))?;
    Ok(Marks { setting: row.optional(0), comment: row.optional(1).unwrap_or_default() })
}

fn comment_sql(database: &str, own: &str, claim: Option<&Claim>) -> Result<String, Error> {
    let text = match claim {
        Some(claim) if own.is_empty() => format!("{MARK}{}", json(claim)?),
        Some(claim) => format!("{own}\n{MARK}{}", json(claim)?),
        None => own.to_owned(),
    };
    let value = if text.is_empty() { "NULL".to_owned() } else { escape_literal(&text) };
    Ok(format!("COMMENT ON DATABASE {} IS {value}", escape_identifier(database)))
}

fn not_ours(connection: &Connection, database: &str) -> Error {
    Error::new(
        Kind::Access,
        format!(
            "the claim on {database} was written by a superuser, and {} may not change it",
            connection.settings().user()
        ),
        "go on as that superuser, or have it GRANT SET ON PARAMETER \"runplan.claim\" to this role (from 15 on)",
    )
}

/// The user's own comment, and the claim's JSON after it.
fn split(comment: &str) -> (&str, Option<&str>) {
    let (own, last) = comment.rsplit_once('\n').unwrap_or(("", comment));
    match last.strip_prefix(MARK) {
        Some(json) => (own, Some(json)),
        None => (comment, None),
    }
}

fn json(claim: &Claim) -> Result<String, Error> {
    serde_json::to_string(claim).map_err(|error| {
        Error::new(Kind::Shape, format!("the claim cannot be written: {error}"), "report this")
    })
}

fn parse(database: &str, json: &str) -> Result<Claim, Error> {
    serde_json::from_str(json).map_err(|error| {
        Error::new(
            Kind::Shape,
            format!("the claim on {database} cannot be read: {error}"),
            format!(
                "look at it with \\drds in psql; if no run is changing {database}, remove it: {}",
                clear_sql(database)
            ),
        )
    })
}

fn no_database(connection: &Connection, database: &str) -> Error {
    Error::new(
        Kind::NoDatabase,
        format!("database {database} does not exist on {}", connection.endpoint()),
        "check the name; a swap that was interrupted may have renamed it",
    )
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_users_comment_stays_its_own() {
        assert_eq!(split("two\nlines"), ("two\nlines", None));
        assert_eq!(split("two\nlines\nrunplan.claim={}"), ("two\nlines", Some("{}")));
        assert_eq!(split("runplan.claim={}"), ("", Some("{}")));
        assert_eq!(split(""), ("", None));
    }
}
