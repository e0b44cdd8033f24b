//! Roles and databases that begin every transaction read-only; the help, executed, mends it.

use super::{APP, ask, of, one, role, run, shown};
use crate::support::cluster::{connect, database};
use crate::support::stage::{done, plan};

const WRITES: &str = "  - { id: shut, freeze: { database: app, quiet: 200ms } }
  - { id: changed, sql: { database: app, statement: INSERT INTO t VALUES (1) } }\n";

#[tokio::test]
async fn a_role_that_begins_read_only_is_found_before_it_fails() {
    let settings = database("preflight_writable").await;
    let admin = connect(&settings).await;
    let (name, login) = role(&admin, &settings).await;
    let database = settings.database();
    run(&settings, &format!("CREATE TABLE t (a int); GRANT ALL ON t TO {name}; ALTER DATABASE {database} OWNER TO {name}; GRANT pg_signal_backend TO {name}")).await;
    let stage = plan(&format!("{APP}steps:\n{WRITES}")).database("app", &login).set();
    assert!(of(&ask(&stage).await, "begins_read_only").is_empty());
    let whole = format!("ALTER ROLE {name} SET default_transaction_read_only = on");
    let here = format!("ALTER ROLE {name} IN DATABASE {database} SET default_transaction_read_only = 'tru'");
    let standing = format!("ALTER ROLE {name} IN DATABASE postgres SET default_transaction_read_only = yes");
    for (sql, said) in [
        (whole, name.clone()),
        (here, format!("{name} in database {database}")),
        (standing, format!("{name} in database postgres")),
    ] {
        run(&settings, &sql).await;
        let all = ask(&stage).await;
        let found = of(&all, "begins_read_only");
        assert!(found.iter().all(|one| one.stops()) && !found.is_empty(), "{}", shown(&all));
        let message = &found[0].message;
        assert!(message.contains(&format!("role {said} begins every transaction read-only")), "{message}");
        assert!(message.ends_with("so shut and changed cannot write"), "{message}");
        let mends: Vec<String> = found
            .iter()
            .filter_map(|one| Some(one.help.as_ref()?.split("or: ").nth(1)?.to_owned()))
            .collect();
        for mend in mends {
            run(&settings, &mend).await;
        }
        assert!(of(&ask(&stage).await, "begins_read_only").is_empty());
    }
    // What the role says of itself in the database wins.
    run(&settings, &format!("ALTER ROLE {name} SET default_transaction_read_only = on; ALTER ROLE {name} IN DATABASE {database} SET default_transaction_read_only = off; ALTER ROLE {name} IN DATABASE postgres SET default_transaction_read_only = off")).await;
    assert!(of(&ask(&stage).await, "begins_read_only").is_empty());
    drop(admin);
    done(stage.act("shut").await);
    done(stage.undo("shut").await);
}

#[tokio::test]
async fn a_database_that_is_frozen_already_is_told_and_a_reader_does_not_mind() {
    let settings = database("preflight_frozen").await;
    run(
        &settings,
        &format!(
            "CREATE TABLE t (a int); ALTER DATABASE {} SET default_transaction_read_only = on",
            settings.database()
        ),
    )
    .await;
    let stage = plan(&format!("{APP}steps:\n{WRITES}")).database("app", &settings).set();
    let all = ask(&stage).await;
    let concern = one(&all, "begins_read_only");
    assert!(
        !concern.stops() && concern.message.contains("has somebody frozen it already?"),
        "{}",
        shown(&all)
    );
    done(stage.act("shut").await);
    done(stage.act("changed").await);
    let reads = "  - { id: r, sql: { database: app, read_only: true, statement: SELECT 1 } }\n";
    let stage = plan(&format!("{APP}steps:\n{reads}")).database("app", &settings).set();
    assert!(of(&ask(&stage).await, "begins_read_only").is_empty());
}
