//! What runs leave behind: listed, read, and removed when its time is over, and never before.

use crate::steps::backup::sample;
use crate::support::cluster::{connect, shared};
use crate::support::sandbox::Sandbox;
use runplan::postgres::Settings;
use serde_json::Value;
use std::path::{Path, PathBuf};

const HEAD: &str = "secrets: { DATABASE_URL: { env: DATABASE_URL } }\n\
                    databases: { app: { url: \"{{ secrets.DATABASE_URL }}\" } }\nsteps:\n";

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A database, and a place to work on it.
fn begin(stem: &str) -> (Settings, Sandbox) {
    let settings = block(sample(stem));
    let url = shared().url(settings.database());
    (settings, Sandbox::new().variable("DATABASE_URL", url.expose()))
}

/// What prune would do with everything that it finds.
fn pruned(sandbox: &Sandbox) -> Vec<Value> {
    let told = sandbox.run("prune --dry-run --format json").code(0).json();
    assert_eq!(told["not_asked"], serde_json::json!([]), "a server was not asked");
    told["found"].as_array().unwrap().clone()
}

fn of<'f>(found: &'f [Value], name: &str) -> &'f Value {
    found
        .iter()
        .find(|one| one["name"].as_str().unwrap().ends_with(name))
        .unwrap_or_else(|| panic!("{name}: {found:?}"))
}

