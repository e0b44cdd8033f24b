//! Who a server is, as a primary and as a standby.

use crate::support::cluster::{connect, database, options};
use runplan::postgres::{Cluster, Kind, Stop, Verdict, identity, witness};
use std::time::Duration;

#[tokio::test]
async fn the_identity_is_that_of_the_server_and_any_role_may_read_it() {
    let settings = database("identity").await;
    let connection = connect(&settings).await;
    let before = identity::read(&connection).await.unwrap();
    assert_eq!(before.database, settings.database());
    assert_eq!(
        before.database_oid.to_string(),
        connection.one("SELECT oid FROM pg_database WHERE datname = current_database()").await.unwrap()
    );
    assert_eq!(
        before.system_identifier,
        connection.one("SELECT system_identifier FROM pg_control_system()").await.unwrap()
    );
    assert_eq!((before.timeline.as_str(), before.standby), ("00000001", false));
    assert!(before.major() >= 13);
    connection
        .execute("CREATE TABLE t (a int); CREATE ROLE nobody_special; SET ROLE nobody_special")
        .await
        .unwrap();
    let after = identity::read(&connection).await.unwrap();
    assert!(after.position() > before.position(), "{} then {}", before.lsn, after.lsn);
    let json = serde_json::to_string(&after).unwrap();
    assert_eq!(serde_json::from_str::<identity::Identity>(&json).unwrap(), after);
}

/// A cluster that is put into recovery, promoted, and so gets a new timeline.
#[tokio::test]
async fn a_standby_and_a_promotion_are_told() {
    let mut cluster = Cluster::start(options()).unwrap();
    let settings = cluster.settings("postgres").unwrap();
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    let primary = identity::read(&one).await.unwrap();
    one.execute("BEGIN; CREATE TABLE t (a int)").await.unwrap();
    let kept = witness::prepare(&one, &two).await.unwrap();
    one.execute("COMMIT").await.unwrap();
    cluster.stop_server(Stop::Fast).unwrap();
    std::fs::write(cluster.directory().join("data/standby.signal"), "").unwrap();
    cluster.start_server().unwrap();

    let connection = connect(&settings).await;
    let standby = identity::read(&connection).await.unwrap();
    assert!(standby.standby);
    assert_eq!(
        (&standby.system_identifier, &standby.timeline),
        (&primary.system_identifier, &primary.timeline)
    );
    let asked = witness::ask(&connection, &kept, Duration::ZERO).await.unwrap();
    assert!(matches!(&asked, Verdict::Unknown(why) if why.contains("standby")), "{asked:?}");
    let primary_only = cluster.url("postgres").expose().to_owned() + "&target_session_attrs=primary";
    let primary_only = runplan::postgres::Settings::parse(&primary_only, &|_| None).unwrap();
    let refused = runplan::postgres::Connection::connect(&primary_only, "test").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::WrongServer);

    connection.one("SELECT pg_promote()").await.unwrap();
    let promoted = identity::read(&connection).await.unwrap();
    assert_eq!((promoted.standby, promoted.timeline.as_str()), (false, "00000002"));
    let asked = witness::ask(&connection, &kept, Duration::ZERO).await.unwrap();
    assert!(matches!(&asked, Verdict::Unknown(why) if why.contains("timeline 00000002")), "{asked:?}");
}
