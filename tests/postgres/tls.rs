//! TLS against a real server: what each sslmode proves, channel binding, client certificates, and the words of refusals.

use crate::support::authority::Authority;
use crate::support::cluster::{connect, installed_options};
use runplan::postgres::{Cluster, Connection, Error, Kind, Settings};
use std::path::Path;

/// A server with TLS whose certificate is the named one.
fn server(authority: &Authority, name: &str) -> Cluster {
    let mut options = installed_options();
    for (setting, value) in [
        ("ssl", "on"),
        ("ssl_cert_file", "../server.crt"),
        ("ssl_key_file", "../server.key"),
        ("ssl_ca_file", "../ca.crt"),
    ] {
        options.settings.push((setting.to_owned(), value.to_owned()));
    }
    for (file, from) in [
        ("server.crt", format!("{name}.crt")),
        ("server.key", format!("{name}.key")),
        ("ca.crt", "ca.crt".to_owned()),
    ] {
        options.files.push((file.to_owned(), authority.read(&from)));
    }
    Cluster::start(options).unwrap()
}

async fn try_with(cluster: &Cluster, more: &str) -> Result<Connection, Error> {
    let text = format!(
        "port={} user=postgres dbname=postgres password={} {more}",
        cluster.port(),
        cluster.password().expose()
    );
    Connection::connect(&Settings::parse(&text, &|_| None)?, "test").await
}

fn root(path: &Path) -> String {
    format!("sslrootcert='{}'", path.display())
}

async fn uses_tls(connection: &Connection) -> bool {
    connection.one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await.unwrap() == "t"
}

