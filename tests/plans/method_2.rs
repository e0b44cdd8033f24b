//! Method 2 as its users run it: a backup of a volume, through an API that limits, breaks and hangs up; the committed restore
//! replaces the server's whole data; the program is killed while the restore is asked for.

use super::{block, plan};
use crate::support::app::{self, App};
use crate::support::cluster;
use crate::support::railway::{Railway, TOKEN, Trouble, backup};
use crate::support::sandbox::Sandbox;
use crate::support::server::Server;
use crate::support::team::Team;
use runplan::clock;
use runplan::postgres::{Cluster, Connection, Settings, Stop};
use runplan::secret::Secret;
use rustix::process::Signal;
use std::process::Command;
use std::sync::{Arc, Mutex};

struct Incident {
    sandbox: Sandbox,
    railway: Railway,
    health: Server,
    live: Settings,
    url: Secret,
    _cluster: Arc<Mutex<Cluster>>,
}

#[allow(clippy::disallowed_methods, reason = "a volume is copied as a whole")]
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

async fn all(live: &Settings, statements: &[&str]) {
    let connection = Connection::connect(live, "test").await.unwrap();
    for statement in statements {
        connection.execute(statement).await.unwrap();
    }
}

/// The database as it was when the backup was made.
async fn filled(cluster: &Cluster) {
    all(&cluster.settings("postgres").unwrap(), &["CREATE DATABASE shop"]).await;
    // Made while another run was in the middle of it: its claim comes along with the backup.
    let claim = "{\"run\":\"other-20260101-0000-aaaa\",\"operator\":\"x\",\"host\":\"y\",\
                 \"since\":\"2026-01-01T00:00:00Z\",\"epoch\":1}";
    let live = cluster.settings("shop").unwrap();
    all(&live, &[&format!("ALTER DATABASE shop SET \"runplan.claim\" = '{claim}'")]).await;
    app::fill(&Connection::connect(&live, "test").await.unwrap()).await;
}

/// Which server's data the volume's backup holds.
enum Volume {
    Its,
    AnotherServers,
}

impl Incident {
    fn new() -> Self {
        Self::of(Volume::Its)
    }

    fn of(of: Volume) -> Self {
        let mut cluster = Cluster::start(cluster::options()).unwrap();
        let (admin, live) = (cluster.settings("postgres").unwrap(), cluster.settings("shop").unwrap());
        block(filled(&cluster));
        let (data, volume) = (cluster.directory().join("data"), cluster.directory().join("volume"));
        match of {
            Volume::Its => {
                cluster.stop_server(Stop::Fast).unwrap();
                copy(&data, &volume);
                cluster.start_server().unwrap();
            }
            Volume::AnotherServers => {
                let mut other = Cluster::start(cluster::options()).unwrap();
                block(filled(&other));
                let password = cluster.password().expose();
                let same = format!("ALTER ROLE postgres PASSWORD '{password}'");
                block(all(&other.settings("postgres").unwrap(), &[&same]));
                other.stop_server(Stop::Fast).unwrap();
                copy(&other.directory().join("data"), &volume);
            }
        }
        block(async {
            all(&admin, &["ALTER DATABASE shop RESET \"runplan.claim\""]).await;
            all(
                &live,
                &[
                    "UPDATE users SET wallet_address = NULL",
                    "INSERT INTO users (id, email) VALUES (9001, 'later')",
                ],
            )
            .await;
        });
        let sandbox = Sandbox::patient()
            .variable("DATABASE_URL", cluster.url("shop").expose())
            .variable("RAILWAY_TOKEN", TOKEN);
        let url = cluster.url("shop");
        let cluster = Arc::new(Mutex::new(cluster));
        let server = cluster.clone();
        let railway = Railway::start(move || {
            let mut server = server.lock().unwrap();
            server.stop_server(Stop::Immediate).unwrap();
            std::fs::remove_dir_all(&data).unwrap();
            copy(&volume, &data);
            server.start_server().unwrap();
        });
        let hours = |hours: i64| clock::now() - jiff::SignedDuration::from_hours(hours);
        railway.state().backups =
            vec![backup("b-old", hours(30)), backup("b-good", hours(6)), backup("b-bad", hours(1))];
        let asked = live.clone();
        let health = Server::start(move |_| {
            let answers = block(async {
                let connection = Connection::connect(&asked, "application").await?;
                connection.one("SELECT 1").await
            });
            let word = if answers.is_ok() { "connected" } else { "lost" };
            let json =
                serde_json::json!({ "status": "healthy", "services": { "database": { "status": word } } });
            Some((200, json.to_string()))
        });
        Self { sandbox, railway, health, live, url, _cluster: cluster }
    }

