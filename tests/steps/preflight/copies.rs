//! A copy before it is run: privileges, key, and how many rows.

use super::{ask, codes, has_fact, of, one, role, shown};
use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, plan};
use runplan::postgres::Settings;

async fn pair() -> (Settings, Settings) {
    let (from, to) = (database("preflight_from").await, database("preflight_to").await);
    for settings in [&from, &to] {
        let sql = "CREATE TABLE users (id int PRIMARY KEY, name text); CREATE TABLE log (line text);
             INSERT INTO users SELECT g, 'n' FROM generate_series(1, 1000) g; ANALYZE users";
        connect(settings).await.execute(sql).await.unwrap();
    }
    (from, to)
}

fn stage(from: &Settings, to: &Settings, copy: &str) -> Stage {
    plan(&format!(
        "databases:\n  old: {{ url: postgresql://unused }}\n  app: {{ url: postgresql://unused }}\n\
         steps:\n  - {{ id: copied, copy: {{ from: old, to: app, {copy} }} }}\n"
    ))
    .database("old", from)
    .database("app", to)
    .set()
}

#[tokio::test]
async fn the_rows_are_estimated_and_the_condition_is_read() {
    let (from, to) = pair().await;
    let all = ask(&stage(&from, &to, "table: users, where: id <= 300, max_rows: 100")).await;
    has_fact(
        &all,
        "copied",
        "where: `SELECT * FROM ONLY public.users WHERE ( id <= 300 )` copies about 300 rows",
    );
    assert!(one(&all, "many_rows").message.contains("would copy about 300 rows"), "{}", shown(&all));
    let all = ask(&stage(&from, &to, "table: users, where: nmae = 'x'")).await;
    assert!(
        one(&all, "missing_object").message.contains("column \"nmae\" does not exist"),
        "{}",
        shown(&all)
    );
    let all = ask(&stage(&from, &to, "table: no_such, where: id = 1")).await;
    assert!(codes(&all).contains(&"runplan::copy::no_table"), "{}", shown(&all));
    assert!(!all.may_start());
}

#[tokio::test]
async fn the_key_is_there_and_unique() {
    let (from, to) = pair().await;
    let all = ask(&stage(&from, &to, "table: users, where: id = 1")).await;
    assert_eq!(codes(&all), Vec::<&str>::new(), "{}", shown(&all));
    for (copy, said, stops) in [
        ("table: log", "public.log has no primary key", true),
        ("table: users, key: [nmae]", "has no column nmae", true),
        ("table: users, key: [name]", "nothing makes name unique in public.users", false),
    ] {
        let all = ask(&stage(&from, &to, copy)).await;
        assert!(one(&all, "copy_key").message.contains(said), "{}", shown(&all));
        assert_eq!(all.may_start(), !stops, "{copy}");
    }
}

#[tokio::test]
async fn what_the_role_lacks_is_said_with_the_grant_that_mends_it() {
    let (from, to) = pair().await;
    let admin = connect(&to).await;
    admin.execute(&format!("REVOKE TEMP ON DATABASE {} FROM PUBLIC", to.database())).await.unwrap();
    let (name, weak) = role(&admin, &to).await;
    let stage = stage(&from, &weak, "table: users, where: id = 1, on_conflict: update");
    let all = ask(&stage).await;
    let missing: Vec<&str> = of(&all, "missing_privilege").iter().map(|one| one.message.as_str()).collect();
    for said in [
        "SELECT on public.users",
        "INSERT on public.users",
        "UPDATE on public.users",
        "DELETE on",
        "temporary",
    ] {
        assert!(missing.iter().any(|message| message.contains(said)), "{said}: {}", shown(&all));
    }
    for one in of(&all, "missing_privilege") {
        let grant = one.help.as_deref().unwrap().split_once(": ").unwrap().1;
        assert!(grant.starts_with("GRANT "), "{grant}");
        admin.execute(grant).await.unwrap_or_else(|error| panic!("{grant}: {error}"));
    }
    let all = ask(&stage).await;
    assert_eq!(codes(&all), Vec::<&str>::new(), "{}", shown(&all));
    admin.execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await.unwrap();
}
