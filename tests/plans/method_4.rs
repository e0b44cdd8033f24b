//! Method 4 as its users run it: a point in time is restored into a new service, by the API or by a person who writes to the
//! support; it is proved there, and the application is pointed at it by a variable, or back.

use super::{block, plan};
use crate::support::app;
use crate::support::cluster;
use crate::support::railway::{Railway, TOKEN, Trouble};
use crate::support::sandbox::Sandbox;
use crate::support::server::Server;
use crate::support::team::Team;
use runplan::postgres::Settings;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;

const RESTORED: &str = "restored-by-runplan";
const NEW: &str = "${{restored-by-runplan.DATABASE_URL}}";
const OLD: &str = "${{Postgres.DATABASE_URL}}";

/// Railway's program as far as the plan uses it: `run` gives a program the variables of a service, which must be there.
const CLI: &str = r#"#!/bin/sh
set -eu
[ "$1 $2 $3 $4 $5 $6 $7" = "run --project project --environment env --service restored-by-runplan" ] || {
  echo "unexpected: $*" >&2
  exit 2
}
[ "${RAILWAY_TOKEN:-}" = token-of-the-railway ] || { echo "not logged in" >&2; exit 1; }
shift 7
DATABASE_URL=$(cat "$HOME/restored-url") exec "$@"
"#;

struct Incident {
    sandbox: Sandbox,
    railway: Railway,
    health: Server,
    restored: Settings,
}

fn program(sandbox: &Sandbox, name: &str, text: &str) {
    sandbox.write(name, text);
    std::fs::set_permissions(sandbox.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Incident {
    fn new() -> Self {
        let (live, restored) =
            block(async { (app::database("pitr").await, app::database("pitr_then").await) });
        block(async {
            let connection = cluster::connect(&live).await;
            connection.execute("UPDATE users SET wallet_address = NULL WHERE id % 9 = 0").await.unwrap();
        });
        let mut sandbox = Sandbox::patient()
            .variable("DATABASE_URL", cluster::shared().url(live.database()).expose())
            .variable("RAILWAY_TOKEN", TOKEN);
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = sandbox.path("bin");
        sandbox.set("PATH", &format!("{}:{path}", bin.display()));
        let health = Server::start(|_| {
            Some((
                200,
                "{\"status\": \"healthy\", \"services\": {\"database\": {\"status\": \"connected\"}}}"
                    .to_owned(),
            ))
        });
        program(&sandbox, "bin/railway", CLI);
        // The proof: the whole verification but for the functional tests, on the restored database.
        let prove = format!(
            "#!/bin/sh\nexec {} {} -p functional=false -p app_url={} --state \"$HOME/proof\" --plain\n",
            cluster::RUNPLAN,
            plan("verify-suite"),
            health.url
        );
        program(&sandbox, "prove", &prove);
        sandbox.write("restored-url", cluster::shared().url(restored.database()).expose());
        let railway = Railway::start(|| {});
        railway.state().services = vec!["Postgres".to_owned(), "app".to_owned()];
        Self { sandbox, railway, health, restored }
    }

    fn line(&self, how: &str) -> String {
        format!(
            "{plan} -p target=2026-01-02T03:04:05Z -p how={how} -p project=project -p environment=env -p service=db \
             -p app_service=app -p health_url={health}/health -p api={api} -p backup_dir={dir} -p prove={prove} --reason test --plain",
            plan = plan("method-4"),
            health = self.health.url,
            api = self.railway.url,
            dir = self.sandbox.path("off-site").display(),
            prove = self.sandbox.path("prove").display(),
        )
    }

    /// What the application's variable was set to, in order.
    fn variables(&self) -> Vec<String> {
        let state = self.railway.state();
        assert!(state.variables.iter().all(|(of, name, _)| of == "app" && name == "DATABASE_URL"));
        state.variables.iter().map(|(.., value)| value.clone()).collect()
    }

    fn approve(&self, step: &str, comment: &str) {
        let run = self.sandbox.only_run();
        self.sandbox.run(&format!("approve {run} {step} --comment '{comment}'")).code(0);
    }
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    program(&sandbox, "bin/railway", CLI);
    let path = std::env::var("PATH").unwrap_or_default();
    let sandbox_path = format!("{}:{path}", sandbox.path("bin").display());
    let sandbox = sandbox.variable("PATH", &sandbox_path);
    sandbox.run(&format!("rehearse {} --plain", plan("method-4"))).code(0).says("Done after");
}

#[test]
fn limited_and_killed_it_restores_once_and_the_application_is_pointed_at_it() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    railway.state().troubles =
        vec![("project", Trouble::Limited), ("volumeInstancePITRRestore", Trouble::Held)];
    sandbox.run(&incident.line("api")).code(4).says("2026-01-02T03:04:05").says("429");
    let run = sandbox.only_run();
    incident.approve("go", "yes");
    let resumed = sandbox.start(&format!("resume {run} --plain"));
    railway.until_held();
    resumed.signal(Signal::KILL);
    drop(resumed);
    railway.let_go();
    // Found again by its name, which was free before; not made twice. Nothing says when it is done: a person looks.
    sandbox.run(&format!("resume {run} --plain")).code(4).says("its restore is complete");
    assert_eq!((sandbox.step("restored").as_str(), incident.variables()), ("done", Vec::new()));
    incident.approve("finished", "recovered to 03:04:05");
    sandbox.run(&format!("resume {run} --plain")).code(0);
    assert_eq!(railway.times("volumeInstancePITRRestore"), 1, "{:?}", railway.state().done);
    assert_eq!(railway.state().services, ["Postgres", "app", RESTORED]);
    assert_eq!(incident.variables(), [NEW]);
    assert_eq!(railway.times("serviceInstanceDeployV2"), 1);
    assert_eq!(railway.state().invalid, Vec::<String>::new());
    assert_eq!(std::fs::read_dir(sandbox.path("off-site")).unwrap().count(), 2, "a dump and its manifest");
    // The proof was a run of its own, on the restored database.
    assert!(std::fs::read_dir(sandbox.path("proof/runs")).unwrap().count() == 1);
    let logs = sandbox.run(&format!("logs {run} --format json")).code(0).stdout;
    let restored = incident.restored.database();
    assert!(!logs.contains(TOKEN) && !logs.contains(restored), "its address never comes here");
}

#[test]
fn a_service_of_that_name_is_found_before_anything_is_done() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    railway.state().services.push(RESTORED.to_owned());
    sandbox.run(&incident.line("api")).code(4).says("no service restored-by-runplan is there yet");
    assert_eq!(sandbox.step("name_free"), "failed");
    assert_eq!(railway.times("volumeInstancePITRRestore"), 0);
    assert_eq!(incident.variables(), Vec::<String>::new());
    assert!(!sandbox.exists("off-site"));
}

