//! A run with a secret in every place where one can be, and every word that comes of it: output, files, journal, messages,
//! argument lists. None of the secrets is found in any, in no form. What is no secret is found in all of them by the same
//! search, so the search can find.
#![allow(clippy::disallowed_methods, reason = "what the program leaves behind is read here")]

use crate::steps::backup::sample;
use crate::support::cluster::{connect, shared, unique};
use crate::support::mail::MailServer;
use crate::support::sandbox::{Ran, Sandbox};
use crate::support::server::{Asked, Server};
use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use runplan::clock;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As Python quotes it.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-');
/// Each is asked for under its name. Signs that are written differently in an address, in JSON, in a form.
const SECRETS: [(&str, &str); 9] = [
    ("database password", "S3cr/DB+pw%41"),
    ("TOKEN", "S3cr/TOKEN+q\"7&"),
    ("FILED", "S3cr/FILED+q\\8x"),
    ("CMD", "S3cr/CMD+9y"),
    ("WORD", "S3cr/WORD+5é\"k"),
    ("SLACK", "T0-S3cr-SLACK-9z"),
    ("PAGER", "S3crPAGERS3crPAGER11"),
    ("SMTP", "hunter2-of-mail"),
    ("LATE", "S3cr/LATE+2w"),
];
/// A secret that people give away, as an argument too, while the lists of arguments are looked at.
const SAID: &str = "S3cr/SAID+q\"7&";
/// No secret: printed, sent and stored wherever a secret is.
const PLAIN: &str = "pl41n/MARK+er";
/// No secret of ours: in the address that a server redirects to.
const FOREIGN: &str = "f0reign-password";

fn secret(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The forms in which a text may come out of a program.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(text).unwrap();
    let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut forms = vec![
        text.to_owned(),
        json.trim_matches('"').to_owned(),
        serde_json::to_string(json.trim_matches('"')).unwrap().trim_matches('"').to_owned(),
        percent.to_lowercase(),
        text.replace('&', "&amp;").replace('"', "&quot;"),
        text.replace('&', "&amp;").replace('"', "&quot;").replace('/', "&#x2f;"),
        json.trim_matches('"').replace('é', "\\u00e9"),
        utf8_percent_encode(text, PATH).to_string(),
        percent.replace("%2D", "-"),
        percent,
    ];
    // In base64 behind nothing, one and two other bytes: what those do not touch.
    for skip in 0..3 {
        let padded = [vec![b'-'; skip], text.as_bytes().to_vec()].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&padded[..padded.len() / 3 * 3]);
        forms.push(encoded[[0, 2, 3][skip]..].to_owned());
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    forms(needle).iter().any(|form| haystack.windows(form.len()).any(|window| window == form))
}

/// Everything that was found, by where it was.
#[derive(Default)]
struct Harvest(Vec<(String, Vec<u8>)>);

impl Harvest {
    fn take(&mut self, place: &str, ran: &Ran) {
        self.0.push((format!("output of {place}"), format!("{}\n{}", ran.stdout, ran.stderr).into_bytes()));
    }

    /// All files below, but those named.
    fn files(&mut self, directory: &Path, but: &[&str]) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() {
                self.files(&path, but);
            } else if path.is_file() && !but.contains(&name.as_str()) {
                self.0.push((format!("file {name}"), std::fs::read(&path).unwrap()));
            }
            if name == "journal.db" {
                self.0.push(("rows of journal.db".to_owned(), rows(&path)));
            }
        }
    }

    fn told(&mut self, asked: &[Asked]) {
        for one in asked {
            self.0.push((format!("told to {}", one.path), one.body.clone().into_bytes()));
        }
    }

    #[track_caller]
    fn lacks(&self, name: &str, text: &str) {
        let found: Vec<&str> =
            self.0.iter().filter(|(_, bytes)| holds(bytes, text)).map(|(place, _)| place.as_str()).collect();
        assert!(found.is_empty(), "{name} is in {found:?}");
    }

    #[track_caller]
    fn has(&self, place: &str, text: &str) {
        let found = self.0.iter().any(|(known, bytes)| known.contains(place) && holds(bytes, text));
        let places: BTreeSet<&String> = self.0.iter().map(|(place, _)| place).collect();
        assert!(found, "nothing is found in {place}, of {places:?}");
    }
}

/// What SQLite says is in it: a line may be spread over its pages.
fn rows(path: &Path) -> Vec<u8> {
    let database = rusqlite::Connection::open(path).unwrap();
    let mut all = Vec::new();
    for sql in ["SELECT line FROM journal", "SELECT actor || post FROM inbox"] {
        let mut select = database.prepare(sql).unwrap();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            all.extend(row.get::<_, String>(0).unwrap().into_bytes());
            all.push(b'\n');
        }
    }
    all
}

