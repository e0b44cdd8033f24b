//! Method 3 with backups made by hand, by the commands of the procedure: uncompressed, compressed, single tables; beside the
//! live database and in its place.

use crate::support::cluster;
use crate::support::prisma::{block, root};
use crate::support::sandbox::Sandbox;
use crate::support::team::Team;
use runplan::postgres::{Settings, escape_identifier};
use std::process::Command;

struct Shop {
    sandbox: Sandbox,
    database: Settings,
}

impl Shop {
    fn new() -> Self {
        let database = block(cluster::database("manual"));
        let url = cluster::shared().url(database.database());
        let shop = Self { sandbox: Sandbox::new().variable("DATABASE_URL", url.expose()), database };
        shop.execute(&[
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL UNIQUE)",
            "CREATE TABLE escrows (id int PRIMARY KEY, buyer_id int NOT NULL REFERENCES users (id), amount numeric)",
            "CREATE TABLE messages (id int PRIMARY KEY, escrow_id int NOT NULL REFERENCES escrows (id), body text)",
            "CREATE INDEX escrows_buyer ON escrows (buyer_id)",
            "INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 500) n",
            "INSERT INTO escrows SELECT n, n, n FROM generate_series(1, 400) n",
            "INSERT INTO messages SELECT n, n, 'm' || n FROM generate_series(1, 300) n",
        ]);
        shop
    }

    fn execute(&self, statements: &[&str]) {
        block(async {
            let connection = cluster::connect(&self.database).await;
            for statement in statements {
                connection.execute(statement).await.unwrap();
            }
        });
    }

    fn one_of(&self, database: &str, query: &str) -> String {
        let settings = self.database.with_database(database);
        block(async { cluster::connect(&settings).await.one(query).await.unwrap() })
    }

    fn one(&self, query: &str) -> String {
        self.one_of(self.database.database(), query)
    }

    /// A command as somebody types it who has read the procedure.
    #[allow(clippy::disallowed_methods, reason = "somebody's shell")]
    fn types(&self, line: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", line]).current_dir(self.sandbox.path(""));
        self.sandbox.surround(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn breaks(&self) {
        self.execute(&[
            "UPDATE users SET email = 'broken' || id",
            "DELETE FROM messages WHERE id > 100",
            "DROP INDEX escrows_buyer",
        ]);
    }

    fn line(&self, backup: &str, rest: &str) -> String {
        format!(
            "{} -p backup={} -p backup_dir={} --reason test --plain {rest}",
            root("plans/method-3.yaml").display(),
            self.sandbox.path(backup).display(),
            self.sandbox.path("safety").display(),
        )
    }

    fn is_whole(&self, database: &str) {
        let rows = "SELECT (SELECT count(*) FROM users WHERE email = 'u' || id) || ' ' || (SELECT count(*) FROM escrows) || ' ' || \
                    (SELECT count(*) FROM messages) || ' ' || (SELECT count(*) FROM pg_indexes WHERE indexname = 'escrows_buyer')";
        assert_eq!(self.one_of(database, rows), "500 400 300 1", "{database}");
    }

    fn approve(&self, step: &str) -> crate::support::sandbox::Ran {
        let run = self.sandbox.only_run();
        self.sandbox.run(&format!("approve {run} {step}")).code(0);
        self.sandbox.run(&format!("resume {run} --plain"))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let admin = cluster::shared().settings("postgres").unwrap();
        let name = self.database.database();
        block(async {
            let connection = cluster::connect(&admin).await;
            let query = format!("SELECT datname FROM pg_database WHERE datname LIKE '{name}\\_rp%'");
            for row in connection.last(&query).await.unwrap().rows {
                let name = escape_identifier(row[0].as_deref().unwrap());
                let _ = connection.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
            }
        });
    }
}

/// The procedure's three ways to make a backup, and an archive.
const BACKUPS: [(&str, &str); 3] = [
    ("backup.sql", "pg_dump $DATABASE_URL > backup.sql"),
    ("backup.sql.gz", "pg_dump $DATABASE_URL | gzip > backup.sql.gz"),
    ("backup.dump", "pg_dump -Fc $DATABASE_URL > backup.dump"),
];

#[test]
fn every_kind_of_backup_takes_the_place_of_the_live_data() {
    for (name, command) in BACKUPS {
        let shop = Shop::new();
        shop.types(command);
        shop.breaks();
        shop.sandbox.run(&shop.line(name, "-p where=in_place")).code(4).says("There is no way back but");
        let ended = shop.approve("go").code(0).says("Done after");
        assert!(!ended.stdout.contains("still frozen"), "{}", ended.stdout);
        shop.is_whole(shop.database.database());
        // It takes writes again, and what was there before is in the safety backup.
        shop.execute(&["INSERT INTO users VALUES (501, 'u501')"]);
        assert_eq!(shop.sandbox.step("thawed"), "done");
        let kept = shop.types("for file in safety/*; do [ -d \"$file\" ] && pg_restore -f - \"$file\"; done | grep -c broken || true");
        assert_eq!(kept.trim(), "500", "{name}");
    }
}

/// What is written while somebody decides is neither lost nor a dead end: it is frozen, saved and asked anew.
#[test]
fn what_is_written_while_somebody_decides_is_saved_before_it_is_replaced() {
    let shop = Shop::new();
    shop.types(BACKUPS[1].1);
    let team = Team::of(&shop.sandbox);
    let rest = format!("-p where=in_place {}", team.site());
    shop.sandbox.run(&shop.line(BACKUPS[1].0, &rest)).code(4);
    assert_eq!(team.heard("Replace everything in"), 1, "who is asked hears of it");
    shop.execute(&["BEGIN READ WRITE; INSERT INTO users VALUES (900, 'paid'); COMMIT"]);
    let refused = team.decides("go");
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    refused.says("was written to since the freeze");
    assert_eq!(shop.one("SELECT count(*) FROM users WHERE id = 900"), "1");
    let run = shop.sandbox.only_run();
    shop.sandbox.run(&format!("resume {run} --plain")).code(4).says("There is no way back but");
    team.decides("go").code(0);
    shop.is_whole(shop.database.database());
    let kept = shop.types(
        "for file in safety/*; do [ -d \"$file\" ] && pg_restore -f - \"$file\"; done | grep -c paid || true",
    );
    assert_eq!(kept.trim(), "1");
}

#[test]
fn every_kind_of_backup_is_restored_beside() {
    for (name, command) in BACKUPS {
        let shop = Shop::new();
        shop.types(command);
        shop.breaks();
        shop.sandbox.run(&shop.line(name, "")).code(4).says("beside");
        shop.approve("go").code(0).says("runplan prune");
        let side = shop.one(&format!(
            "SELECT datname FROM pg_database WHERE datname LIKE '{}\\_rp%'",
            shop.database.database()
        ));
        shop.is_whole(&side);
        assert_eq!(shop.one("SELECT count(*) FROM messages"), "100", "the live one is as it was");
    }
}

#[test]
fn single_tables_are_restored_beside_and_refused_in_place() {
    let shop = Shop::new();
    shop.types("pg_dump $DATABASE_URL -t users -t escrows > backup_specific_tables.sql");
    shop.breaks();
    let refused = shop.sandbox.run(&shop.line("backup_specific_tables.sql", "-p where=in_place")).code(4);
    refused.says("what would be lost").says("table public.messages");
    assert_eq!(shop.one("SELECT count(*) FROM messages"), "100", "nothing was touched");
    assert!(!shop.sandbox.exists("safety"));
    std::fs::remove_dir_all(shop.sandbox.state()).unwrap();
    shop.execute(&[&format!("ALTER DATABASE {} RESET ALL", escape_identifier(shop.database.database()))]);
    shop.sandbox.run(&shop.line("backup_specific_tables.sql", "")).code(4);
    shop.approve("go").code(0);
    let side = shop.one(&format!(
        "SELECT datname FROM pg_database WHERE datname LIKE '{}\\_rp%'",
        shop.database.database()
    ));
    assert_eq!(shop.one_of(&side, "SELECT count(*) FROM users WHERE email = 'u' || id"), "500");
}

/// What the live database has and the backup has not is named by kind and name, and goes only when somebody said so.
#[test]
fn what_the_backup_does_not_hold_goes_only_when_it_was_said() {
    let shop = Shop::new();
    shop.types(BACKUPS[1].1);
    shop.execute(&[
        "CREATE VIEW rich AS SELECT * FROM escrows WHERE amount > 100",
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users",
        "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2'",
        "CREATE SEQUENCE loose",
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touched()",
        "ALTER TABLE users ADD COLUMN phone text",
        "DO $$ BEGIN FOR n IN 1..30 LOOP EXECUTE format('CREATE TABLE made_since_%s (id int)', n); END LOOP; END $$",
    ]);
    let named = [
        "view public.rich",
        "materialized view public.counted",
        "function public.twice(n integer)",
        "sequence public.loose",
        "enum public.mood",
        "trigger public.users.touch",
        "column public.users.phone",
        "table public.made_since_1",
        "table public.made_since_30",
    ];
    let refused = shop.sandbox.run(&shop.line(BACKUPS[1].0, "-p where=in_place")).code(4);
    named.iter().fold(refused.says("objects that the backup does not hold"), |ran, name| ran.says(name));
    assert!(!shop.sandbox.exists("safety"), "nothing was done");
    std::fs::remove_dir_all(shop.sandbox.state()).unwrap();
    let asked = shop.sandbox.run(&shop.line(BACKUPS[1].0, "-p where=in_place -p drop_others=true")).code(4);
    named.iter().fold(asked, |ran, name| ran.says(name));
    shop.approve("go").code(0);
    shop.is_whole(shop.database.database());
    assert_eq!(
        shop.one("SELECT coalesce(to_regclass('rich')::text, '') || coalesce(to_regtype('mood')::text, '')"),
        ""
    );
}

#[test]
fn a_backup_that_broke_off_is_found_out_before_anything_is_done() {
    let shop = Shop::new();
    shop.types("pg_dump $DATABASE_URL | gzip > whole.gz; head -c 2000 whole.gz > cut.gz");
    shop.types("pg_dump $DATABASE_URL > whole.sql; head -c 9000 whole.sql > cut.sql");
    shop.types("(pg_dump postgresql://127.0.0.1:1/nothing || true) 2>/dev/null | gzip > empty.sql.gz; gunzip -t empty.sql.gz");
    for name in ["cut.gz", "cut.sql", "empty.sql.gz", "none.sql"] {
        let ran = shop.sandbox.run(&shop.line(name, "-p where=in_place"));
        assert!(matches!(ran.code, Some(4 | 6)), "{name}: {}{}", ran.stdout, ran.stderr);
        shop.is_whole(shop.database.database());
        let _ = std::fs::remove_dir_all(shop.sandbox.state());
    }
    shop.sandbox.run(&shop.line("x", "-p where=above")).code(3).complains("is not one of its choices");
    let plan = root("plans/method-3.yaml");
    shop.sandbox
        .run(&format!("{} --plain", plan.display()))
        .code(3)
        .complains("the parameter `backup` has no value");
}

#[test]
fn it_is_rehearsed_both_ways() {
    for way in ["in_place", "beside"] {
        let sandbox = Sandbox::new();
        let plan = root("plans/method-3.yaml");
        let ran = sandbox.run(&format!("rehearse {} --plain -p where={way}", plan.display())).code(0);
        assert!(!ran.stdout.contains("Trouble"), "{}", ran.stdout);
    }
}
