//! What runs leave behind: listed, read, and removed when its time is over, and never before.

use crate::steps::backup::sample;
use crate::support::cluster::{connect, programs, shared};
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
    let (settings, sandbox) = begin("shelf");
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
    let whole = format!("whole: custom archive of {}, 3 tables, 300 rows", settings.database());
    verified.says(&whole).says("ends before pg_dump's closing line");
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
    // A name ends no line, so that it forges none.
    let forged = sandbox.path("backups/a\nb: whole\u{1b}[2J.sql");
    std::fs::write(&forged, "").unwrap();
    for (command, code) in [("backups list", 0), ("backups verify", 1)] {
        let shown = sandbox
            .run(command)
            .code(code)
            .says("a\u{fffd}b: whole\u{fffd}[2J.sql")
            .says("the file is empty");
        assert!(!shown.stdout.contains('\u{1b}'), "{}", shown.stdout);
    }
    std::fs::remove_file(&forged).unwrap();
    // What cannot be used does not keep the others from being read.
    let archive = sandbox.path("foreign.custom");
    dump_to(&settings, &archive);
    let verified = sandbox.run("backups verify nothing-here foreign.custom plan.yaml").code(1);
    let verified = verified
        .says("No such file")
        .says(&format!("readable to its end: custom archive of {}, 3 tables, 300 rows", settings.database()))
        .says("no checksum to compare with");
    assert!(!verified.stdout.contains("whole"), "{}", verified.stdout);
    sandbox
        .run("backups list nothing-here foreign.custom")
        .code(1)
        .says("custom archive, foreign")
        .says("No such file");
}

/// As a user would.
#[allow(clippy::disallowed_methods, reason = "pg_dump is run as a user would run it")]
fn dump_to(settings: &Settings, path: &Path) {
    let program = programs().find("pg_dump", 0).unwrap();
    let variables =
        settings.client_environment().into_iter().map(|(name, value)| (name, value.expose().to_owned()));
    let mut command = std::process::Command::new(program.path);
    let ended = command.arg("-Fc").arg("-f").arg(path).envs(variables).status().unwrap();
    assert!(ended.success());
}

/// Of what, and how much of it: also where a program reads the list, which wants names in one piece.
#[test]
fn a_partial_backup_is_called_one() {
    let (settings, sandbox) = begin("a_database_with_a_name_that_is_as_long_as_a_line");
    sandbox.plan(&format!(
        "{HEAD}  - {{ id: saved, backup: {{ database: app, to: backups, format: custom, tables: [messages] }} }}\n"
    ));
    sandbox.run("plan.yaml").code(0);
    let name = saved(&sandbox).remove(0).file_name().unwrap().to_string_lossy().into_owned();
    sandbox.run("backups").code(0).says("only tables: messages").says(settings.database()).says(&name);
    let run = sandbox.only_run();
    sandbox
        .run("backups verify")
        .code(0)
        .says("whole, of a part (tables: messages)")
        .says(&format!("run {run}"));
    let json = sandbox.run("backups --format json").code(0).json();
    let one = &json["backups"][0];
    assert_eq!(one["scope"], serde_json::json!({ "tables": ["messages"] }));
    assert_eq!((&one["by_runplan"], &one["database"]), (&true.into(), &settings.database().into()));
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

/// Three runs of two plans, and one that waits; the runs by the order of their start.
fn history() -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::new();
    let touch = |name: &str| {
        format!(
            "steps:\n  - {{ id: {name}, shell: {{ argv: [test, -e, flag], changes: none, repeatable: true }} }}\n"
        )
    };
    sandbox.write("other.yaml", &format!("runplan: 1\nname: other\n{}", touch("a")));
    sandbox.plan(&touch("a"));
    let mut runs = Vec::new();
    let mut begin = |line: &str, code| {
        let all = |sandbox: &Sandbox| -> Vec<String> {
            let all = sandbox.run("runs --format json").json()["runs"].as_array().unwrap().clone();
            all.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
        };
        sandbox.run(line).code(code);
        runs.extend(all(&sandbox).into_iter().find(|run| !runs.contains(run)));
    };
    begin("other.yaml --reason 'it waits'", 4);
    std::fs::write(sandbox.path("flag"), "").unwrap();
    begin("plan.yaml --reason first", 0);
    begin("plan.yaml --reason second", 0);
    std::fs::remove_file(sandbox.path("flag")).unwrap();
    begin("plan.yaml", 4);
    let last = runs[3].clone();
    sandbox.run(&format!("stop {last} --for-good --reason enough")).code(0);
    (sandbox, runs)
}

