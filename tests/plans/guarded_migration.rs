//! The guarded migration with the real Prisma: local, staging, backup, the SQL read, deployed under time limits, proved.

use crate::support::cluster;
use crate::support::prisma::{DISPUTES, Project, Serving, block, free_port, root};
use crate::support::sandbox::Sandbox;
use crate::support::team::Team;
use runplan::postgres::Settings;

const BEFORE: &str = "_prisma_migrations escrows messages users";
const AFTER: &str = "_prisma_migrations disputes escrows messages users";

/// A project with a new migration, its local and its staging database, and the application as it serves.
struct Release {
    project: Project,
    staging: Settings,
    port: u16,
    serving: Option<Serving>,
}

impl Release {
    /// A migration that is one transaction; the words in a function's body end none.
    fn new() -> Self {
        let release = Self::committing();
        let project = &release.project;
        let file = format!("prisma/migrations/{DISPUTES}/migration.sql");
        project.replace(&file, "BEGIN;\n", "-- to begin with, and not to commit\n");
        project.replace(&file, "COMMIT;\n", "DO $$\nBEGIN\n  NULL;\nEND\n$$;\n");
        project.commit("in one transaction");
        release
    }

    /// One that commits its first half.
    fn committing() -> Self {
        let mut project = Project::new();
        project.another("LOCAL_DATABASE_URL");
        let staging = project.another("STAGING_DATABASE_URL");
        project.add_disputes();
        Self { project, staging, port: free_port(), serving: None }
    }

    fn line(&self, rest: &str) -> String {
        format!(
            "{} -p project={} -p backup_dir={} -p health_url=http://127.0.0.1:{}/health --reason 'release 4' --plain {rest}",
            root("plans/guarded-migration.yaml").display(),
            self.project.path("").display(),
            self.project.sandbox.path("backups").display(),
            self.port,
        )
    }

    /// What `npm test` has built serves.
    fn serve(&mut self) {
        self.serving = Some(Serving::start(&self.project, self.port));
    }

    fn staging(&self, query: &str) -> String {
        block(async { cluster::connect(&self.staging).await.one(query).await.unwrap() })
    }
}

#[test]
fn migrations_are_tried_read_backed_up_and_deployed() {
    let mut release = Release::new();
    let project = &release.project;
    project.sandbox.write(
        "errors",
        "#!/bin/sh\n[ -n \"$1\" ] && cat \"$(dirname \"$0\")/app/errors.log\" 2>/dev/null || true\n",
    );
    project.types("chmod +x ../errors").code(0);
    let errors = format!("-p error_log={}", project.sandbox.path("errors").display());
    let asked = project.sandbox.run(&release.line(&errors)).code(4);
    asked.says("CREATE TABLE \"disputes\"").says("The backup is").says("20240104000000_add_disputes");
    let asked = project.sandbox.run(&format!("logs {} pending", project.sandbox.only_run())).code(0);
    assert!(!asked.stdout.contains("ATTENTION"), "{}", asked.stdout);
    assert_eq!(project.tables(), BEFORE, "only staging has it");
    assert_eq!(release.staging("SELECT count(*) FROM disputes"), "0");
    let kept = project.outputs("saved")["kept_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let taken = project.outputs("saved")["taken_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(kept.duration_since(taken).as_hours() >= 24, "{kept}");
    project.write("errors.log", "TypeError: fee is undefined\n");
    release.serve();
    let project = &release.project;
    project.approve("go", "read it").code(4).says("TypeError: fee is undefined");
    assert_eq!(project.tables(), AFTER);
    std::fs::remove_file(project.path("errors.log")).unwrap();
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(0).says("Watch it for 24 hours");
    project.prisma("migrate status").code(0);
}

#[test]
fn a_migration_that_waits_too_long_gives_up_and_leaves_nothing() {
    let mut release = Release::new();
    release.project.sandbox.run(&release.line("-p lock_timeout=300ms -p statement_timeout=20s")).code(4);
    release.serve();
    let project = &release.project;
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("approve {run} go")).code(0);
    block(async {
        let busy = cluster::connect(&project.database).await;
        busy.execute("BEGIN; LOCK TABLE escrows IN SHARE MODE").await.unwrap();
        let ran = project.sandbox.run(&format!("resume {run} --plain")).code(4);
        let way =
            format!("prisma migrate resolve --rolled-back {DISPUTES} (with this DATABASE_URL), then resume");
        ran.says("deployed").says("lock timeout").says(&way);
        busy.execute("ROLLBACK").await.unwrap();
    });
    assert_eq!(project.tables(), BEFORE);
    // Gone on without it, it is refused, and told the same; then it goes on.
    let way = format!("migrate resolve --rolled-back {DISPUTES}");
    project.sandbox.run(&format!("resume {run} --plain")).code(4).says("P3009").says(&way);
    project.prisma(&format!("migrate resolve --rolled-back {DISPUTES}")).code(0);
    project.sandbox.run(&format!("resume {run} --plain")).code(0);
    assert_eq!(project.tables(), AFTER);
}

