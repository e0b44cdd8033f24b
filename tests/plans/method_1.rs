//! Method 1 with the real Prisma: an applied migration is taken back by the SQL that a person read; its row is marked, or
//! its reverse is deployed as a new migration.

use crate::support::prisma::{DISPUTES, Project, root};
use crate::support::sandbox::{Ran, Sandbox};
use crate::support::team::Team;

const BEFORE: &str = "_prisma_migrations escrows messages users";
const AFTER: &str = "_prisma_migrations disputes escrows messages users";

/// The fourth migration is applied, and somebody has used it.
fn deployed() -> Project {
    let project = Project::new();
    project.add_disputes();
    project.prisma("migrate deploy").code(0);
    project.execute(&["INSERT INTO disputes (escrow_id, reason) VALUES (1, 'late')"]);
    assert_eq!(project.tables(), AFTER);
    project
}

fn line(project: &Project, rest: &str) -> String {
    format!(
        "{} -p migration={DISPUTES} -p project={} -p backup_dir={} --reason 'a bad release' --plain {rest}",
        root("plans/method-1.yaml").display(),
        project.path("").display(),
        project.sandbox.path("safety").display(),
    )
}

fn down() -> String {
    format!("prisma/migrations/{DISPUTES}/down.sql")
}

fn end(project: &Project) -> Ran {
    let ran = project.approve("corrected", "reverted").code(0);
    assert_eq!(project.tables(), BEFORE);
    project.prisma("migrate status").code(0).says("up to date");
    project.types("npm test").code(0);
    ran
}

#[test]
fn an_applied_migration_is_taken_back_and_marked() {
    let project = deployed();
    let team = Team::of(&project.sandbox);
    project.sandbox.run(&line(&project, &team.site())).code(4).says("runplan approve");
    let sql = project.read(&down());
    assert!(sql.contains("DROP TABLE \"disputes\"") && sql.contains("users_wallet_address_key"), "{sql}");
    team.does("edited").code(4).says("DROP TABLE \"disputes\"");
    team.decides("go").code(4);
    assert_eq!(project.tables(), BEFORE);
    let row = "SELECT (finished_at IS NULL)::text || (rolled_back_at IS NOT NULL)::text || (logs LIKE '%taken back by method-1-%')::text \
               FROM _prisma_migrations WHERE migration_name LIKE '%disputes'";
    assert_eq!(project.one(row), "truetruetrue");
    // What was lost is in the backup.
    assert_eq!(project.outputs("safety_backup")["rows"], 405, "with the dispute");
    // It was not taken out of the project yet: the next deployment would apply it again, and the run says so.
    let early = team.does("corrected").code(4);
    early.says("does not agree with the database");
    std::fs::remove_file(project.path(&down())).unwrap();
    project.git("revert --no-edit HEAD");
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(0);
    project.prisma("migrate status").code(0).says("up to date");
    project.types("npm test").code(0);
}

/// From the backup on nobody writes: what is dropped is in the backup, or it was never there.
#[test]
fn what_it_drops_is_in_the_backup_however_long_somebody_decides() {
    for history in ["rolled_back", "new_migration"] {
        let project = deployed();
        project.sandbox.run(&line(&project, &format!("-p history={history}"))).code(4);
        let late = "INSERT INTO disputes (escrow_id, reason) VALUES (2, 'while somebody reads')";
        project.execute(&[late]);
        project.approve("edited", "nothing").code(4).says("Nobody writes to it until that is decided");
        let refused = project.refused("INSERT INTO disputes (escrow_id, reason) VALUES (3, 'too late')");
        assert!(refused.contains("read-only transaction"), "{refused}");
        project.approve("go", "yes").code(4);
        assert_eq!(project.tables(), BEFORE, "{history}");
        assert_eq!(project.outputs("safety_backup")["rows"], 406, "{history}");
        assert_eq!(project.sandbox.step("thawed"), "done");
        project.execute(&["UPDATE users SET kyc_status = 'CHECKED' WHERE id = 7"]);
    }
}

