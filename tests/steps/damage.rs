//! Backups that are cut, flipped, foreign or hostile: refused before anything is touched, each with its reason.

use super::backup::sample;
use super::swap::maintenance;
use crate::support::chance::Chance;
use crate::support::cluster::{connect, programs};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::postgres::Settings;
use runplan::run::Failure;
use runplan::steps::{Inspection, Proofs, Reading};
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

async fn inspect(reading: &Reading, path: &Path) -> Result<Inspection, Failure> {
    Proofs::default().anew(reading, path).await
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

/// What a packed dump holds.
fn text(bytes: &[u8], saved: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut reader: Box<dyn std::io::Read> = match saved {
        _ if saved.contains("zstd") => Box::new(zstd::Decoder::new(bytes).ok()?),
        _ if saved.contains("lz4") => Box::new(lz4_flex::frame::FrameDecoder::new(bytes)),
        _ => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
    };
    reader.read_to_end(&mut text).ok()?;
    Some(text)
}

/// A thousand random bits in backups of every format and compression, one at a time: by the manifest every one is found.
/// Read back without it, text that pg_dump wrote bare, and the table of contents of an archive, show nothing of a letter
/// that became another; packed text does, but for what its head says of the machine that packed it.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "counts, for whoever asks with --nocapture")]
async fn a_thousand_flipped_bits_are_all_found() {
    const FLIPS: usize = 1000;
    // The whole of the second question takes minutes: a sample of it is asked unless all is wanted.
    let every = if std::env::var_os("RUNPLAN_TEST_FULL").is_some() { 1 } else { 12 };
    let settings = sample("flipped").await;
    let mut chance = Chance::new(crate::support::chance::seed());
    let ways = [
        "",
        ", compress: none",
        ", format: custom",
        ", format: custom, compress: none",
        ", format: plain",
        ", format: plain, compress: zstd",
        ", format: plain, compress: lz4",
        ", format: plain, compress: none",
    ];
    let (mut asked, mut unread) = (0, Vec::new());
    for (turn, saved) in ways.iter().enumerate() {
        let stage = stage(&settings, saved);
        let path = PathBuf::from(stage.done("saved").await["path"].as_str().unwrap());
        let manifest = path.with_file_name(format!("{}.manifest.json", path.file_name().unwrap().display()));
        let away = stage.path("manifest.json");
        assert!(inspect(&reading(), &path).await.unwrap().complete);
        let files = files(&path);
        for flip in (turn..FLIPS).step_by(ways.len()) {
            let file = &files[chance.below(files.len())];
            let good = std::fs::read(file).unwrap();
            let mut bad = good.clone();
            let at = chance.below(bad.len());
            bad[at] ^= 1 << chance.below(8);
            std::fs::write(file, &bad).unwrap();
            let found = inspect(&reading(), &path).await;
            assert!(found.is_err(), "{saved}: byte {at} of {}", file.display());
            if (flip / ways.len()).is_multiple_of(every) {
                asked += 1;
                std::fs::rename(&manifest, &away).unwrap();
                if inspect(&reading(), &path).await.is_ok() {
                    unread.push(format!("{saved}: byte {at} of {}", file.display()));
                    // A checksum of the text protects these; some bits of a packed stream do not change it.
                    let packed = saved.contains("plain") && !saved.contains("none");
                    assert!(!packed || text(&bad, saved) == text(&good, saved), "{unread:?}");
                }
                std::fs::rename(&away, &manifest).unwrap();
            }
            std::fs::write(file, &good).unwrap();
        }
        assert!(inspect(&reading(), &path).await.is_ok());
    }
    println!(
        "{FLIPS} of {FLIPS} flips found by the manifest; of {asked} read back without it, {} passed: {unread:#?}",
        unread.len()
    );
}

/// Damage makes words of its own: they are not taken for somebody's.
#[tokio::test]
async fn a_damaged_packed_text_is_not_called_hostile() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("packed.sql.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"CREATE TABLE t ();\n\\! id\n").unwrap();
    let mut packed = packed.finish().unwrap();
    std::fs::write(&path, &packed).unwrap();
    let said = inspect(&reading(), &path).await.unwrap_err();
    assert_eq!(said.code, "runplan::sql::dump_meta_command", "{}", said.message);
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    std::fs::write(&path, &packed).unwrap();
    let said = inspect(&reading(), &path).await.unwrap_err();
    assert_eq!(said.code, "runplan::archive::damaged", "{}", said.message);
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
        ("CREATE ROLE intruder SUPERUSER;\n".to_owned(), "runplan::sql::dump_server"),
        ("ALTER USER postgres PASSWORD 'x';\n".to_owned(), "runplan::sql::dump_server"),
        ("ALTER SYSTEM SET archive_command = 'rm -rf /';\n".to_owned(), "runplan::sql::dump_server"),
        ("SET a.b = 1;\n\\copy t from /etc/passwd\n".to_owned(), "runplan::sql::dump_meta_command"),
        ("SET a.b = 1;\n\\i /etc/passwd\n".to_owned(), "runplan::sql::dump_meta_command"),
        ("SELECT 1 \\gexec\n".to_owned(), "runplan::sql::dump_meta_command"),
        ("\\restrict abc\nSELECT 1;\n\\unrestrict other\n".to_owned(), "runplan::sql::dump_restrict"),
        (
            "\\restrict abc\nSELECT 1;\n\\unrestrict abc\n\\! id\n".to_owned(),
            "runplan::sql::dump_meta_command",
        ),
        ("COPY t FROM '/etc/passwd';\n".to_owned(), "runplan::sql::dump_program"),
        ("COPY t FROM $$/etc/passwd$$;\n".to_owned(), "runplan::sql::dump_program"),
        ("COPY t FROM U&'/etc/passwd';\n".to_owned(), "runplan::sql::dump_program"),
        (format!("SELECT lo_export(1, '{}');\n", flag.display()), "runplan::sql::dump_outside"),
        (
            "CREATE TABLE t (a text);\nINSERT INTO t VALUES ('a'), (\"pg_read_file\"('PG_VERSION'));\n".to_owned(),
            "runplan::sql::dump_outside",
        ),
        ("CREATE TABLE t AS SELECT pg_read_file('PG_VERSION');\n".to_owned(), "runplan::sql::dump_outside"),
        ("COPY (SELECT pg_read_file('PG_VERSION')) TO STDOUT;\n".to_owned(), "runplan::sql::dump_outside"),
        ("CREATE TABLE t ();\nLOAD '/tmp/evil.so';\n".to_owned(), "runplan::sql::dump_outside"),
        (
            format!("CREATE TABLE t ();\nDO $$BEGIN COPY t TO PROGRAM 'touch {}'; END$$;\n", flag.display()),
            "runplan::sql::dump_outside",
        ),
        (
            format!("CREATE TABLE t ();\nDO $$BEGIN EXECUTE 'COPY t TO PROGRAM ''touch {}'''; END$$;\n", flag.display()),
            "runplan::sql::dump_outside",
        ),
        (
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT pg_read_file('PG_VERSION')$$;\nSELECT f();\n"
                .to_owned(),
            "runplan::sql::dump_outside",
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=h' PUBLICATION p WITH (create_slot = false);\n".to_owned(),
            "runplan::sql::dump_outside",
        ),
        ("-- PostgreSQL database cluster dump\nSET a.b = 1;\n".to_owned(), "runplan::archive::whole_server"),
        ("Dear all, the backup is on the other disk.\n".to_owned(), "runplan::archive::not_a_backup"),
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

    let bad = "CREATE TABLE a (n int);\nALTER TABLE a ALTER COLUMN n TYPE nothing_of_this_name;\n";
    std::fs::write(stage.path("foreign"), bad).unwrap();
    let failure = failed(runplan::steps::act(&stage.attempt("restored", 2)).await);
    assert!(failure.message.contains("type \"nothing_of_this_name\" does not exist"), "{}", failure.message);
    assert_eq!(sides(&settings).await, "0");
}

/// A block that ends the transaction itself is refused by the server, and nothing of the dump is kept; one that works inside
/// of it is as good as any statement. What only defines what could act outside is told, and restored.
#[tokio::test]
async fn blocks_cannot_commit_half_a_dump_and_honest_ones_are_restored() {
    let settings = sample("blocks").await;
    let place = plan(
        "databases: { app: { url: unused } }
steps:
  - id: restored
    restore: { from: foreign, database: app, into: in_place }
    unguarded: test
",
    )
    .database("app", &settings)
    .set();
    let head = "CREATE TABLE public.a (n int);\nINSERT INTO public.a VALUES (1);\n";
    let mut attempts = 1..;
    let mut next = || attempts.next().unwrap();
    for block in [
        "DO $$BEGIN COMMIT; END$$;",
        "DO $$BEGIN INSERT INTO public.a VALUES (2); ROLLBACK; END$$;",
        "CREATE PROCEDURE public.p() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$;\nCALL public.p();",
    ] {
        std::fs::write(place.path("foreign"), format!("{head}{block}\nCREATE TABLE public.b ();\n")).unwrap();
        let failure = failed(runplan::steps::act(&place.attempt("restored", next())).await);
        assert!(failure.message.contains("invalid transaction termination"), "{block}: {}", failure.message);
        let app = connect(&settings).await;
        assert_eq!(app.one("SELECT count(*) FROM messages").await.unwrap(), "100", "{block}");
        assert_eq!(app.value("SELECT to_regclass('public.a')").await.unwrap(), None, "{block}");
    }
    let beside = sample("blocks_beside").await;
    let stage = stage(&beside, "");
    for (number, block) in (1..).zip(["DO $$BEGIN COMMIT; END$$;", "DO 'BEGIN COMMIT; END';"]) {
        std::fs::write(stage.path("foreign"), format!("{head}{block}\n")).unwrap();
        let failure = failed(runplan::steps::act(&stage.attempt("restored", number)).await);
        assert!(failure.message.contains("invalid transaction termination"), "{block}: {}", failure.message);
        assert_eq!(sides(&beside).await, "0");
    }
    let honest = "DO $x$BEGIN INSERT INTO public.a SELECT g FROM generate_series(2, 9) g;
RAISE NOTICE '
\\! \\connect x'; END$x$;
CREATE FUNCTION public.peek() RETURNS text LANGUAGE sql AS $$SELECT pg_read_file('PG_VERSION')$$;
CREATE VIEW public.far AS SELECT public.peek() AS one;
";
    std::fs::write(place.path("foreign"), format!("{head}{honest}")).unwrap();
    done(runplan::steps::act(&place.attempt("restored", next())).await);
    let app = connect(&settings).await;
    assert_eq!(app.one("SELECT count(*) FROM public.a").await.unwrap(), "9");
    let told = place.warnings().join("\n");
    for text in ["act outside the database", "function public.peek (pg_read_file)", "view public.far (peek)"]
    {
        assert!(told.contains(text), "{told}");
    }
}

/// How many side databases there are.
pub async fn sides(settings: &Settings) -> String {
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname ~ '^{}_rp_'", settings.database());
    maintenance(settings).await.one(&sql).await.unwrap()
}
