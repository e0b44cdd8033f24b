//! Sessions: results as text, and every failure in words and with its class.

use crate::support::cluster::{connect, database, options, programs, shared, unique};
use runplan::postgres::{Class, Cluster, Connection, Error, Kind, Settings, Stop, identity};
use std::time::Duration;

async fn refused(text: &str) -> Error {
    let settings = Settings::parse(text, &|_| None).expect("settings");
    Connection::connect(&settings, "test").await.expect_err("must not connect")
}

#[tokio::test]
async fn each_statement_gives_its_own_result() {
    let connection = connect(&database("text").await).await;
    let results = connection
        .text("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL); SELECT * FROM t ORDER BY a; ;")
        .await
        .unwrap();
    assert_eq!(results[1].affected, 2);
    assert_eq!(results[2].columns, ["a", "b"]);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(results[2].rows, [vec![some("1"), some("x")], vec![some("2"), None]]);
    assert_eq!(results[2].affected, 2);
    assert_eq!(connection.execute("DELETE FROM t").await.unwrap(), 2);
    assert_eq!(connection.value("SELECT NULL").await.unwrap(), None);
    assert_eq!(connection.row("SELECT 1 WHERE false").await.unwrap_err().kind(), Kind::Shape);
    assert_eq!(connection.row("VALUES (1), (2)").await.unwrap_err().kind(), Kind::Shape);
}