#[test]
fn by_the_support_and_back_again() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    let team = Team::of(sandbox);
    sandbox.run(&format!("{} {}", incident.line("support"), team.site())).code(4);
    let run = sandbox.only_run();
    let asked = team.decides("go").code(4);
    asked
        .says("Send this to support@railway.app")
        .says("Point in time (UTC): 2026-01-02T03:04:05")
        .says("Name of the new service: restored-by-runplan");
    // They say that it is done; the new deployment of the application does not come up.
    railway.state().services.push(RESTORED.to_owned());
    railway.state().status = "CRASHED";
    team.does("support").code(4).says("CRASHED");
    assert_eq!((railway.times("volumeInstancePITRRestore"), incident.variables()), (0, vec![NEW.to_owned()]));
    let undone = sandbox.run(&format!("undo {run} --yes --plain")).code(1);
    undone.says("restored-by-runplan and its volume stay on Railway").says("except there (only told)");
    assert_eq!(incident.variables(), [NEW, OLD]);
    assert_eq!(railway.state().invalid, Vec::<String>::new());
}

#[test]
fn undo_says_that_the_new_service_stays() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    sandbox.run(&incident.line("api")).code(4);
    let run = sandbox.only_run();
    incident.approve("go", "yes");
    railway.state().status = "CRASHED";
    sandbox.run(&format!("resume {run} --plain")).code(4);
    let undone = sandbox.run(&format!("undo {run} --yes --plain")).code(1);
    undone
        .says("restored-by-runplan and its volume stay on Railway")
        .says("what it did was reversed except restored (only told)");
    assert_eq!(incident.variables(), [NEW, OLD]);
}
