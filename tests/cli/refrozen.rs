//! What is written while somebody decides is neither lost nor a dead end: a resume freezes again, looks again and asks again,
//! whether the freeze let readers in or nobody.

use crate::support::cluster::{connect, database, shared};
use crate::support::sandbox::Sandbox;
use runplan::postgres::{Connection, Settings, escape_identifier};

struct Shop {
    sandbox: Sandbox,
    database: Settings,
    admin: Connection,
}

impl Shop {
    /// Parked before its swap; what looks at the live database stands where the freeze lets it.
    async fn before_the_swap(mode: &str) -> Self {
        let database = database("refrozen").await;
        connect(&database)
            .await
            .execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)")
            .await
            .unwrap();
        let admin = connect(&shared().settings("postgres").unwrap()).await;
        let url = shared().url(database.database());
        let sandbox = Sandbox::new().variable("APP_URL", url.expose());
        let frozen =
            format!("  - {{ id: frozen, freeze: {{ database: app, mode: {mode}, quiet: 300ms }} }}\n");
        let looks = "  - { id: kept, backup: { database: app, to: kept } }\n  \
             - { id: lost, verify: { database: app, report_only: true, checks: [ { name: lost, lost: { side: '{{ steps.restored.database }}' } } ] } }\n";
        let both = match mode {
            "read_only" => format!("{frozen}{looks}"),
            _ => format!("{looks}{frozen}"),
        };
        sandbox.plan(&format!(
            "secrets: {{ APP_URL: {{ env: APP_URL }} }}
databases: {{ app: {{ url: '{{{{ secrets.APP_URL }}}}' }} }}
steps:
  - {{ id: saved, backup: {{ database: app, to: saved }} }}
  - {{ id: restored, restore: {{ from: '{{{{ steps.saved.path }}}}', database: app }} }}
  - {{ id: proven, verify: {{ database: '{{{{ steps.restored.database }}}}', checks: [ {{ name: rows, sql: SELECT count(*) FROM t, expect: {{ at_least: 1 }} }} ] }} }}
{both}  - {{ id: go, approve: {{ message: 'Swap? {{{{ steps.lost.summary }}}}' }} }}
  - {{ id: switched, swap: {{ database: app, with: '{{{{ steps.restored.database }}}}', keep_old: 1h }} }}
"
        ));
        let shop = Self { sandbox, database, admin };
        shop.sandbox.run("plan.yaml --reason r").code(4).says("would change no row");
        shop
    }

    async fn let_in(&self, may: bool) {
        let name = escape_identifier(self.database.database());
        self.admin.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {may}")).await.unwrap();
    }

    async fn writes(&self) {
        let writer = connect(&self.database).await;
        writer.execute("BEGIN READ WRITE; INSERT INTO t VALUES (900); COMMIT").await.unwrap();
    }

    /// The swap is done, and whatever was written stands in the old database and in the backup that was taken again.
    async fn ends_well(&self) {
        self.sandbox.run("approve plan go").code(0);
        self.sandbox.run("resume --plain").code(0).says("Done after");
        let live = connect(&self.database).await;
        assert_eq!(live.one("SELECT count(*) FROM t").await.unwrap(), "100");
        let report = self.sandbox.run("report --format json").code(0).json();
        let backups = report["backups"].as_array().unwrap();
        let kept = backups.iter().find(|one| one["step"] == "kept").unwrap()["path"].as_str().unwrap();
        let manifest = std::fs::read_to_string(format!("{kept}.manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["rows"], 101, "{manifest}");
        let name = self.database.database();
        let old = format!("SELECT datname FROM pg_database WHERE datname LIKE '{name}\\_old\\_%'");
        let old = self.admin.one(&old).await.unwrap();
        let open = format!(
            "SELECT datallowconn FROM pg_database WHERE datname IN ('{name}', '{old}') ORDER BY datname"
        );
        let open = self.admin.last(&open).await.unwrap();
        let open: Vec<_> = open.rows.iter().map(|row| row[0].as_deref().unwrap()).collect();
        assert_eq!(open, ["t", "f"], "the live one lets in again, the old one does not");
    }
}

#[tokio::test]
async fn what_is_written_through_a_freeze_is_looked_at_before_the_swap() {
    let shop = Shop::before_the_swap("read_only").await;
    shop.writes().await;
    shop.sandbox.run("approve plan go").code(0);
    shop.sandbox.run("resume --plain").code(4).says("was written to since the freeze");
    shop.sandbox.run("resume --plain").code(4).says("1 row");
    assert_eq!(
        ["frozen", "kept", "lost"].map(|step| shop.sandbox.step(step)),
        ["done"; 3].map(str::to_owned)
    );
    shop.ends_well().await;
}

#[tokio::test]
async fn a_closed_database_that_was_opened_is_looked_at_and_closed_again() {
    let shop = Shop::before_the_swap("no_connections").await;
    shop.let_in(true).await;
    shop.writes().await;
    shop.sandbox.run("approve plan go").code(0);
    shop.sandbox.run("resume --plain").code(4).says("was opened to connections again");
    shop.sandbox.run("resume --plain").code(4).says("1 row");
    let name = shop.database.database();
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{name}'");
    assert_eq!(shop.admin.one(&open).await.unwrap(), "f", "closed again while somebody decides");
    shop.ends_well().await;
}

/// Opened, written to and closed again: nobody can look until somebody opens it, and that is said.
#[tokio::test]
async fn a_closed_database_that_was_open_for_a_while_waits_for_who_opens_it() {
    let shop = Shop::before_the_swap("no_connections").await;
    shop.let_in(true).await;
    shop.writes().await;
    shop.let_in(false).await;
    shop.sandbox.run("approve plan go").code(0);
    let name = shop.database.database();
    let wanted = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", escape_identifier(name));
    let refused =
        shop.sandbox.run("resume --plain").code(4).says("may have been open to connections for a while");
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains(&wanted), "{}", refused.stdout);
    // Still closed: the looking again fails, and nothing else begins.
    shop.sandbox.run("resume --plain").code(4);
    assert_ne!(shop.sandbox.step("switched"), "done");
    shop.let_in(true).await;
    shop.sandbox.run("resume --plain").code(4).says("1 row");
    shop.ends_well().await;
}
