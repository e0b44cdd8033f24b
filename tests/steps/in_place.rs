//! A restore in place of a database that holds more than tables: what the backup makes again is replaced, what it does not
//! is told, and what is in the way is refused before anything is touched.

use super::backup::sample;
use crate::support::cluster::{connect, unique};
use crate::support::stage::{Stage, failed, plan};
use runplan::postgres::{Connection, Settings, escape_identifier};
use runplan::steps::{PreflightOptions, preflight};

fn stage(settings: &Settings, saved: &str) -> Stage {
    plan(&format!(
        "databases: {{ app: {{ url: unused }} }}
params: {{ backup: {{ type: path, required: true }} }}
steps:
  - id: saved
    backup: {{ database: app, to: ./backups{saved} }}
  - id: restored
    restore: {{ from: '{{{{ params.backup }}}}', database: app, into: in_place }}
    unguarded: test
"
    ))
    .database("app", settings)
    .param("backup", "none")
    .set()
}

/// Saves the database; the plan's restore takes that backup.
async fn saved(settings: &Settings, format: &str) -> Stage {
    let stage = stage(settings, format);
    let path = stage.done("saved").await["path"].as_str().unwrap().to_owned();
    std::os::unix::fs::symlink(&path, stage.path("none")).unwrap();
    std::os::unix::fs::symlink(format!("{path}.manifest.json"), stage.path("none.manifest.json")).unwrap();
    stage
}

/// What belongs to no schema, and a schema without tables.
const BESIDE_TABLES: &str = "
SELECT lo_from_bytea(4711, 'as saved');
CREATE PUBLICATION some_tables FOR TABLE users;
CREATE FUNCTION watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watched();
CREATE FOREIGN DATA WRAPPER plain; CREATE SERVER far FOREIGN DATA WRAPPER plain OPTIONS (place 'there');
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (who 'me');
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE CAST (mood AS integer) WITH INOUT;
CREATE SCHEMA api; CREATE FUNCTION api.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW api.names AS SELECT id FROM public.users;";

#[tokio::test]
async fn what_the_backup_makes_again_is_replaced() {
    for format in ["", ", format: plain"] {
        let settings = sample("place_again").await;
        let app = connect(&settings).await;
        app.execute(BESIDE_TABLES).await.unwrap();
        let stage = saved(&settings, format).await;
        app.execute(
            "SELECT lo_put(4711, 0, 'as broken'); SELECT lo_from_bytea(4712, 'later');
             CREATE OR REPLACE FUNCTION api.one() RETURNS int LANGUAGE sql AS 'SELECT 2';
             ALTER SERVER far OPTIONS (SET place 'elsewhere'); ALTER PUBLICATION some_tables ADD TABLE escrows;
             DELETE FROM messages",
        )
        .await
        .unwrap();
        stage.done("restored").await;
        let app = connect(&settings).await;
        let told = "SELECT concat_ws(' ', (SELECT count(*) FROM messages), convert_from(lo_get(4711), 'UTF8'), \
                    (SELECT count(*) FROM pg_largeobject_metadata), api.one(), (SELECT count(*) FROM api.names), \
                    (SELECT srvoptions FROM pg_foreign_server), (SELECT count(*) FROM pg_user_mappings), \
                    (SELECT count(*) FROM pg_publication_tables), (SELECT count(*) FROM pg_event_trigger), \
                    (SELECT count(*) FROM pg_cast WHERE oid >= 16384))";
        assert_eq!(
            app.one(told).await.unwrap(),
            "100 as saved 1 1 100 {place=there} 1 1 1 1",
            "{format}: {:?}",
            stage.warnings()
        );
        stage.end().await;
    }
}

#[tokio::test]
async fn what_the_backup_does_not_hold_is_told_before_and_by_the_step() {
    let settings = sample("place_told").await;
    let stage = saved(&settings, "").await;
    let app = connect(&settings).await;
    app.execute(BESIDE_TABLES).await.unwrap();
    app.execute(
        "CREATE SCHEMA audit; CREATE TABLE audit.log (who int REFERENCES public.users, what public.mood, at date);
         CREATE EXTENSION pgcrypto SCHEMA audit; CREATE EXTENSION citext SCHEMA public",
    )
    .await
    .unwrap();
    let wanted = [
        "publication some_tables stays and loses 1 replaced tables",
        "event trigger watch (ddl_command_end, function public.watched) fires",
        "1 large objects, of which the backup holds none",
        "schema audit",
        "schema api",
        "server far",
        "foreign data wrapper plain",
        "extension pgcrypto in schema audit",
        "view api.names",
        "extension citext",
        "table column audit.log.what",
        "table constraint log_who_fkey on audit.log",
        "event trigger watch",
        "cast (public.mood AS integer)",
    ];
    let answer = preflight(&stage.world, &PreflightOptions::default()).await;
    let mut before: Vec<String> =
        answer.findings.iter().map(|finding| format!("{} {}", finding.code, finding.message)).collect();
    before.retain(|finding| finding.starts_with("runplan::preflight::not_replaced"));
    let before = before.join("\n");
    wanted.iter().for_each(|text| assert!(before.contains(text), "{text}: {before}"));
    stage.done("restored").await;
    let during = stage.warnings().join("\n");
    wanted.iter().for_each(|text| assert!(during.contains(text), "{text}: {during}"));
    // It was told as it is.
    let app = connect(&settings).await;
    let left = "SELECT concat_ws(' ', to_regclass('api.names'), (SELECT count(*) FROM pg_event_trigger), \
                (SELECT count(*) FROM pg_largeobject_metadata), (SELECT string_agg(attname, ',' ORDER BY attnum) \
                FROM pg_attribute WHERE attrelid = 'audit.log'::regclass AND attnum > 0 AND NOT attisdropped), \
                (SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension), (SELECT count(*) FROM pg_foreign_server))";
    assert_eq!(app.one(left).await.unwrap(), "0 1 who,at pgcrypto,plpgsql 1");
    stage.end().await;
}

