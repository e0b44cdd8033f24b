//! What a backup needs of the server that it goes to: roles, tablespaces, extensions, a version that understands it. Told before anything
//! is touched, all at once. Reads only; what it cannot know the server says while the backup is loaded.

use super::super::archive::Needs;
use super::super::attempt::Attempt;
use super::super::stop::Stop;
use super::{Source, packages};
use crate::plan::action::Restore;
use crate::plan::action::restore::Owners;
use crate::postgres::{Connection, Error, escape_identifier, escape_literal, identity};
use crate::run::Failure;
use crate::sql::dump;
use std::collections::{BTreeMap, BTreeSet};

/// Settings that dumps of newer versions set first, and the version that knew them first.
const NEWER_SETTINGS: [(&str, u32); 1] = [("transaction_timeout", 17)];

/// How the backup's statements are changed on their way, for what the author asked and for the server.
pub fn changes(action: &Restore, server: u32) -> dump::Changes {
    let unknown = NEWER_SETTINGS.iter().filter(|(_, since)| server < *since);
    dump::Changes {
        owners: match &action.owners {
            Owners::Keep => dump::Owners::Keep,
            Owners::Skip => dump::Owners::Skip,
            Owners::Map(roles) => dump::Owners::Map(renamed(roles)),
        },
        unknown_settings: unknown.map(|(name, _)| (*name).to_owned()).collect(),
    }
}

/// Whether a pg_restore of that version sends settings that a server of the other does not know.
pub fn is_ahead(client: u32, server: u32) -> bool {
    NEWER_SETTINGS.iter().any(|(_, since)| client >= *since && server < *since)
}

fn renamed(roles: &crate::plan::Roles) -> BTreeMap<String, String> {
    roles.iter().map(|(from, to)| (from.value.clone(), to.value.clone())).collect()
}

/// Everything that is missing, in one failure.
///
/// # Errors
/// Something is missing, or the server cannot be asked.
pub(super) async fn check(
    attempt: &Attempt,
    action: &Restore,
    server: &Connection,
    source: &Source,
) -> Result<(), Stop> {
    let major = identity::server_version(server).await? / 10_000;
    if let Some(origin) = source.found.origin.as_ref().filter(|origin| origin.server_major() > Some(major)) {
        attempt.warn(format!(
            "the backup is of PostgreSQL {}, and the server is {major}: what only the newer one knows will be an error",
            origin.server_version
        ));
    }
    let Some(needs) = &source.found.needs else { return Ok(()) };
    if let Owners::Map(map) = &action.owners {
        for from in renamed(map).keys().filter(|from| !needs.roles.contains(*from)) {
            attempt.warn(format!("the backup names no role {from}: nothing of it is changed"));
        }
    }
    let lacks = lacking(server, major, &action.owners, needs).await?;
    if lacks.is_empty() {
        return Ok(());
    }
    let (what, help) = words(&lacks);
    let message = format!("{} cannot be restored: {what}", source.path.display());
    Err(Failure::new("runplan::restore::needs", message).help(help).permanent().into())
}

/// Something that the server does not have, and what gives it to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    pub what: String,
    pub help: String,
}

/// All of it in one sentence, and how it is mended.
pub fn words(lacks: &[Lack]) -> (String, String) {
    let of = |part: fn(&Lack) -> &str| lacks.iter().map(part).collect::<Vec<_>>().join("; ");
    (of(|lack| &lack.what), of(|lack| &lack.help))
}

/// Everything that the server lacks for a backup with these needs.
///
/// # Errors
/// The server cannot be asked.
pub async fn lacking(
    server: &Connection,
    major: u32,
    owners: &Owners,
    needs: &Needs,
) -> Result<Vec<Lack>, Error> {
    let named = |roles: &BTreeSet<String>| match owners {
        Owners::Skip => roles.intersection(&needs.bound).cloned().collect(),
        Owners::Keep => roles.clone(),
        Owners::Map(map) => {
            let map = renamed(map);
            roles.iter().map(|role| map.get(role).unwrap_or(role).clone()).collect()
        }
    };
    let mut lacks = Vec::new();
    let (absent, mut foreign) = missing_roles(server, &named(&needs.roles)).await?;
    let is_skipped = *owners == Owners::Skip;
    // Who is only granted something need not be anybody's group, and who is only named in a policy neither.
    if is_skipped {
        foreign.clear();
    } else if let Some(owners) = needs.owners.as_ref().map(named) {
        foreign.retain(|role| owners.contains(role));
    }
    let names = |roles: &[String]| roles.iter().map(|role| escape_identifier(role)).collect::<Vec<_>>();
    if !absent.is_empty() {
        let made: Vec<String> = names(&absent).iter().map(|role| format!("CREATE ROLE {role}")).collect();
        let (whose, other) = match is_skipped {
            true => {
                (" in its policies, which stay though owners are skipped", "in place of `owners: skip` give")
            }
            false => ("", "or give `owners: skip`, or"),
        };
        lacks.push(Lack {
            what: format!("it names roles that are not there{whose}: {}", absent.join(", ")),
            help: format!("as a superuser: {}; {other} `owners: {{ map: {{ OLD: NEW }} }}`", made.join("; ")),
        });
    }
    if !foreign.is_empty() {
        let user = server.one("SELECT current_user").await?;
        lacks.push(Lack {
            what: format!("{user} is not a member of {}, to whom it gives objects", foreign.join(", ")),
            help: format!(
                "restore as a superuser, or as one: GRANT {} TO {}; or give `owners: skip`",
                names(&foreign).join(", "),
                escape_identifier(&user)
            ),
        });
    }
    lacks.extend(tablespaces(server, &needs.tablespaces).await?);
    let unavailable = missing_extensions(server, &needs.extensions).await?;
    if !unavailable.is_empty() {
        lacks.push(Lack {
            what: format!("it needs extensions that are not installed there: {}", unavailable.join(", ")),
            help: packages::mending(major, &unavailable),
        });
    }
    Ok(lacks)
}

