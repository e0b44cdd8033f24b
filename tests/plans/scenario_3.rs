//! Scenario 3 with the real Prisma, TypeScript, npm and git: the database went back, the code did not; the schema is taken
//! from the database, a person mends what no longer compiles, and a push to a bare repository deploys it.

use crate::support::cluster;
use crate::support::prisma::{DISPUTES, Project, Serving, free_port, root};
use crate::support::sandbox::Sandbox;
use crate::support::team::Team;

/// A migration is deployed, the code uses it, and the database is restored from before it.
fn rolled_back() -> Project {
    let project = Project::new();
    let bare = project.sandbox.path("origin.git");
    project.git(&format!("init -q --bare -b main {}", bare.display()));
    let url = cluster::shared().url(project.database.database());
    let dump = project.sandbox.path("before.sql");
    project.types(&format!("pg_dump --dbname '{}' --file {}", url.expose(), dump.display())).code(0);
    project.add_disputes();
    project.replace("src/escrows.ts", "  status: string\n", "  status: string\n  fee: string\n");
    project.replace(
        "src/escrows.ts",
        "status: escrow.status }",
        "status: escrow.status, fee: escrow.fee.toString() }",
    );
    project.commit("show the fee");
    project.git(&format!("remote add origin {}", bare.display()));
    project.git("push -q origin main");
    project.prisma("migrate deploy").code(0);
    project.execute(&["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"]);
    project
        .types(&format!("psql --dbname '{}' -X -q -v ON_ERROR_STOP=1 -f {}", url.expose(), dump.display()))
        .code(0);
    project
}

fn line(project: &Project, rest: &str) -> String {
    format!(
        "{} -p project={} -p dev_port={} --reason 'the database went back' --plain {rest}",
        root("plans/scenario-3.yaml").display(),
        project.path("").display(),
        free_port(),
    )
}

/// What a person does about it.
fn mend(project: &Project) {
    project.replace("src/escrows.ts", "  fee: string\n", "");
    project.replace("src/escrows.ts", ", fee: escrow.fee.toString()", "");
    std::fs::remove_dir_all(project.path(&format!("prisma/migrations/{DISPUTES}"))).unwrap();
}

#[test]
fn the_code_follows_the_database_and_is_deployed() {
    let project = rolled_back();
    let health = free_port();
    let team = Team::of(&project.sandbox);
    let rest = format!("-p health_url=http://127.0.0.1:{health}/health {}", team.site());
    let ran = project.sandbox.run(&line(&project, &rest)).code(4);
    ran.says("Property 'fee' does not exist").says(DISPUTES);
    assert!(project.outputs("difference")["stdout"].as_str().unwrap().contains("-model Dispute"));
    // Said to be mended, and it is not: the run goes no further.
    let early = team.does("mended").code(4);
    assert_eq!(project.sandbox.step("agreed"), "failed", "{}", early.stdout);
    mend(&project);
    let run = project.sandbox.only_run();
    let asked = project.sandbox.run(&format!("resume {run} --plain")).code(4);
    asked.says("src/escrows.ts").says("prisma/schema.prisma").says("deploy it by pushing to origin main");
    assert!(project.outputs("started")["stdout"].as_str().unwrap().contains("healthy"));
    let _deployed = Serving::start(&project, health);
    team.decides("go").code(0).says("Deployed after");
    let head = project.git("rev-parse HEAD");
    assert!(project.git("ls-remote origin refs/heads/main").starts_with(&head));
    assert_eq!(project.git("log -1 --format=%s"), "fix: update schema after database rollback");
    assert_eq!(project.git("status --porcelain"), "");
    assert_eq!(project.git("rev-parse --abbrev-ref HEAD"), "fix/schema-after-rollback");
}

#[test]
fn a_commit_of_somebody_else_is_not_overwritten() {
    let project = rolled_back();
    let health = free_port();
    project.sandbox.run(&line(&project, &format!("-p health_url=http://127.0.0.1:{health}/health"))).code(4);
    mend(&project);
    project.approve("mended", "took the fee out").code(4);
    // Somebody else was faster.
    let other = project.sandbox.path("other");
    project.git(&format!("clone -q {} {}", project.sandbox.path("origin.git").display(), other.display()));
    project.git(&format!("-C {} commit -q --allow-empty -m faster", other.display()));
    project.git(&format!("-C {} push -q origin main", other.display()));
    let refused = project.approve("go", "yes").code(4).says("deployed");
    refused.says("commits that this was not tested with");
    // Neither is the commit pushed that rebasing made of it: nobody tested that one.
    project.git("pull -q --rebase origin main");
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(4);
    assert!(!project.git("ls-remote origin refs/heads/main").starts_with(&project.git("rev-parse HEAD")));
    project.sandbox.run(&format!("stop {run} --for-good --reason rebased")).code(0);
    std::fs::remove_dir_all(project.sandbox.state()).unwrap();
    let again = format!("-p health_url=http://127.0.0.1:{health}/health");
    project.sandbox.run(&line(&project, &again)).code(4).says("update schema after database rollback");
    let _deployed = Serving::start(&project, health);
    project.approve("go", "as it is on the branch").code(0).says("Deployed after");
    assert!(project.git("ls-remote origin refs/heads/main").starts_with(&project.git("rev-parse HEAD")));
    assert_eq!(project.git("log -2 --format=%s").lines().last(), Some("faster"));
}

/// Between the approval's question and the push somebody adds a file, or a commit: neither goes along.
#[test]
fn what_was_not_shown_is_not_pushed() {
    let project = rolled_back();
    let health = free_port();
    project.sandbox.run(&line(&project, &format!("-p health_url=http://127.0.0.1:{health}/health"))).code(4);
    mend(&project);
    let asked = project.approve("mended", "took the fee out").code(4).says("src/escrows.ts");
    assert!(!asked.stdout.contains("evil"));
    let before = project.git("ls-remote origin refs/heads/main");
    project.write("src/evil.ts", "export const evil = 1\n");
    project.git("add src/evil.ts");
    project.approve("go", "looked at it").code(4).says("src/evil.ts").says("the index is not what was shown");
    project.git("commit -q -m evil");
    let run = project.sandbox.only_run();
    project.sandbox.run(&format!("resume {run} --plain")).code(4).says("HEAD is not what was shown");
    assert_eq!(project.git("ls-remote origin refs/heads/main"), before);
    project.git("reset -q --soft HEAD~1");
    project.git("rm -q -f src/evil.ts");
    let _deployed = Serving::start(&project, health);
    project.sandbox.run(&format!("resume {run} --plain")).code(0).says("Deployed after");
    assert!(project.git("ls-remote origin refs/heads/main").starts_with(&project.git("rev-parse HEAD")));
    assert_eq!(project.git("ls-tree -r --name-only HEAD src"), "src/escrows.ts\nsrc/server.ts");
}

#[test]
fn a_working_tree_with_changes_is_refused() {
    let project = Project::new();
    project.write("src/half.ts", "export const half = 1\n");
    project.sandbox.run(&line(&project, "")).code(4).says("commit or stash this first").says("src/half.ts");
    let hostile = project.sandbox.run(&line(&project, "-p remote=--upload-pack=x"));
    hostile.code(3).complains("does not match the pattern");
    project.sandbox.run(&line(&project, "-p dev_port=0")).code(3).complains("less than 1");
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    let plan = root("plans/scenario-3.yaml");
    let ran = sandbox.run(&format!("rehearse {} --plain", plan.display())).code(0);
    assert!(!ran.stdout.contains("Trouble"), "{}", ran.stdout);
}
