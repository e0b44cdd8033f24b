//! `runplan __feed`: streams SQL into psql so that all of it is committed or nothing. It opens the transaction, passes on what
//! the scanner lets through, waits for a sentinel to come back, proves that the source was whole, and only then sends COMMIT.
//! psql takes the death of whoever feeds it for the end of its input and would commit half a dump; without a COMMIT in the
//! stream there is nothing to commit. Runs under the supervisor. Must never have a secret: the environment has them.

use super::archive::{Packing, unpack};
use super::client;
use crate::clock::{self, Stopwatch};
use crate::process::plain;
use crate::sql::dump::{Changes, Scanner};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The hidden subcommand.
pub const FEED: &str = "__feed";

/// What to feed, in a file: everything but the secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feed {
    pub psql: PathBuf,
    /// For `-d`.
    pub dbname: String,
    pub source: Source,
    /// What the source's bytes must sum up to.
    pub sha256: Option<String>,
    /// The source must end as pg_dump's output does.
    pub must_end: bool,
    /// Sent right after BEGIN.
    pub before: Vec<String>,
    pub handshake: Option<Handshake>,
    /// How statements are changed on their way.
    #[serde(default)]
    pub changes: Changes,
}

/// Where the SQL comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Plain {
        path: PathBuf,
        packing: Packing,
    },
    /// A program that writes it.
    Program {
        argv: Vec<String>,
    },
}

/// The engine journals its intent before COMMIT is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Handshake {
    /// Written when everything but COMMIT is done: a `Ready`.
    pub ready: PathBuf,
    /// Waited for; it names the transaction, so that a word that was meant for another is none.
    pub go: PathBuf,
    /// Must be true in the transaction, last before COMMIT.
    pub check_sql: String,
    /// An engine that does not answer within this is dead: the transaction and its locks are given up.
    pub patience_ms: u64,
}

/// The transaction that waits for its COMMIT.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    pub xid: String,
    pub pid: i32,
    /// The backend's start, UTC, to the microsecond.
    pub started: String,
}

/// The program: one argument, the file that says what to do. 0: committed; 1: certainly not, or psql died after COMMIT was sent,
/// which only the server can tell apart.
pub fn feed_main(arguments: &[OsString]) -> i32 {
    let [path] = arguments else { return 2 };
    let fed = std::fs::read(path)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_slice::<Feed>(&text).map_err(|error| error.to_string()))
        .and_then(|feed| run(&feed));
    match fed {
        Ok(()) => 0,
        Err(why) => {
            // psql's own complaint came before.
            let _ = writeln!(io::stderr(), "error: {why}");
            1
        }
    }
}

fn run(feed: &Feed) -> Result<(), String> {
    let mut psql = Psql::start(feed)?;
    psql.send(b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n")?;
    for statement in &feed.before {
        psql.send(statement.as_bytes())?;
        psql.send(b";\n")?;
    }
    let mut scanner = Scanner::with(feed.changes.clone());
    let checksum = match &feed.source {
        Source::Plain { path, packing } => pour_file(&mut psql, &mut scanner, path, *packing)?,
        Source::Program { argv } => pour_program(&mut psql, &mut scanner, argv)?,
    };
    let summary = scanner.finish();
    if !summary.is_whole() || (feed.must_end && !summary.is_complete_dump()) {
        return Err(format!("the backup is cut short ({:?}); nothing was committed", summary.end));
    }
    if let (Some(expected), Some(found)) = (&feed.sha256, &checksum)
        && expected != found
    {
        return Err("the backup was changed while it was read; nothing was committed".to_owned());
    }
    psql.ask("SELECT ''")?;
    if let Some(handshake) = &feed.handshake {
        shake_hands(&mut psql, handshake)?;
    }
    psql.send(b"COMMIT;\n")?;
    psql.ask("SELECT ''")?;
    psql.finish()
}

fn pour_file(
    psql: &mut Psql,
    scanner: &mut Scanner,
    path: &Path,
    packing: Packing,
) -> Result<Option<String>, String> {
    let said = |error: io::Error| format!("{}: {error}; nothing was committed", path.display());
    let mut text = unpack(path, packing).map_err(said)?;
    pour(psql, scanner, &mut text)?;
    text.checksum().map(Some).map_err(said)
}

fn pour_program(psql: &mut Psql, scanner: &mut Scanner, argv: &[String]) -> Result<Option<String>, String> {
    let (program, arguments) = argv.split_first().ok_or("no program is given")?;
    let said = |error: io::Error| format!("{program}: {error}; nothing was committed");
    let mut child = plain::command(program)
        .args(arguments)
        .env_clear()
        .envs(client::quiet())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(said)?;
    let poured = match child.stdout.take() {
        Some(mut output) => pour(psql, scanner, &mut output),
        None => Ok(()),
    };
    if poured.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(said)?;
    poured?;
    match status.success() {
        true => Ok(None),
        false => Err(format!("{program} failed ({status}); nothing was committed")),
    }
}

fn pour(psql: &mut Psql, scanner: &mut Scanner, text: &mut dyn Read) -> Result<(), String> {
    let mut chunk = vec![0; 1 << 18];
    loop {
        let count = match text.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("the backup cannot be read: {error}; nothing was committed")),
        };
        let mut sent = Ok(());
        scanner
            .feed(&chunk[..count], |bytes| {
                if sent.is_ok() {
                    sent = psql.send(bytes);
                }
            })
            .map_err(|refusal| format!("{refusal}; nothing was committed"))?;
        sent?;
    }
}