/// What commits by itself is said before it runs; when it fails midway, scenario 1 is let in.
#[test]
fn one_that_commits_by_itself_and_fails_is_scenario_one() {
    let release = Release::committing();
    let project = &release.project;
    let asked = project.sandbox.run(&release.line("")).code(4);
    asked.says("ATTENTION: not one transaction").says("line 9: `COMMIT` steers the transaction");
    project.execute(&["UPDATE users SET wallet_address = 'shared' WHERE id IN (7, 8)"]);
    let run = project.sandbox.only_run();
    project.approve("go", "read it").code(4).says(&format!("runplan stop {run} --for-good, then scenario-1"));
    assert_eq!(project.tables(), AFTER, "half of it stays");
    project.sandbox.run(&format!("stop {run} --for-good --reason 'scenario 1'")).code(0);
    std::fs::remove_dir_all(project.sandbox.state()).unwrap();
    let next =
        format!("{} -p project={}", root("plans/scenario-1.yaml").display(), project.path("").display());
    let asked = project.sandbox.run(&format!("{next} --reason 'failed midway' --plain")).code(4);
    asked.says("tables, columns, indexes or keys differ");
}

#[test]
fn production_under_another_name_is_refused_before_anything_is_deployed() {
    for (variable, name) in [("STAGING_DATABASE_URL", "staging"), ("LOCAL_DATABASE_URL", "local")] {
        let mut release = Release::new();
        let production = cluster::shared().url(release.project.database.database());
        release.project.sandbox.set(variable, production.expose());
        let ran = release.project.sandbox.run(&release.line("")).code(6);
        ran.complains(&format!("app and {name} are the same database"));
        assert_eq!(release.project.tables(), BEFORE);
    }
}

#[test]
fn what_fails_on_staging_does_not_reach_production() {
    let release = Release::new();
    block(async {
        let staging = cluster::connect(&release.staging).await;
        staging.execute("UPDATE users SET wallet_address = 'shared' WHERE id IN (7, 8)").await.unwrap();
    });
    let project = &release.project;
    project.sandbox.run(&release.line("")).code(4).says("staged").says("could not create unique index");
    assert_eq!(project.tables(), BEFORE);
    assert!(!project.sandbox.exists("backups"));
}

#[test]
fn a_migration_that_nobody_read_is_not_deployed() {
    let release = Release::new();
    let project = &release.project;
    let team = Team::of(&project.sandbox);
    project.sandbox.run(&release.line(&team.site())).code(4);
    let file = format!("prisma/migrations/{DISPUTES}/migration.sql");
    project.write(&file, &format!("{}\nDROP TABLE messages;\n", project.read(&file)));
    team.decides("go").code(4).says("not those that were approved");
    assert_eq!(project.tables(), BEFORE);
    project
        .sandbox
        .run(&release.line("-p lock_timeout='1s -c x=y'"))
        .code(3)
        .complains("does not match the pattern");
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    let plan = root("plans/guarded-migration.yaml");
    let ran = sandbox.run(&format!("rehearse {} --plain", plan.display())).code(0);
    assert!(!ran.stdout.contains("Trouble"), "{}", ran.stdout);
}
