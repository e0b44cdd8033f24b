//! One interruption of one run: where, what happens then, and what came of it.

use super::plan;
use super::scene::Scene;
use crate::support::proxy::{Cut, Proxy};
use crate::support::sandbox::Started;
use runplan::clock::Stopwatch;
use runplan::postgres::{Cluster, Stop};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

/// Which way the run goes when it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Forward,
    Undo,
}

/// How it is interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kill {
    /// Nothing happens: what the others are compared with.
    Never,
    /// The engine at a place in the code.
    At { place: &'static str, number: u64 },
    /// The engine, that long after it was started.
    After { delay: Duration, supervisor: Order },
    /// The server crashes, that long after the engine was started, and comes back.
    Restart { delay: Duration, engine: Engine },
    /// A connection is cut in the middle.
    Bytes(u64),
    /// A COMMIT, or its answer, is lost.
    Commit(Cut),
}

/// What becomes of the engine while the server crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Lives,
    DiesBefore,
    DiesAfter,
}

/// Whether the supervisor is killed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Spared,
    First,
    Last,
}

#[derive(Debug, Clone)]
pub struct Case {
    /// `forward/after_append/12`
    pub name: String,
    pub way: Way,
    pub kill: Kill,
    /// The places of further kills, while it is taken up again.
    pub again: Vec<Duration>,
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    pub kills: usize,
    /// Marks that are missing, or there more than once.
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    /// Steps that were asked about, with evidence that was right.
    pub parked: Vec<String>,
    /// Everything else that is not as it must be.
    pub wrong: Vec<String>,
    /// The journal's last number when it was interrupted the first time.
    pub at: u64,
    pub took: Duration,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }
}

/// What the end must be.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    pub rest: Vec<String>,
    pub marks: BTreeMap<String, usize>,
}

/// A run is taken up as often as that at most.
const MOST: usize = 25;

pub struct Player<'s> {
    scene: &'s Scene,
    /// The server that may be restarted, and the way to it that may be cut.
    server: Option<&'s Mutex<Cluster>>,
    proxy: Option<&'s Proxy>,
    /// A step may fail, if it says so: the server or the network did.
    rough: bool,
    kills: VecDeque<Kill>,
    is_given_up: bool,
    pub verdict: Verdict,
}

impl<'s> Player<'s> {
    pub fn new(scene: &'s Scene) -> Self {
        Self {
            scene,
            server: None,
            proxy: None,
            rough: false,
            kills: VecDeque::new(),
            is_given_up: false,
            verdict: Verdict::default(),
        }
    }

    pub fn with_server(self, server: &'s Mutex<Cluster>) -> Self {
        Self { server: Some(server), rough: true, ..self }
    }

    /// What fails because a supervisor died is said to have failed, and is begun again.
    pub fn with_mortal_supervisor(self) -> Self {
        Self { rough: true, ..self }
    }

    pub fn with_proxy(self, proxy: &'s Proxy) -> Self {
        Self { proxy: Some(proxy), rough: true, ..self }
    }

    /// Plays a case to its end and judges it.
    pub fn play(mut self, case: &Case, expected: &Expected) -> Verdict {
        let watch = Stopwatch::start();
        match case.way {
            Way::Forward => self.forward(&case.kill, &case.again),
            Way::Undo => {
                self.forward(&Kill::Never, &[]);
                self.undo(&case.kill, &case.again);
            }
        }
        self.judge(expected);
        self.verdict.took = watch.elapsed();
        self.verdict
    }

    fn forward(&mut self, kill: &Kill, again: &[Duration]) {
        self.plan(kill, again);
        self.drive(Way::Forward);
    }

    fn undo(&mut self, kill: &Kill, again: &[Duration]) {
        self.plan(kill, again);
        self.drive(Way::Undo);
    }

    fn plan(&mut self, kill: &Kill, again: &[Duration]) {
        let more = again.iter().map(|delay| Kill::After { delay: *delay, supervisor: Order::Spared });
        self.kills = std::iter::once(kill.clone()).chain(more).collect();
    }

