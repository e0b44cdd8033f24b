//! Connection settings: tables of texts and environments, and what they must mean.

use runplan::postgres::{ChannelBinding, Kind, Roots, Session, Settings, SslMode};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Settings, runplan::postgres::Error> {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    // Never the files of whoever runs the tests.
    Settings::parse(text, &|name| match name {
        "HOME" => Some(env.get("HOME").copied().unwrap_or("/nonexistent").to_owned()),
        name => env.get(name).map(|value| (*value).to_owned()),
    })
}

/// user@endpoint/database and the password.
fn brief(settings: &Settings) -> String {
    let password = settings.password().map_or("-", |password| password.expose());
    format!("{}@{}/{} {password}", settings.user(), settings.endpoint(), settings.database())
}

#[test]
fn urls_and_pairs_are_read_as_libpq_reads_them() {
    let cases = [
        ("postgresql://u:p@h:5433/d", "u@h:5433/d p"),
        ("postgres://u@h", "u@h:5432/u -"),
        ("postgresql://u:p%40ss%2Fw%3A@h/d%20b", "u@h:5432/d b p@ss/w:"),
        ("postgresql://u:p@ss@h/d", "u@h:5432/d p@ss"),
        ("postgresql://u@[2001:db8::1]:6/d", "u@[2001:db8::1]:6/d -"),
        ("postgresql://u@a:1,b,c:3/d", "u@a:1,b:5432,c:3/d -"),
        ("postgresql://u@%2Fvar%2Frun/d", "u@/var/run:5432/d -"),
        ("postgresql:///d?host=/tmp/s&user=u&port=7", "u@/tmp/s:7/d -"),
        ("postgresql://u@h/d?password=q%26r", "u@h:5432/d q&r"),
        ("postgresql://u@h/d?user=other", "other@h:5432/d -"),
        ("host=h user=u dbname=d password=p", "u@h:5432/d p"),
        ("host = h user= u  dbname='my db' password='it\\'s \\\\'", "u@h:5432/my db it's \\"),
        ("host=h user=u password=a\\ b", "u@h:5432/u a b"),
        ("host=a,b port=1,2 user=u", "u@a:1,b:2/u -"),
        ("host=a,b port=9 user=u", "u@a:9,b:9/u -"),
        ("hostaddr=10.0.0.5 user=u", "u@10.0.0.5:5432/u -"),
        ("host=h user=u password=''", "u@h:5432/u -"),
    ];
    for (text, expected) in cases {
        assert_eq!(brief(&parse(text, &[]).unwrap()), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_said_without_the_password() {
    let cases = [
        ("postgresql://u:hunter2-%zz@h/d", "two hexadecimal digits"),
        ("postgresql://u:hunter2@h:port/d", "port=port is not a port from 1 to 65535"),
        ("postgresql://u:hunter2@[::1/d", "not closed by `]`"),
        ("postgresql://u:hunter2@h/d?sslmod=require", "sslmod is not a connection setting"),
        ("postgresql://u:hunter2@h/d?sslmode", "has no `=`"),
        ("host=h password='hunter2", "not closed"),
        ("host=h password=hunter2 verbose", "has no `=`"),
        ("host=a,b port=1,2,3 password=hunter2", "2 hosts, 0 addresses, 3 ports"),
        ("host=h password=hunter2 sslmode=verify", "sslmode=verify is not disable"),
        (
            "host=h password=hunter2 sslmode=verify-full",
            "root certificate file /nonexistent/.postgresql/root.crt does not exist",
        ),
        ("host=h password=hunter2 sslrootcert=system sslmode=require", "proves nothing without the name"),
        ("host=h password=hunter2 sslcrl=/x", "sslcrl is not supported"),
        ("host=h password=hunter2 gssencmode=require", "gssencmode is not supported"),
        ("host=h password=hunter2 sslcert=/nowhere.crt", "/nowhere.crt does not exist"),
        ("host=h password=hunter2 connect_timeout=soon", "connect_timeout=soon is not a whole number"),
        ("host=h password=hunter2 target_session_attrs=master", "target_session_attrs=master is not any"),
        ("host=h password=hunter2 channel_binding=yes", "channel_binding=yes is not disable"),
        ("host=h password=hunter2 sslnegotiation=direct", "needs TLS"),
        ("host=h password=hunter2 service=nope", "service nope is not defined"),
        ("host=@abstract password=hunter2", "abstract Unix sockets"),
    ];
    for (text, expected) in cases {
        let error = parse(text, &[]).expect_err(text);
        assert!(error.message().contains(expected), "{text}: {error}");
        assert_eq!(error.kind(), Kind::Settings);
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
        assert!(error.help().is_some_and(|help| !help.is_empty()), "{text}");
    }
    let error = parse("host=h sslmod=require", &[]).unwrap_err();
    assert_eq!(error.help(), Some("did you mean sslmode?"));
}

#[test]
fn variables_fill_what_the_text_leaves_open() {
    let env = [
        ("PGHOST", "envhost"),
        ("PGPORT", "6000"),
        ("PGUSER", "envuser"),
        ("PGDATABASE", "envdb"),
        ("PGPASSWORD", "envpw"),
        ("PGSSLMODE", "require"),
        ("PGCHANNELBINDING", "require"),
        ("PGCONNECT_TIMEOUT", "5"),
        ("PGAPPNAME", "envapp"),
        ("PGTARGETSESSIONATTRS", "primary"),
    ];
    let settings = parse("", &env).unwrap();
    assert_eq!(brief(&settings), "envuser@envhost:6000/envdb envpw");
    assert_eq!(settings.tls().mode, SslMode::Require);
    assert_eq!(settings.tls().channel_binding, ChannelBinding::Require);
    assert_eq!(settings.connect_timeout(), Some(Duration::from_secs(5)));
    assert_eq!(settings.application_name(), Some("envapp"));
    assert_eq!(settings.session(), Session::Primary);
    let settings = parse("postgresql://u:p@h:1/d?sslmode=disable", &env).unwrap();
    assert_eq!(brief(&settings), "u@h:1/d p");
    assert_eq!(settings.tls().mode, SslMode::Disable);
    assert_eq!(brief(&parse("justadb", &env).unwrap()), "envuser@envhost:6000/justadb envpw");
}

#[test]
fn tls_settings_mean_what_they_say() {
    let tls = |text: &str| parse(&format!("host=h user=u {text}"), &[]).unwrap().tls().clone();
    assert_eq!((tls("").mode, tls("").roots), (SslMode::Prefer, Roots::Unchecked));
    assert_eq!(tls("sslrootcert=system").mode, SslMode::VerifyFull);
    assert_eq!(tls("sslrootcert=system").roots, Roots::System);
    assert_eq!(tls("sslmode=verify-ca sslrootcert=/etc/passwd").roots, Roots::File("/etc/passwd".into()));
    assert_eq!(tls("sslmode=require sslrootcert=/nowhere").roots, Roots::Unchecked);
    assert!(!tls("sslsni=0").sni && tls("sslmode=require sslnegotiation=direct").direct);
    let url = parse("postgresql://u@h/d?ssl=true", &[]).unwrap();
    assert_eq!(url.tls().mode, SslMode::Require);
}

#[test]
fn the_service_stands_between_the_text_and_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("services");
    std::fs::write(
        &file,
        "# ours\n[other]\nhost=wrong\n[prod]\nhost=srv\nport = 7000\nuser=srvuser\n\n[more]\nhost=x\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let env =
        [("PGSERVICEFILE", file), ("PGSERVICE", "prod"), ("PGHOST", "envhost"), ("PGDATABASE", "envdb")];
    assert_eq!(brief(&parse("", &env).unwrap()), "srvuser@srv:7000/envdb -");
    assert_eq!(brief(&parse("host=text", &env).unwrap()), "srvuser@text:7000/envdb -");
    let env = [("PGSERVICEFILE", file)];
    assert_eq!(brief(&parse("service=prod dbname=d", &env).unwrap()), "srvuser@srv:7000/d -");
    assert!(parse("service=absent", &env).unwrap_err().help().unwrap().contains(file));
}

#[test]
fn the_password_file_is_matched_line_by_line_and_only_if_it_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".pgpass");
    std::fs::write(&file, "# h:*:*:*:commented\nh:5432:d1:u:first\nh:*:*:u:se\\:cret\\\\\nlocalhost:*:*:*:socket\n*:*:*:app:any\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let home = directory.path().to_str().unwrap();
    let with = |text: &str| parse(text, &[("HOME", home)]).unwrap();
    let password = |settings: &Settings| settings.password().map(|password| password.expose().to_owned());
    let settings = with("host=h user=u dbname=d1");
    assert_eq!(password(&settings).as_deref(), Some("first"));
    assert_eq!(password(&settings.with_database("d2")).as_deref(), Some("se:cret\\"));
    assert_eq!(password(&with("host=/run/x user=u")).as_deref(), Some("socket"));
    assert_eq!(password(&with("host=elsewhere user=app")).as_deref(), Some("any"));
    assert_eq!(password(&with("host=elsewhere user=u")), None);
    assert_eq!(password(&with("host=h user=u password=given")).as_deref(), Some("given"));
    assert!(!format!("{settings:?}").contains("first"));
    let named = [("PGPASSFILE", file.to_str().unwrap())];
    assert_eq!(password(&parse("host=h user=u dbname=d1", &named).unwrap()).as_deref(), Some("first"));

    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let settings = with("host=h user=u dbname=d1");
    assert_eq!(password(&settings), None);
    assert!(settings.warnings()[0].contains("others can read it"));
}

#[test]
fn client_programs_get_everything_by_the_environment() {
    let text = "host=a,b hostaddr=10.0.0.1,10.0.0.2 port=1,2 user=u dbname=d password=p sslmode=verify-ca \
                sslrootcert=/etc/passwd channel_binding=require connect_timeout=7 options='-c x=1' application_name=n \
                target_session_attrs=primary";
    let environment = parse(text, &[]).unwrap().client_environment();
    let environment: BTreeMap<_, _> =
        environment.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let expected = [
        ("PGHOST", "a,b"),
        ("PGHOSTADDR", "10.0.0.1,10.0.0.2"),
        ("PGPORT", "1,2"),
        ("PGUSER", "u"),
        ("PGDATABASE", "d"),
        ("PGPASSWORD", "p"),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", "/etc/passwd"),
        ("PGCHANNELBINDING", "require"),
        ("PGCONNECT_TIMEOUT", "7"),
        ("PGOPTIONS", "-c x=1"),
        ("PGAPPNAME", "n"),
        ("PGTARGETSESSIONATTRS", "primary"),
        ("PGPASSFILE", "/dev/null/none"),
    ];
    assert_eq!(environment, expected.into_iter().collect());
    for (name, _) in expected {
        assert!(runplan::postgres::CLIENT_VARIABLES.contains(&name), "{name}");
    }
}

#[test]
fn debug_never_shows_a_password() {
    let settings = parse("postgresql://u:hunter2@h/d", &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}
