//! Scenario 1 with the real Prisma: a migration that failed after it had committed its first half is found, taken back by
//! the SQL that a person read, and marked as rolled back; or the backup from before it is restored.

use crate::support::prisma::{DISPUTES, Project, root};
use crate::support::sandbox::{Ran, Sandbox};
use crate::support::team::Team;

const OPEN: &str =
    "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL";
const ROLLED_BACK: &str = "SELECT count(*) FROM _prisma_migrations WHERE rolled_back_at IS NOT NULL";
const BEFORE: &str = "_prisma_migrations escrows messages users";
const AFTER: &str = "_prisma_migrations disputes escrows messages users";

fn line(project: &Project, rest: &str) -> String {
    format!(
        "{} -p project={} -p backup_dir={} --reason 'nothing can be deployed' --plain {rest}",
        root("plans/scenario-1.yaml").display(),
        project.path("").display(),
        project.sandbox.path("safety").display(),
    )
}

fn down(project: &Project) -> String {
    project.read(&format!("prisma/migrations/{DISPUTES}/down.sql"))
}

/// A person takes the migration out of the project.
fn take_out(project: &Project) {
    let file = project.path(&format!("prisma/migrations/{DISPUTES}/down.sql"));
    let _ = std::fs::remove_file(file);
    project.git("revert --no-edit HEAD");
}

/// And the run ends.
fn corrected(project: &Project) -> Ran {
    take_out(project);
    project.approve("corrected", "reverted").code(0)
}

#[test]
fn a_migration_that_failed_midway_is_taken_back() {
    let project = Project::new();
    let failed = project.fails_midway();
    assert!(format!("{}{}", failed.stdout, failed.stderr).contains("P3018"), "{}", failed.stderr);
    assert_eq!(project.tables(), AFTER, "it left something");
    let team = Team::of(&project.sandbox);
    project.sandbox.run(&line(&project, &team.site())).code(4).says(DISPUTES).says("runplan approve");
    assert!(project.outputs("left")["stdout"].as_str().unwrap().contains("CREATE TABLE \"disputes\""));
    assert!(down(&project).contains("DROP TABLE \"disputes\""), "{}", down(&project));
    // The person adds what a comparison of schemas cannot see.
    let file = format!("prisma/migrations/{DISPUTES}/down.sql");
    project.write(
        &file,
        &format!("{}\nUPDATE users SET kyc_status = 'CHECKED' WHERE id = 7;\n", down(&project)),
    );
    let asked = team.does("edited").code(4);
    assert_eq!(project.sandbox.step("safety_backup"), "done");
    asked
        .says("Take back what it left by this SQL, and mark")
        .says("DROP TABLE \"disputes\"")
        .says("kyc_status");
    team.decides("go").code(4);
    assert_eq!((project.tables().as_str(), project.one(OPEN).as_str()), (BEFORE, "0"));
    assert_eq!(project.one("SELECT kyc_status FROM users WHERE id = 7"), "CHECKED");
    take_out(&project);
    team.does("corrected").code(0).says("Done after");
    assert_eq!(project.one(ROLLED_BACK), "1", "its row tells what happened");
    project.prisma("migrate status").code(0).says("up to date");
    project.types("npm test").code(0);
}

#[test]
fn the_backup_from_before_it_is_restored() {
    let project = Project::new();
    let dump = project.sandbox.path("before.sql");
    let url = crate::support::cluster::shared().url(project.database.database());
    project.types(&format!("pg_dump --dbname '{}' --file {}", url.expose(), dump.display())).code(0);
    project.fails_midway();
    let asked = project.sandbox.run(&line(&project, &format!("-p restore_from={}", dump.display()))).code(4);
    asked.says("Replace everything in it by").says("Dropped: ").says("table public.disputes");
    // What is written while somebody decides would be neither here nor in the safety backup.
    let refused = project.refused("INSERT INTO escrows (buyer_id, amount) VALUES (1, 9999)");
    assert!(refused.contains("read-only transaction"), "{refused}");
    project.approve("go", "cannot be cleaned up").code(4);
    assert_eq!(project.sandbox.step("cleaned"), "skipped");
    assert_eq!(project.sandbox.step("sound"), "done");
    project.execute(&["INSERT INTO escrows (buyer_id, amount) VALUES (1, 9999)"]);
    corrected(&project);
    assert_eq!((project.tables().as_str(), project.one(OPEN).as_str()), (BEFORE, "0"));
    assert_eq!(
        project.one("SELECT wallet_address FROM users WHERE id = 7"),
        "w7",
        "the data is the backup's"
    );
    project.prisma("migrate status").code(0).says("up to date");
}