    /// Starts it, and takes it up again until it is over.
    fn drive(&mut self, way: Way) {
        for _ in 0..MOST {
            let line = match self.run() {
                None => self.scene.line(),
                Some(run) if way == Way::Undo && self.status()["phase"] != "backward" => {
                    format!("undo {run} --yes --reason chaos --plain")
                }
                Some(run) => format!("resume {run} --plain"),
            };
            match self.one(&line) {
                None => {}
                Some((0, _)) => return,
                Some((1, _)) if way == Way::Undo => return,
                Some((4, words)) => {
                    self.answer(&words);
                    if self.is_given_up {
                        return;
                    }
                }
                // The server was not there, or the network.
                Some((1 | 6, words)) if self.rough && !words.contains("panic") => {
                    self.verdict.parked.push(format!("refused: {}", last_line(&words)));
                }
                Some((code, words)) => {
                    self.verdict.wrong.push(format!("`{line}` ended with {code}: {words}"));
                    return;
                }
            }
        }
        self.verdict.wrong.push(format!("it is not over after {MOST} times: {}", self.where_it_stands()));
    }

    /// One process, under the next of the kills that wait for their moment; None: it was killed.
    fn one(&mut self, line: &str) -> Option<(i32, String)> {
        let kill = self.kills.front().cloned().unwrap_or(Kill::Never);
        let wish = match &kill {
            Kill::At { place, number } => format!("{place}:{number}"),
            _ => String::new(),
        };
        match (&kill, self.proxy) {
            (Kill::Bytes(bytes), Some(proxy)) => proxy.cut_after(*bytes),
            (Kill::Commit(cut), Some(proxy)) => proxy.cut(*cut),
            _ => {}
        }
        let mut started = self.scene.sandbox.start_with(line, &[("RUNPLAN_FAILPOINT", &wish)]);
        let came = match &kill {
            Kill::After { delay, supervisor } => self.kill_after(&mut started, *delay, *supervisor),
            Kill::Restart { delay, engine } => self.restart_after(&mut started, *delay, *engine),
            Kill::Bytes(_) | Kill::Commit(_) => true,
            Kill::Never | Kill::At { .. } => false,
        };
        let ran = started.wait();
        // A supervisor's own death shows in what the engine says.
        let is_supervisor = matches!(kill, Kill::At { .. }) && ran.all().contains("supervisor");
        self.verdict.kills += usize::from(is_supervisor && ran.code.is_some());
        let came = came || is_supervisor;
        if came || ran.code.is_none() {
            self.kills.pop_front();
        }
        if ran.code.is_none() {
            self.verdict.kills += 1;
            if self.verdict.at == 0 {
                self.verdict.at = self.seq();
            }
        }
        ran.code.map(|code| (code, ran.all()))
    }

    /// Whether its moment came; if not, what is left of the delay waits for the next process.
    fn kill_after(&mut self, started: &mut Started, delay: Duration, supervisor: Order) -> bool {
        let watch = Stopwatch::start();
        if started.ends_within(delay) {
            let delay = delay.saturating_sub(watch.elapsed());
            self.kills[0] = Kill::After { delay, supervisor };
            return false;
        }
        if supervisor == Order::First {
            self.kill_supervisor();
        }
        started.signal(Signal::KILL);
        if supervisor == Order::Last {
            self.kill_supervisor();
        }
        true
    }

    fn restart_after(&mut self, started: &mut Started, delay: Duration, engine: Engine) -> bool {
        let watch = Stopwatch::start();
        if started.ends_within(delay) {
            let delay = delay.saturating_sub(watch.elapsed());
            self.kills[0] = Kill::Restart { delay, engine };
            return false;
        }
        let mut server = self.server.unwrap().lock().unwrap();
        if engine == Engine::DiesBefore {
            started.signal(Signal::KILL);
        }
        server.stop_server(Stop::Immediate).unwrap();
        if engine == Engine::DiesAfter {
            started.signal(Signal::KILL);
        }
        server.start_server().unwrap();
        self.verdict.kills += 1;
        true
    }

