//! Some rows are brought back as its users do it: rehearsed, run, killed while it copies, undone; everything written since
//! the backup stays.

use super::{backed_up, block, drop_beside, plan};
use crate::support::cluster;
use crate::support::sandbox::Sandbox;
use crate::support::team::Team;
use runplan::postgres::Settings;
use rustix::process::Signal;

/// A database that was backed up, went wrong in some rows, and was written to since.
struct Incident {
    sandbox: Sandbox,
    live: Settings,
    backup: String,
}

impl Incident {
    fn new() -> Self {
        let live = block(cluster::database("salvage"));
        let sandbox =
            Sandbox::new().variable("DATABASE_URL", cluster::shared().url(live.database()).expose());
        let mut incident = Self { sandbox, live, backup: String::new() };
        incident.execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, wallet_address text);
             CREATE TABLE escrows (id bigint PRIMARY KEY, buyer_id bigint REFERENCES users, amount numeric(12, 2));
             INSERT INTO users SELECT n, 'u' || n, 'w' || n FROM generate_series(1, 900) n;
             INSERT INTO escrows SELECT n, n, n FROM generate_series(1, 500) n",
        );
        incident.backup = backed_up(&incident.sandbox);
        incident.execute(
            "UPDATE users SET wallet_address = NULL WHERE id % 9 = 0; UPDATE escrows SET amount = -amount WHERE id % 100 = 0;
             UPDATE users SET email = 'changed since' WHERE id = 9; INSERT INTO users VALUES (1001, 'new', 'w1001');
             UPDATE escrows SET amount = 7 WHERE id = 1",
        );
        incident
    }

    fn execute(&self, sql: &str) {
        block(async { cluster::connect(&self.live).await.execute(sql).await.unwrap() });
    }

    fn content(&self) -> String {
        let sql = "SELECT md5(string_agg(r, ' ' ORDER BY r)) FROM (SELECT u::text AS r FROM users u UNION ALL SELECT e::text FROM escrows e) x";
        block(async { cluster::connect(&self.live).await.one(sql).await.unwrap() })
    }

    fn line(&self) -> String {
        let safety = self.sandbox.path("safety");
        format!(
            "{} -p backup={} -p backup_dir={} --reason 'wallets are empty' --plain",
            plan("salvage"),
            self.backup,
            safety.display()
        )
    }

    /// The wrong rows are right, and what was written since is there.
    fn assert_salvaged(&self) {
        let sql = "SELECT concat_ws(' ', (SELECT count(*) FROM users WHERE wallet_address IS DISTINCT FROM 'w' || id),
            (SELECT count(*) FROM escrows WHERE amount <> id), (SELECT email FROM users WHERE id = 9),
            (SELECT email FROM users WHERE id = 1001), (SELECT amount FROM escrows WHERE id = 1))";
        let found = block(async { cluster::connect(&self.live).await.one(sql).await.unwrap() });
        assert_eq!(found, "0 1 changed since new 7.00");
    }
}

impl Drop for Incident {
    fn drop(&mut self) {
        drop_beside(&self.live);
    }
}

#[test]
fn it_is_rehearsed() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&format!("rehearse {} --plain", plan("salvage"))).code(0);
    ran.says("2222 updated").says("300 updated").says("Done after");
}

#[test]
fn rows_come_back_and_can_be_taken_back() {
    let incident = Incident::new();
    let sandbox = &incident.sandbox;
    let wrong = incident.content();
    let team = Team::of(sandbox);
    sandbox
        .run(&format!("{} {}", incident.line(), team.site()))
        .code(4)
        .says("Give 100 users their wallets back and 5 escrows their amounts");
    team.decides("go").code(0).says("100 users and 5 escrows are as they were");
    incident.assert_salvaged();
    // A finished run is not undone; one that is stopped before its end is.
    let other = Incident::new();
    let sandbox = &other.sandbox;
    sandbox.run(&other.line()).code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    other.execute("ALTER TABLE users ADD CONSTRAINT later CHECK (id <> 18 OR wallet_address IS NULL)");
    sandbox.run(&format!("resume {run} --plain")).code(4).says("violates check constraint");
    assert_eq!(other.content(), wrong, "nothing was copied, not even the rows that fit");
    other.execute("ALTER TABLE users DROP CONSTRAINT later; INSERT INTO users VALUES (1003, 'after', NULL)");
    sandbox.run(&format!("resume {run} --plain")).code(4).says("every user has a wallet");
    assert_eq!(sandbox.step("escrows_back"), "done");
    sandbox.run(&format!("undo {run} --yes --plain")).code(1);
    other.execute("DELETE FROM users WHERE id = 1003");
    assert_eq!(other.content(), wrong);
}

#[test]
fn what_is_written_while_somebody_decides_stays_and_is_named() {
    let incident = Incident::new();
    let sandbox = &incident.sandbox;
    sandbox.run(&incident.line()).code(4);
    let run = sandbox.only_run();
    incident.execute(
        "UPDATE users SET wallet_address = 'new' WHERE id = 9; DELETE FROM escrows WHERE id = 100;
         UPDATE escrows SET amount = 17 WHERE id = 200",
    );
    sandbox.run(&format!("approve {run} go")).code(0);
    let ran = sandbox.run(&format!("resume {run} --plain")).code(0);
    let ran =
        ran.says("99 users and 3 escrows are as they were; 3 that others wrote meanwhile are left alone");
    ran.says("left as they are (id: 9)").says("left as they are (id: 100; 200)");
    let sql = "SELECT concat_ws(' ', (SELECT wallet_address FROM users WHERE id = 9),
        (SELECT amount FROM escrows WHERE id = 200), (SELECT count(*) FROM escrows WHERE id = 100))";
    assert_eq!(
        block(async { cluster::connect(&incident.live).await.one(sql).await.unwrap() }),
        "new 17.00 0"
    );
}

#[test]
fn killed_while_it_copies_it_ends_the_same() {
    let incident = Incident::new();
    let sandbox = &incident.sandbox;
    sandbox.run(&incident.line()).code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    // Somebody writes, so that the copy stands in the middle of its transaction.
    block(async {
        let writer = cluster::connect(&incident.live).await;
        writer.execute("BEGIN; UPDATE users SET email = email WHERE id = 1").await.unwrap();
        let started = sandbox.start(&format!("resume {run} --plain"));
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass";
        while writer.one(waits).await.unwrap() == "0" {
            tokio::task::yield_now().await;
        }
        started.signal(Signal::KILL);
        drop(started);
        writer.execute("ROLLBACK").await.unwrap();
    });
    sandbox.run(&format!("resume {run} --plain")).code(0);
    incident.assert_salvaged();
}
