//! Scenario 2 as its users run it: rehearsed, run against a database given by its address, killed in every step and
//! resumed; the end is the same as without the kill.

use super::{backed_up, beside, block, drop_beside, plan};
use crate::support::cluster;
use crate::support::railway::{Railway, TOKEN, Trouble};
use crate::support::sandbox::Sandbox;
use crate::support::team::Team;
use runplan::postgres::{Connection, Settings};
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// An application's database, backed up, written to, and then corrupted.
struct Incident {
    sandbox: Sandbox,
    live: Settings,
    backup: String,
    health: crate::plans::scenario_2::health::Health,
    /// What closes it, in place of a program.
    railway: Option<Railway>,
}

/// A health endpoint that asks the database, as the application's does.
mod health {
    use runplan::postgres::{Connection, Settings};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    pub struct Health {
        pub url: String,
    }

    pub fn serve(settings: Settings) -> Health {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0u8; 2048];
                let _ = stream.read(&mut request);
                let healthy = super::block(async {
                    let connection = Connection::connect(&settings, "application").await?;
                    connection.one("SELECT 1").await
                })
                .is_ok();
                let (status, word) = if healthy { ("200 OK", "healthy") } else { ("503 No", "unhealthy") };
                let database = if healthy { "connected" } else { "lost" };
                let body = format!(
                    "{{\"status\":\"{word}\",\"services\":{{\"database\":{{\"status\":\"{database}\"}}}}}}"
                );
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Health { url }
    }
}

impl Incident {
    fn new() -> Self {
        let live = block(cluster::database("shop"));
        let url = cluster::shared().url(live.database());
        let sandbox = Sandbox::new().variable("DATABASE_URL", url.expose());
        block(async {
            let connection = cluster::connect(&live).await;
            for statement in [
                "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, wallet_address text)",
                "CREATE TABLE escrows (id int PRIMARY KEY, buyer_id int REFERENCES users (id), amount numeric)",
                "CREATE TABLE messages (id int PRIMARY KEY, escrow_id int REFERENCES escrows (id), body text)",
                "INSERT INTO users SELECT n, 'u' || n, 'w' || n FROM generate_series(1, 2000) n",
                "INSERT INTO escrows SELECT n, n, n FROM generate_series(1, 1000) n",
                "INSERT INTO messages SELECT n, 1 + n % 1000, 'm' || n FROM generate_series(1, 3000) n",
            ] {
                connection.execute(statement).await.unwrap();
            }
        });
        let backup = backed_up(&sandbox);
        block(async {
            let connection = cluster::connect(&live).await;
            for statement in [
                "INSERT INTO messages VALUES (9001, 1, 'written after the backup')",
                "UPDATE users SET wallet_address = NULL WHERE id % 9 = 0",
                "UPDATE escrows SET amount = -amount WHERE id % 100 = 0",
            ] {
                connection.execute(statement).await.unwrap();
            }
        });
        let program = sandbox.path("maintenance");
        sandbox.write("maintenance", "#!/bin/sh\necho \"$1\" >> \"$(dirname \"$0\")/page.log\"\n");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let health = health::serve(live.clone());
        Self { sandbox, live, backup, health, railway: None }
    }

    /// An application on Railway.
    fn on_railway() -> Self {
        let mut incident = Self::new();
        incident.sandbox.set("RAILWAY_TOKEN", TOKEN);
        let railway = Railway::start(|| {});
        railway.state().services = vec!["Postgres".to_owned(), "app".to_owned()];
        incident.railway = Some(railway);
        incident
    }

    fn railway_line(&self) -> String {
        let api = &self.railway.as_ref().unwrap().url;
        self.line(&format!(
            "-p closed_by=railway -p project=project -p environment=env -p app_service=id-of-app -p api={api}"
        ))
    }

    fn line(&self, rest: &str) -> String {
        format!(
            "{plan} -p backup={backup} -p backup_dir={safety} -p health_url={health} -p maintenance={program} \
             --reason 'wallets are empty' --plain {rest}",
            plan = plan("scenario-2"),
            backup = self.backup,
            safety = self.sandbox.path("safety").display(),
            health = self.health.url,
            program = self.sandbox.path("maintenance").display(),
        )
    }

    /// Nothing of the corruption is left, the page is open again, the old database is kept, nothing else is there.
    fn assert_rolled_back(&self, what: &str) {
        let name = self.live.database();
        let (users, broken, later) = block(async {
            let connection = cluster::connect(&self.live).await;
            let one = async |sql: &str| connection.one(sql).await.unwrap();
            (
                one("SELECT count(*) FROM users WHERE wallet_address IS NULL").await,
                one("SELECT count(*) FROM escrows WHERE amount < 0").await,
                one("SELECT count(*) FROM messages WHERE id = 9001").await,
            )
        });
        assert_eq!((users.as_str(), broken.as_str(), later.as_str()), ("0", "0", "0"), "{what}");
        let beside = beside(&self.live);
        assert_eq!(beside.len(), 1, "{what}: {beside:?}");
        assert!(beside[0].starts_with(&format!("{name}_old_")), "{what}: {beside:?}");
        let settings = settings_of(name);
        assert!(!settings.contains("runplan.claim"), "{what}: the claim is left: {settings}");
        assert!(!settings.contains("read_only"), "{what}: it is still frozen: {settings}");
        if self.railway.is_none() {
            let pages = self.sandbox.read("page.log");
            assert_eq!(pages.lines().last(), Some("off"), "{what}: {pages}");
        }
        let backups = std::fs::read_dir(self.sandbox.path("safety")).unwrap();
        let names: Vec<String> =
            backups.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.contains("partial")), "{what}: {names:?}");
        assert_eq!(names.len(), 2, "{what}: a backup and its manifest: {names:?}");
    }
}