    fn kill_supervisor(&self) {
        if let Some(pid) = self.scene.supervisor().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// The run; killed before its first line was durable, there is none.
    fn run(&self) -> Option<String> {
        let runs = std::fs::read_dir(self.scene.sandbox.state().join("runs")).ok()?;
        let mut names = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let begun =
            |name: &String| self.scene.sandbox.run(&format!("status {name} --format json")).code == Some(0);
        names.find(begun)
    }

    fn status(&self) -> Value {
        let run = self.run().unwrap_or_default();
        self.scene.sandbox.run(&format!("status {run} --format json")).code(0).json()
    }

    fn where_it_stands(&self) -> String {
        let status = self.status();
        let open = status["steps"].as_array().unwrap().iter().filter(|step| step["state"] != "done");
        let open: Vec<String> =
            open.map(|step| format!("{}={} {}", step["id"], step["state"], step["failure"])).collect();
        format!("{} {}", status["parked"], open.join(", "))
    }

    fn seq(&self) -> u64 {
        self.run().map_or(0, |run| {
            let ran = self.scene.sandbox.run(&format!("status {run} --verify --format json"));
            ran.json()["lines"].as_u64().unwrap_or(0)
        })
    }

    /// The run is parked: it is told what it asks for, with what is true.
    fn answer(&mut self, words: &str) {
        let run = self.run().unwrap();
        let status = self.status();
        let steps: Vec<&Value> = status["steps"].as_array().unwrap().iter().collect();
        let mut answered = false;
        for step in steps {
            let id = step["id"].as_str().unwrap();
            match step["state"].as_str().unwrap() {
                "awaiting_approval" => {
                    // It may be killed too.
                    let ran = self.one(&format!("approve {run} {id} --comment chaos"));
                    answered |= ran.is_none_or(|(code, _)| code == 0);
                }
                "unknown" => {
                    answered = true;
                    self.resolve(&run, id, &step["evidence"], "--done");
                }
                // What was reversed already must not be reversed again.
                "undo_failed" if step["failure"]["code"] == "runplan::undo::unknown" => {
                    answered = true;
                    self.resolve(&run, id, &step["failure"], "--skip");
                }
                "failed" | "undo_failed" if self.rough => {
                    answered = true;
                    self.mend(&run, id, step);
                }
                "failed" | "undo_failed" => {
                    self.verdict.wrong.push(format!("{id} failed: {}", step["failure"]));
                }
                _ => {}
            }
        }
        if !answered {
            self.verdict.wrong.push(format!("parked for nothing: {words}"));
        }
    }

    /// The evidence must be right, and so is the answer: the marks tell.
    fn resolve(&mut self, run: &str, id: &str, evidence: &Value, done: &str) {
        let facts = evidence.to_string();
        let undoing = self.status()["phase"] == "backward";
        let mark = if undoing { format!("{id}_back") } else { id.to_owned() };
        let count = self.scene.marks().get(&mark).copied().unwrap_or(0);
        if !is_right(id, evidence, self.server.is_some()) {
            self.verdict.wrong.push(format!("{id} is unknown: {facts}"));
        }
        self.verdict.parked.push(format!("{mark} ({count})"));
        let what = if count == 0 { "--retry" } else { done };
        let line = format!("resolve {run} {id} {what} --reason 'the mark was counted: {count}'");
        let ran = self.scene.sandbox.run(&line);
        if ran.code != Some(0) {
            self.verdict.wrong.push(ran.all());
        }
    }

    /// A step failed for a reason that lies outside: what its author must do is done.
    fn mend(&mut self, run: &str, id: &str, step: &Value) {
        self.verdict
            .parked
            .push(format!("{id} failed: {}", step["failure"]["code"].as_str().unwrap_or_default()));
        // The proof of the freeze went with the server's counters: the run says so, and that it must begin anew.
        if step["failure"]["code"] == "runplan::swap::unproved" {
            self.is_given_up = true;
            drop(self.scene.sandbox.run(&format!("stop {run} --for-good --reason 'begun anew'")).code(0));
        }
        if step["state"] == "undo_failed" {
            let line = format!("resolve {run} {id} --retry --reason 'the server is back'");
            drop(self.scene.sandbox.run(&line).code(0));
        }
    }

    fn judge(&mut self, expected: &Expected) {
        let marks = self.scene.marks();
        for (mark, wanted) in &expected.marks {
            let count = marks.get(mark).copied().unwrap_or(0);
            // What comes after the swap.
            if count < *wanted && !(self.is_given_up && mark == "after") {
                self.verdict.lost.push(format!("{mark}: {count} of {wanted}"));
            }
        }
        for (mark, count) in &marks {
            let wanted = expected.marks.get(mark).copied().unwrap_or(0);
            if *count > wanted {
                self.verdict.doubled.push(format!("{mark}: {count} for {wanted}"));
            }
        }
        let rest = if self.is_given_up { self.scene.rest_without_swap() } else { self.scene.rest() };
        // A crash of the server skips values of sequences.
        let skips = self.server.is_some();
        let moves = |line: &&String| skips && line.starts_with("next paper");
        for line in rest.iter().filter(|line| !expected.rest.contains(line)).filter(|line| !moves(line)) {
            self.verdict.wrong.push(format!("at the end: {line}"));
        }
        self.verdict.wrong.extend(self.scene.leftovers().into_iter().map(|left| format!("left: {left}")));
        let run = self.run().unwrap_or_default();
        let proof = self.scene.sandbox.run(&format!("status {run} --verify"));
        if proof.code != Some(0) {
            self.verdict.wrong.push(proof.all());
        }
        for step in self.done_twice(&run) {
            self.verdict.doubled.push(format!("{step} was done twice"));
        }
    }

    fn done_twice(&self, run: &str) -> Vec<String> {
        let logs = self.scene.sandbox.run(&format!("logs {run} --format json"));
        let mut seen = std::collections::HashSet::new();
        logs.stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["kind"] == "step_done" || event["kind"] == "undo_done")
            .map(|event| format!("{} {}", event["kind"], event["step"]))
            .filter(|step| !seen.insert(step.clone()))
            .collect()
    }