/// Looks at the argument lists of all processes again and again.
struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start() -> Self {
        let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
        let (stop, found) = (over.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    if !line.is_empty() {
                        found.lock().unwrap().insert(line);
                    }
                }
                clock::block(Duration::from_millis(2));
            }
        });
        Self { over, seen, thread }
    }

    fn end(self) -> Vec<u8> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let seen = self.seen.lock().unwrap();
        seen.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
    }
}

const SITE: &str = r#"runplan: 1
secrets:
  DATABASE_URL: { env: DATABASE_URL }
  TOKEN: { env: TOKEN }
  FILED: { file: filed }
  CMD: { command: [cat, commanded] }
  BASE: { env: BASE }
  SLACK: { env: SLACK }
  PAGER: { env: PAGER }
  SMTP: { env: SMTP }
  LATE: { env: LATE }
databases:
  app: { url: "{{ secrets.DATABASE_URL }}" }
channels:
  hook: { type: webhook, url: "{{ secrets.BASE }}/hook", secret: "{{ secrets.CMD }}", headers: { X-Key: "{{ secrets.TOKEN }}" }, events: [start, waiting, parked, failed, done] }
  slack: { type: slack, url: "{{ secrets.BASE }}/slack/{{ secrets.SLACK }}", events: [failed, done] }
  pager: { type: pagerduty, url: "{{ secrets.BASE }}/pager", routing_key: "{{ secrets.PAGER }}", events: [failed, done] }
  mail: { type: email, server: localhost, port: MAIL_PORT, tls: starttls, user: runplan, password: "{{ secrets.SMTP }}", from: r@example.com, to: [a@example.com] }
  page: { type: command, argv: [sh, -c, "cat > paged; exec true"], env: { TOKEN: "{{ secrets.TOKEN }}" } }
"#;

const PLAN: &str = r#"runplan: 1
name: plan
title: A secret everywhere
params:
  word: { type: string, secret: true, required: true }
  plain: { type: string, required: true }
  base: { type: url, required: true }
steps:
  # The first attempt fails, so that another process goes on, which has read no secret yet.
  - id: spilled
    needs: []
    shell:
      run: |
        env; cat filed commanded; echo; printf '%s %s\n' "$T" "$W"
        printf '%s' "$T" >&2; printf ' %s ' {{ params.plain }} >&2
        printf '%s' "$T" | base64 -w0; printf 'x%s' "$W" | base64 -w0
        printf '\n%s\n' {{ params.plain }}
        python3 -c 'import json, os, urllib.parse as u; [print(json.dumps(t), u.quote(t), u.quote_plus(t)) for t in (os.environ["T"], os.environ["W"])]'
        test -e flag
      env: { T: "{{ secrets.TOKEN }}", W: "{{ params.word }}" }
      repeatable: true
      changes: none
    undo:
      shell: { run: "env; cat filed commanded", changes: none, repeatable: true }
  - id: fed
    shell: { argv: [sh, -c, "cat; sleep 0.2; true", "{{ params.plain }}"], stdin: "{{ secrets.FILED }} {{ params.plain }}", repeatable: true, changes: none }
  - id: named
    continue_on_failure: true
    shell: { run: 'echo "key=$T"', env: { T: "{{ secrets.TOKEN }}" }, outputs: { key: { regex: "key=(.*)" } }, repeatable: true, changes: none }
  - id: selected
    continue_on_failure: true
    sql: { database: app, statement: "SELECT word FROM hidden" }
  - id: refused
    continue_on_failure: true
    sql: { database: app, statement: "SELECT word::int FROM hidden" }
  - id: bound
    sql: { database: app, read_only: true, statement: "SELECT {{ params.plain }} AS plain, length({{ secrets.TOKEN }}) AS n" }
  - id: checked
    verify:
      database: app
      report_only: true
      checks:
        - { name: nothing hidden, sql: "SELECT word, {{ secrets.CMD }} AS cmd, {{ params.plain }} AS plain FROM hidden", expect: empty }
        - { name: page, http: { url: "{{ params.base }}/echo", headers: { Authorization: "Bearer {{ secrets.CMD }}" } }, expect: { status: 204 } }
        - { name: program, shell: { run: 'echo "$T"; false', env: { T: "{{ params.word }}" } } }
  - id: echoed
    http: { method: POST, url: "{{ params.base }}/echo?k={{ secrets.TOKEN }}", headers: { Authorization: "Bearer {{ secrets.TOKEN }}", X-Mark: "{{ params.plain }}" }, body: "{{ secrets.FILED }} {{ params.plain }}", repeatable: true, changes: none }
  - id: redirected
    http: { url: "{{ params.base }}/away", headers: { Authorization: "{{ secrets.TOKEN }}" }, changes: none }
  - id: moved
    continue_on_failure: true
    http: { method: POST, url: "{{ params.base }}/away", headers: { Authorization: "{{ secrets.TOKEN }}" }, expect: { status: 302 }, repeatable: true, changes: none }
  - id: broken
    continue_on_failure: true
    http: { method: POST, url: "{{ params.base }}/fail", json: { key: "{{ secrets.TOKEN }}", mark: "{{ params.plain }}" }, repeatable: true, changes: none }
  - id: saved
    backup: { database: app, to: ./backups, exclude_tables: [hidden] }
  - id: restored
    restore: { from: "{{ steps.saved.path }}", database: app }
  - id: told
    notify: { channels: [console, hook, slack, pager, mail, page], level: critical, message: "{{ steps.spilled.stdout }} {{ steps.echoed.body }} {{ params.plain }}", details: { body: "{{ steps.fed.stdout }}" } }
  - id: go
    approve: { message: "{{ steps.fed.stdout }} {{ steps.echoed.json.headers.authorization }} {{ params.plain }}?" }
