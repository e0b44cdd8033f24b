//! What a backup asks of the server it goes to is told before anything runs, and the commands that are told mend it.

use super::super::backup::sample;
use super::super::restore::client;
use super::{APP, ask, has_fact, of, one, shown};
use crate::support::cluster::{connect, unique};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::plan::Severity;
use runplan::postgres::Settings;
use std::path::Path;

/// A plan that restores the file `backup`.
fn restoring(settings: &Settings, backup: &[u8], more: &str) -> Stage {
    let text = format!("{APP}steps:\n  - {{ id: side, restore: {{ from: backup, database: app{more} }} }}\n");
    let stage = plan(&text).database("app", settings).set();
    std::fs::write(stage.path("backup"), backup).unwrap();
    stage
}

/// The command after these words of a help.
fn command_after<'h>(help: &'h str, words: &str) -> &'h str {
    help.split(words).nth(1).unwrap_or_else(|| panic!("no `{words}` in: {help}"))
}

#[allow(clippy::disallowed_methods, reason = "somebody's shell")]
fn types(line: &str, directory: &Path) {
    let ran = std::process::Command::new("bash").args(["-c", line]).current_dir(directory).output().unwrap();
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test]
async fn roles_that_are_not_there_are_named_with_what_makes_them() {
    let settings = sample("needs_roles").await;
    let (owner, reader) = (unique("Gone owner"), unique("gone_reader"));
    let app = connect(&settings).await;
    let gone = format!(
        "CREATE ROLE \"{owner}\"; CREATE ROLE {reader}; GRANT SELECT ON users TO {reader};
         GRANT CREATE ON SCHEMA public TO \"{owner}\"; ALTER TABLE escrows OWNER TO \"{owner}\""
    );
    app.execute(&gone).await.unwrap();
    let backups = [&[][..], &["-Fc"], &["-Ft"]].map(|format| client(&settings, "pg_dump", format));
    app.execute(&format!(
        "REASSIGN OWNED BY \"{owner}\" TO CURRENT_USER; DROP OWNED BY \"{owner}\", {reader}; DROP ROLE \"{owner}\", {reader}"
    ))
    .await
    .unwrap();
    let mut help = String::new();
    for backup in &backups {
        let all = ask(&restoring(&settings, backup, "")).await;
        let said = one(&all, "backup_needs");
        assert!(!all.may_start() && said.severity == Severity::Error, "{}", shown(&all));
        assert!(said.message.contains("names roles that are not there:"), "{}", said.message);
        assert!(said.message.contains(&owner) && said.message.contains(&reader), "{}", said.message);
        help = said.help.clone().unwrap();
        for other in [
            ", owners: skip".to_owned(),
            format!(", owners: {{ map: {{ \"{owner}\": postgres, {reader}: postgres }} }}"),
        ] {
            let all = ask(&restoring(&settings, backup, &other)).await;
            assert!(of(&all, "backup_needs").is_empty(), "{other}: {}", shown(&all));
        }
    }
    // An earlier step that may make them is believed, and said.
    let text = format!(
        "{APP}steps:\n  - {{ id: made, shell: {{ argv: [\"true\"] }} }}\n  - {{ id: side, restore: {{ from: backup, database: app }} }}\n"
    );
    let stage = plan(&text).database("app", &settings).set();
    std::fs::write(stage.path("backup"), &backups[0]).unwrap();
    let all = ask(&stage).await;
    let said = one(&all, "backup_needs");
    assert!(
        said.severity == Severity::Warning && said.message.contains("unless made sees to it"),
        "{}",
        shown(&all)
    );
    // What the help says is what mends it, and then the step does its work.
    let mends = command_after(&help, "as a superuser: ").split("; or give").next().unwrap();
    app.execute(mends).await.unwrap();
    let stage = restoring(&settings, &backups[1], "");
    let all = ask(&stage).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, "side", "names is there: 3 roles, 0 extensions");
    stage.done("side").await;
    done(stage.undo("side").await);
    stage.end().await;
    let drop_both = format!("DROP OWNED BY \"{owner}\", {reader}; DROP ROLE \"{owner}\", {reader}");
    app.execute(&drop_both).await.unwrap();
}