    /// What an uninterrupted one leaves, and how far its journal went.
    pub fn measure(mut self, way: Way) -> (Expected, u64, u64, Duration) {
        let watch = Stopwatch::start();
        self.forward(&Kill::Never, &[]);
        let (forward, mut took) = (self.seq(), watch.elapsed());
        if way == Way::Undo {
            let watch = Stopwatch::start();
            self.undo(&Kill::Never, &[]);
            took = watch.elapsed();
        }
        assert!(self.verdict.is_good() && self.verdict.parked.is_empty(), "{:#?}", self.verdict);
        let leftovers = self.scene.leftovers();
        assert!(leftovers.is_empty(), "{leftovers:?}");
        (Expected { rest: self.scene.rest(), marks: self.scene.marks() }, forward, self.seq(), took)
    }
}

/// Whether a step may be unknown, for the reason that it gives.
fn is_right(id: &str, evidence: &Value, server_crashes: bool) -> bool {
    let facts = evidence.to_string();
    if server_crashes && plan::OUTSIDE_A_TRANSACTION.contains(&id) {
        return is_of_a_crash(evidence);
    }
    let known = [
        "the request was about to be sent, and its answer was not heard",
        // The server or the network hung up; whether after the request was read is what nobody knows.
        "broke: Connection reset by peer",
        "broke off: ",
        "whether the program ran is not known",
        "no exit was recorded",
        "it was ended",
    ];
    plan::MAY_BE_UNKNOWN.contains(&id) && known.iter().any(|known| facts.contains(known))
}

/// A statement was sent, the server crashed under it, and it was not back yet when it was asked: nothing else.
fn is_of_a_crash(evidence: &Value) -> bool {
    let facts: Vec<&str> =
        evidence["facts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let [lost, unasked] = facts[..] else { return false };
    let lost = lost.starts_with("the connection to ") && lost.contains(" was lost: ");
    let nobody = ["the server cannot be asked: ", "the probe could not be asked: "];
    let why = nobody.iter().find_map(|nobody| unasked.strip_prefix(nobody)).unwrap_or_default();
    let is_down = why.starts_with("nothing listens on ")
        || why.ends_with(" closed the connection before the session began");
    let is_closed = ["the database system is shutting down", "the database system is starting up"];
    let is_closed =
        why.contains(" takes no connections now: ") && is_closed.iter().any(|end| why.ends_with(end));
    evidence["message"] == "whether the statement took effect is not known" && lost && (is_down || is_closed)
}

#[test]
fn only_the_evidence_of_a_crash_is_right_for_a_statement_that_a_probe_tells_of() {
    let of = |facts: &[&str]| json!({ "message": "whether the statement took effect is not known", "facts": facts });
    let lost = "the connection to 127.0.0.1:5 was lost: connection closed";
    let down = "the probe could not be asked: nothing listens on 127.0.0.1:5";
    let closed = "the server cannot be asked: the server at 127.0.0.1:5 takes no connections now: the database system is \
                  shutting down";
    for right in [of(&[lost, down]), of(&[lost, closed])] {
        assert!(is_right("index", &right, true) && is_right("bare", &right, true), "{right}");
        assert!(!is_right("index", &right, false), "no server crashed: {right}");
        assert!(!is_right("counted", &right, true), "a witness tells: {right}");
    }
    for wrong in [
        of(&[]),
        of(&[lost]),
        of(&[down, lost]),
        of(&[lost, "there is no `probe` to ask"]),
        of(&[lost, "the probe could not be asked: password authentication failed for user \"a\""]),
        of(&[lost, "the server cannot be asked: backend 7 was told to end and has not"]),
        json!({ "message": "it is not known", "facts": [lost, down] }),
        json!({ "message": "no exit was recorded", "facts": [] }),
        Value::Null,
    ] {
        assert!(!is_right("index", &wrong, true), "{wrong}");
    }
}

fn last_line(words: &str) -> String {
    let line = words.lines().find(|line| line.contains('×')).unwrap_or_default();
    line.trim().to_owned()
}
