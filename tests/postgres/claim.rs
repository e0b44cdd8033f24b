//! The claim on a database: as a superuser, as a granted role, as a plain owner.

use crate::support::cluster::{connect, database, unique};
use runplan::postgres::claim::{self, Claim, Place, Written, clear_sql, place, read, write_sql};
use runplan::postgres::{Connection, Error, Kind, identity};

fn claim(epoch: u64) -> Claim {
    Claim {
        run: "scenario_2-20261122-0311-k7f3".to_owned(),
        operator: "o'brien \\ \"ops\"".to_owned(),
        host: "bastion".to_owned(),
        since: "2026-11-22T03:11:00Z".to_owned(),
        epoch,
        doing: Some("restored".to_owned()),
        uid: Some(1000),
        state: Some("/var/lib/o'brien's \"runs\"\nand more".to_owned()),
    }
}

/// Over whatever stands there.
async fn write(connection: &Connection, name: &str, claim: &Claim) -> Result<Place, Error> {
    let standing = read(connection, name).await.unwrap();
    match claim::write(connection, name, standing.as_ref(), claim, "true").await? {
        Written::At(place) => Ok(place),
        Written::Other(other) => panic!("{other:?} came in between"),
    }
}

/// Whatever stands there.
async fn clear(connection: &Connection, name: &str) -> Result<(), Error> {
    let standing = read(connection, name).await.unwrap().expect("a claim");
    assert!(claim::clear(connection, name, &standing).await?);
    Ok(())
}

/// A database with a comment, and a session of its owner, who is nobody special.
async fn owned(stem: &str) -> (String, Connection, Connection) {
    let settings = database(stem).await;
    let name = settings.database().to_owned();
    let admin = connect(&settings).await;
    let owner = connect(&settings).await;
    let role = unique("owner");
    admin
        .execute(&format!("CREATE ROLE {role}; ALTER DATABASE {name} OWNER TO {role}; COMMENT ON DATABASE {name} IS 'Shop,\nlive'"))
        .await
        .unwrap();
    owner.execute(&format!("SET ROLE {role}")).await.unwrap();
    (name, admin, owner)
}

async fn comment(connection: &Connection, name: &str) -> Option<String> {
    let sql =
        format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'");
    connection.value(&sql).await.unwrap()
}

#[tokio::test]
async fn a_superuser_writes_it_as_a_setting_and_the_comment_stays() {
    let (name, admin, owner) = owned("superuser").await;
    assert_eq!(read(&admin, &name).await.unwrap(), None);
    assert_eq!(write(&admin, &name, &claim(1)).await.unwrap(), Place::Setting);
    assert_eq!(write(&admin, &name, &claim(2)).await.unwrap(), Place::Setting);
    assert_eq!(read(&owner, &name).await.unwrap(), Some(claim(2)), "everybody can read it");
    assert_eq!(comment(&admin, &name).await.as_deref(), Some("Shop,\nlive"));
    clear(&admin, &name).await.unwrap();
    assert_eq!(read(&admin, &name).await.unwrap(), None);
}

#[tokio::test]
async fn it_is_as_transactional_as_the_rest() {
    let (name, admin, _) = owned("transactional").await;
    admin.execute(&format!("BEGIN; {}; ROLLBACK", write_sql(&name, &claim(1)).unwrap())).await.unwrap();
    assert_eq!(read(&admin, &name).await.unwrap(), None);
    admin.execute(&format!("BEGIN; {}; COMMIT", write_sql(&name, &claim(1)).unwrap())).await.unwrap();
    admin.execute(&format!("BEGIN; {}; ROLLBACK", clear_sql(&name))).await.unwrap();
    assert_eq!(read(&admin, &name).await.unwrap(), Some(claim(1)));
}

#[tokio::test]
async fn it_follows_a_rename_and_sessions_still_begin() {
    let settings = database("renamed").await;
    let admin = connect(&settings.with_database("postgres")).await;
    let (old, new) = (settings.database(), unique("new_name"));
    write(&admin, old, &claim(3)).await.unwrap();
    admin.execute(&format!("ALTER DATABASE {old} RENAME TO {new}")).await.unwrap();
    assert_eq!(read(&admin, &new).await.unwrap(), Some(claim(3)));
    assert_eq!(read(&admin, old).await.unwrap_err().kind(), Kind::NoDatabase);
    let session = connect(&settings.with_database(&new)).await;
    assert!(session.one("SHOW runplan.claim").await.unwrap().contains("k7f3"));
}

#[tokio::test]
async fn a_plain_owner_may_not_set_it_and_uses_the_comment() {
    let (name, admin, owner) = owned("plain").await;
    let error = owner.execute(&write_sql(&name, &claim(1)).unwrap()).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42501"), "{error}");
    assert_eq!(write(&owner, &name, &claim(1)).await.unwrap(), Place::Comment);
    assert_eq!(write(&owner, &name, &claim(2)).await.unwrap(), Place::Comment);
    assert_eq!(read(&admin, &name).await.unwrap(), Some(claim(2)));
    assert!(comment(&admin, &name).await.unwrap().starts_with("Shop,\nlive\nrunplan.claim={"));
    clear(&owner, &name).await.unwrap();
    assert_eq!(read(&admin, &name).await.unwrap(), None);
    assert_eq!(comment(&admin, &name).await.as_deref(), Some("Shop,\nlive"));
    // Without a comment of the user's, none is left.
    admin.execute(&format!("COMMENT ON DATABASE {name} IS NULL")).await.unwrap();
    write(&owner, &name, &claim(3)).await.unwrap();
    clear(&owner, &name).await.unwrap();
    assert_eq!(comment(&admin, &name).await, None);
}

