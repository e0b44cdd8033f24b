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
}

/// Where a claim stands, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Setting,
    Comment,
}

/// The claim on a database, wherever it stands.
pub async fn read(connection: &Connection, database: &str) -> Result<Option<Claim>, Error> {
    Ok(find(connection, database).await?.map(|(claim, _)| claim))
}

/// Writes the claim, over one that is there. Inside a transaction it holds with its COMMIT.
pub async fn write(connection: &Connection, database: &str, claim: &Claim) -> Result<Place, Error> {
    let place = place(connection).await?;
    match place {
        Place::Setting => connection.execute(&write_sql(database, claim)?).await?,
        Place::Comment => set_comment(connection, database, Some(claim)).await?,
    };
    Ok(place)
}

/// Removes the claim from both places.
pub async fn clear(connection: &Connection, database: &str) -> Result<(), Error> {
    match find(connection, database).await? {
        None => {}
        Some((_, Place::Setting)) => {
            connection.execute(&clear_sql(database)).await?;
        }
        Some((_, Place::Comment)) => {
            set_comment(connection, database, None).await?;
        }
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

async fn find(connection: &Connection, database: &str) -> Result<Option<(Claim, Place)>, Error> {
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
    if let Some(json) = row.optional(0) {
        return parse(database, &json).map(|claim| Some((claim, Place::Setting)));
    }
    let comment = row.optional(1).unwrap_or_default();
    match split(&comment).1 {
        Some(json) => parse(database, json).map(|claim| Some((claim, Place::Comment))),
        None => Ok(None),
    }
}

async fn set_comment(connection: &Connection, database: &str, claim: Option<&Claim>) -> Result<u64, Error> {
    let comment = connection
        .row_if_any(&format!(
            "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database \
             WHERE datname OPERATOR(pg_catalog.=) {}",
            escape_literal(database)
        ))
        .await?
        .ok_or_else(|| no_database(connection, database))?
        .optional(0)
        .unwrap_or_default();
    let own = split(&comment).0;
    let text = match claim {
        Some(claim) if own.is_empty() => format!("{MARK}{}", json(claim)?),
        Some(claim) => format!("{own}\n{MARK}{}", json(claim)?),
        None => own.to_owned(),
    };
    let value = if text.is_empty() { "NULL".to_owned() } else { escape_literal(&text) };
    connection.execute(&format!("COMMENT ON DATABASE {} IS {value}", escape_identifier(database))).await
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
