//! One database: reached, known, and asked through sessions that cannot write. Owns the only connections of preflight.

use super::concern::{Concern, Found};
use super::uses::{Use, What};
use super::{Options, ids, pooled, steps_that};
use crate::plan::site::Pinned;
use crate::postgres::{Acquired, Connection, Error, Identity, Settings, TargetLock, claim, identity};
use crate::steps::targets::application_name;
use crate::steps::world::World;
use std::sync::Arc;
use std::time::Duration;

/// The servers this program knows.
const SUPPORTED: std::ops::RangeInclusive<u32> = 13..=18;
/// An answer that does not come is not worth an operator's evening.
const STATEMENT_LIMIT: &str = "30s";
/// Somebody holds a lock that even looking needs: said, not waited for.
const LOCK_LIMIT: &str = "1s";

/// A database that answers.
pub struct Server {
    /// The plan's name of it.
    pub name: String,
    /// Finds nothing but PostgreSQL's own catalog: for our questions.
    pub catalog: Connection,
    /// Sees what a step's session would see.
    pub plain: Connection,
    pub identity: Identity,
    pub role: Role,
    pub limit: Duration,
}

/// Who we are there, and what that role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    pub superuser: bool,
    pub createdb: bool,
    /// Of the database, itself or through a role.
    pub owns: bool,
    pub owner: String,
    /// May end the sessions of others.
    pub signals: bool,
    /// May see what other sessions do.
    pub sees_sessions: bool,
    pub bypasses_rls: bool,
}

impl Server {
    /// One question to the catalog, with the time limit.
    pub async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, Error>>,
        found: &mut Found,
    ) -> Option<T> {
        match within(self.limit, question).await {
            Ok(answer) => Some(answer),
            Err(why) => {
                let message = format!("{}: {what} cannot be told: {why}", self.name);
                found.add(Concern::warning("not_answered", message).help(
                    "see what is wrong with the server or the role, or accept it with --accept not_answered",
                ));
                None
            }
        }
    }

    /// The rows of a question to the catalog.
    pub async fn rows(&self, what: &str, sql: &str, found: &mut Found) -> Vec<Vec<String>> {
        let answer = self.ask(what, self.catalog.last(sql), found).await;
        let rows = answer.map(|answer| answer.rows).unwrap_or_default();
        rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
    }

    /// The database's own name.
    pub fn database(&self) -> &str {
        &self.identity.database
    }
}

/// An answer, or why there is none, in words.
async fn within<T>(limit: Duration, question: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(limit, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.message().to_owned()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

/// Sessions on a database, and what it is. None: what is wrong is in `found`.
pub async fn open(
    world: &Arc<World>,
    options: &Options,
    name: &str,
    uses: &[&Use],
    found: &mut Found,
) -> Option<Server> {
    let settings = match world.targets.settings(world, name).await {
        Ok(settings) => settings,
        Err(failure) => {
            found.add(Concern::of_failure(&failure));
            return None;
        }
    };
    for warning in settings.warnings() {
        found.add(Concern::warning("address", format!("{name}: {warning}")));
    }
    let own_name = application_name(world, "preflight");
    let read_only = read_only(&settings);
    let plain = connect(&read_only, &own_name, options.limit, name, found).await?;
    let pinned = read_only.with_setting("search_path", "pg_catalog");
    let catalog = connect(&pinned, &own_name, options.limit, name, found).await?;
    match within(options.limit, pooled::detect(&plain, &catalog, &read_only, &own_name)).await {
        Ok(None) => {}
        Ok(Some(how)) => {
            found.add(pooled(name, settings.endpoint(), &how));
            return None;
        }
        Err(why) => found.add(Concern::warning("not_answered", format!("{name}: {why}"))),
    }
    let identity = match within(options.limit, identity::read(&catalog)).await {
        Ok(identity) => identity,
        Err(why) => {
            found.add(Concern::error("database_unknown", format!("{name}: {why}")));
            return None;
        }
    };
    let role = match within(options.limit, role(&catalog)).await {
        Ok(role) => role,
        Err(why) => {
            found.add(Concern::error("database_unknown", format!("{name}: {why}")));
            return None;
        }
    };
    tell(name, &identity, &role, found);
    let expected = world.targets.declared(name).and_then(|database| database.expect.as_ref());
    compare(name, &settings, &identity, expected, options.retarget, found);
    if expected.is_none_or(|expected| expected.system_identifier.is_none()) {
        let seen = options.seen.get(name).map(Vec::as_slice).unwrap_or_default();
        recognise(name, &identity, seen, options.retarget, found);
    }
    found.extend(suits(name, &identity, uses));
    Some(Server { name: name.to_owned(), catalog, plain, identity, role, limit: options.limit })
}

/// A session of these settings can read and nothing else, and waits for nobody.
pub fn read_only(settings: &Settings) -> Settings {
    settings
        .with_setting("default_transaction_read_only", "on")
        .with_setting("statement_timeout", STATEMENT_LIMIT)
        .with_setting("lock_timeout", LOCK_LIMIT)
}

async fn connect(
    settings: &Settings,
    own_name: &str,
    limit: Duration,
    name: &str,
    found: &mut Found,
) -> Option<Connection> {
    match tokio::time::timeout(limit, Connection::connect(settings, own_name)).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) if pooled::refuses_settings(&error) => {
            found.add(pooled(name, settings.endpoint(), error.message()));
            None
        }
        Ok(Err(error)) => {
            let concern = Concern::of_server(&error);
            found.add(Concern { message: format!("{name}: {}", concern.message), ..concern });
            None
        }
        Err(_) => {
            let message =
                format!("{name}: {} did not answer within {} s", settings.endpoint(), limit.as_secs());
            found.add(
                Concern::error("runplan::postgres::timed_out", message)
                    .help("check host and port, the network and the firewall"),
            );
            None
        }
    }
}