/// What goes through the way back round the freeze is lost neither: the restore refuses.
#[test]
fn what_is_written_past_the_freeze_is_not_replaced() {
    let project = Project::new();
    let dump = project.sandbox.path("before.sql");
    let url = crate::support::cluster::shared().url(project.database.database());
    project.types(&format!("pg_dump --dbname '{}' --file {}", url.expose(), dump.display())).code(0);
    project.fails_midway();
    project.sandbox.run(&line(&project, &format!("-p restore_from={}", dump.display()))).code(4);
    project.execute(&["BEGIN READ WRITE; INSERT INTO escrows (buyer_id, amount) VALUES (1, 9999); COMMIT"]);
    project.approve("go", "yes").code(4).says("was written to since the freeze");
    assert_eq!(project.one("SELECT count(*) FROM escrows WHERE amount = 9999"), "1");
}

#[test]
fn one_that_left_nothing_is_only_marked() {
    let project = Project::new();
    project.add_disputes();
    let file = format!("prisma/migrations/{DISPUTES}/migration.sql");
    project.replace(&file, "BEGIN;\n", "");
    project.replace(&file, "COMMIT;\n", "");
    project.commit("in one transaction");
    project.execute(&["UPDATE users SET wallet_address = 'shared' WHERE id IN (7, 8)"]);
    project.prisma("migrate deploy").code(1);
    assert_eq!(project.tables(), BEFORE);
    let asked = project.sandbox.run(&line(&project, "")).code(4);
    asked.says("no table, column, index or key differs").says("Rows were not compared");
    project
        .approve("edited", "one transaction: nothing stayed")
        .code(4)
        .says("one transaction: nothing stayed");
    project.approve("go", "yes").code(4);
    assert_eq!((project.tables().as_str(), project.one(OPEN).as_str()), (BEFORE, "0"));
    assert_eq!(project.one(ROLLED_BACK), "1");
}

/// A comparison of schemas finds nothing, and rows were changed: a person is shown the migration and asked.
#[test]
fn rows_that_it_changed_are_asked_for() {
    let project = Project::new();
    project.add_disputes();
    let file = format!("prisma/migrations/{DISPUTES}/migration.sql");
    let rows = "BEGIN;\nUPDATE users SET kyc_status = 'EXPIRED' WHERE id = 7;\nCOMMIT;\nSELECT 1 / 0;\n";
    project.write(&file, rows);
    project.commit("rows");
    project.prisma("migrate deploy").code(1);
    let asked = project.sandbox.run(&line(&project, "")).code(4);
    let asked = asked.says("UPDATE users SET kyc_status = 'EXPIRED'").says("Rows were not compared");
    assert!(!asked.stdout.contains("ATTENTION"), "{}", asked.stdout);
    project.write(
        &format!("prisma/migrations/{DISPUTES}/down.sql"),
        "UPDATE users SET kyc_status = NULL WHERE id = 7;",
    );
    project.approve("edited", "user 7").code(4).says("kyc_status = NULL").says("not rows");
    project.approve("go", "read it").code(4);
    assert_eq!(project.one("SELECT coalesce(kyc_status, '') FROM users WHERE id = 7"), "");
    let run = project.sandbox.only_run();
    corrected(&project).says("rows were not compared");
    let report = project.sandbox.run(&format!("report {run}")).code(0);
    assert!(!report.stdout.contains("[x] The data is proved sound"), "{}", report.stdout);
}