#[tokio::test]
async fn a_wrong_password_is_said_to_be_wrong_and_not_repeated() {
    let port = shared().port();
    let error = refused(&format!("postgresql://postgres:not-the-password@127.0.0.1:{port}/postgres")).await;
    assert_eq!(error.message(), "the server refused the password of user postgres");
    assert_eq!(
        (error.kind(), error.class(), error.sqlstate()),
        (Kind::Password, Class::Clean, Some("28P01"))
    );
    assert!(!format!("{error:?}").contains("not-the-password"));
    let error = refused(&format!("postgresql://postgres@127.0.0.1:{port}/postgres")).await;
    assert_eq!(error.message(), "the server asks for the password of user postgres, and none is given");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(&format!("host=127.0.0.1 port={free} user=x password=y")).await;
    assert_eq!(error.message(), format!("nothing listens on 127.0.0.1:{free}"));
    let error = refused(&format!("host=/nonexistent port={free} user=x")).await;
    assert_eq!(error.message(), format!("nothing listens on /nonexistent:{free}"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refused(&format!("host=127.0.0.1 port={port} user=x connect_timeout=1")).await;
    assert_eq!(error.message(), format!("127.0.0.1:{port} did not answer within 2 s"));
}

#[tokio::test]
async fn an_unknown_database_is_named() {
    let settings = shared().settings("no_such_thing").unwrap();
    let error = Connection::connect(&settings, "test").await.unwrap_err();
    let endpoint = settings.endpoint();
    assert_eq!(error.message(), format!("database no_such_thing does not exist on {endpoint}"));
    assert_eq!(error.kind(), Kind::NoDatabase);
}

#[tokio::test]
async fn a_database_that_is_closed_says_so() {
    let settings = database("closed").await;
    let admin = connect(&settings.with_database("postgres")).await;
    admin.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", settings.database())).await.unwrap();
    let error = Connection::connect(&settings, "test").await.unwrap_err();
    assert!(error.message().contains("is not currently accepting connections"), "{error}");
    assert_eq!(error.kind(), Kind::Access);
}

#[tokio::test]
async fn the_first_host_that_answers_is_taken() {
    let cluster = shared();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "postgresql://postgres:{}@127.0.0.1:{free},127.0.0.1:{}/postgres?sslmode=disable",
        cluster.password().expose(),
        cluster.port()
    );
    let connection = connect(&Settings::parse(&text, &|_| None).unwrap()).await;
    assert_eq!(connection.endpoint(), format!("127.0.0.1:{}", cluster.port()));
    assert_eq!(connection.settings().hosts().len(), 1);
    let standby = refused(&format!("{text}&target_session_attrs=standby")).await;
    assert_eq!(standby.kind(), Kind::WrongServer);
    assert!(standby.message().contains("is a primary, which target_session_attrs excludes"), "{standby}");
    let text = format!("{text}&target_session_attrs=prefer-standby");
    connect(&Settings::parse(&text, &|_| None).unwrap()).await;
}

/// A primary and a standby, each with a password of its own, found by a service and the password file.
#[tokio::test]
async fn of_several_servers_the_wanted_one_is_taken_with_its_own_password() {
    let primary = shared();
    let mut standby = Cluster::start(options()).unwrap();
    standby.stop_server(Stop::Fast).unwrap();
    std::fs::write(standby.directory().join("data/standby.signal"), "").unwrap();
    standby.start_server().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let line = |cluster: &Cluster| {
        format!("127.0.0.1:{}:*:postgres:{}\n", cluster.port(), cluster.password().expose())
    };
    let passfile = write("pgpass", format!("{}{}", line(primary), line(&standby)));
    let (one, other) = (primary.port(), standby.port());
    let services = write(
        "services",
        format!("[both]\nhost=127.0.0.1,127.0.0.1\nport={one},{other}\nuser=postgres\nsslmode=disable\n"),
    );
    let env = |name: &str| match name {
        "PGSERVICEFILE" => Some(services.clone()),
        "PGSERVICE" => Some("both".to_owned()),
        "PGPASSFILE" => Some(passfile.clone()),
        "PGDATABASE" => Some("postgres".to_owned()),
        _ => None,
    };
    for (wanted, port) in [
        ("any", one),
        ("primary", one),
        ("read-write", one),
        ("standby", other),
        ("read-only", other),
        ("prefer-standby", other),
    ] {
        let settings = Settings::parse(&format!("target_session_attrs={wanted}"), &env).unwrap();
        let connection = connect(&settings).await;
        assert_eq!(connection.endpoint(), format!("127.0.0.1:{port}"), "{wanted}");
        // Client programs, which see only the environment, end up at the same server.
        let psql = programs().find("psql", 15).unwrap();
        let mut command = runplan::process::plain::command(psql.path);
        command.env_clear();
        for (name, value) in connection.settings().client_environment() {
            command.env(name, value.expose());
        }
        let output = command.args(["-XAtc", "SHOW port"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), port.to_string(), "{wanted}");
    }
}

/// What is closed for writing by a freeze, or for the session alone, is still the server that takes writes.
#[tokio::test]
async fn a_frozen_database_is_still_on_a_server_that_writes() {
    let frozen = crate::support::cluster::database("read_write").await;
    let text = |attributes: &str| {
        let all =
            frozen.client_environment().into_iter().map(|(name, value)| (name, value.expose().to_owned()));
        let env: std::collections::HashMap<String, String> = all.collect();
        Settings::parse(&format!("target_session_attrs={attributes}"), &|name| env.get(name).cloned())
            .unwrap()
    };
    let wanted = text("read-write");
    connect(&wanted.with_setting("default_transaction_read_only", "on")).await;
    let sql = format!("ALTER DATABASE \"{}\" SET default_transaction_read_only = on", frozen.database());
    connect(&wanted).await.execute(&sql).await.unwrap();
    connect(&wanted).await;
    let psql = programs().find("psql", 15).unwrap();
    let mut command = runplan::process::plain::command(psql.path);
    command.env_clear().envs(wanted.client_environment().iter().map(|(name, value)| (name, value.expose())));
    assert!(command.args(["-XAtc", "SELECT 1"]).output().unwrap().status.success());
    let other = Connection::connect(&text("standby"), "test").await.unwrap_err();
    assert_eq!(other.kind(), Kind::WrongServer);
    // Our own wish to read only is not what a server says of itself.
    let admin = connect(&frozen.with_database("postgres")).await;
    admin.execute(&sql.replace("SET", "RESET").replace(" = on", "")).await.unwrap();
    let only = text("read-only").with_setting("default_transaction_read_only", "on");
    assert_eq!(Connection::connect(&only, "test").await.unwrap_err().kind(), Kind::WrongServer);
}

#[tokio::test]
async fn the_unix_socket_works() {
    let cluster = shared();
    let text = format!(
        "host={} port={} user=postgres password={} dbname=postgres sslmode=require",
        cluster.directory().display(),
        cluster.port(),
        cluster.password().expose()
    );
    let connection = connect(&Settings::parse(&text, &|_| None).unwrap()).await;
    assert_eq!(connection.value("SELECT inet_server_addr()").await.unwrap(), None);
}

#[tokio::test]
async fn an_error_of_sql_is_clean_and_says_where() {
    let connection = connect(&database("sql").await).await;
    let error = connection.text("SELECT 1 FROM nowhere").await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Sql, Class::Clean));
    assert_eq!((error.sqlstate(), error.position()), (Some("42P01"), Some(15)));
    assert_eq!(error.message(), "relation \"nowhere\" does not exist");
    let error = connection.text("SELECT '\0'").await.unwrap_err();
    assert_eq!(error.message(), "the SQL contains a NUL byte");
    assert_eq!(connection.one("SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn conflicts_are_retryable() {
    let settings = database("conflict").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await.unwrap();
    for session in [&one, &two] {
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t").await.unwrap();
    }
    one.execute("UPDATE t SET a = 2; COMMIT").await.unwrap();
    let error = two.execute("UPDATE t SET a = 3").await.unwrap_err();
    assert_eq!((error.sqlstate(), error.class()), (Some("40001"), Class::Retryable));
    two.execute("ROLLBACK").await.unwrap();

    one.execute("BEGIN; LOCK TABLE t").await.unwrap();
    let error = two.execute("SET lock_timeout = '10ms'; SELECT * FROM t").await.unwrap_err();
    assert_eq!((error.sqlstate(), error.class()), (Some("55P03"), Class::Retryable));
}

#[tokio::test]
async fn a_session_ended_in_a_statement_leaves_the_outcome_unknown() {
    let settings = database("ended").await;
    let (victim, other) = (connect(&settings).await, connect(&settings).await);
    let end = async {
        let busy = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND state = 'active' AND query LIKE '%sleep%'",
            victim.backend().pid
        );
        while other.one(&busy).await.unwrap() == "0" {
            tokio::task::yield_now().await;
        }
        other.one(&format!("SELECT pg_terminate_backend({})", victim.backend().pid)).await.unwrap();
    };
    let (result, ()) = tokio::join!(victim.text("SELECT pg_sleep(60)"), end);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Lost, Class::Unknown));
    assert!(error.message().contains("terminating connection due to administrator command"), "{error}");
    // What comes after was certainly never sent.
    let error = victim.text("SELECT 1").await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Lost, Class::Clean));
    assert!(victim.is_closed());
}