/// Policies stay though owners are skipped, and nothing skips tablespaces: both are told, and what is told mends them.
#[tokio::test]
async fn roles_of_policies_and_tablespaces_are_asked_for_though_owners_are_skipped() {
    let settings = sample("needs_policies").await;
    let (reader, space) = (unique("gone_reader"), unique("gone_space"));
    let app = connect(&settings).await;
    let make_space = format!(
        "SET allow_in_place_tablespaces = on; CREATE TABLESPACE {space} LOCATION ''; \
         RESET allow_in_place_tablespaces"
    );
    for statement in make_space.split("; ") {
        app.execute(statement).await.unwrap();
    }
    app.execute(&format!(
        "CREATE ROLE {reader}; GRANT SELECT ON users TO {reader};
         CREATE POLICY of_reader ON users TO {reader} USING (true); CREATE TABLE apart (a int) TABLESPACE {space}"
    ))
    .await
    .unwrap();
    let backups = [&[][..], &["-Fc"]].map(|format| client(&settings, "pg_dump", format));
    app.execute(&format!("DROP TABLE apart; DROP POLICY of_reader ON users; DROP OWNED BY {reader}"))
        .await
        .unwrap();
    app.execute(&format!("DROP ROLE {reader}")).await.unwrap();
    app.execute(&format!("DROP TABLESPACE {space}")).await.unwrap();
    for backup in &backups {
        let stage = restoring(&settings, backup, ", owners: skip");
        let all = ask(&stage).await;
        let said = one(&all, "backup_needs");
        assert!(!all.may_start() && said.severity == Severity::Error, "{}", shown(&all));
        let policies = format!("in its policies, which stay though owners are skipped: {reader};");
        assert!(said.message.contains(&policies), "{}", said.message);
        let spaces = format!("into tablespaces that are not there: {space}");
        assert!(said.message.contains(&spaces), "{}", said.message);
        let help = said.help.as_deref().unwrap();
        assert!(
            help.contains(&format!("CREATE ROLE \"{reader}\"; in place of `owners: skip` give")),
            "{help}"
        );
        assert!(help.contains(&format!("CREATE TABLESPACE \"{space}\" LOCATION")), "{help}");
        let failure = failed(stage.act("side").await);
        assert_eq!(failure.code, "runplan::restore::needs", "the step says the same: {}", failure.message);
    }
    // A role of the policy alone may be mapped; then only the tablespace is left.
    let map = format!(", owners: {{ map: {{ {reader}: postgres }} }}");
    let all = ask(&restoring(&settings, &backups[0], &map)).await;
    let said = one(&all, "backup_needs");
    assert!(!said.message.contains("roles") && said.message.contains(&space), "{}", said.message);
    for statement in make_space.split("; ") {
        app.execute(statement).await.unwrap();
    }
    app.execute(&format!("CREATE ROLE {reader}")).await.unwrap();
    let stage = restoring(&settings, &backups[1], ", owners: skip");
    let all = ask(&stage).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, "side", "names is there: its owners are skipped, 0 extensions, 1 tablespace");
    stage.done("side").await;
    done(stage.undo("side").await);
    stage.end().await;
    app.execute(&format!("DROP ROLE {reader}")).await.unwrap();
    app.execute(&format!("DROP TABLESPACE {space}")).await.unwrap();
}