#[test]
fn killed_while_it_cleans_up_it_does_so_once() {
    let project = Project::new();
    project.fails_midway();
    project.sandbox.run(&line(&project, "")).code(4);
    let file = format!("prisma/migrations/{DISPUTES}/down.sql");
    // It can be done only once, and takes its time.
    project.execute(&["CREATE SEQUENCE times"]);
    project.write(&file, &format!("{}\nSELECT nextval('times'), pg_sleep(1);\n", down(&project)));
    project.approve("edited", "slower").code(4);
    project.killed_while_taking_back();
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(4);
    corrected(&project);
    assert_eq!(project.one("SELECT last_value FROM times"), "1");
    assert_eq!((project.tables().as_str(), project.one(OPEN).as_str()), (BEFORE, "0"));
}

#[test]
fn sql_that_nobody_approved_is_not_run() {
    let project = Project::new();
    project.fails_midway();
    project.sandbox.run(&line(&project, "")).code(4);
    let file = format!("prisma/migrations/{DISPUTES}/down.sql");
    let good = down(&project);
    project.write(&file, &format!("{good}\nCOMMIT;\nDROP TABLE messages;\n"));
    let refused = project.approve("edited", "careless").code(4);
    refused.says("`COMMIT` steers the transaction");
    project.write(&file, &good);
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(4).says("Take back what it left");
    project.write(&file, &format!("{good}\nDROP TABLE messages;\n"));
    project.approve("go", "read it").code(4).says("is not what was approved");
    assert_eq!(project.tables(), AFTER, "nothing was changed");
    project.write(&file, &good);
    project.sandbox.run(&format!("resume {run} --plain")).code(4);
    assert_eq!(project.tables(), BEFORE);
}

#[test]
fn what_is_missing_or_wrong_is_said_before_anything_is_changed() {
    let project = Project::new();
    // Nothing failed: this is another scenario.
    project.sandbox.run(&line(&project, "")).code(4).says("found").says("0 rows");
    let bad = project.sandbox.run(&line(&project, "-p 'previous=HEAD; rm -rf /'"));
    bad.code(3).complains("does not match the pattern");
    let bad = project.sandbox.run(&line(&project, "-p projct=x"));
    bad.code(3).complains("project");
    let elsewhere = Project::new();
    std::fs::remove_file(elsewhere.path("node_modules")).unwrap();
    elsewhere.sandbox.run(&line(&elsewhere, "")).code(4).says("run npm ci there");
    assert!(!elsewhere.sandbox.exists("safety"));
    let bare =
        Sandbox::new().variable("PATH", "/nowhere").variable("DATABASE_URL", "postgres://127.0.0.1:1/x");
    let ran = bare.run(&format!("{} --reason x --plain", root("plans/scenario-1.yaml").display())).code(6);
    ran.complains("the plan requires `npx`, which is not on PATH")
        .complains("install npx, or add its directory");
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    let plan = root("plans/scenario-1.yaml");
    let ran = sandbox.run(&format!("rehearse {} --plain", plan.display())).code(0);
    assert!(!ran.stdout.contains("Trouble"), "{}", ran.stdout);
    sandbox.run(&format!("report {}", sandbox.only_run())).code(0).says("cleaned");
}

/// Started in the wrong place, it says so instead of numbers of rows.
#[test]
fn without_a_failed_migration_it_says_where_to_look() {
    let project = Project::new();
    let refused = project.sandbox.run(&line(&project, "")).code(4);
    refused.says("No migration is marked as failed in this database").says("method-1");
}

/// A dump of single tables would take all others away.
#[test]
fn a_dump_of_some_tables_is_not_restored_in_place_of_all() {
    let project = Project::new();
    let dump = project.sandbox.path("users.sql");
    let url = crate::support::cluster::shared().url(project.database.database());
    project.types(&format!("pg_dump --dbname '{}' -t users --file {}", url.expose(), dump.display())).code(0);
    project.fails_midway();
    let refused =
        project.sandbox.run(&line(&project, &format!("-p restore_from={}", dump.display()))).code(6);
    refused.complains("does not hold _prisma_migrations");
    assert_eq!(project.tables(), AFTER, "nothing was touched");
    assert!(!project.sandbox.exists("safety"));
}