/// Tells the engine which transaction waits, and waits for its word.
fn shake_hands(psql: &mut Psql, handshake: &Handshake) -> Result<(), String> {
    let answer = psql.ask(
        "SELECT pg_catalog.pg_current_xact_id()::text || ' ' || pid || ' ' || pg_catalog.to_char(backend_start \
         AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pg_catalog.pg_stat_activity \
         WHERE pid = pg_catalog.pg_backend_pid()",
    )?;
    let mut parts = answer.split(' ');
    let (Some(xid), Some(pid), Some(started)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("psql answered {answer:?}"));
    };
    let pid = pid.parse().map_err(|_| format!("psql answered {answer:?}"))?;
    let ready = Ready { xid: xid.to_owned(), pid, started: started.to_owned() };
    let draft = handshake.ready.with_extension("draft");
    serde_json::to_vec(&ready)
        .map_err(io::Error::other)
        .and_then(|text| std::fs::write(&draft, text))
        .and_then(|()| std::fs::rename(&draft, &handshake.ready))
        .map_err(|error| format!("{}: {error}; nothing was committed", handshake.ready.display()))?;
    let watch = Stopwatch::start();
    while !std::fs::read_to_string(&handshake.go).is_ok_and(|word| word == ready.xid) {
        if watch.elapsed() > Duration::from_millis(handshake.patience_ms) {
            return Err("nobody said that it may be committed; nothing was".to_owned());
        }
        clock::block(Duration::from_millis(10));
    }
    match psql.ask(&format!("SELECT ({})::text", handshake.check_sql))?.as_str() {
        "true" => Ok(()),
        _ => Err("the lock on the target is lost; nothing was committed".to_owned()),
    }
}

/// psql, with its answers.
struct Psql {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    nonce: String,
    asked: u32,
}

impl Psql {
    fn start(feed: &Feed) -> Result<Self, String> {
        let said = |error: io::Error| format!("{}: {error}", feed.psql.display());
        let mut child = plain::command(&feed.psql)
            .args(["-X", "-q", "-A", "-t", "-b", "-v", "ON_ERROR_STOP=1", "-d", &feed.dbname])
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(said)?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("psql has no output")?;
        let nonce = format!("runplan:{:016x}{:016x}:", rand::random::<u64>(), rand::random::<u64>());
        let (sender, lines) = channel();
        let mark = nonce.clone();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            // What the dump's own SELECTs print is dropped, a long line at a time.
            while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line);
                if let Some(answer) = text.trim_end().strip_prefix(&mark)
                    && sender.send(answer.to_owned()).is_err()
                {
                    return;
                }
                line.clear();
            }
        });
        Ok(Self { child, input, lines, nonce, asked: 0 })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = match &mut self.input {
            Some(input) => input.write_all(bytes),
            None => Err(io::Error::other("its input is closed")),
        };
        sent.map_err(|error| self.ended(&error.to_string()))
    }

    /// Asks for one text and waits for it: everything before it was executed then.
    fn ask(&mut self, query: &str) -> Result<String, String> {
        self.asked += 1;
        let mark = format!("{}{}:", self.nonce, self.asked);
        // The mark is cut in two, so that nothing that echoes the query is taken for the answer.
        let (left, right) = mark.split_at(mark.len() / 2);
        self.send(
            format!("\nSELECT '{left}' || '{right}' || answer FROM ({query}) AS q(answer);\n").as_bytes(),
        )?;
        if let Some(input) = &mut self.input {
            let _ = input.flush();
        }
        let mark = format!("{}:", self.asked);
        loop {
            match self.lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    if let Some(answer) = line.strip_prefix(&mark) {
                        return Ok(answer.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Ok(Some(_)) = self.child.try_wait() {
                        return Err(self.ended("no answer"));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended("no answer")),
            }
        }
    }

    /// psql has ended early: its complaint is on stderr.
    fn ended(&mut self, why: &str) -> String {
        self.input = None;
        match self.child.wait() {
            Ok(status) => format!("psql ended early ({status})"),
            Err(_) => format!("psql ended early: {why}"),
        }
    }

    fn finish(mut self) -> Result<(), String> {
        self.input = None;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("psql failed after COMMIT ({status})")) }
    }
}

impl Drop for Psql {
    /// Without its COMMIT the transaction is rolled back, at once and not when the statement under way is done.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