/// The backups of a sandbox, the oldest first.
fn saved(sandbox: &Sandbox) -> Vec<PathBuf> {
    let listed = sandbox.run("backups list --format json").code(0).json();
    let mut found: Vec<(String, PathBuf)> = listed["backups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["taken_at"].is_string())
        .map(|one| (one["taken_at"].as_str().unwrap().to_owned(), one["path"].as_str().unwrap().into()))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn databases(settings: &Settings) -> Vec<String> {
    block(async {
        let admin = connect(&settings.with_database("postgres")).await;
        let sql = format!(
            "SELECT datname FROM pg_database WHERE datname LIKE '{}\\_%' ORDER BY 1",
            settings.database().replace('_', "\\_")
        );
        let found = admin.last(&sql).await.unwrap();
        found.rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
    })
}

#[test]
fn backups_are_listed_and_read_and_a_damaged_one_is_named() {
    let (_, sandbox) = begin("shelf");
    sandbox.plan(&format!(
        "{HEAD}  - {{ id: saved, backup: {{ database: app, to: backups, format: custom, keep: 7d }} }}\n"
    ));
    sandbox.run("backups").code(0).says("no backups here");
    sandbox.run("plan.yaml").code(0);
    std::fs::write(sandbox.path("backups/foreign.sql"), "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n")
        .unwrap();
    sandbox.run("backups").code(0).says("custom archive").says("foreign.sql").says("until");
    // The foreign one ends without pg_dump's last line.
    let verified = sandbox.run("backups verify").code(1);
    verified.says("whole: custom archive, 3 tables, 300 rows").says("ends before pg_dump's closing line");
    std::fs::remove_file(sandbox.path("backups/foreign.sql")).unwrap();
    sandbox.run("backups verify").code(0);
    let path = saved(&sandbox).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let json = sandbox.run(&format!("backups verify '{}' --format json", path.display())).code(1).json();
    assert_eq!((&json["damaged"], &json["backups"][0]["state"]), (&1.into(), &"damaged".into()));
    assert_eq!(json["backups"][0]["problem"]["code"], "runplan::archive::damaged");
    sandbox.run("backups verify nothing-here").code(6).complains("No such file");
}

#[test]
fn only_what_is_over_and_not_needed_goes() {
    let (settings, sandbox) = begin("prune");
    let save = "  - { id: saved, backup: { database: app, to: backups, format: custom, keep: 1s } }\n";
    let beside = "  - { id: restored, restore: { from: \"{{ steps.saved.path }}\", database: app } }\n";
    sandbox.plan(&format!("{HEAD}{save}{beside}"));
    sandbox.run("plan.yaml").code(0);
    sandbox.run("plan.yaml").code(0);
    sandbox.plan(&format!("{HEAD}{save}{beside}  - {{ id: go, approve: {{ message: 'go on?' }} }}\n"));
    sandbox.run("plan.yaml").code(4);
    let backups = saved(&sandbox);
    assert_eq!((backups.len(), databases(&settings).len()), (3, 3));
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    sandbox.until("the second backup may go", |sandbox| {
        pruned(sandbox).iter().filter(|one| one["goes"] == true && one["sort"] == "backup").count() == 2
    });
    sandbox.until("the parked run's would have gone", |sandbox| {
        of(&pruned(sandbox), &name(&backups[2]))["why"].as_str().unwrap().contains("is not over")
    });
    let found = pruned(&sandbox);
    assert_eq!(found.iter().filter(|one| one["sort"] == "side database" && one["goes"] == true).count(), 2);
    // A database that no run of this state directory made is left alone, and so is one whose comment was copied.
    let foreign = format!("{}_rp_foreign", settings.database());
    block(async {
        let admin = connect(&settings.with_database("postgres")).await;
        admin.execute(&format!("CREATE DATABASE {foreign}")).await.unwrap();
        let copy = format!(
            "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE {foreign} IS %L', (SELECT shobj_description(oid, \
             'pg_database') FROM pg_database WHERE datname = '{}')); END $$",
            databases_now(&admin, &settings).await
        );
        admin.execute(&copy).await.unwrap();
    });
    let found = pruned(&sandbox);
    assert_eq!(of(&found, "_rp_foreign")["why"], "its comment was written for another database");
    // Nobody agreed.
    sandbox.run("prune").code(2).complains("nobody confirmed");
    assert_eq!((saved(&sandbox).len(), databases(&settings).len()), (3, 4));
    sandbox.run("prune --yes").code(0).says("removed").says("stays");
    assert_eq!(saved(&sandbox), [backups[2].clone()]);
    assert!(
        !backups[0].exists() && !PathBuf::from(format!("{}.manifest.json", backups[0].display())).exists()
    );
    assert_eq!(databases(&settings).len(), 2, "the parked run's, and the foreign one");
    let log = std::fs::read_to_string(sandbox.state().join("pruned.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"event\":\"removing\"")).count(), 4);
    assert_eq!(log.lines().filter(|line| line.contains("\"event\":\"removed\"")).count(), 4);
    // Over: the side database goes, the last good backup never.
    let run = sandbox.run("runs --open --format json").json()["runs"][0]["run"].as_str().unwrap().to_owned();
    sandbox.run(&format!("stop {run} --for-good --reason test")).code(0);
    let found = pruned(&sandbox);
    assert!(
        of(&found, &name(&backups[2]))["why"].as_str().unwrap().contains("the last good backup"),
        "{found:?}"
    );
    sandbox.run("prune --yes").code(0);
    assert_eq!((saved(&sandbox).len(), databases(&settings)), (1, vec![foreign]));
    sandbox.run("prune --yes").code(0);
}

async fn databases_now(admin: &runplan::postgres::Connection, settings: &Settings) -> String {
    let sql = format!(
        "SELECT datname FROM pg_database WHERE datname LIKE '{}\\_rp\\_%' ORDER BY oid LIMIT 1",
        settings.database()
    );
    admin.one(&sql).await.unwrap()
}

#[test]
fn a_damaged_backup_is_not_the_last_good_one() {
    let (_, sandbox) = begin("prune_damaged");
    sandbox.plan(&format!(
        "{HEAD}  - {{ id: saved, backup: {{ database: app, to: backups, format: custom, keep: 1s }} }}\n"
    ));
    for _ in 0..3 {
        sandbox.run("plan.yaml").code(0);
    }
    let backups = saved(&sandbox);
    std::fs::write(&backups[2], "PGDMP damaged").unwrap();
    sandbox.until("the first may go", |sandbox| {
        of(&pruned(sandbox), &backups[0].display().to_string())["goes"] == true
    });
    let bad = backups[2].display().to_string();
    sandbox.until("the last is judged", |sandbox| {
        of(&pruned(sandbox), &bad)["why"].as_str().unwrap().contains("damaged")
    });
    let found = pruned(&sandbox);
    let good = of(&found, &backups[1].display().to_string());
    assert!(good["why"].as_str().unwrap().starts_with("the last good backup"), "{good}");
    sandbox.run("prune --yes").code(0);
    assert!(backups[1].exists() && !backups[0].exists());
}

#[test]
fn the_last_copy_of_lost_writes_wants_a_word_of_its_own() {
    for safety in [false, true] {
        let (settings, sandbox) = begin("prune_old");
        let copy = "  - { id: frozen, freeze: { database: app, quiet: 1s } }\n  \
                    - { id: safety, backup: { database: app, to: backups, format: custom } }\n";
        sandbox.plan(&format!(
            "{HEAD}  - {{ id: saved, backup: {{ database: app, to: backups, format: custom }} }}\n  \
             - {{ id: restored, restore: {{ from: \"{{{{ steps.saved.path }}}}\", database: app }} }}\n{}  \
             - {{ id: switched, swap: {{ database: app, with: \"{{{{ steps.restored.database }}}}\", keep_old: 1s }}, unguarded: test }}\n",
            if safety { copy } else { "" }
        ));
        sandbox.run("plan.yaml --yes").code(0);
        let old = databases(&settings);
        assert!(old.len() == 1 && old[0].contains("_old_"), "{old:?}");
        sandbox.until("its time is over", |sandbox| of(&pruned(sandbox), &old[0])["goes"] == true);
        assert_eq!(of(&pruned(&sandbox), &old[0])["last_copy"], !safety);
        let ran = sandbox.run("prune --yes").code(0);
        if safety {
            ran.says("removed").says("holds the same");
        } else {
            ran.complains("holds writes that are nowhere else; --last-copies removes it too");
            assert_eq!(databases(&settings), old);
            sandbox.run("prune --yes --last-copies").code(0).says("removed");
        }
        assert_eq!(databases(&settings), Vec::<String>::new());
    }
}

#[test]
fn a_side_database_whose_own_database_is_gone_stays_and_hides_no_other() {
    let (settings, mut sandbox) = begin("prune_gone");
    let (other, _) = begin("prune_there");
    sandbox.plan(&format!(
        "{HEAD}  - {{ id: saved, backup: {{ database: app, to: backups, format: custom }} }}\n  \
         - {{ id: restored, restore: {{ from: \"{{{{ steps.saved.path }}}}\", database: app }} }}\n"
    ));
    for target in [&settings, &other] {
        sandbox.set("DATABASE_URL", shared().url(target.database()).expose());
        sandbox.run("plan.yaml").code(0);
    }
    let beside = |target: &Settings| databases(target).remove(0);
    let (orphan, sound) = (beside(&settings), beside(&other));
    block(async {
        let admin = connect(&settings.with_database("postgres")).await;
        admin.execute(&format!("DROP DATABASE {}", settings.database())).await.unwrap();
    });
    let found = pruned(&sandbox);
    assert_eq!((&of(&found, &orphan)["goes"], &of(&found, &sound)["goes"]), (&false.into(), &true.into()));
    let why = of(&found, &orphan)["why"].as_str().unwrap().to_owned();
    assert!(
        why.contains("itself is not there") && why.contains(&format!("DROP DATABASE \"{orphan}\"")),
        "{why}"
    );
    sandbox.run("prune --yes").code(0);
    assert_eq!((databases(&settings).len(), databases(&other).len()), (1, 0));
}
