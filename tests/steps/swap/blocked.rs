//! What would break by a swap, with the real things: each is named, with the command that removes it.

use super::filled;
use crate::support::cluster::{connect, programs};
use crate::support::stage::failed;
use runplan::postgres::{Cluster, Settings};

/// A cluster that decodes and prepares, and a filled database on it.
pub async fn cluster() -> (Cluster, Settings) {
    let settings = [
        ("wal_level", "logical"),
        ("max_wal_senders", "6"),
        ("max_replication_slots", "6"),
        ("max_prepared_transactions", "5"),
    ];
    let (cluster, _, app) = filled(&settings).await;
    (cluster, app)
}

#[tokio::test]
async fn a_subscription_a_slot_in_use_and_a_prepared_transaction() {
    let (cluster, app) = cluster().await;
    let server = connect(&cluster.settings("postgres").unwrap()).await;
    let inside = connect(&app).await;
    server.execute("CREATE DATABASE source").await.unwrap();
    let source = connect(&cluster.settings("source").unwrap()).await;
    source
        .execute("CREATE TABLE users (id int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES")
        .await
        .unwrap();
    source.execute("SELECT pg_create_logical_replication_slot('fed', 'pgoutput')").await.unwrap();
    let stage = super::stage(&app);
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    let (port, password) = (cluster.port(), cluster.password().expose());
    inside
        .execute(&format!(
            "CREATE SUBSCRIPTION \"the Feed\" CONNECTION 'host=127.0.0.1 port={port} user=postgres password={password} \
             dbname=source' PUBLICATION p WITH (create_slot = false, slot_name = fed, copy_data = false)"
        ))
        .await
        .unwrap();
    inside.execute("SELECT pg_create_logical_replication_slot('audit', 'pgoutput')").await.unwrap();
    let mut reader = runplan::process::plain::command(&programs().find("pg_recvlogical", 13).unwrap().path);
    reader.args([
        "--start",
        "-d",
        "app",
        "-S",
        "audit",
        "-f",
        "/dev/null",
        "-o",
        "proto_version=1",
        "-o",
        "publication_names=p",
    ]);
    for (name, value) in app.client_environment() {
        reader.env(name, value.expose());
    }
    let mut reader = reader.stderr(std::process::Stdio::null()).spawn().unwrap();
    let active = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'audit' AND active";
    while server.last(active).await.unwrap().rows.is_empty() {
        assert!(reader.try_wait().unwrap().is_none(), "pg_recvlogical ended");
        tokio::task::yield_now().await;
    }
    let pid = server.one(active).await.unwrap();
    inside.execute("BEGIN; DELETE FROM messages; PREPARE TRANSACTION 'half''way'").await.unwrap();
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::refused");
    for said in [
        "prepared transaction half'way in app (there: COMMIT PREPARED 'half''way' or ROLLBACK PREPARED 'half''way')"
            .to_owned(),
        "subscription \"the Feed\" in app (there: ALTER SUBSCRIPTION \"the Feed\" DISABLE; ALTER SUBSCRIPTION \
         \"the Feed\" SET (slot_name = NONE); DROP SUBSCRIPTION \"the Feed\"; make it again after the swap)"
            .to_owned(),
        format!(
            "logical replication slot audit of app is being read by pid {pid} (stop its reader, then: SELECT \
             pg_drop_replication_slot('audit'); it would stay with the old database)"
        ),
    ] {
        assert!(failure.message.contains(&said), "{}", failure.message);
    }
    println!("{}\n  help: {}", failure.message, failure.help.unwrap());
    let failure = failed(stage.act("frozen").await);
    assert_eq!(failure.code, "runplan::freeze::prepared");
    // What is said to be done is enough.
    reader.kill().unwrap();
    reader.wait().unwrap();
    inside.execute("ROLLBACK PREPARED 'half''way'").await.unwrap();
    inside.execute("ALTER SUBSCRIPTION \"the Feed\" DISABLE").await.unwrap();
    inside.execute("ALTER SUBSCRIPTION \"the Feed\" SET (slot_name = NONE)").await.unwrap();
    inside.execute("DROP SUBSCRIPTION \"the Feed\"").await.unwrap();
    while !server.last(active).await.unwrap().rows.is_empty() {
        tokio::task::yield_now().await;
    }
    inside.execute("SELECT pg_drop_replication_slot('audit')").await.unwrap();
    drop(inside);
    stage.done("switched").await;
}