/// Lines that a search for words at their beginning does not find, and others that it takes for what they are not.
#[test]
fn sql_that_would_end_the_transaction_is_refused_and_a_function_is_not() {
    let project = deployed();
    let hidden = "/* x */ COMMIT; DROP TABLE messages;\n";
    project.write(&down(), hidden);
    project.sandbox.run(&line(&project, "")).code(4);
    project.approve("edited", "careless").code(4).says("down.sql:1: `COMMIT` steers the transaction");
    let run = project.sandbox.only_run();
    project.write(&down(), "SELECT '{{ brace }}';\nDROP INDEX CONCURRENTLY users_wallet_address_key;");
    project.sandbox.run(&format!("resume {run} --plain")).code(4).says("down.sql:2:");
    assert_eq!((project.tables().as_str(), project.sandbox.exists("safety")), (AFTER, false));
    let body = "DO $$\nBEGIN\n  IF true THEN DROP TABLE disputes; END IF;\nEND\n$$;\n\
                DROP INDEX users_wallet_address_key;\nALTER TABLE escrows DROP COLUMN fee; -- {{ brace }}";
    project.write(&down(), body);
    project.sandbox.run(&format!("resume {run} --plain")).code(4).says("IF true THEN DROP TABLE disputes");
    project.approve("go", "read it").code(4);
    assert_eq!(project.tables(), BEFORE);
}

#[test]
fn its_reverse_is_deployed_as_a_new_migration() {
    let project = deployed();
    project.sandbox.run(&line(&project, "-p history=new_migration")).code(4);
    project.approve("edited", "nothing").code(4);
    project.approve("go", "yes").code(4);
    assert_eq!(project.tables(), BEFORE);
    // The schema as it was before, and both migrations in the project.
    project.git("checkout HEAD~1 -- prisma/schema.prisma");
    project.commit("take disputes back");
    end(&project).says("is taken back");
    let names = "SELECT string_agg(substr(migration_name, 16), ' ' ORDER BY started_at) FROM _prisma_migrations WHERE finished_at IS NOT NULL";
    assert!(project.one(names).ends_with("add_disputes rollback_add_disputes"), "{}", project.one(names));
}

#[test]
fn killed_while_it_is_taken_back_it_is_done_once() {
    let project = deployed();
    project.execute(&["CREATE SEQUENCE times"]);
    // Prepared with the migration, as Prisma's own guide has it: it is kept.
    let sql = "SELECT nextval('times'), pg_sleep(1);\nDROP INDEX users_wallet_address_key;\nALTER TABLE escrows DROP COLUMN fee;\nDROP TABLE disputes;\n";
    project.write(&down(), sql);
    project.sandbox.run(&line(&project, "")).code(4);
    project.approve("edited", "prepared").code(4).says("pg_sleep");
    project.killed_while_taking_back();
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(4);
    assert_eq!(
        (project.one("SELECT last_value FROM times").as_str(), project.tables().as_str()),
        ("1", BEFORE)
    );
    std::fs::remove_file(project.path(&down())).unwrap();
    project.git("revert --no-edit HEAD");
    end(&project);
}

#[test]
fn another_migration_than_the_newest_is_refused() {
    let project = deployed();
    let older = line(&project, "").replace(DISPUTES, "20240103000000_add_escrow_status");
    project
        .sandbox
        .run(&older)
        .code(4)
        .says("the newest migration of this database")
        .says(&format!("{DISPUTES} (wanted: "));
    assert!(!project.sandbox.exists("safety"));
    let none = line(&project, "").replace(DISPUTES, "20240105000000_nothing");
    project.sandbox.run(&none).code(4).says("the newest migration of this database");
    let hostile = line(&project, "").replace(DISPUTES, "\"x'; DROP TABLE users; --\"");
    project.sandbox.run(&hostile).code(3).complains("does not match the pattern");
    project.sandbox.run(&line(&project, "-p history=forget")).code(3).complains("is not one of its choices");
}

#[test]
fn a_database_that_somebody_changed_by_hand_is_refused() {
    let project = deployed();
    project.execute(&["ALTER TABLE users ADD COLUMN by_hand text"]);
    let ran = project.sandbox.run(&line(&project, "")).code(4);
    ran.says("state").says("the database differs from prisma/schema.prisma");
    assert!(!project.sandbox.exists("safety"));
}

#[test]
fn it_is_rehearsed_both_ways() {
    for way in ["rolled_back", "new_migration"] {
        let sandbox = Sandbox::new();
        let plan = root("plans/method-1.yaml");
        let ran = sandbox.run(&format!("rehearse {} --plain -p history={way}", plan.display())).code(0);
        assert!(!ran.stdout.contains("Trouble"), "{}", ran.stdout);
    }
}
