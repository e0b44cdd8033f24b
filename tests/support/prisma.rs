//! A small application with the real Prisma: a project under git, its packages, its database with three migrations applied.
//! The packages are installed once, outside the repository, by `.ci/test-programs`.
#![allow(clippy::disallowed_methods, reason = "git and Prisma are started here as a person would start them")]

use super::cluster;
use super::sandbox::{Ran, Sandbox};
use runplan::postgres::Settings;
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The migration that the tests take back: what it leaves when it fails was committed by itself.
pub const DISPUTES: &str = "20240104000000_add_disputes";

const FAILS_MIDWAY: &str = r#"BEGIN;
CREATE TABLE "disputes" (
    "id" SERIAL NOT NULL,
    "escrow_id" INTEGER NOT NULL,
    "reason" TEXT NOT NULL,
    CONSTRAINT "disputes_pkey" PRIMARY KEY ("id")
);
ALTER TABLE "escrows" ADD COLUMN "fee" DECIMAL(18,2) NOT NULL DEFAULT 0;
COMMIT;

-- Fails when two users have the same wallet.
CREATE UNIQUE INDEX "users_wallet_address_key" ON "users"("wallet_address");
"#;

/// A file or directory of this repository.
pub fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Where `.ci/test-programs` puts the packages.
pub fn packages() -> PathBuf {
    let lock = std::fs::read(root("tests/plans/prisma/package-lock.json")).unwrap();
    let sum: String = Sha256::digest(&lock).iter().map(|byte| format!("{byte:02x}")).collect();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let packages = cache.join("runplan-tests").join(format!("prisma-{}", &sum[..16])).join("node_modules");
    assert!(packages.is_dir(), "{} is not there: run .ci/test-programs once", packages.display());
    packages
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => assert!(std::fs::copy(entry.path(), target).is_ok()),
        }
    }
}

/// The database that Prisma migrated, once for all tests; theirs are copies of it.
fn migrated() -> &'static str {
    static MIGRATED: OnceLock<String> = OnceLock::new();
    MIGRATED.get_or_init(|| {
        let project = Project::empty();
        project.prisma("migrate deploy").code(0);
        project.execute(&[
            "INSERT INTO users (email, wallet_address) SELECT 'u' || n || '@x', 'w' || n FROM generate_series(1, 200) n",
            "INSERT INTO escrows (buyer_id, amount, status) SELECT n, n, 'ACTIVE' FROM generate_series(1, 100) n",
            "INSERT INTO messages (escrow_id, sender_id, body) SELECT n, n, 'm' || n FROM generate_series(1, 100) n",
        ]);
        project.database.database().to_owned()
    })
}

pub struct Project {
    pub sandbox: Sandbox,
    pub database: Settings,
}

impl Project {
    /// The project committed, its database migrated and filled.
    pub fn new() -> Self {
        let (template, project) = (migrated(), Self::empty());
        let admin = cluster::shared().settings("postgres").unwrap();
        block(async {
            let connection = cluster::connect(&admin).await;
            let name = project.database.database();
            connection.execute(&format!("DROP DATABASE {name}")).await.unwrap();
            connection.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.unwrap();
        });
        project
    }

    /// The project committed, its database empty.
    fn empty() -> Self {
        let database = block(cluster::database("prisma"));
        let url = cluster::shared().url(database.database());
        let sandbox = Self::surroundings(Sandbox::patient()).variable("DATABASE_URL", url.expose());
        let project = Self { sandbox, database };
        let directory = project.path("");
        copy(&root("tests/plans/prisma/project"), &directory);
        std::fs::copy(root("tests/plans/prisma/package.json"), directory.join("package.json")).unwrap();
        std::os::unix::fs::symlink(packages(), directory.join("node_modules")).unwrap();
        project.git("init -q -b main");
        project.commit("the application");
        project
    }

    /// Another database as the project's was made: a local one, staging.
    pub fn another(&mut self, variable: &str) -> Settings {
        let database = block(cluster::database("another"));
        let admin = cluster::shared().settings("postgres").unwrap();
        block(async {
            let connection = cluster::connect(&admin).await;
            let name = database.database();
            connection.execute(&format!("DROP DATABASE {name}")).await.unwrap();
            connection
                .execute(&format!("CREATE DATABASE {name} TEMPLATE {}", self.database.database()))
                .await
                .unwrap();
        });
        self.sandbox.set(variable, cluster::shared().url(database.database()).expose());
        database
    }

    /// What Prisma, npm and git need around them, and that nobody is asked nor told anything.
    fn surroundings(sandbox: Sandbox) -> Sandbox {
        let engine = root("tests/plans/prisma/schema-engine.mjs");
        sandbox
            .variable("PRISMA_SCHEMA_ENGINE_BINARY", &engine.display().to_string())
            .variable("CHECKPOINT_DISABLE", "1")
            .variable("PRISMA_HIDE_UPDATE_MESSAGE", "1")
            .variable("NO_COLOR", "1")
            .variable("NPM_CONFIG_UPDATE_NOTIFIER", "false")
            .variable("GIT_AUTHOR_NAME", "Ann")
            .variable("GIT_AUTHOR_EMAIL", "ann@example.com")
            .variable("GIT_COMMITTER_NAME", "Ann")
            .variable("GIT_COMMITTER_EMAIL", "ann@example.com")
    }