fn pooled(name: &str, endpoint: String, how: &str) -> Concern {
    Concern::error("pooled", format!("{name}: {endpoint} is a connection pooler, not the server ({how})")).help(
        "give the server's own address as `url`, and the pooler's admin console as `pooler: {admin_url}`: locks and \
         sessions do not survive a pooler",
    )
}

fn tell(name: &str, identity: &Identity, role: &Role, found: &mut Found) {
    let version = identity.server_version;
    found.fact(
        name,
        format!(
            "PostgreSQL {}.{} at {}, database {} (oid {}), {}, system identifier {}",
            version / 10_000,
            version % 10_000,
            identity.endpoint,
            identity.database,
            identity.database_oid,
            if identity.standby { "a standby" } else { "primary" },
            identity.system_identifier
        ),
    );
    let mut powers = Vec::new();
    for (has, word) in [
        (role.superuser, "superuser"),
        (role.owns && !role.superuser, "owner of the database"),
        (role.createdb && !role.superuser, "CREATEDB"),
    ] {
        if has {
            powers.push(word);
        }
    }
    let powers = if powers.is_empty() { "no special right".to_owned() } else { powers.join(", ") };
    found.fact(name, format!("as role {}: {powers}", role.name));
}

/// Whether it is the server that the plan was reviewed for.
fn compare(
    name: &str,
    settings: &Settings,
    identity: &Identity,
    expected: Option<&Pinned>,
    retarget: bool,
    found: &mut Found,
) {
    let pinned = expected.filter(|pinned| pinned.system_identifier.is_some());
    if pinned.is_none() {
        let line = format!("expect: {{ system_identifier: \"{}\" }}", identity.system_identifier);
        found.fact(
            name,
            format!("not pinned to its server; to pin it, write `{line}` into the database's block"),
        );
    }
    let Some(expected) = expected else { return };
    let hosts: Vec<&str> = settings.hosts().iter().map(|host| host.name.as_str()).collect();
    let hosts_fit = expected.host.as_ref().is_none_or(|host| hosts.iter().all(|is| is == host));
    let place = expected.environment.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let checks = [
        (hosts_fit, "host", &expected.host, hosts.join(",")),
        (true, "database", &expected.database, identity.database.clone()),
        (true, "system_identifier", &expected.system_identifier, identity.system_identifier.clone()),
    ];
    for (fits, what, wanted, is) in checks {
        let Some(wanted) = wanted else { continue };
        let fits = if what == "host" { fits } else { *wanted == is };
        if fits {
            continue;
        }
        let message = format!("{name}{place}: its {what} is {is}, and the plan expects {wanted}");
        found.add(match retarget {
            true => Concern::warning("retargeted", message)
                .help("--retarget was given: make sure that it is meant"),
            false => Concern::error("wrong_target", message)
                .help("correct the address, or the block `expect` after a review, or give --retarget"),
        });
    }
}

/// Whether this very plan ran on that server before, when nothing in it says which one is meant.
fn recognise(name: &str, identity: &Identity, seen: &[(String, String)], retarget: bool, found: &mut Found) {
    let Some((server, run)) = seen.last() else { return };
    if let Some((_, run)) = seen.iter().rev().find(|(server, _)| *server == identity.system_identifier) {
        found.fact(name, format!("the same server as in run {run}"));
        return;
    }
    let message = format!(
        "{name}: this is the server with system identifier {}, and run {run} of this very plan was on {server}",
        identity.system_identifier
    );
    found.add(match retarget {
        true => {
            Concern::warning("retargeted", message).help("--retarget was given: make sure that it is meant")
        }
        false => Concern::error("wrong_target", message)
            .help("correct the address, or give --retarget if this server is meant from now on"),
    });
}