async fn codes_before(stage: &Stage, code: &str) -> String {
    let answer = preflight(&stage.world, &PreflightOptions::default()).await;
    let code = format!("runplan::preflight::{code}");
    let found = answer.findings.iter().filter(|finding| finding.code == code);
    found
        .map(|finding| format!("{}: {}", finding.message, finding.help.clone().unwrap_or_default()))
        .collect()
}

async fn is_untouched(app: &Connection) {
    assert_eq!(app.one("SELECT count(*) FROM later").await.unwrap(), "0");
}

#[tokio::test]
async fn a_subscription_is_refused_before_anything_is_touched() {
    let settings = sample("place_subscribed").await;
    let stage = saved(&settings, "").await;
    let app = connect(&settings).await;
    app.execute("CREATE TABLE later ()").await.unwrap();
    let name = unique("incoming");
    app.execute(&format!(
        "CREATE SUBSCRIPTION {name} CONNECTION 'host=/nowhere dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)"
    ))
    .await
    .unwrap();
    let before = codes_before(&stage, "in_place_blocked").await;
    assert!(
        before.contains(&format!("DROP SUBSCRIPTION {name}")),
        "{before} {:?}",
        preflight(&stage.world, &PreflightOptions::default()).await
    );
    let failure = failed(stage.act("restored").await);
    assert_eq!(failure.code, "runplan::restore::blocked");
    assert!(failure.message.contains(&name) && failure.help.unwrap().contains("nothing was changed"));
    assert_eq!(stage.facts("restored", 1), [], "nothing was begun");
    is_untouched(&app).await;
    app.execute(&format!("DROP SUBSCRIPTION {name}")).await.unwrap();
    assert_eq!(codes_before(&stage, "in_place_blocked").await, "");
    crate::support::stage::done(runplan::steps::act(&stage.attempt("restored", 2)).await);
    stage.end().await;
}

/// An owner of the database who is no superuser, and what belongs to others in it.
#[tokio::test]
async fn what_belongs_to_others_is_refused_before_anything_is_touched() {
    let settings = sample("place_others").await;
    let (owner, other) = (unique("place_owner"), unique("place_other"));
    let admin = connect(&settings).await;
    admin
        .execute(&format!(
            "CREATE ROLE {owner} LOGIN PASSWORD 'owner'; CREATE ROLE {other};
             ALTER DATABASE {} OWNER TO {owner}; GRANT pg_read_all_data TO {owner};
             CREATE SCHEMA theirs; CREATE TABLE theirs.t (); ALTER SCHEMA theirs OWNER TO {other};
             SELECT lo_from_bytea(4711, 'x'); ALTER LARGE OBJECT 4711 OWNER TO {other};
             GRANT SELECT ON LARGE OBJECT 4711 TO {owner};
             CREATE EXTENSION pageinspect SCHEMA public; CREATE PUBLICATION theirs_pub; CREATE TABLE later ()",
            escape_identifier(settings.database())
        ))
        .await
        .unwrap();
    let stage = saved(&settings, "").await;
    let named = |wanted: &str| {
        let mut all = settings.client_environment().into_iter();
        all.find(|(name, _)| name == wanted).map(|(_, value)| value.expose().to_owned()).unwrap()
    };
    let address = format!(
        "host={} port={} dbname={} user={owner} password=owner",
        named("PGHOST"),
        named("PGPORT"),
        settings.database()
    );
    let as_owner = Settings::parse(&address, &|_| None).unwrap();
    let poor = plan(
        "databases: { app: { url: unused } }
params: { backup: { type: path, required: true } }
steps:
  - id: restored
    restore: { from: '{{ params.backup }}', database: app, into: in_place, owners: skip }
    unguarded: test
",
    )
    .database("app", &as_owner)
    .param("backup", stage.path("none").to_str().unwrap())
    .set();
    let before = codes_before(&poor, "in_place_blocked").await;
    let failure = failed(poor.act("restored").await);
    assert_eq!(failure.code, "runplan::restore::blocked");
    for text in [
        format!("schema theirs belongs to {other}"),
        "1 large objects belong to others".to_owned(),
        "publication theirs_pub belongs to postgres".to_owned(),
        "extension pageinspect goes with schema public, and only a superuser may make it again".to_owned(),
    ] {
        assert!(before.contains(&text), "{text}: {before}");
        assert!(failure.message.contains(&text), "{text}: {}", failure.message);
    }
    assert_eq!(poor.facts("restored", 1), [], "nothing was begun");
    is_untouched(&admin).await;
    poor.end().await;
    stage.end().await;
}