    /// A file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path("app").join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from:?}:\n{text}");
        self.write(name, &text.replace(from, to));
    }

    /// What a person types in the project.
    pub fn types(&self, line: &str) -> Ran {
        let words = shlex::split(line).unwrap();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.path(""));
        self.sandbox.surround(&mut command);
        Ran::of(line, &command.output().unwrap())
    }

    pub fn prisma(&self, line: &str) -> Ran {
        self.types(&format!("npx --no -- prisma {line}"))
    }

    pub fn git(&self, line: &str) -> String {
        self.types(&format!("git {line}")).code(0).stdout.trim().to_owned()
    }

    pub fn commit(&self, message: &str) {
        self.git("add --all");
        self.git(&format!("commit -q -m '{message}'"));
    }

    pub fn execute(&self, statements: &[&str]) {
        block(async {
            let connection = cluster::connect(&self.database).await;
            for statement in statements {
                connection.execute(statement).await.unwrap();
            }
        });
    }

    /// What the server says to a statement that it refuses.
    pub fn refused(&self, statement: &str) -> String {
        block(async {
            let connection = cluster::connect(&self.database).await;
            connection.execute(statement).await.map(|_| ()).unwrap_err().to_string()
        })
    }

    /// The one value of a query.
    pub fn one(&self, query: &str) -> String {
        block(async { cluster::connect(&self.database).await.one(query).await.unwrap() })
    }

    /// A commit with the migration that adds disputes, as Prisma would write it but for its COMMIT.
    pub fn add_disputes(&self) {
        self.write(&format!("prisma/migrations/{DISPUTES}/migration.sql"), FAILS_MIDWAY);
        let schema = "prisma/schema.prisma";
        let wallet = "walletAddress String?   @map";
        self.replace(schema, wallet, "walletAddress String?   @unique @map");
        let messages = "  messages Message[]\n\n  @@index([buyerId])";
        self.replace(
            schema,
            messages,
            &format!("  fee      Decimal      @default(0) @db.Decimal(18, 2)\n{messages}"),
        );
        let model = "model Dispute {\n  id       Int    @id @default(autoincrement())\n  escrowId Int    @map(\"escrow_id\")\n  \
                     reason   String\n\n  @@map(\"disputes\")\n}\n";
        self.write(schema, &format!("{}\n{model}", self.read(schema)));
        self.commit("add disputes");
    }

    /// The migration fails in its second half: two users share a wallet.
    pub fn fails_midway(&self) -> Ran {
        self.add_disputes();
        self.execute(&["UPDATE users SET wallet_address = 'shared' WHERE id IN (7, 8)"]);
        self.prisma("migrate deploy").code(1)
    }

    /// What is in the database besides the data.
    pub fn tables(&self) -> String {
        self.one("SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    }

    /// Approves a step and goes on.
    pub fn approve(&self, step: &str, comment: &str) -> Ran {
        let run = self.sandbox.only_run();
        assert_eq!(self.sandbox.step(step), "awaiting_approval", "{step}");
        self.sandbox.run(&format!("approve {run} {step} --comment '{comment}'")).code(0);
        self.sandbox.run(&format!("resume {run} --plain"))
    }

    /// Approves `go`, goes on, and kills the program while the SQL that a person read is under way.
    pub fn killed_while_taking_back(&self) {
        let run = self.sandbox.only_run();
        self.sandbox.run(&format!("approve {run} go")).code(0);
        let started = self.sandbox.start(&format!("resume {run} --plain"));
        let at_work = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%taken back by%' \
                       AND datname = current_database() AND pid <> pg_backend_pid()";
        self.sandbox.until("it is under way", |_| self.one(at_work) == "1");
        started.signal(Signal::KILL);
    }

    /// The outputs of a step, as `status` says them.
    pub fn outputs(&self, step: &str) -> serde_json::Value {
        let status =
            self.sandbox.run(&format!("status {} --format json", self.sandbox.only_run())).code(0).json();
        let found = status["steps"].as_array().unwrap().iter().find(|one| one["id"] == step).unwrap();
        found["outputs"].clone()
    }
}

/// The application, serving.
pub struct Serving {
    child: Child,
}

impl Serving {
    /// What was built last, on this port.
    pub fn start(project: &Project, port: u16) -> Self {
        let mut command = Command::new("node");
        command.arg("dist/src/server.js").current_dir(project.path(""));
        project.sandbox.surround(&mut command);
        Self {
            child: command
                .env("PORT", port.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