/// As the manifest says of a backup that the program made: nothing is read for it.
#[tokio::test]
async fn a_manifest_tells_it_too() {
    let settings = sample("needs_manifest").await;
    let reader = unique("gone_reader");
    let app = connect(&settings).await;
    app.execute(&format!("CREATE ROLE {reader}; GRANT SELECT ON users TO {reader}")).await.unwrap();
    let made =
        plan("steps:\n- { id: a, backup: { database: app, to: b } }\n").database("app", &settings).set();
    let path = made.done("a").await["path"].as_str().unwrap().to_owned();
    app.execute(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}")).await.unwrap();
    let text = format!("{APP}steps:\n  - {{ id: side, restore: {{ from: \"{path}\", database: app }} }}\n");
    let all = ask(&plan(&text).database("app", &settings).set()).await;
    assert!(one(&all, "backup_needs").message.contains(&reader), "{}", shown(&all));
    made.end().await;
}

#[tokio::test]
async fn extensions_that_are_not_installed_are_named_with_their_packages() {
    let settings = sample("needs_extensions").await;
    let dump =
        b"CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;\nCREATE EXTENSION no_such_extension;\n";
    let all = ask(&restoring(&settings, dump, ", owners: skip")).await;
    let said = one(&all, "backup_needs");
    assert!(
        !all.may_start() && said.message.contains("not installed there: no_such_extension, postgis"),
        "{}",
        shown(&all)
    );
    let help = said.help.as_deref().unwrap();
    assert!(help.contains("apt-get install postgresql-") && help.contains("-postgis-3"), "{help}");
    assert!(help.contains("apt-cache search postgresql-"), "{help}");
}

/// `pg_dump -C --clean` would drop the live database: plain SQL of it is refused, and its archives hold it only for a
/// pg_restore that is asked to.
#[tokio::test]
async fn a_dump_that_makes_its_own_database_is_refused_with_the_command_that_leaves_it_out() {
    let settings = sample("needs_create").await;
    let name = settings.database();
    connect(&settings)
        .await
        .execute(&format!("ALTER DATABASE {name} SET work_mem = '5MB'; COMMENT ON DATABASE {name} IS 'shop'"))
        .await
        .unwrap();
    for flags in [&["-C", "--clean"][..], &["-C"]] {
        let dump = client(&settings, "pg_dump", flags);
        let stage = restoring(&settings, &dump, "");
        let all = ask(&stage).await;
        let said = one(&all, "runplan::sql::dump_database");
        assert!(!all.may_start() && said.is_final() && said.message.contains("DATABASE"), "{}", shown(&all));
        types(command_after(said.help.as_deref().unwrap(), "name what is left: "), &stage.path(""));
        let mended = std::fs::read(stage.path("backup.one.sql")).unwrap();
        let stage = restoring(&settings, &mended, "");
        let all = ask(&stage).await;
        assert!(all.may_start() && of(&all, "backup_needs").is_empty(), "{flags:?}: {}", shown(&all));
        let side = stage.done("side").await["database"].as_str().unwrap().to_owned();
        let inside = connect(&settings.with_database(&side)).await;
        assert_eq!(inside.one("SELECT count(*) FROM users").await.unwrap(), "100");
        drop(inside);
        done(stage.undo("side").await);
        stage.end().await;
        let mut archive = vec!["-Fc"];
        archive.extend(flags);
        let all = ask(&restoring(&settings, &client(&settings, "pg_dump", &archive), "")).await;
        assert!(all.may_start(), "{flags:?}: {}", shown(&all));
    }
    // Packed, and somebody's own `\connect`.
    let packed = restoring(&settings, b"CREATE TABLE t ();\n", "");
    std::fs::write(packed.path("backup"), "\\connect app\n\nCREATE TABLE t ();\n").unwrap();
    types("gzip backup && mv backup.gz backup", &packed.path(""));
    let all = ask(&packed).await;
    let said = one(&all, "runplan::sql::dump_meta_command");
    types(command_after(said.help.as_deref().unwrap(), "name what is left: "), &packed.path(""));
    assert_eq!(std::fs::read_to_string(packed.path("backup.one.sql")).unwrap(), "CREATE TABLE t ();\n");
}