#[tokio::test]
async fn what_the_role_may_not_do_is_said_with_the_grant() {
    let settings = super::sample("swap_rights").await;
    let name = settings.database().to_owned();
    let server = super::maintenance(&settings).await;
    let role = format!("{name}_weak");
    server
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'weak'; GRANT ALL ON DATABASE {name} TO {role}"))
        .await
        .unwrap();
    let stage = super::stage(&settings);
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    let superuser = connect(&settings).await;
    let side = stage.database_of("restored");
    let restored = stage.outputs_of("restored");
    stage.end().await;
    let host = &settings.hosts()[0];
    let url = format!("postgres://{role}:weak@{}:{}/{name}", host.name, host.port);
    let weak = super::stage(&Settings::parse(&url, &|_| None).unwrap());
    weak.learn("restored", &restored);
    let failure = failed(weak.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::refused");
    for said in [
        format!("role {role} may not rename databases (ALTER ROLE {role} CREATEDB)"),
        format!("role {role} is not a member of postgres, which owns {name} (GRANT postgres TO {role})"),
        format!("role {role} is not a member of postgres, which owns {side} (GRANT postgres TO {role})"),
        format!("role {role} may not end the session of postgres (pid {}", superuser.backend().pid),
    ] {
        assert!(failure.message.contains(&said), "{said}\n{}", failure.message);
    }
    println!("{}", failure.message);
    drop(weak);
    server.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

/// They are carried over with the name, which the server refuses to a role without the right: not in the closed window.
#[tokio::test]
async fn settings_that_the_role_may_not_carry_over_are_told_with_what_mends_it() {
    let (settings, owner) = super::owned("swap_settings").await;
    let (name, role) = (settings.database(), owner.user());
    let server = super::maintenance(&settings).await;
    server
        .execute(&format!(
            "CREATE ROLE {name}_app; ALTER DATABASE {name} SET log_min_duration_statement = 250;
             ALTER DATABASE {name} SET my.custom = 'x'; ALTER DATABASE {name} SET work_mem = '5MB';
             ALTER ROLE {name}_app IN DATABASE {name} SET search_path = shop, public"
        ))
        .await
        .unwrap();
    let stage = super::stage(&owner);
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::refused");
    let side = stage.database_of("restored");
    for said in [
        format!(
            "role {role} may not give {side} the setting log_min_duration_statement (as a superuser: GRANT SET ON \
             PARAMETER \"log_min_duration_statement\" TO \"{role}\"; or ALTER DATABASE \"{name}\" RESET \
             \"log_min_duration_statement\" before the swap, and ALTER DATABASE \"{name}\" SET \
             \"log_min_duration_statement\" TO '250' after it)"
        ),
        format!("role {role} may not give {side} the setting my.custom (as a superuser: GRANT SET"),
        format!(
            "the setting search_path of role {name}_app (as a superuser: ALTER ROLE \"{role}\" CREATEROLE"
        ),
    ] {
        assert!(failure.message.contains(&said), "{said}\n{}", failure.message);
    }
    assert!(!failure.message.contains("work_mem"), "{}", failure.message);
    for way in failure.message.split("as a superuser: ").skip(1) {
        server.execute(way.split("; or ").next().unwrap()).await.unwrap();
    }
    stage.done("switched").await;
    let carried = format!(
        "SELECT string_agg(c, ' ' ORDER BY c) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, \
         unnest(s.setconfig) c WHERE d.datname = '{name}' AND c NOT LIKE 'runplan.%'"
    );
    let expected = "log_min_duration_statement=250 my.custom=x search_path=shop, public work_mem=5MB";
    assert_eq!(server.one(&carried).await.unwrap(), expected);
}
