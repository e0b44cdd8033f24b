//! The verification after a rollback as its users run it: a real application is found good, and each of its faults, and of
//! its database's, is found in its place and said in its words.

use super::{backed_up, block, plan};
use crate::support::app::{self, App};
use crate::support::cluster;
use crate::support::sandbox::{Ran, Sandbox};
use runplan::postgres::Settings;

/// The application's database, and the backup it was restored from.
struct Restored {
    home: Sandbox,
    database: Settings,
    backup: String,
}

impl Restored {
    fn new() -> Self {
        let database = block(app::database("verified"));
        let home = sandbox(&database);
        let backup = backed_up(&home);
        Self { home, database, backup }
    }

    fn execute(&self, sql: &str) {
        block(async { cluster::connect(&self.database).await.execute(sql).await.unwrap() });
    }

    /// What the tests of the application left.
    fn left(&self) -> String {
        let sql = "SELECT concat_ws(' ', (SELECT count(*) FROM users WHERE email LIKE 'runplan-%'),
            (SELECT count(*) FROM escrows WHERE id > 3000), (SELECT count(*) FROM messages WHERE id > 5000))";
        block(async { cluster::connect(&self.database).await.one(sql).await.unwrap() })
    }

    fn verify(&self, sandbox: &Sandbox, url: &str, rest: &str) -> Ran {
        let backup =
            if rest.contains("backup=") { String::new() } else { format!("-p backup={}", self.backup) };
        sandbox.run(&format!("{} -p app_url={url} {backup} --plain {rest}", plan("verify-suite")))
    }
}

fn sandbox(database: &Settings) -> Sandbox {
    Sandbox::new().variable("DATABASE_URL", cluster::shared().url(database.database()).expose())
}

#[test]
fn it_is_rehearsed_and_says_what_was_not_asked() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&format!("rehearse {} --plain", plan("verify-suite"))).code(0);
    ran.says("36 objects are as in the backup").says("rehearsal: no stand-in").says("Done after");
}

#[test]
fn a_good_application_passes_and_nothing_is_left_in_it() {
    let restored = Restored::new();
    let app = App::start(&restored.database, "answer");
    // The answer to the new escrow is lost: it is found in the database, and not made twice.
    let ran = restored.verify(&restored.home, &app.url, "").code(0);
    ran.says("2000 users, 3000 escrows").says("Done after");
    for step in ["counted", "structure", "orphans", "healthy", "profile_kept", "chat", "notified", "paid"] {
        assert_eq!(restored.home.step(step), "done", "{step}");
    }
    assert_eq!(restored.left(), "0 0 0");
    let report = restored.home.run(&format!("report {}", restored.home.only_run())).code(0);
    let report = report.says("rows as in the backup").says("every row has what its foreign keys point to");
    let ticked =
        |line: &str| report.stdout.lines().find(|found| found.contains("[x]") && found.contains(line));
    // By what the table of the procedure names, after the last change.
    for (line, step) in [
        ("proved sound after the last change", "valid"),
        ("constraints are as they", "unharmed"),
        ("application is healthy", "still_healthy"),
    ] {
        let ticked = ticked(line).unwrap_or_else(|| panic!("{line}: {}", report.stdout));
        assert!(ticked.contains(step), "{ticked}");
    }
    // Written to since, it is held against the backup otherwise.
    restored.execute("INSERT INTO users (email, wallet_address) VALUES ('later@example.com', '0x1')");
    let other = sandbox(&restored.database);
    restored.verify(&other, &app.url, "-p functional=false").code(4).says("users");
    assert_eq!(other.step("counted"), "failed");
    let third = sandbox(&restored.database);
    restored.verify(&third, &app.url, "-p functional=false -p open=true").code(0);
}