impl Drop for Incident {
    fn drop(&mut self) {
        drop_beside(&self.live);
    }
}

fn settings_of(name: &str) -> String {
    let admin = cluster::shared().settings("postgres").unwrap();
    block(async {
        let connection = Connection::connect(&admin, "runplan-test").await.unwrap();
        let sql = format!(
            "SELECT coalesce(string_agg(s.setconfig::text, ' '), '') FROM pg_db_role_setting s \
             JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = '{name}'"
        );
        connection.one(&sql).await.unwrap()
    })
}

/// Approves whenever the run waits for it.
fn resume_to_the_end(incident: &Incident, what: &str) {
    let sandbox = &incident.sandbox;
    let run = sandbox.only_run();
    for _ in 0..4 {
        let ran = sandbox.run(&format!("resume {run} --plain"));
        match ran.code {
            Some(0) => return,
            Some(4) if sandbox.step("go") == "awaiting_approval" => {
                sandbox.run(&format!("approve {run} go --comment 'looked at it'")).code(0);
            }
            _ => drop(ran.code(0)),
        }
    }
    panic!("{what}: it does not come to its end");
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&format!("rehearse {} --plain", plan("scenario-2"))).code(0);
    let ran = ran.says("the side would lose 52 rows").says("Done after").says("report.md");
    assert!(!ran.stdout.contains("Trouble"), "{}", ran.stdout);
    let run = sandbox.only_run();
    let status = sandbox.run(&format!("status {run} --format json")).code(0).json();
    assert_eq!(status["result"], "done");
    let report = sandbox.run(&format!("report {run}")).code(0);
    report.says("Data corruption after deployment").says("switched");
    sandbox.run(&format!("status {run} --verify")).code(0);
}

#[test]
fn it_parks_for_the_approval_and_goes_on() {
    let incident = Incident::new();
    let sandbox = &incident.sandbox;
    let team = Team::of(sandbox);
    sandbox.run(&incident.line(&team.site())).code(4).says("approve");
    let run = sandbox.only_run();
    // The claim keeps everybody else away while the run is parked.
    let other =
        Sandbox::new().variable("DATABASE_URL", cluster::shared().url(incident.live.database()).expose());
    other.run(&incident.line("")).code(5).complains(&run);
    team.decides("go").code(0);
    incident.assert_rolled_back("approved");
    // The team heard of the beginning and of the end, and the checklist says so.
    assert_eq!((team.heard("has begun"), team.heard("is done")), (1, 1), "{:?}", team.said());
    sandbox.run(&format!("report {run}")).code(0).says("[x] The team is told");
    assert_eq!(sandbox.read("page.log"), "on\noff\n");
}

/// The values that the maintenance variable was set to.
fn values(railway: &Railway) -> Vec<String> {
    railway.state().variables.iter().map(|(.., value)| value.clone()).collect()
}

#[test]
fn on_railway_a_variable_and_a_deployment_close_and_open_it() {
    let incident = Incident::on_railway();
    let (sandbox, railway) = (&incident.sandbox, incident.railway.as_ref().unwrap());
    railway.state().troubles =
        vec![("variableUpsert", Trouble::Limited), ("serviceInstanceDeployV2", Trouble::Lost)];
    sandbox.run(&incident.railway_line()).code(4).says("approve");
    assert_eq!(values(railway), ["true"]);
    // Nothing is frozen before the closed application is live.
    let calls = railway.state().done.clone();
    assert_eq!(calls.last().map(String::as_str), Some("deployment"), "{calls:?}");
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    sandbox.run(&format!("resume {run} --plain")).code(0);
    incident.assert_rolled_back("on Railway");
    assert_eq!(values(railway), ["true", "false"]);
    assert_eq!(railway.state().invalid, Vec::<String>::new());
    assert!(!sandbox.exists("page.log"), "no program was called");
}

#[test]
fn on_railway_wrong_ids_are_found_before_anything_else() {
    let incident = Incident::on_railway();
    let (sandbox, railway) = (&incident.sandbox, incident.railway.as_ref().unwrap());
    let line = incident.railway_line();
    sandbox
        .run(&line.replace("id-of-app", "app"))
        .code(4)
        .says("app_service is the id of one of the project's");
    assert_eq!(sandbox.step("restored"), "waiting");
    std::fs::remove_dir_all(sandbox.state()).unwrap();
    sandbox.run(&line.replace("environment=env", "environment=staging")).code(4).says("Not Authorized");
    assert_eq!(values(railway), Vec::<String>::new());
    assert_eq!(railway.state().invalid, Vec::<String>::new());
}

