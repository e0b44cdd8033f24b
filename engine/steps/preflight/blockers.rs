//! What would stop a swap now: prepared transactions, subscriptions, logical slots.

use super::concern::{Concern, Found};
use super::server::Server;
use super::uses::{Use, What};
use super::{listed, steps_that};
use crate::postgres::escape_literal;

pub async fn look(server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let swaps = steps_that(uses, |what| matches!(what, What::Swap));
    let Some(swap) = swaps.first() else { return found };
    template(server, swap, &mut found).await;
    prepared(server, swap, &mut found).await;
    subscriptions(server, swap, &mut found).await;
    slots(server, swap, &mut found).await;
    found
}

async fn template(server: &Server, swap: &Use, found: &mut Found) {
    let sql = "SELECT 1 FROM pg_database WHERE datname = current_database() AND datistemplate";
    if !server.rows("whether it is a template", sql, found).await.is_empty() {
        let message =
            format!("{}: {} is a template database, which is not swapped", server.name, server.database());
        found.add(
            Concern::error("template_database", message)
                .step(&swap.step)
                .help("is it the right address? else: ALTER DATABASE ... IS_TEMPLATE false"),
        );
    }
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