fn suits(name: &str, identity: &Identity, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    if !SUPPORTED.contains(&identity.major()) {
        let message = format!("{name}: PostgreSQL {} is not supported", identity.major());
        found.add(Concern::error("server_version", message).help(format!(
            "servers {} to {} are",
            SUPPORTED.start(),
            SUPPORTED.end()
        )));
    }
    let mutating = steps_that(uses, What::mutates);
    if identity.standby && !mutating.is_empty() {
        found.add(
            Concern::error(
                "standby",
                format!("{name}: {} is a standby, and {} would change it", identity.endpoint, ids(&mutating)),
            )
            .help("give the primary's address, or several hosts with target_session_attrs=primary"),
        );
    }
    found
}

async fn role(catalog: &Connection) -> Result<Role, Error> {
    let row = catalog
        .row(
            "SELECT r.rolname, r.rolsuper, r.rolcreatedb, pg_has_role(r.oid, d.datdba, 'USAGE'), \
             pg_get_userbyid(d.datdba), pg_has_role(r.oid, 'pg_signal_backend'::regrole::oid, 'USAGE'), \
             pg_has_role(r.oid, 'pg_read_all_stats'::regrole::oid, 'USAGE'), r.rolsuper OR r.rolbypassrls \
             FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()",
        )
        .await?;
    Ok(Role {
        name: row.text(0)?,
        superuser: row.is_true(1),
        createdb: row.is_true(2) || row.is_true(1),
        owns: row.is_true(3),
        owner: row.text(4)?,
        signals: row.is_true(5),
        sees_sessions: row.is_true(6),
        bypasses_rls: row.is_true(7),
    })
}

/// Who holds the lock on a database, looked up where the locks are.
async fn holder(world: &World, server: &Server) -> Result<Option<Acquired>, Error> {
    let place = server.catalog.settings();
    let label = application_name(world, "preflight");
    let standing = world.targets.at_place(&server.name, place, &label).await?;
    TargetLock::holder(&standing, server.database()).await
}

/// Whether another run has the database, by its lock or by its claim. Neither is taken.
pub async fn held(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    if steps_that(uses, What::mutates).is_empty() {
        return found;
    }
    let settings = match world.targets.standing(world, &server.name).await {
        Ok(settings) => read_only(&settings),
        Err(failure) => {
            found.add(Concern::of_failure(&failure));
            return found;
        }
    };
    let renamed = steps_that(uses, |what| matches!(what, What::Swap | What::Freeze));
    if let Some(first) = renamed.first()
        && settings.database() == server.database()
    {
        let message = format!(
            "{}: `maintenance` names the database itself, which {} cannot close or rename from within",
            server.name,
            ids(&renamed)
        );
        found.add(
            Concern::error("maintenance_is_target", message)
                .step(&first.step)
                .help("name another database of the server, or remove `maintenance`: then it is `postgres`"),
        );
    }
    let own_name = application_name(world, "preflight");
    let what = format!("{} (maintenance)", server.name);
    let Some(standing) = connect(&settings, &own_name, server.limit, &what, &mut found).await else {
        if let Some(last) = found.concerns.last_mut() {
            last.help =
                Some("the run needs a second database to stand on: give `maintenance: NAME`, and in a password file a line for it too (or `*` for the database)".to_owned());
        }
        return found;
    };
    if let Some(Some(Acquired::Busy { pid, application_name, since, .. })) =
        server.ask("who holds it", holder(world, server), &mut found).await
        && !world.targets.is_ours(&server.name, pid).await
    {
        let since = if since.is_empty() { since } else { format!(" since {since}") };
        let message = format!(
            "{}: another run holds the lock on database {} (session {pid}, {application_name}{since})",
            server.name,
            server.database()
        );
        found.add(
            Concern::error("target_held", message)
                .help("wait for it, or see it with `runplan status` where it was started"),
        );
    }
    if let Some(Some(claim)) =
        server.ask("its claim", claim::read(&standing, server.database()), &mut found).await
        && claim.run != world.run.as_str()
    {
        let claim::Claim { run, host, since, doing, state, .. } = &claim;
        let doing = doing.as_ref().map(|step| format!(", at step {step}")).unwrap_or_default();
        let state = state.as_ref().map(|state| format!(", its state in {state}")).unwrap_or_default();
        let message = format!(
            "{}: database {} is in the middle of run {run} (started by {} at {since}{doing}{state})",
            server.name,
            server.database(),
            claim.by()
        );
        found.add(Concern::error("target_held", message).help(format!(
            "go on with `runplan resume {run}` on {host}, or go back with `runplan undo {run}`"
        )));
    }
    found
}
