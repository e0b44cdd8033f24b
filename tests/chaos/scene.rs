//! One run's own world: three databases, a directory, a server that counts requests; and everything about it that an
//! interruption must not change.

use super::plan;
use crate::support::bouncer::Bouncer;
use crate::support::cluster::unique;
use crate::support::sandbox::{Sandbox, processes};
use crate::support::server::Server;
use runplan::clock::{self, Stopwatch};
use runplan::postgres::{Cluster, Connection, Pooler, Settings, escape_identifier};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a scene's databases are reached.
#[derive(Debug, Clone)]
pub struct Way {
    admin: Settings,
    port: u16,
    /// The URL of the database `postgres`, password included.
    url: String,
}

impl Way {
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            admin: cluster.settings("postgres").unwrap(),
            port: cluster.port(),
            url: cluster.url("postgres").expose().to_owned(),
        }
    }

    fn url(&self, database: &str, port: Option<u16>) -> String {
        let url = self.url.replace("/postgres?", &format!("/{database}?"));
        match port {
            Some(port) => url.replace(&format!(":{}/", self.port), &format!(":{port}/")),
            None => url,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

pub struct Scene {
    pub sandbox: Sandbox,
    pub app: String,
    ledger: String,
    archive: String,
    way: Way,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    server: Server,
}

pub fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

const SEED: &[(&str, &[&str])] = &[
    (
        "app",
        &[
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL)",
            "INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 500) n",
            "CREATE TABLE marks (mark text)",
            "CREATE TABLE facts (id int PRIMARY KEY, word text)",
            "INSERT INTO facts VALUES (1, 'ours'), (9, 'stays')",
            // Each statement that changes them is counted.
            "CREATE FUNCTION mark_change() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO public.marks VALUES ('facts_' || lower(tg_op)); RETURN NULL; END $$",
            "CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON facts EXECUTE FUNCTION mark_change()",
        ],
    ),
    (
        "ledger",
        &[
            "CREATE TABLE marks (mark text)",
            "CREATE TABLE facts (id int PRIMARY KEY, word text)",
            "INSERT INTO facts VALUES (1, 'theirs'), (2, 'new'), (3, 'new too')",
        ],
    ),
    (
        "archive",
        &[
            "CREATE TABLE papers (id serial PRIMARY KEY, body text)",
            "INSERT INTO papers (body) SELECT 'p' || n FROM generate_series(1, 300) n",
        ],
    ),
];

impl Scene {
    /// `proxy`: the program reaches the server by that port.
    pub fn new(way: &Way, in_place: bool, proxy: Option<u16>) -> Self {
        let stem = unique("chaos");
        let name = |what: &str| format!("{stem}_{what}");
        seed(way, &stem);
        let counts = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let counted = counts.clone();
        let server = Server::start(move |asked| {
            let mut counts = counted.lock().unwrap();
            if let Some(name) = asked.path.strip_prefix("/count/") {
                let count = counts.get(name).copied().unwrap_or(0);
                return Some((200, format!("{{\"count\": {count}}}")));
            }
            *counts.entry(asked.path.trim_start_matches('/').to_owned()).or_default() += 1;
            Some((200, "{}".to_owned()))
        });
        let sandbox = Sandbox::new()
            .variable("APP_URL", &way.url(&name("app"), proxy))
            .variable("LEDGER_URL", &way.url(&name("ledger"), proxy))
            .variable("ARCHIVE_URL", &way.url(&name("archive"), proxy));
        sandbox.write("chaos.yaml", &plan::text(in_place)).write("runplan.yaml", &plan::site(&server.url));
        let (app, ledger, archive) = (name("app"), name("ledger"), name("archive"));
        Self { sandbox, app, ledger, archive, way: way.clone(), counts, server }
    }

    /// Its application reaches the database through this pooler, which a swap pauses.
    pub fn pooled(self, bouncer: &Bouncer) -> Self {
        let plain = "app: { url: \"{{ secrets.APP_URL }}\" }";
        let pooled = format!(
            "app: {{ url: \"{{{{ secrets.APP_URL }}}}\", pooler: {{ admin_url: \"{}\" }} }}",
            bouncer.url("pgbouncer")
        );
        let text = self.sandbox.read("chaos.yaml");
        assert!(text.contains(plain));
        self.sandbox.write("chaos.yaml", &text.replace(plain, &pooled));
        self
    }

    /// What an application would see through the pooler now.
    pub fn through(&self, bouncer: &Bouncer) -> Vec<String> {
        block(async {
            let pooler = Pooler::connect(&bouncer.settings("pgbouncer"), "chaos-test").await.unwrap();
            let pools = pooler.pools(&self.app).await.unwrap();
            let paused =
                pools.iter().filter(|pool| pool.paused).map(|pool| format!("{} is paused", pool.name));
            let mut faults: Vec<String> = paused.collect();
            if faults.is_empty() {
                let application =
                    Connection::connect(&bouncer.settings(&self.app), "chaos-test").await.unwrap();
                let after = application.one("SELECT count(*) FROM marks WHERE mark = 'after'").await.unwrap();
                if after != "1" {
                    faults.push(format!("through the pooler the mark after the swap is there {after} times"));
                }
            }
            faults
        })
    }

    /// The numbers of the events of a step.
    pub fn numbers_of(&self, step: &str) -> Vec<u64> {
        let logs = self.sandbox.run(&format!("logs {} --format json", self.sandbox.only_run())).code(0);
        let events = logs.lines().into_iter().filter(|event| event["step"] == step);
        events.filter_map(|event| event["seq"].as_u64()).collect()
    }

    /// The command that starts the run.
    pub fn line(&self) -> String {
        format!("chaos.yaml -p url={} --reason chaos --plain", self.server.url)
    }

    pub fn requests(&self, name: &str) -> usize {
        self.counts.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// How often each mark is there.
    pub fn marks(&self) -> BTreeMap<String, usize> {
        let mut marks = BTreeMap::<String, usize>::new();
        for database in [&self.ledger, &self.app] {
            for mark in self.rows(database, "SELECT mark FROM marks") {
                *marks.entry(mark).or_default() += 1;
            }
        }
        for line in self.sandbox.read("marks").lines() {
            *marks.entry(line.to_owned()).or_default() += 1;
        }
        for (name, count) in
            self.counts.lock().unwrap().iter().filter(|(name, _)| !["", "hook"].contains(&name.as_str()))
        {
            *marks.entry(name.clone()).or_default() += count;
        }
        marks
    }

    fn rows(&self, database: &str, sql: &str) -> Vec<String> {
        let settings = self.way.admin.with_database(database);
        block(async {
            let connection = Connection::connect(&settings, "chaos-test").await.unwrap();
            let found = connection.last(sql).await.unwrap();
            found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
        })
    }

    /// Everything that must be the same as without an interruption, except the marks, in lines.
    pub fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        let mut say = |what: &str, lines: Vec<String>| rest.push(format!("{what}: {}", lines.join(" ")));
        say("users", self.rows(&self.app, "SELECT count(*) || ' ' || sum(hashtext(email)) FROM users"));
        let indexes = "SELECT indexrelid::regclass || '=' || indisvalid FROM pg_index \
                       WHERE indrelid = 'users'::regclass ORDER BY 1";
        say("indexes", self.rows(&self.app, indexes));
        say("facts", self.rows(&self.app, "SELECT id || '=' || word FROM facts ORDER BY id"));
        let papers = "SELECT count(*) || ' ' || sum(hashtext(id || body)) FROM papers";
        say("papers", self.rows(&self.archive, papers));
        say("next paper", self.rows(&self.archive, "SELECT last_value::text FROM papers_id_seq"));
        let beside = format!(
            "SELECT regexp_replace(datname, '^(.*)_(old|rp)_.*$', '\\2') || ' open=' || datallowconn \
             FROM pg_database WHERE datname LIKE '{}\\_%' ORDER BY 1",
            self.app
        );
        say("databases beside", self.rows("postgres", &beside));
        let settings = format!(
            "SELECT regexp_replace(d.datname, '_(old|rp)_.*$', '_\\1') || ' ' || s.setconfig::text \
             FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
             WHERE d.datname LIKE '{}%' ORDER BY 1",
            self.stem()
        );
        say("settings", self.rows("postgres", &settings));
        let comments = format!(
            "SELECT d.datname FROM pg_database d JOIN pg_shdescription c ON c.objoid = d.oid \
             AND c.classoid = 'pg_database'::regclass \
             WHERE d.datname IN ('{}', '{}', '{}') ORDER BY 1",
            self.app, self.ledger, self.archive
        );
        say("claims", self.rows("postgres", &comments));
        say("backups", self.backups());
        let told = self.requests("hook");
        say("told", vec![if told == 0 { "never" } else { "at least once" }.to_owned()]);
        rest.into_iter().map(|line| line.replace(self.stem(), "chaos")).collect()
    }

    /// What must be so although the run was given up before its swap; the side database and the freeze stay, and are said.
    pub fn rest_without_swap(&self) -> Vec<String> {
        let same = ["users:", "facts:", "indexes:", "papers:", "backups:"];
        self.rest().into_iter().filter(|line| same.iter().any(|same| line.starts_with(same))).collect()
    }

    fn stem(&self) -> &str {
        self.app.strip_suffix("_app").unwrap()
    }

    /// The kinds of files in the backup directory.
    fn backups(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.sandbox.path("backups")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut kinds: Vec<String> = names
            .map(|name| {
                let (_, rest) = name.split_once('Z').unwrap_or(("", &name));
                rest.split_once('.').map_or("directory".to_owned(), |(_, kind)| kind.to_owned())
            })
            .collect();
        kinds.sort();
        kinds
    }

    /// What the program must not leave behind: processes, and sessions of this scene.
    pub fn leftovers(&self) -> Vec<String> {
        let watch = Stopwatch::start();
        loop {
            let mut left = self.processes();
            let sessions = format!(
                "SELECT pid || ' ' || application_name || ' ' || datname FROM pg_stat_activity \
                 WHERE application_name LIKE 'runplan:%' AND datname LIKE '{}%'",
                self.stem()
            );
            left.extend(self.rows("postgres", &sessions));
            if left.is_empty() || watch.elapsed() > Duration::from_secs(10) {
                return left;
            }
            clock::block(Duration::from_millis(20));
        }
    }

    pub fn processes(&self) -> Vec<String> {
        processes(&self.sandbox)
    }

    /// The supervisor's process id, while it lives.
    pub fn supervisor(&self) -> Option<i32> {
        let found = self.processes().into_iter().find(|line| line.contains(" __supervise "))?;
        found.split(' ').next()?.parse().ok()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let names = format!("SELECT datname FROM pg_database WHERE datname LIKE '{}\\_%'", self.stem());
        block(async {
            let Ok(connection) = Connection::connect(&self.way.admin, "chaos-test").await else { return };
            let Ok(found) = connection.last(&names).await else { return };
            for name in found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()) {
                let sql = format!("DROP DATABASE {} WITH (FORCE)", escape_identifier(&name));
                let _ = connection.execute(&sql).await;
            }
        });
    }
}

