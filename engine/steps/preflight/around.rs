//! What stands around a database that is to be swapped: its replicas, and the pooler before it.

use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::server::{Server, read_only};
use super::uses::{Use, What};
use super::{listed, steps_that};
use crate::plan::Text;
use crate::plan::site::Replicas;
use crate::postgres::{Connection, Error, Pool, Pooler, Settings, identity};
use crate::steps::targets::application_name;
use crate::steps::world::World;

pub async fn look(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let swaps = steps_that(uses, |what| matches!(what, What::Swap));
    let Some(swap) = swaps.first() else { return found };
    let declared = world.targets.declared(&server.name);
    streaming(server, declared.and_then(|database| database.replicas.as_ref()), swap, &mut found).await;
    if let Some(Replicas::Urls(urls)) = declared.and_then(|database| database.replicas.as_ref()) {
        for url in urls {
            replica(world, server, url, swap, &mut found).await;
        }
    }
    if let Some(pooler) = declared.and_then(|database| database.pooler.as_ref()) {
        console(world, server, &pooler.admin_url, swap, &mut found).await;
    }
    found
}

/// Who follows the server, and whether the plan knows.
async fn streaming(server: &Server, declared: Option<&Replicas>, swap: &Use, found: &mut Found) {
    // A base backup streams too, and ends by itself.
    let sql = "SELECT coalesce(nullif(r.application_name, ''), 'unnamed'), coalesce(host(r.client_addr), 'a socket') \
               FROM pg_stat_replication r WHERE coalesce(r.state, 'streaming') <> 'backup' \
               AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical') \
               ORDER BY 1";
    let rows = server.rows("replicas", sql, found).await;
    if rows.is_empty() {
        return;
    }
    let names: Vec<String> = rows.iter().map(|row| format!("{} at {}", row[0], row[1])).collect();
    found.fact(&server.name, format!("replicas: {}", listed(&names, 5)));
    if declared.is_none() {
        let message = format!(
            "{}: replicas follow this server and the plan does not say so ({}); sessions there would go on reading \
             the old database",
            server.name,
            listed(&names, 5)
        );
        found.add(
            Concern::error("replicas_undeclared", message).step(&swap.step).help(
                "give the database `replicas: [URL, ...]`, or `replicas: ignore` if nobody reads there",
            ),
        );
    }
}

/// An address, read as a connection.
async fn address(world: &World, text: &Text, swap: &Use, found: &mut Found) -> Option<Settings> {
    match late::plain(world, text).await {
        Known::Now(url) => match Settings::parse(&url, &|name| std::env::var(name).ok()) {
            Ok(settings) => return Some(settings),
            Err(error) => found.add(Concern::of_server(&error).step(&swap.step)),
        },
        Known::After(_) => {}
        Known::Never(failure) => found.add(Concern::of_failure(&failure).step(&swap.step)),
    }
    None
}

/// A declared replica answers, and follows this server.
async fn replica(world: &World, server: &Server, url: &Text, swap: &Use, found: &mut Found) {
    let Some(settings) = address(world, url, swap, found).await else { return };
    let place = settings.endpoint();
    let asked = async {
        let connection =
            Connection::connect(&read_only(&settings), &application_name(world, "preflight")).await?;
        let is = identity::read(&connection).await?;
        let paused = match is.standby {
            true => connection.one("SELECT pg_is_wal_replay_paused()").await? == "t",
            false => false,
        };
        Ok::<_, Error>((is, paused))
    };
    let why = match tokio::time::timeout(server.limit, asked).await {
        Err(_) => format!("it did not answer within {} s", server.limit.as_secs()),
        Ok(Err(error)) => error.message().to_owned(),
        Ok(Ok((is, _))) if is.system_identifier != server.identity.system_identifier => {
            format!("it is a copy of another server (system identifier {})", is.system_identifier)
        }
        Ok(Ok((is, _))) if !is.standby => "it is no standby".to_owned(),
        Ok(Ok((_, true))) => "its replay is paused (pg_wal_replay_resume() lets it go on)".to_owned(),
        Ok(Ok(_)) => {
            found.fact(&server.name, format!("the replica {place} answers"));
            return;
        }
    };
    let message = format!("{}: the replica {place} cannot be waited for: {why}", server.name);
    found.add(
        Concern::error("replica", message)
            .step(&swap.step)
            .help("mend it, or correct the list `replicas` of the database"),
    );
}

/// The pooler's admin console lets us in and knows the database. Only SHOW is said to it.
async fn console(world: &World, server: &Server, url: &Text, swap: &Use, found: &mut Found) {
    let Some(settings) = address(world, url, swap, found).await else { return };
    let place = settings.endpoint();
    let knock = async {
        let pooler = Pooler::connect(&settings, &application_name(world, "preflight")).await?;
        pooler.pools(server.database()).await
    };
    let why = match tokio::time::timeout(server.limit, knock).await {
        Ok(Ok(pools)) => {
            pools_of(server, &place, &pools, swap, found);
            return;
        }
        Ok(Err(error)) => error.message().to_owned(),
        Err(_) => format!("it did not answer within {} s", server.limit.as_secs()),
    };
    let message = format!("{}: the pooler's console at {place} cannot be used: {why}", server.name);
    found.add(
        Concern::error("pooler_unreachable", message).step(&swap.step).help(
            "a swap pauses the pooler: correct `pooler: { admin_url }` (database pgbouncer, a user of admin_users), or let \
             the console listen there",
        ),
    );
}

/// Which pools a swap would pause.
fn pools_of(server: &Server, place: &str, pools: &[Pool], swap: &Use, found: &mut Found) {
    let database = server.database();
    let names = |paused: bool| -> Vec<String> {
        pools.iter().filter(|pool| pool.paused == paused).map(|pool| pool.name.clone()).collect()
    };
    let (running, paused) = (names(false), names(true));
    match running.as_slice() {
        [] => found
            .fact(&server.name, format!("the pooler at {place} has no pool that leads to {database} now")),
        pools => found
            .fact(&server.name, format!("the pooler at {place} leads to {database} by {}", listed(pools, 5))),
    }
    if !paused.is_empty() {
        let message = format!(
            "{}: the pooler at {place} is paused already for {}, and whoever did that must let it go on",
            server.name,
            listed(&paused, 5)
        );
        found.add(Concern::warning("pooler_paused", message).step(&swap.step).help("on its console: RESUME"));
    }
}