#[tokio::test]
async fn an_owner_who_was_granted_the_parameter_writes_the_setting() {
    let (name, admin, owner) = owned("granted").await;
    let role = owner.one("SELECT current_user").await.unwrap();
    if identity::server_version(&admin).await.unwrap() < 150_000 {
        // Nothing of the sort can be granted before 15.
        assert_eq!(write(&owner, &name, &claim(1)).await.unwrap(), Place::Comment);
        return;
    }
    assert_eq!(place(&owner).await.unwrap(), Place::Comment);
    admin.execute(&format!("GRANT SET ON PARAMETER \"runplan.claim\" TO {role}")).await.unwrap();
    assert_eq!(write(&owner, &name, &claim(1)).await.unwrap(), Place::Setting);
    clear(&owner, &name).await.unwrap();
    assert_eq!(read(&owner, &name).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_read_says_how_to_remove_it() {
    let (name, admin, _) = owned("garbled").await;
    admin.execute(&format!("ALTER DATABASE {name} SET runplan.claim = 'garbled'")).await.unwrap();
    let error = read(&admin, &name).await.unwrap_err();
    assert!(error.help().unwrap().contains(&clear_sql(&name)), "{error:?}");
}

#[tokio::test]
async fn two_claims_never_stand_beside_each_other() {
    let (name, admin, owner) = owned("both").await;
    write(&admin, &name, &claim(1)).await.unwrap();
    for refused in [write(&owner, &name, &claim(2)).await.map(drop), clear(&owner, &name).await] {
        assert_eq!(refused.unwrap_err().kind(), Kind::Access);
    }
    clear(&admin, &name).await.unwrap();
    write(&owner, &name, &claim(2)).await.unwrap();
    write(&admin, &name, &claim(3)).await.unwrap();
    assert_eq!(comment(&admin, &name).await.as_deref(), Some("Shop,\nlive"));
    assert_eq!(read(&owner, &name).await.unwrap(), Some(claim(3)));
}

#[tokio::test]
async fn only_what_was_expected_is_written_over_or_removed() {
    let (name, admin, owner) = owned("compared").await;
    for session in [&admin, &owner] {
        let none = claim::write(session, &name, Some(&claim(1)), &claim(2), "true").await.unwrap();
        assert_eq!(none, Written::Other(None));
        write(session, &name, &claim(1)).await.unwrap();
        let other = claim::write(session, &name, None, &claim(2), "true").await.unwrap();
        assert_eq!(other, Written::Other(Some(claim(1))));
        let lost = claim::write(session, &name, Some(&claim(1)), &claim(2), "false").await.unwrap_err();
        assert_eq!(lost.kind(), Kind::LockLost);
        assert!(!claim::clear(session, &name, &claim(2)).await.unwrap());
        assert_eq!(read(session, &name).await.unwrap(), Some(claim(1)));
        clear(session, &name).await.unwrap();
    }
}

#[tokio::test]
async fn of_many_who_claim_at_once_one_has_it() {
    let (name, admin, _) = owned("race").await;
    let settings = admin.settings().clone();
    let mut tries = tokio::task::JoinSet::new();
    for epoch in 1..=12 {
        let (settings, name) = (settings.clone(), name.clone());
        tries.spawn(async move {
            let session = connect(&settings).await;
            claim::write(&session, &name, None, &claim(epoch), "true").await.unwrap()
        });
    }
    let written = tries.join_all().await;
    let won = written.iter().filter(|written| matches!(written, Written::At(_))).count();
    assert_eq!(won, 1, "{written:?}");
}

#[tokio::test]
async fn any_session_can_tell_whether_exactly_this_claim_stands() {
    let (name, admin, owner) = owned("told").await;
    for session in [&admin, &owner] {
        write(session, &name, &claim(1)).await.unwrap();
        let standing = claim::standing(session, &name).await.unwrap().expect("a claim");
        let sql = format!("SELECT {}", claim::check_sql(&name, &standing));
        assert_eq!(owner.one(&sql).await.unwrap(), "t");
        write(session, &name, &claim(2)).await.unwrap();
        assert_eq!(owner.one(&sql).await.unwrap(), "f");
        clear(session, &name).await.unwrap();
        assert_eq!(owner.one(&sql).await.unwrap(), "f", "a claim that is gone is not ours");
        admin.execute(&format!("COMMENT ON DATABASE {name} IS NULL")).await.unwrap();
        assert_eq!(owner.one(&sql).await.unwrap(), "f");
        let gone = format!("SELECT {}", claim::check_sql("no_such_database", &standing));
        assert_eq!(owner.one(&gone).await.unwrap(), "f");
    }
}