/// Copies of the templates, which are made once for each server. One after the other: two copies of one template at a
/// time stand in each other's way.
fn seed(way: &Way, stem: &str) {
    static MADE: tokio::sync::Mutex<Vec<u16>> = tokio::sync::Mutex::const_new(Vec::new());
    block(async {
        let admin = Connection::connect(&way.admin, "chaos-test").await.unwrap();
        let mut made = MADE.lock().await;
        if !made.contains(&way.port()) {
            for (name, statements) in SEED {
                let template = format!("chaos_template_{name}");
                admin.execute(&format!("CREATE DATABASE {template}")).await.unwrap();
                let settings = way.admin.with_database(&template);
                let connection = Connection::connect(&settings, "chaos-test").await.unwrap();
                for statement in *statements {
                    connection.execute(statement).await.unwrap();
                }
            }
            made.push(way.port());
        }
        for (name, _) in SEED {
            let database = escape_identifier(&format!("{stem}_{name}"));
            let make = format!("CREATE DATABASE {database} TEMPLATE chaos_template_{name}");
            let watch = Stopwatch::start();
            // The session that filled a template may still be ending.
            while let Err(error) = admin.execute(&make).await {
                assert!(watch.elapsed() < Duration::from_secs(30), "{error}");
                clock::sleep(Duration::from_millis(20)).await;
            }
        }
    });
}