#[tokio::test]
async fn each_mode_proves_what_libpq_proves() {
    let authority = Authority::new();
    authority.signed("server", "/CN=ignored.example", Some("DNS:db.internal,DNS:localhost"));
    let cluster = server(&authority, "server");
    let ours = root(&authority.path("ca.crt"));
    let others = root(&authority.path("other-ca.crt"));

    // The password is proved together with the certificate.
    let by_name =
        format!("host=db.internal hostaddr=127.0.0.1 sslmode=verify-full channel_binding=require {ours}");
    let connection = try_with(&cluster, &by_name).await.unwrap();
    assert!(connection.is_encrypted() && uses_tls(&connection).await);
    assert_eq!(connection.endpoint(), format!("db.internal:{}", cluster.port()));
    connection.cancel().await.unwrap();

    let error = try_with(&cluster, &format!("host=127.0.0.1 sslmode=verify-full {ours}")).await.unwrap_err();
    assert_eq!(error.message(), "the server's certificate is for db.internal, localhost, not 127.0.0.1");
    assert_eq!(error.kind(), Kind::Certificate);
    try_with(&cluster, &format!("host=127.0.0.1 sslmode=verify-ca {ours}")).await.unwrap();

    for mode in ["verify-full", "verify-ca", "require"] {
        let error = try_with(&cluster, &format!("host=localhost sslmode={mode} {others}")).await.unwrap_err();
        let file = authority.path("other-ca.crt");
        let words = format!("the server's certificate is not signed by an authority in {}", file.display());
        assert_eq!(error.message(), words, "{mode}");
    }
    let system = try_with(&cluster, "host=localhost sslrootcert=system").await.unwrap_err();
    assert_eq!(
        system.message(),
        "the server's certificate is not signed by an authority in this machine's store"
    );

    // Without authorities nothing is proved, but the connection is encrypted.
    for mode in ["require", "prefer"] {
        assert!(
            uses_tls(&try_with(&cluster, &format!("host=127.0.0.1 sslmode={mode}")).await.unwrap()).await
        );
    }
    for mode in ["allow", "disable"] {
        let connection = try_with(&cluster, &format!("host=127.0.0.1 sslmode={mode}")).await.unwrap();
        assert!(!connection.is_encrypted() && !uses_tls(&connection).await, "{mode}");
    }
    let error =
        try_with(&cluster, "host=127.0.0.1 sslmode=disable channel_binding=require").await.unwrap_err();
    assert!(error.message().contains("offers no channel binding"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_with_only_a_common_name_can_be_its_own_authority() {
    let authority = Authority::new();
    authority.self_signed("own", "/CN=*.internal.example");
    let cluster = server(&authority, "own");
    let own = root(&authority.path("own.crt"));
    let with = |host: &str| {
        format!("host={host} hostaddr=127.0.0.1 sslmode=verify-full channel_binding=require {own}")
    };
    assert!(try_with(&cluster, &with("db.internal.example")).await.unwrap().is_encrypted());
    let error = try_with(&cluster, &with("db.other.example")).await.unwrap_err();
    assert_eq!(error.message(), "the server's certificate is for *.internal.example, not db.other.example");
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_have_none() {
    let cluster = crate::support::cluster::shared();
    let error = try_with(cluster, "host=127.0.0.1 sslmode=require").await.unwrap_err();
    let words =
        format!("the server at 127.0.0.1:{} does not offer TLS, and sslmode demands it", cluster.port());
    assert_eq!((error.message(), error.kind()), (words.as_str(), Kind::Tls));
    assert!(!try_with(cluster, "host=127.0.0.1 sslmode=prefer").await.unwrap().is_encrypted());
}

#[tokio::test]
async fn prefer_and_allow_take_the_way_that_the_server_lets_them() {
    let authority = Authority::new();
    authority.signed("server", "/CN=localhost", None);
    authority.signed("client", "/CN=by_certificate", None);
    let cluster = server(&authority, "server");
    let admin = connect(&cluster.settings("postgres").unwrap()).await;
    let rules = "hostssl all only_tls all scram-sha-256\nhostnossl all only_plain all scram-sha-256\n\
                 hostssl all by_certificate all cert\nhost all postgres all scram-sha-256\n";
    std::fs::write(cluster.directory().join("data/pg_hba.conf"), rules).unwrap();
    admin
        .execute("CREATE ROLE only_tls LOGIN PASSWORD 'a'; CREATE ROLE only_plain LOGIN PASSWORD 'a'; CREATE ROLE by_certificate LOGIN")
        .await
        .unwrap();
    admin.one("SELECT pg_reload_conf()").await.unwrap();
    while admin.one("SELECT count(*) FROM pg_hba_file_rules").await.unwrap() != "4" {}
    let encrypted = async |user: &str, mode: &str| {
        let more = format!("host=127.0.0.1 user={user} password=a sslmode={mode}");
        let text = format!("port={} dbname=postgres {more}", cluster.port());
        let settings = Settings::parse(&text, &|_| None).unwrap();
        Connection::connect(&settings, "test").await.map(|connection| connection.is_encrypted())
    };
    // The reload reaches the postmaster a moment after the answer.
    while encrypted("only_tls", "disable").await.is_err_and(|error| error.kind() != Kind::Access) {}
    assert!(encrypted("only_tls", "allow").await.unwrap());
    assert!(!encrypted("only_plain", "prefer").await.unwrap());
    // Of two ways, the one that got as far as the password has the words.
    admin.execute("ALTER ROLE only_tls PASSWORD 'another'").await.unwrap();
    assert_eq!(encrypted("only_tls", "allow").await.unwrap_err().kind(), Kind::Password);
    let error = encrypted("only_plain", "require").await.unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (Kind::Access, Some("28000")));

    // A key that others can read is not used.
    let (certificate, key) = (authority.path("client.crt"), authority.path("client.key"));
    let text = format!(
        "host=127.0.0.1 port={} dbname=postgres user=by_certificate sslmode=require sslcert='{}' sslkey='{}'",
        cluster.port(),
        certificate.display(),
        key.display()
    );
    let settings = Settings::parse(&text, &|_| None).unwrap();
    set_mode(&key, 0o644);
    let error = Connection::connect(&settings, "test").await.unwrap_err();
    assert!(error.message().ends_with("cannot be used: others can read it"), "{error}");
    set_mode(&key, 0o600);
    let connection = Connection::connect(&settings, "test").await.unwrap();
    assert_eq!(connection.one("SELECT current_user").await.unwrap(), "by_certificate");

    // The server hears of the certificate's authority only after the handshake, and says so then.
    let stranger = Authority::new();
    stranger.signed("client", "/CN=by_certificate", None);
    let text = text
        .replace(&certificate.display().to_string(), &stranger.path("client.crt").display().to_string())
        .replace(&key.display().to_string(), &stranger.path("client.key").display().to_string());
    let error = Connection::connect(&Settings::parse(&text, &|_| None).unwrap(), "test").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Certificate, "{error}");
    assert!(error.message().contains("issued by an authority that it does not know"), "{error}");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
