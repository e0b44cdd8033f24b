//! Backups that are cut, flipped, foreign or hostile: refused before anything is touched, each with its reason.

use super::backup::sample;
use super::swap::maintenance;
use crate::support::chance::Chance;
use crate::support::cluster::{connect, programs};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::postgres::Settings;
use runplan::steps::{Reading, inspect};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

fn stage(settings: &Settings, saved: &str) -> Stage {
    plan(&format!(
        "databases: {{ app: {{ url: unused }} }}
params: {{ backup: {{ type: path, required: true }} }}
steps:
  - id: saved
    backup: {{ database: app, to: ./backups{saved} }}
  - id: restored
    restore: {{ from: '{{{{ params.backup }}}}', database: app }}
"
    ))
    .database("app", settings)
    .param("backup", "foreign")
    .set()
}

fn reading() -> Reading {
    Reading::new(&programs(), &CancellationToken::new())
}

/// The files of a backup.
fn files(path: &Path) -> Vec<PathBuf> {
    match path.is_dir() {
        true => std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => vec![path.to_owned()],
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_backup_of_ours_is_found() {
    let settings = sample("flipped").await;
    let mut chance = Chance::new(7);
    for saved in
        ["", ", format: custom, compress: none", ", format: plain", ", format: plain, compress: none"]
    {
        let stage = stage(&settings, saved);
        let path = PathBuf::from(stage.done("saved").await["path"].as_str().unwrap());
        assert!(inspect(&reading(), &path).await.unwrap().complete);
        let files = files(&path);
        for _ in 0..60 {
            let file = &files[chance.below(files.len())];
            let good = std::fs::read(file).unwrap();
            let mut bad = good.clone();
            let at = chance.below(bad.len());
            bad[at] ^= 1 << chance.below(8);
            std::fs::write(file, bad).unwrap();
            let found = inspect(&reading(), &path).await;
            assert!(found.is_err(), "{saved}: byte {at} of {}", file.display());
            std::fs::write(file, good).unwrap();
        }
        assert!(inspect(&reading(), &path).await.is_ok());
    }
}

#[tokio::test]
async fn a_cut_backup_without_a_manifest_is_refused() {
    let settings = sample("cut").await;
    let mut chance = Chance::new(8);
    for saved in [
        "",
        ", format: custom",
        ", format: plain",
        ", format: plain, compress: zstd",
        ", format: plain, compress: none",
    ] {
        let stage = stage(&settings, saved);
        let path = PathBuf::from(stage.done("saved").await["path"].as_str().unwrap());
        std::fs::remove_file(
            path.with_file_name(format!("{}.manifest.json", path.file_name().unwrap().display())),
        )
        .unwrap();
        assert!(inspect(&reading(), &path).await.unwrap().complete, "{saved}");
        for file in files(&path) {
            let good = std::fs::read(&file).unwrap();
            for _ in 0..8 {
                let keep = chance.below(good.len().saturating_sub(3).max(1));
                std::fs::write(&file, &good[..keep]).unwrap();
                let found = inspect(&reading(), &path).await;
                assert!(found.is_err(), "{saved}: {keep} of {} bytes of {}", good.len(), file.display());
            }
            std::fs::write(&file, good).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_no_backup_or_hostile_is_refused_before_anything_is_made() {
    let settings = sample("hostile").await;
    let stage = stage(&settings, "");
    let flag = stage.path("touched");
    for (text, code) in [
        (String::new(), "runplan::archive::empty"),
        ("\0\x01binary".to_owned(), "runplan::archive::not_a_backup"),
        (format!("\\! touch {}\n", flag.display()), "runplan::sql::dump_meta_command"),
        ("\\connect other\n".to_owned(), "runplan::sql::dump_meta_command"),
        ("CREATE TABLE x ();\nCOMMIT;\n".to_owned(), "runplan::sql::dump_transaction"),
        (format!("COPY t FROM PROGRAM 'touch {}';\n", flag.display()), "runplan::sql::dump_program"),
        ("CREATE TABLE x (a int);\nCOPY x FROM stdin;\n1\n2\n".to_owned(), "runplan::archive::cut_short"),
        ("DROP DATABASE app;\n".to_owned(), "runplan::sql::dump_database"),
    ] {
        std::fs::write(stage.path("foreign"), &text).unwrap();
        let failure = failed(stage.act("restored").await);
        assert_eq!(failure.code, code, "{text:?}: {}", failure.message);
        assert!(failure.help.is_some() && failure.permanent, "{failure:?}");
        assert_eq!(stage.facts("restored", 1), [], "nothing was begun");
    }
    assert!(!flag.exists());
    std::fs::create_dir(stage.path("directory")).unwrap();
    let found = inspect(&reading(), &stage.path("directory")).await.unwrap_err();
    assert_eq!(found.code, "runplan::archive::not_a_backup");
}

#[tokio::test]
async fn a_foreign_backup_is_restored_and_a_failing_one_leaves_nothing() {
    let settings = sample("foreign").await;
    let stage = stage(&settings, "");
    let good = "CREATE TABLE a (n int PRIMARY KEY);\nINSERT INTO a VALUES (1), (2);\n";
    std::fs::write(stage.path("foreign"), good).unwrap();
    let outputs = stage.done("restored").await;
    assert!(
        stage.warnings().iter().any(|warning| warning.contains("nothing proves")),
        "{:?}",
        stage.warnings()
    );
    let inside = connect(&settings.with_database(outputs["database"].as_str().unwrap())).await;
    assert_eq!(inside.one("SELECT count(*) FROM a").await.unwrap(), "2");
    drop(inside);
    done(stage.undo("restored").await);

    let bad = "CREATE TABLE a (n int);\nALTER TABLE a OWNER TO nobody_of_this_name;\n";
    std::fs::write(stage.path("foreign"), bad).unwrap();
    let failure = failed(runplan::steps::act(&stage.attempt("restored", 2)).await);
    assert!(failure.message.contains("role \"nobody_of_this_name\" does not exist"), "{}", failure.message);
    assert_eq!(sides(&settings).await, "0");
}

/// How many side databases there are.
pub async fn sides(settings: &Settings) -> String {
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname ~ '^{}_rp_'", settings.database());
    maintenance(settings).await.one(&sql).await.unwrap()
}