/// The tablespaces that are not there, or where this user may make nothing.
async fn tablespaces(server: &Connection, needed: &BTreeSet<String>) -> Result<Vec<Lack>, Error> {
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let values = rows_of(needed);
    let found = server
        .last(&format!(
            "SELECT n.name, t.oid IS NULL FROM (VALUES {values}) AS n(name) LEFT JOIN pg_catalog.pg_tablespace t \
             ON t.spcname OPERATOR(pg_catalog.=) n.name::pg_catalog.name WHERE t.oid IS NULL OR NOT \
             pg_catalog.has_tablespace_privilege(t.oid, 'CREATE') ORDER BY 1"
        ))
        .await?;
    let of = |absent: &str| -> Vec<String> {
        let rows = found.rows.iter().filter(|row| row.get(1).is_some_and(|is| is.as_deref() == Some(absent)));
        rows.filter_map(|row| row.first().cloned().flatten()).collect()
    };
    let without = "or take the backup without them: pg_dump --no-tablespaces, or of an archive \
                   pg_restore --no-tablespaces -f NEW.sql BACKUP";
    let (absent, closed) = (of("t"), of("f"));
    let mut lacks = Vec::new();
    if !absent.is_empty() {
        let make =
            |name: &String| format!("CREATE TABLESPACE {} LOCATION 'DIRECTORY'", escape_identifier(name));
        let made: Vec<String> = absent.iter().map(make).collect();
        lacks.push(Lack {
            what: format!("it puts objects into tablespaces that are not there: {}", absent.join(", ")),
            help: format!(
                "as a superuser, each with an empty directory of the server's own user: {}; {without}",
                made.join("; ")
            ),
        });
    }
    if !closed.is_empty() {
        let user = server.one("SELECT current_user").await?;
        let names: Vec<String> = closed.iter().map(|name| escape_identifier(name)).collect();
        lacks.push(Lack {
            what: format!("{user} may make nothing in the tablespaces that it uses: {}", closed.join(", ")),
            help: format!(
                "as a superuser: GRANT CREATE ON TABLESPACE {} TO {}; {without}",
                names.join(", "),
                escape_identifier(&user)
            ),
        });
    }
    Ok(lacks)
}

/// Those that are not there, and those that this user may not give objects to.
async fn missing_roles(
    server: &Connection,
    roles: &BTreeSet<String>,
) -> Result<(Vec<String>, Vec<String>), Error> {
    if roles.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let values = rows_of(roles);
    let found = server
        .last(&format!(
            "SELECT n.name, r.oid IS NULL, r.oid IS NOT NULL AND NOT pg_catalog.pg_has_role(r.oid, 'MEMBER') \
             FROM (VALUES {values}) AS n(name) LEFT JOIN pg_catalog.pg_roles r \
             ON r.rolname OPERATOR(pg_catalog.=) n.name::pg_catalog.name ORDER BY 1"
        ))
        .await?;
    let with = |column: usize| {
        let is =
            |row: &&Vec<Option<String>>| row.get(column).is_some_and(|cell| cell.as_deref() == Some("t"));
        found.rows.iter().filter(is).filter_map(|row| row.first().cloned().flatten()).collect::<Vec<_>>()
    };
    Ok((with(1), with(2)))
}

async fn missing_extensions(server: &Connection, needed: &BTreeSet<String>) -> Result<Vec<String>, Error> {
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let values = rows_of(needed);
    let found = server
        .last(&format!(
            "SELECT n.name FROM (VALUES {values}) AS n(name) WHERE NOT EXISTS (SELECT 1 FROM \
             pg_catalog.pg_available_extensions a WHERE a.name OPERATOR(pg_catalog.=) n.name::pg_catalog.name) ORDER BY 1"
        ))
        .await?;
    Ok(found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// The names as the rows of a VALUES list.
fn rows_of(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("({})", escape_literal(name))).collect::<Vec<_>>().join(", ")
}
