//! What would stop a swap now: prepared transactions, subscriptions, logical slots, replicas nobody declared.

use super::concern::{Concern, Found};
use super::server::Server;
use super::uses::{Use, What};
use super::{listed, steps_that};
use crate::postgres::escape_literal;
use crate::steps::world::World;

pub async fn look(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let swaps = steps_that(uses, |what| matches!(what, What::Swap));
    let Some(swap) = swaps.first() else { return found };
    prepared(server, swap, &mut found).await;
    subscriptions(server, swap, &mut found).await;
    slots(server, swap, &mut found).await;
    replicas(world, server, swap, &mut found).await;
    found
}

async fn prepared(server: &Server, swap: &Use, found: &mut Found) {
    let sql =
        "SELECT gid, owner FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared";
    let rows = server.rows("prepared transactions", sql, found).await;
    if let Some(first) = rows.first() {
        let names: Vec<String> = rows.iter().map(|row| format!("{} (of {})", row[0], row[1])).collect();
        let message = format!(
            "{}: prepared transactions keep the database from being renamed: {}",
            server.name,
            listed(&names, 5)
        );
        let gid = escape_literal(&first[0]);
        found.add(
            Concern::error("prepared_transaction", message).step(&swap.step).help(format!(
                "end each in that database: COMMIT PREPARED {gid}, or ROLLBACK PREPARED {gid}"
            )),
        );
    }
}

async fn subscriptions(server: &Server, swap: &Use, found: &mut Found) {
    let sql = format!(
        "SELECT subname FROM pg_subscription WHERE subdbid = {} ORDER BY 1",
        server.identity.database_oid
    );
    let names: Vec<String> = server.rows("subscriptions", &sql, found).await.into_iter().flatten().collect();
    if !names.is_empty() {
        let message = format!(
            "{}: the database subscribes to another one ({}); the restored one would not",
            server.name,
            listed(&names, 5)
        );
        found.add(Concern::error("subscription", message).step(&swap.step).help(
            "ALTER SUBSCRIPTION ... DISABLE and DROP SUBSCRIPTION first, and make it again afterwards",
        ));
    }
}

async fn slots(server: &Server, swap: &Use, found: &mut Found) {
    let sql = "SELECT slot_name, active FROM pg_replication_slots WHERE slot_type = 'logical' \
               AND database = current_database() ORDER BY 1";
    for row in server.rows("replication slots", sql, found).await {
        let (slot, active) = (&row[0], row[1] == "t");
        let concern = match active {
            true => Concern::error(
                "logical_slot",
                format!("{}: somebody reads changes through the logical slot {slot}", server.name),
            )
            .help("stop its reader, drop the slot, and make both anew after the swap: a slot stays with the old database"),
            false => Concern::warning(
                "logical_slot",
                format!("{}: the logical slot {slot} would stay with the old database", server.name),
            )
            .help("its reader must be set up anew after the swap; until then the slot keeps WAL"),
        };
        found.add(concern.step(&swap.step));
    }
}

async fn replicas(world: &World, server: &Server, swap: &Use, found: &mut Found) {
    let declared = world.targets.declared(&server.name).and_then(|database| database.replicas.as_ref());
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
            "{}: {} replica(s) follow this server and the plan does not say so: {}; sessions there would go on reading \
             the old database",
            server.name,
            rows.len(),
            listed(&names, 5)
        );
        found.add(
            Concern::error("replicas_undeclared", message).step(&swap.step).help(
                "give the database `replicas: [URL, ...]`, or `replicas: ignore` if nobody reads there",
            ),
        );
    }
}