    fn line(&self) -> String {
        format!(
            "{plan} -p before={before} -p environment=env -p project=project -p service=db -p app_service=app \
             -p app_url={health} -p functional=false -p api={api} -p backup_dir={dir} --reason test --plain",
            plan = plan("method-2"),
            before = clock::now() - jiff::SignedDuration::from_hours(3),
            health = self.health.url,
            api = self.railway.url,
            dir = self.sandbox.path("off-site").display(),
        )
    }
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    sandbox.run(&format!("rehearse {} --plain", plan("method-2"))).code(0).says("Done after");
}

#[test]
fn limited_broken_and_killed_it_restores_once() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    railway.state().troubles = vec![
        ("environment", Trouble::Limited),
        ("volumeInstanceBackupList", Trouble::Broken),
        ("volumeInstanceBackupRestore", Trouble::Held),
        ("environmentPatchCommitStaged", Trouble::Lost),
    ];
    let team = Team::of(sandbox);
    let first = sandbox.run(&format!("{} {}", incident.line(), team.site())).code(4).says("429");
    let run = sandbox.only_run();
    let status = sandbox.run(&format!("status {run} --format json")).code(0).json();
    let steps = status["steps"].as_array().unwrap();
    let chosen = steps.iter().find(|step| step["id"] == "chosen").unwrap();
    assert_eq!(chosen["outputs"]["first"]["id"], "b-good");
    let approved = team.agrees("go");
    let resumed = sandbox.start(&format!("resume {run} --plain"));
    railway.until_held();
    resumed.signal(Signal::KILL);
    let killed = resumed.wait();
    railway.let_go();
    let last = sandbox.run(&format!("resume {run} --plain"));
    for ran in [&first, &approved, &killed, &last] {
        eprintln!("{}", ran.all());
    }
    last.code(0);
    // Each once, whatever happened to its answer.
    for name in ["volumeInstanceBackupRestore", "environmentPatchCommitStaged"] {
        assert_eq!(railway.times(name), 1, "{:?}", railway.state().done);
    }
    assert_eq!(railway.state().invalid, Vec::<String>::new());
    assert_eq!(railway.state().backups.len(), 2, "the newer backup is gone");
    let values: Vec<String> = railway.state().variables.iter().map(|(.., value)| value.clone()).collect();
    assert_eq!(values, ["true", "false"]);
    // The server is the one of the backup; nothing of either run's claim is left there.
    let (broken, later, claims) = block(async {
        let connection = Connection::connect(&incident.live, "test").await.unwrap();
        let one = async |sql: &str| connection.one(sql).await.unwrap();
        (
            one("SELECT count(*) FROM users WHERE wallet_address IS NULL").await,
            one("SELECT count(*) FROM users WHERE id = 9001").await,
            one("SELECT count(*) FROM pg_db_role_setting").await,
        )
    });
    assert_eq!((broken.as_str(), later.as_str(), claims.as_str()), ("0", "0", "0"));
    assert_eq!(std::fs::read_dir(sandbox.path("off-site")).unwrap().count(), 2, "a dump and its manifest");
    let logs = sandbox.run(&format!("logs {run} --format json")).code(0);
    assert!(logs.stdout.contains("taken_anew") && logs.stdout.contains("replacing"), "{}", logs.stdout);
    assert!(!logs.stdout.contains(TOKEN));
    sandbox.run(&format!("status {run} --verify")).code(0);
}

#[test]
fn without_a_backup_from_before_nothing_is_closed() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    railway.state().backups.remove(0);
    railway.state().backups.remove(0);
    sandbox
        .run(&incident.line())
        .code(4)
        .says("chosen")
        .says("Railway has no backup of this volume from before");
    assert_eq!(sandbox.step("chosen"), "failed");
    assert_eq!(railway.times("variableUpsert"), 0, "the application was not closed for nothing");
    assert_eq!(railway.state().invalid, Vec::<String>::new());
}

#[test]
fn what_somebody_else_staged_is_not_committed_along() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    sandbox.run(&incident.line()).code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    // While the approval was waited for.
    railway.state().staged = true;
    let ran = sandbox.run(&format!("resume {run} --plain")).code(4);
    ran.says("nothing_staged").says("environmentStagedChanges.patch").says("volumeMounts");
    assert_eq!(sandbox.step("nothing_staged"), "failed");
    for name in ["volumeInstanceBackupRestore", "environmentPatchCommitStaged"] {
        assert_eq!(railway.times(name), 0, "{:?}", railway.state().done);
    }
    // Discarded by a person, the run goes on.
    railway.state().staged = false;
    sandbox.run(&format!("resume {run} --plain")).code(0);
    assert_eq!(railway.times("volumeInstanceBackupRestore"), 1);
}