#[test]
fn the_history_is_asked_by_plan_time_result_person_and_number() {
    let (sandbox, runs) = history();
    let listed = |filters: &str| -> Vec<String> {
        let found = sandbox.run(&format!("runs --format json {filters}")).code(0).json();
        found["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("--plan plan"), runs[1..]);
    assert_eq!(listed("--result done"), runs[1..3]);
    assert_eq!(listed("--result parked --result failed"), [runs[0].clone(), runs[3].clone()]);
    assert_eq!(listed("--since 1h -n 2"), runs[2..]);
    assert_eq!(listed("--until 1h"), Vec::<String>::new());
    assert_eq!(listed("--until 2999-01-01 --plan other --open"), runs[..1]);
    assert_eq!(listed("--operator nobody-here"), Vec::<String>::new());
    let me = sandbox.run("runs --format json").json()["runs"][0]["operator"].as_str().unwrap().to_owned();
    assert_eq!(listed(&format!("--operator '{me}'")), runs);
    assert_eq!(listed("--database app"), Vec::<String>::new());
    let text = sandbox.run("runs").code(0).stdout;
    let at = |run: &String| text.find(run.as_str()).unwrap();
    assert!(at(&runs[3]) < at(&runs[2]) && at(&runs[1]) < at(&runs[0]), "the newest first: {text}");
    assert!(text.contains("took") && text.contains("parked: step"), "{text}");
    sandbox.run("runs --plan nothing").code(0).says("no run is like that");
    sandbox.run("runs --since yesterday").code(2).complains("does not say when");
    sandbox.run("runs --since 1h --until 2h").code(2).complains("not before --until");
    sandbox.run("runs --result odd").code(2).complains("possible values");
}

#[test]
fn old_runs_go_and_those_that_are_open_or_held_stay() {
    let (sandbox, runs) = history();
    let there = || {
        let mut there: Vec<String> =
            runs.iter().filter(|run| sandbox.state().join("runs").join(run).is_dir()).cloned().collect();
        there.sort_by_key(|run| runs.iter().position(|one| one == run));
        there
    };
    sandbox.run("runs prune").code(0).says("stays").says("it is not over");
    sandbox.run("runs prune --older-than 90 --yes").code(2).complains("write a duration");
    sandbox.run("runs prune --older-than 0s").code(2).complains("nobody confirmed");
    assert_eq!(there(), runs);
    let dry = sandbox.run("runs prune --older-than 0s --keep-last 1 --dry-run --format json").code(0).json();
    let goes: Vec<&str> = dry["runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["goes"] == true)
        .map(|one| one["run"].as_str().unwrap())
        .collect();
    assert_eq!(goes, [runs[2].as_str(), runs[1].as_str()]);
    // Somebody is looking after one of them.
    let lock = std::fs::File::options()
        .write(true)
        .open(sandbox.state().join("runs").join(&runs[1]).join("lock"))
        .unwrap();
    lock.lock().unwrap();
    let held = sandbox.run("runs prune --older-than 0s --keep-last 1 --yes").code(1);
    held.says("removed 1 run, which frees").complains("is held by");
    assert_eq!(there(), [runs[0].clone(), runs[1].clone(), runs[3].clone()]);
    drop(lock);
    // What a killed removal left is not taken for a run, and goes with time.
    let grave = sandbox.state().join("new").join(format!("{}.1", runs[2]));
    std::fs::create_dir_all(grave.join("process")).unwrap();
    sandbox.run("runs prune --older-than 0s --yes").code(0).says("removed 2 runs");
    assert_eq!(there(), runs[..1]);
    sandbox.run(&format!("report {}", runs[1])).code(2).complains("there is no run");
    sandbox.run("status").code(0).says("step a failed");
    let log = std::fs::read_to_string(sandbox.state().join("pruned.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"event\":\"removed\"")).count(), 3);
    assert_eq!(sandbox.read("runplan/history.jsonl").lines().count(), 2, "what they measured stays");
}

#[test]
fn a_run_stays_as_long_as_what_it_left_behind() {
    let (settings, sandbox) = begin("prune_run");
    sandbox.plan(&format!(
        "{HEAD}  - {{ id: saved, backup: {{ database: app, to: backups, keep: 1s }} }}\n  \
         - {{ id: restored, restore: {{ from: \"{{{{ steps.saved.path }}}}\", database: app }} }}\n"
    ));
    sandbox.run("plan.yaml").code(0);
    let prune = || sandbox.run("runs prune --older-than 0s --yes").code(0);
    prune().says("its backup is still there");
    // As a volume that is not mounted.
    std::fs::rename(sandbox.path("backups"), sandbox.path("elsewhere")).unwrap();
    prune().says("backups is not there");
    std::fs::rename(sandbox.path("elsewhere"), sandbox.path("backups")).unwrap();
    for path in saved(&sandbox) {
        std::fs::remove_dir_all(&path).unwrap();
    }
    prune().says("its side database is still there");
    let url = shared().url(settings.database());
    let gone = Sandbox::new().variable("DATABASE_URL", &url.expose().replace("127.0.0.1", "127.0.0.2"));
    gone.run(&format!("--state '{}' runs prune --older-than 0s --yes", sandbox.state().display()))
        .code(0)
        .says("the server of `app` could not be");
    sandbox.run("prune --yes").code(0);
    prune().says("removed 1 run");
}

#[test]
fn a_run_that_keeps_a_database_frozen_stays_until_it_is_opened_again() {
    let (_settings, sandbox) = begin("prune_frozen");
    sandbox.plan(&format!(
        "{HEAD}  - {{ id: frozen, freeze: {{ database: app }} }}\n  \
         - {{ id: bad, shell: {{ argv: [\"false\"], changes: none }} }}\n"
    ));
    sandbox.run("plan.yaml").code(4);
    sandbox.run("stop plan --for-good").code(0).complains("database app is still frozen");
    let run = sandbox.only_run();
    let prune = || sandbox.run("runs prune --older-than 0s --yes --format json").code(0).json();
    let why = prune()["runs"][0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("database app is still frozen by it"), "{why}");
    assert!(why.contains(&format!("runplan undo {run}")), "{why}");
    assert!(sandbox.state().join("runs").join(&run).is_dir(), "its undo alone knows how to open it");
    sandbox.run("undo plan --yes").code(1);
    assert_eq!(prune()["runs"][0]["removed"], true);
    assert!(!sandbox.state().join("runs").join(&run).exists());
}