#[test]
fn on_railway_an_undo_opens_it_again() {
    let incident = Incident::on_railway();
    let (sandbox, railway) = (&incident.sandbox, incident.railway.as_ref().unwrap());
    sandbox.run(&incident.railway_line()).code(4);
    sandbox.run(&format!("undo {} --yes --plain", sandbox.only_run())).code(1);
    assert_eq!(values(railway), ["true", "false"]);
    assert!(!settings_of(incident.live.database()).contains("read_only"));
    assert_eq!(railway.state().invalid, Vec::<String>::new());
}

#[test]
fn killed_in_every_step_it_ends_the_same() {
    for step in [
        "scope",
        "restored",
        "proven",
        "maintenance.open",
        "frozen",
        "safety_backup",
        "lost",
        "switched",
        "healthy",
        "maintenance.close",
    ] {
        let incident = Incident::new();
        let sandbox = &incident.sandbox;
        // Two processes: up to the approval, and after it.
        let late = ["switched", "healthy", "maintenance.close"].contains(&step);
        let started = if late {
            sandbox.run(&incident.line("")).code(4);
            let run = sandbox.only_run();
            sandbox.run(&format!("approve {run} go")).code(0);
            sandbox.start(&format!("resume {run} --plain"))
        } else {
            sandbox.start(&incident.line(""))
        };
        sandbox.until(&format!("{step} runs"), |sandbox| {
            sandbox.state().join("runs").read_dir().is_ok_and(|mut runs| runs.next().is_some())
                && begun(sandbox, step)
        });
        started.signal(Signal::KILL);
        drop(started);
        resume_to_the_end(&incident, step);
        incident.assert_rolled_back(step);
        let attempts = done_twice(sandbox);
        assert_eq!(attempts, Vec::<String>::new(), "{step}: done steps were run again");
    }
}

/// Whether the step was begun, as the journal says while it is written.
fn begun(sandbox: &Sandbox, step: &str) -> bool {
    let run = sandbox.only_run();
    let ran = sandbox.run(&format!("logs {run} --format json"));
    ran.code == Some(0)
        && ran
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .any(|event| event["kind"] == "step_started" && event["step"] == step)
}

/// Steps that finished more than once.
fn done_twice(sandbox: &Sandbox) -> Vec<String> {
    let run = sandbox.only_run();
    let logs = sandbox.run(&format!("logs {run} --format json")).code(0);
    let mut seen = std::collections::HashSet::new();
    logs.stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["kind"] == "step_done")
        .map(|event| event["step"].as_str().unwrap().to_owned())
        .filter(|step| !seen.insert(step.clone()))
        .collect()
}

/// From the directory above `plans/`, where the backups are, as somebody copies them out of the help.
#[test]
#[allow(clippy::disallowed_methods, reason = "somebody's shell")]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let mut incident = Incident::new();
    let sandbox = &mut incident.sandbox;
    sandbox.set("BACKUP", &incident.backup);
    block(async {
        let connection = cluster::connect(&incident.live).await;
        let mended = "UPDATE users SET wallet_address = 'w' || id; UPDATE escrows SET amount = abs(amount)";
        connection.execute(mended).await.unwrap();
    });
    let sandbox = &incident.sandbox;
    let types = |line: &str| {
        let mut command = std::process::Command::new("bash");
        command.args(["-c", line]).current_dir(sandbox.path(""));
        sandbox.surround(&mut command);
        let program = std::path::Path::new(cluster::RUNPLAN).parent().unwrap().display().to_string();
        command.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
        let output = command.output().unwrap();
        let said = format!(
            "$ {line}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code(), said)
    };
    let plans = format!("{}/plans", env!("CARGO_MANIFEST_DIR"));
    let before = format!(
        "cp -r {plans} plans && cp maintenance plans && mkdir -p backups && \
         pg_restore -f - \"$BACKUP\" | gzip > backups/before.sql.gz && cp backups/before.sql.gz backups/app_20260103.sql.gz && \
         echo \"backup: $PWD/backups/before.sql.gz\" > values.yaml"
    );
    let (code, said) = types(&before);
    assert_eq!(code, Some(0), "{said}");
    for (command, wanted) in [("rehearse", &[0][..]), ("preflight", &[0]), ("run", &[0, 4, 5, 6])] {
        let help = sandbox.run(&format!("{command} --help")).code(0).stdout;
        let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
        let lines: Vec<String> =
            lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim().to_owned()).collect();
        assert!(lines.len() >= 2, "{help}");
        // What needs neither a backup nor the real database is rehearsed elsewhere.
        let needs =
            |line: &&String| command != "rehearse" || line.contains("--clone") || line.contains("--from");
        for line in lines.iter().filter(needs) {
            let (code, said) = types(line);
            assert!(wanted.contains(&code.unwrap_or(-1)), "{code:?}: {said}");
            // The first run waits for its approval, and the second one says who holds the database.
            if line.contains("-p backup=") && command == "run" {
                assert!(code == Some(4) && said.contains("waits for an approval"), "{said}");
            }
        }
    }
}