/// The restore did not happen, and what somebody else staged meanwhile is not taken for it.
#[test]
fn another_change_is_not_taken_for_the_restore_whose_answer_was_lost() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    let text = std::fs::read_to_string(plan("method-2")).unwrap();
    sandbox.write(
        "method-2.yaml",
        &text.replace(
            "title: Stage the restore\n    window: maintenance\n    timeout: 10m",
            "title: Stage the restore\n    window: maintenance\n    timeout: 5s",
        ),
    );
    for name in ["maintenance-on", "maintenance-off", "verify-suite"] {
        sandbox.write(&format!("{name}.yaml"), &std::fs::read_to_string(plan(name)).unwrap());
    }
    let line =
        incident.line().replace(&plan("method-2"), &sandbox.path("method-2.yaml").display().to_string());
    sandbox.run(&line).code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    railway.state().troubles = vec![("volumeInstanceBackupRestore", Trouble::Overtaken)];
    let ran = sandbox.run(&format!("resume {run} --plain"));
    assert_ne!(sandbox.step("restored"), "done", "{}", ran.all());
    assert_eq!(railway.times("environmentPatchCommitStaged"), 0, "{:?}", railway.state().done);
}

#[test]
fn what_is_staged_beside_the_restore_holds_up_its_commit() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    railway.state().busy = 1000;
    sandbox.run(&incident.line()).code(4).says("RESTORING");
    assert_eq!(sandbox.step("ready"), "failed");
    // Asked anew.
    railway.state().busy = 0;
    let run = sandbox.only_run();
    sandbox.run(&format!("resume {run} --plain")).code(4);
    sandbox.run(&format!("approve {run} go")).code(0);
    railway.state().troubles = vec![("volumeInstanceBackupRestore", Trouble::Held)];
    let resumed = sandbox.start(&format!("resume {run} --plain"));
    railway.until_held();
    railway.state().foreign = true;
    resumed.signal(Signal::KILL);
    drop(resumed);
    railway.let_go();
    sandbox.run(&format!("resume {run} --plain")).code(4).says("staged").says("variables");
    assert_eq!(sandbox.step("staged"), "failed");
    assert_eq!(railway.times("environmentPatchCommitStaged"), 0, "{:?}", railway.state().done);
    // Discarded by a person; but the application does not come up when it is opened.
    railway.state().foreign = false;
    railway.state().status = "CRASHED";
    sandbox.run(&format!("resume {run} --plain")).code(4).says("CRASHED");
    assert_eq!(sandbox.step("opened.live"), "failed");
    assert_eq!(railway.times("environmentPatchCommitStaged"), 1);
    railway.state().status = "SUCCESS";
    sandbox.run(&format!("resume {run} --plain")).code(0);
    assert_eq!(railway.times("volumeInstanceBackupRestore"), 1);
    assert_eq!(railway.state().invalid, Vec::<String>::new());
}

#[test]
fn what_the_service_says_of_a_failed_restore_is_shown() {
    let incident = Incident::new();
    let Incident { sandbox, railway, .. } = &incident;
    sandbox.run(&incident.line()).code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    railway.state().workflow_error = Some("the volume is full");
    sandbox.run(&format!("resume {run} --plain")).code(4).says("the volume is full");
    assert_eq!(sandbox.step("workflow"), "failed");
}

/// The volume is another server's from its beginning on: its system identifier is another, too.
#[test]
fn a_server_of_another_identity_is_taken_anew_and_the_run_goes_on() {
    let incident = Incident::of(Volume::AnotherServers);
    let Incident { sandbox, railway, .. } = &incident;
    let identity = || {
        block(async {
            let connection = Connection::connect(&incident.live, "test").await.unwrap();
            connection.one("SELECT system_identifier FROM pg_control_system()").await.unwrap()
        })
    };
    let before = identity();
    // And the application is used there as its users do.
    let app = App::at(incident.url.expose(), "");
    let line = incident
        .line()
        .replace(&incident.health.url, &app.url)
        .replace("functional=false", "functional=true");
    sandbox.run(&line).code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    sandbox.run(&format!("resume {run} --plain")).code(0);
    let after = identity();
    assert_ne!(before, after);
    assert_eq!(sandbox.step("verified.paid"), "done");
    let logs = sandbox.run(&format!("logs {run} --format json")).code(0).stdout;
    let of =
        |fact: &str| logs.lines().filter(|line| line.contains(fact)).map(str::to_owned).collect::<String>();
    assert!(of("replacing").contains(&before), "{logs}");
    assert!(of("taken_anew").contains(&after), "{logs}");
    assert_eq!(railway.times("environmentPatchCommitStaged"), 1);
    let claims = block(async {
        let connection = Connection::connect(&incident.live, "test").await.unwrap();
        connection.one("SELECT count(*) FROM pg_db_role_setting").await.unwrap()
    });
    assert_eq!(claims, "0", "nothing of either claim is left");
}