#[tokio::test]
async fn cancel_ends_the_statement_and_keeps_the_session() {
    let connection = connect(&database("cancel").await).await;
    let cancel = async {
        // A cancel that comes before the statement is not heard, so it is repeated.
        loop {
            connection.cancel().await.unwrap();
            tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.unwrap_err();
        }
    };
    let error = tokio::select! {
        result = connection.text("SELECT pg_sleep(60)") => result.unwrap_err(),
        () = cancel => unreachable!(),
    };
    assert_eq!((error.sqlstate(), error.class()), (Some("57014"), Class::Clean));
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn notices_are_kept_and_the_backend_is_known() {
    let settings = database("notice").await;
    let connection = connect(&settings).await;
    connection.execute("DO $$ BEGIN RAISE WARNING 'careful'; END $$").await.unwrap();
    let notices = connection.take_notices();
    assert_eq!((notices[0].severity.as_str(), notices[0].message.as_str()), ("WARNING", "careful"));
    assert_eq!(connection.take_notices(), []);
    let other = connect(&settings).await;
    connection.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'").await.unwrap();
    let (pid, started) = (connection.backend().pid, connection.backend().started.clone());
    let row = other.row(&format!("SELECT application_name, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pg_stat_activity WHERE pid = {pid}")).await.unwrap();
    assert_eq!((row.text(0).unwrap().as_str(), row.text(1).unwrap()), ("runplan-test", started));
}

#[tokio::test]
async fn a_dropped_connection_is_gone_from_the_server() {
    let settings = database("dropped").await;
    let (connection, other) = (connect(&settings).await, connect(&settings).await);
    let pid = connection.backend().pid;
    drop(connection);
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    while other.one(&there).await.unwrap() != "0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_environment_leads_client_programs_to_the_same_place() {
    let settings = database("client").await;
    let role = unique("o'role");
    let admin = connect(&settings).await;
    admin.execute(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'p w:''\\'")).await.unwrap();
    let text = format!(
        "host=127.0.0.1 port={} dbname={} user='{}' password='p w:\\'\\\\' sslmode=disable",
        shared().port(),
        settings.database(),
        role.replace('\'', "\\'")
    );
    let settings = Settings::parse(&text, &|_| None).unwrap();
    let version = identity::server_version(&admin).await.unwrap();
    let psql = programs().find("psql", version / 10_000).unwrap();
    let mut command = runplan::process::plain::command(psql.path);
    command.env("PGSERVICE", "elsewhere").env("PGHOSTADDR", "192.0.2.1");
    for variable in runplan::postgres::CLIENT_VARIABLES {
        command.env_remove(variable);
    }
    for (name, value) in settings.client_environment() {
        command.env(name, value.expose());
    }
    let output = command.args(["-XAtc", "SELECT current_user, current_database()"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(
        said,
        format!("{role}|{}", settings.database()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
