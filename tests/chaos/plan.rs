//! The plan that is killed: every action, each with a mark that can be counted.

/// What no witness and no probe can tell: asked, with the evidence.
pub const MAY_BE_UNKNOWN: &[&str] = &["posted", "plain_shell"];

/// What a probe tells, if the server is there to be asked it.
pub const OUTSIDE_A_TRANSACTION: &[&str] = &["bare", "index"];

const HEAD: &str = r#"runplan: 1
name: chaos
secrets: { APP_URL: { env: APP_URL }, LEDGER_URL: { env: LEDGER_URL }, ARCHIVE_URL: { env: ARCHIVE_URL } }
databases:
  app: { url: "{{ secrets.APP_URL }}" }
  ledger: { url: "{{ secrets.LEDGER_URL }}" }
  archive: { url: "{{ secrets.ARCHIVE_URL }}" }
params:
  url: { type: url, required: true }
steps:
  - id: counted
    sql:
      database: ledger
      statement: |
        INSERT INTO marks VALUES ('counted');
        SELECT count(*) FROM marks WHERE mark = 'counted'
    undo: { sql: { database: ledger, statement: "INSERT INTO marks VALUES ('counted_back')" } }
  - id: bare
    irreversible: a mark
    sql:
      database: ledger
      transaction: false
      statement: INSERT INTO marks VALUES ('bare')
      probe: { sql: "SELECT count(*) FROM marks WHERE mark = 'bare'", expect: 1 }
  - id: index
    irreversible: a mark
    sql:
      database: app
      transaction: false
      statement: CREATE INDEX CONCURRENTLY users_email ON users (email)
      probe: { sql: "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('users_email')", expect: true }
  - id: beside
    needs: [counted]
    irreversible: a mark
    sql: { database: ledger, statement: "INSERT INTO marks VALUES ('beside')" }
  - id: written
    needs: [index, beside]
    irreversible: a mark
    sql: { database: app, statement: "INSERT INTO marks VALUES ('written')" }
  - id: seen
    approve: { message: "Copy?" }
  - id: copied
    copy: { from: ledger, to: app, table: facts, on_conflict: update }
  - id: plain_shell
    shell: { run: "sleep 0.05; echo plain_shell >> marks; sleep 0.05; echo told", changes: none }
    undo: { shell: { run: "echo plain_shell_back >> marks", changes: none } }
  - id: probed_shell
    irreversible: a mark
    shell:
      run: sleep 0.02; echo probed_shell >> marks; sleep 0.02
      changes: none
      probe: { shell: { argv: [grep, -q, -x, probed_shell, marks] } }
  - id: posted
    http: { method: POST, url: "{{ params.url }}/posted", changes: none }
    undo: { http: { method: POST, url: "{{ params.url }}/posted_back", changes: none } }
  - id: probed_post
    irreversible: a mark
    http:
      method: POST
      url: "{{ params.url }}/probed_post"
      changes: none
      probe: { http: { url: "{{ params.url }}/count/probed_post" }, expect: { json: { count: 1 } } }
  - id: saved
    backup: { database: app, to: backups, jobs: 1 }
  - id: archived
    backup: { database: archive, to: backups, format: plain }
  - id: restored
    restore: { from: "{{ steps.saved.path }}", database: app, jobs: 2 }
  - id: proven
    verify:
      database: "{{ steps.restored.database }}"
      checks: [ { name: users are there, sql: SELECT count(*) FROM users, expect: 500 } ]
  - id: frozen
    freeze: { database: app, quiet: 200ms }
  - id: lost
    verify:
      database: app
      report_only: true
      checks: [ { name: lost rows, lost: { side: "{{ steps.restored.database }}" } } ]
  - id: go
    approve: { message: "Swap?" }
"#;

const IN_PLACE: &str = r#"
  - id: filled
    irreversible: a mark
    restore: { from: "{{ steps.archived.path }}", database: archive, into: in_place }
"#;

const TAIL: &str = r#"
  - id: switched
    swap: { database: app, with: "{{ steps.restored.database }}", keep_old: 1d }
  - id: after
    sql: { database: app, statement: "INSERT INTO marks VALUES ('after')" }
    undo: { sql: { database: ledger, statement: "INSERT INTO marks VALUES ('after_back')" } }
  - id: told
    notify: { channels: [hook, console], message: "Done in {{ run.id }}", required: true }
"#;

const NO_WAY_BACK: &str = "    irreversible: a mark\n";

/// The site file: the webhook counts.
pub fn site(url: &str) -> String {
    format!("runplan: 1\nchannels:\n  hook: {{ type: webhook, url: \"{url}/hook\" }}\n")
}

/// `in_place`: with the step that can never be undone; without it everything can.
pub fn text(in_place: bool) -> String {
    match in_place {
        true => format!("{HEAD}{IN_PLACE}{TAIL}"),
        false => format!("{HEAD}{TAIL}")
            .replace(NO_WAY_BACK, "    undo: { notify: { channels: [console], message: back } }\n")
            // Writes after a swap would be lost by its undo, which is refused then.
            .replace(
                "{ database: app, statement: \"INSERT INTO marks VALUES ('after')",
                "{ database: ledger, statement: \"INSERT INTO marks VALUES ('after')",
            ),
    }
}