handlers:
  finished: [ { shell: { run: "env; cat filed", changes: none } } ]
"#;

/// Says back what it was told; `/away` sends on to an address with a password.
fn server() -> Server {
    Server::with_headers(|asked| {
        let header = |name: &str| asked.header(name).unwrap_or_default().to_owned();
        let said = serde_json::json!({
            "path": asked.path, "body": asked.body, "headers": { "authorization": header("authorization") },
        });
        let back = vec![("X-Said".to_owned(), header("authorization"))];
        let to = |host: &str| format!("http://u:{FOREIGN}@{host}/echo");
        Some(match asked.path.split('?').next().unwrap_or_default() {
            "/away" => (302, vec![("Location".to_owned(), to(&header("host")))], String::new()),
            "/fail" => (500, back, said.to_string()),
            "/b/pager" => (202, Vec::new(), r#"{"status":"success"}"#.to_owned()),
            _ => (200, back, said.to_string()),
        })
    })
}

/// A database with a hidden row, and its address with a password of its own.
fn database() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = sample("secrets").await;
        let role = unique("secrets_role");
        let word = secret("TOKEN");
        let sql = format!(
            "CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{}'; CREATE TABLE hidden (word text); INSERT INTO hidden VALUES ('{word}')",
            secret("database password")
        );
        connect(&settings).await.execute(&sql).await.unwrap();
        let password = utf8_percent_encode(secret("database password"), NON_ALPHANUMERIC);
        let (port, name) = (shared().port(), settings.database());
        format!("postgresql://{role}:{password}@127.0.0.1:{port}/{name}?sslmode=disable")
    })
}

fn begin(server: &Server, mail: &MailServer) -> Sandbox {
    let sandbox = Sandbox::new()
        .variable("DATABASE_URL", &database())
        .variable("BASE", &format!("{}/b", server.url))
        .variable("RUNPLAN_PARAM_WORD", secret("WORD"))
        .variable("SSL_CERT_FILE", &mail.certificate().display().to_string());
    let sandbox = ["TOKEN", "SLACK", "PAGER", "SMTP", "LATE"]
        .into_iter()
        .fold(sandbox, |sandbox, name| sandbox.variable(name, secret(name)));
    sandbox.write("filed", secret("FILED")).write("commanded", &format!("{}\n", secret("CMD")));
    sandbox.write("runplan.yaml", &SITE.replace("MAIL_PORT", &mail.port.to_string()));
    sandbox.write("plan.yaml", PLAN);
    sandbox
}