#[test]
fn what_is_wrong_in_the_database_is_found() {
    let restored = Restored::new();
    let app = App::start(&restored.database, "");
    let mended = |sql: &str, back: &str, rest: &str, step: &str, words: &str| {
        restored.execute(sql);
        let sandbox = sandbox(&restored.database);
        let ran = restored.verify(&sandbox, &app.url, &format!("-p functional=false {rest}")).code(4);
        assert_eq!(sandbox.step(step), "failed", "{sql}: {}", ran.stdout);
        // Nobody is told of users that were not made.
        assert!(!ran.stdout.contains("@example.com"), "{}", ran.stdout);
        ran.says(words);
        restored.execute(back);
    };
    mended(
        "DROP INDEX escrows_buyer",
        "CREATE INDEX escrows_buyer ON escrows (buyer_id)",
        "",
        "structure",
        "escrows_buyer",
    );
    mended(
        "ALTER TABLE escrows DROP CONSTRAINT escrows_buyer_id_fkey",
        "ALTER TABLE escrows ADD FOREIGN KEY (buyer_id) REFERENCES users (id)",
        "",
        "structure",
        "escrows_buyer_id_fkey",
    );
    mended(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_escrow'::regclass",
        "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'messages_escrow'::regclass",
        "-p backup=''",
        "indexes",
        "messages_escrow",
    );
    mended(
        "SET session_replication_role = replica; UPDATE messages SET escrow_id = 999999 WHERE id = 5",
        "UPDATE messages SET escrow_id = 1 WHERE id = 5",
        "",
        "orphans",
        "messages_escrow_id_fkey",
    );
    mended(
        "UPDATE escrows SET amount = -amount WHERE id = 7",
        "UPDATE escrows SET amount = -amount WHERE id = 7",
        "",
        "valid",
        "no negative escrow",
    );
    mended(
        "UPDATE users SET wallet_address = NULL WHERE id = 7",
        "UPDATE users SET wallet_address = '0x7' WHERE id = 7",
        "",
        "valid",
        "every user has a wallet",
    );
    // Everything that is wrong is found in one go.
    mended(
        "DROP INDEX escrows_status; DELETE FROM messages WHERE id = 6",
        "CREATE INDEX escrows_status ON escrows (status); INSERT INTO messages (id, escrow_id, sender_id, body) VALUES (6, 1, 1, '')",
        "",
        "counted",
        "escrows_status",
    );
    mended("DELETE FROM messages WHERE id <= 5", "SELECT 1", "", "counted", "messages");
    mended("SELECT 1", "SELECT 1", "-p open=true", "enough", "tables short of rows");
}

#[test]
fn what_the_application_does_wrongly_is_found() {
    let restored = Restored::new();
    for (broken, step, words) in [
        ("health", "healthy", "status 500"),
        // The user is made, and the answer is not the wanted one: a person says what that is.
        ("created", "buyer", "status 200"),
        ("profile", "profile_kept", "wallet_address = 0xrunplan (wanted:"),
        ("chat", "chat", "the message did not reach the other participant within 2 s"),
        ("chat_echo", "chat", "the message did not reach the other participant within 2 s"),
        ("chat_stored", "chat_kept", "the message is among the escrow's"),
        ("notifications", "notified", "escrow_created"),
        ("release", "paid", "paid = 250.00 (wanted:"),
    ] {
        let app = App::start(&restored.database, broken);
        let sandbox = sandbox(&restored.database);
        let ran = restored.verify(&sandbox, &app.url, "-p chat_wait=2").code(4);
        let state = if broken == "created" { "unknown" } else { "failed" };
        assert_eq!(sandbox.step(step), state, "{broken}: {}", ran.stdout);
        let ran = ran.says(words).says(&format!("step {step}"));
        let told = ran.stdout.contains("-verify-suite-") && ran.stdout.contains("@example.com");
        assert_eq!(told, step != "healthy", "{}", ran.stdout);
        // What its tests made is taken away again.
        let run = sandbox.only_run();
        if state == "unknown" {
            sandbox.run(&format!("resolve {run} {step} --done --reason 'the user is there'")).code(0);
        }
        taken_back(&sandbox, &run, step);
        assert_eq!(restored.left(), "0 0 0", "{broken}");
    }
}

/// Its users cannot be removed before what refers to them, whatever was said of the step that made it.
#[test]
fn what_a_test_made_goes_also_when_its_step_is_called_failed() {
    let restored = Restored::new();
    let app = App::start(&restored.database, "escrow");
    let sandbox = sandbox(&restored.database);
    restored.verify(&sandbox, &app.url, "").code(4).says("status 200");
    assert_eq!(restored.left(), "2 1 0");
    let run = sandbox.only_run();
    // Somebody is wrong about it.
    sandbox.run(&format!("resolve {run} escrow --failed --reason 'nobody sees one'")).code(0);
    sandbox.run(&format!("undo {run} --yes --partly --plain")).code(1);
    assert_eq!(restored.left(), "0 0 0");
}

/// A step that failed after it may have acted is asked about: its own undo takes away whatever it made.
fn taken_back(sandbox: &Sandbox, run: &str, step: &str) {
    let ran = sandbox.run(&format!("undo {run} --yes --partly --plain"));
    let ran = if ran.stdout.contains("MAY HAVE ACTED") {
        ran.code(4);
        sandbox.run(&format!("resolve {run} {step} --retry --reason 'its undo takes it away'")).code(0);
        sandbox.run(&format!("resume {run} --plain"))
    } else {
        ran
    };
    ran.code(1).says("ended without success");
}