#[test]
fn no_secret_comes_out_of_anything() {
    let (server, mail) = (server(), MailServer::start("starttls"));
    let sandbox = begin(&server, &mail);
    let mut harvest = Harvest::default();
    let watch = Watch::start();
    let values = format!("-p plain={PLAIN} -p base={}", server.url);

    harvest.take("check", &sandbox.run("check plan.yaml").code(0));
    for format in ["human", "json", "markdown"] {
        harvest.take(
            "dry-run",
            &sandbox.run(&format!("plan.yaml {values} --dry-run --format {format}")).code(0),
        );
    }
    for format in ["human", "json"] {
        harvest
            .take("preflight", &sandbox.run(&format!("preflight plan.yaml {values} --format {format} -vv")));
        harvest.take("doctor", &sandbox.run(&format!("doctor --format {format} -vv")));
    }
    let ran = sandbox.run(&format!("plan.yaml {values} --reason '{PLAIN}' --accept never_rehearsed -vv"));
    harvest.take("run", &ran.code(4).says("step spilled failed"));
    sandbox.write("flag", "");
    harvest.take("resume", &sandbox.run("resume --format json -vv").code(4));
    harvest.take("export", &sandbox.run("export plan --out exported.run").code(0));
    harvest.take("import", &sandbox.run(&format!("import exported.run --takeover '{PLAIN}'")).code(0));
    harvest.take("approve", &sandbox.run(&format!("approve plan go --comment '{PLAIN}'")).code(0));
    harvest.take("resume", &sandbox.run("resume -vv").code(0));
    harvest.take("undo", &sandbox.run("undo plan --yes -vv"));

    for line in ["status plan", "runs", "logs plan", "logs plan spilled", "backups", "report plan"] {
        for format in ["human", "json"] {
            harvest.take(line, &sandbox.run(&format!("{line} --format {format} -vv")));
        }
    }
    sandbox.run("report plan --format html --out page.html").code(0);
    let lines = watch.end();
    harvest.0.push(("argument lists".to_owned(), lines));
    harvest.files(&sandbox.path(""), &["filed", "commanded"]);
    let asked = server.asked();
    harvest.told(
        &asked
            .iter()
            .filter(|one| ["/b/hook", "/b/slack"].iter().any(|path| one.path.starts_with(path)))
            .cloned()
            .collect::<Vec<_>>(),
    );
    // The routing key is PagerDuty's own.
    let pager = asked.iter().filter(|one| one.path == "/b/pager").cloned();
    let pager = pager.map(|one| Asked { body: one.body.replace(secret("PAGER"), ""), ..one });
    harvest.told(&pager.collect::<Vec<_>>());
    harvest.0.push(("told by mail".to_owned(), format!("{:?}", mail.mails()).into_bytes()));

    // It was all there: the steps did use what they were given.
    assert!(
        asked.iter().any(|one| one.header("authorization") == Some(&format!("Bearer {}", secret("CMD"))))
    );
    assert!(asked.iter().any(|one| one.body.contains(secret("FILED"))));
    assert_eq!(mail.mails().len(), 1);
    for place in [
        "output of dry-run",
        "output of run",
        "output of approve",
        "output of logs",
        "output of report",
        "output of status",
        "argument lists",
        "rows of journal.db",
        "file journal.db",
        "spilled.2.stdout",
        "spilled.2.stderr",
        "file report.md",
        "file page.html",
        "file exported.run",
        "file paged",
        "told to /b/hook",
        "told to /b/slack",
        "told to /b/pager",
        "told by mail",
    ] {
        harvest.has(place, PLAIN);
    }
    harvest.has("spilled.2.undo.stdout", "[redacted]");
    for (name, text) in SECRETS {
        harvest.lacks(name, text);
    }
    harvest.lacks("the password of a redirect", FOREIGN);
}

#[test]
fn what_people_say_and_give_holds_no_secret() {
    let sandbox = Sandbox::new().variable("TOKEN", SAID);
    let token = SAID.replace('"', "\\\"");
    sandbox.write("runplan.yaml", "runplan: 1\nsecrets: { TOKEN: { env: TOKEN } }\n");
    sandbox.plan(
        "params: { note: { type: string, default: n }, link: { type: url, default: 'http://a.test' } }\nsteps:\n  \
         - { id: made, shell: { run: 'echo {{ params.note }} {{ params.link }}', env: { T: '{{ secrets.TOKEN }}' }, changes: none }, undo: { shell: { argv: ['true'], changes: none } } }\n  \
         - { id: go, approve: { message: 'Go on?' } }\n",
    );
    let refused = |line: &str| {
        let ran = sandbox.run(&line.replace("TOKEN", &token));
        assert!(!holds(format!("{}{}", ran.stdout, ran.stderr).as_bytes(), SAID), "{}", ran.all());
        ran.complains("secret");
    };
    refused("plan.yaml --reason \"because of TOKEN\"");
    refused("plan.yaml -p note=\"TOKEN\"");
    sandbox.run("plan.yaml -p link=http://u:hunter2@a.test/").code(3).complains("it holds a password");
    assert!(
        !sandbox.exists("runplan/runs") || sandbox.path("runplan/runs").read_dir().unwrap().next().is_none()
    );
    sandbox.run("plan.yaml --reason because").code(4);
    refused("approve plan go --comment \"TOKEN\"");
    refused("reject plan go --reason \"TOKEN\"");
    refused("approve plan go --break-glass \"TOKEN\"");
    refused("resolve plan go --skip --reason \"TOKEN\"");
    refused("stop plan --for-good --reason \"TOKEN\"");
    refused("undo plan --yes --reason \"TOKEN\"");
    let mut harvest = Harvest::default();
    harvest.files(&sandbox.state(), &[]);
    harvest.lacks("TOKEN", SAID);
    harvest.has("rows of journal.db", "because");
    assert_eq!(sandbox.step("go"), "awaiting_approval");
}
