//! Moments of runs, made of events at given seconds.

use jiff::Timestamp;
use runplan::plan::{self, Name, RunId, StepId};
use runplan::review::Usual;
use runplan::run::{Actor, Ask, Event, Failure, Outputs, Record, Shape, Started, State};
use runplan::steps::{Progress, Unit};
use runplan::terminal::{Gauge, Look, Scene, Scenes, Screen, Waiting};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// The second at which every run here begins.
pub const BEGAN: i64 = 1_795_316_400;

const PLAN: &str = "\
runplan: 1
name: scenario_2
title: Data corruption after deployment
severity: critical
databases: { app: { url: \"postgres://h/app\" } }
windows:
  maintenance:
    open: { shell: { argv: [\"true\"], repeatable: true, changes: none }, undo: { shell: { argv: [\"true\"], repeatable: true, changes: none } } }
    close: { shell: { argv: [\"true\"], repeatable: true, changes: none } }
steps:
  - { id: restored, title: The last good backup beside the live database, restore: { from: b.dump, database: app } }
  - { id: proven, verify: { database: app, checks: [ { name: n, sql: SELECT 1, expect: 1 } ] } }
  - { id: frozen, window: maintenance, freeze: { database: app } }
  - { id: safety_backup, window: maintenance, title: Safety backup of the live database, backup: { database: app, to: . } }
  - { id: checked, needs: [frozen], window: maintenance, verify: { database: app, checks: [ { name: n, sql: SELECT 1, expect: 1 } ] } }
  - { id: go, needs: [safety_backup, checked], window: maintenance, title: Swap it in?, approve: { message: \"Swap app for app_rp?\", roles: [dba], count: 2 } }
  - { id: switched, window: maintenance, swap: { database: app, with: \"{{ steps.restored.database }}\" } }
  - { id: dropped, window: maintenance, irreversible: it is gone, sql: { database: app, statement: DROP TABLE scratch } }
";

const SITE: &str = "\
runplan: 1
roles: { dba: { people: [ann, bob, cem] } }
severities: { critical: { role: dba, deadline: 20m, action: rollback } }
";

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGAN + second).unwrap()
}

/// A run at a moment.
pub struct Moment {
    pub now: Timestamp,
    state: State,
    usual: HashMap<StepId, Usual>,
    gauges: HashMap<StepId, Gauge>,
}

impl Moment {
    fn new(plan: &str, site: Option<&str>) -> Self {
        let loaded =
            plan::load(("t.yaml", plan), site.map(|site| ("runplan.yaml", site)), &|_| Err(String::new()));
        let run = RunId::parse("scenario-2-20261122-0311-k7f3").unwrap();
        let state = State::new(run, Shape::of(loaded).unwrap());
        let mut moment = Self { now: at(0), state, usual: HashMap::new(), gauges: HashMap::new() };
        moment.event(0, Event::RunStarted(Box::new(started(site.is_some()))));
        moment
    }

    pub fn scene(&self) -> Scene {
        self.scene_of_runs_in(None)
    }

    /// Where runs are kept in another directory than the usual one.
    pub fn scene_of_runs_in(&self, place: Option<&str>) -> Scene {
        let look = Look { place: place.map(str::to_owned), ..Look::default() };
        let screen = Screen::new(look);
        Scenes::new(&self.state.shape, self.usual.clone(), false, screen).scene(&self.state, &self.gauges)
    }

    /// What a log is told of who is waited for, at these seconds.
    pub fn reminders(&mut self, attended: bool, seconds: &[i64]) -> Vec<String> {
        self.state.attended = attended;
        let screen = Screen::new(Look::default());
        let mut waiting = Waiting::default();
        let lines = seconds.iter().flat_map(|second| waiting.due(&screen, &self.state, at(*second)));
        lines.map(|(step, text)| format!("{step} {text}")).collect()
    }

    fn event(&mut self, second: i64, event: Event) -> &mut Self {
        let (run, seq) = (self.state.run.clone(), self.state.seq + 1);
        let actor = Actor { name: "ann".to_owned(), ..Actor::engine() };
        let record = Record::seal(&run, seq, at(second), &actor, event, &self.state.head.clone());
        self.state.apply(&record).unwrap();
        self.now = at(second);
        self
    }

    fn began(&mut self, second: i64, id: &str) -> &mut Self {
        self.event(second, Event::StepStarted { step: id.into(), attempt: 1 })
    }

    fn ended(&mut self, second: i64, id: &str) -> &mut Self {
        self.event(second, Event::StepDone { step: id.into(), attempt: 1, outputs: Outputs::new() })
    }

    fn asked(&mut self, second: i64, id: &str, people: &[&str], count: u16) -> &mut Self {
        let ask = Ask {
            message: format!("Is {id} right?"),
            confirm: false,
            people: people.iter().map(|name| (*name).to_owned()).collect(),
            roles: if people.is_empty() { Vec::new() } else { vec![Name::new("dba")] },
            count,
            expires_at: Some(at(second + 3600)),
            allow_requester: true,
            nonce: String::new(),
        };
        self.began(second, id);
        self.event(second, Event::ApprovalRequested { step: id.into(), attempt: 1, ask })
    }

    fn usually(&mut self, id: &str, seconds: u64) -> &mut Self {
        self.usual
            .insert(id.into(), Usual { ms: seconds * 1000, runs: 3, rehearsed: false, other_values: false });
        self
    }

    fn told(&mut self, second: i64, id: &str, progress: Progress) -> &mut Self {
        match self.gauges.get_mut(id) {
            Some(gauge) => gauge.tell(progress, at(second)),
            None => drop(self.gauges.insert(id.into(), Gauge::new(progress, at(second)))),
        }
        self
    }

    fn until(mut self, second: i64) -> Self {
        self.now = at(second);
        self
    }
}

fn started(has_site: bool) -> Started {
    Started {
        plan: Name::new("scenario_2"),
        title: None,
        sources: Vec::new(),
        has_site,
        params: serde_json::Map::new(),
        plan_digest: String::new(),
        digest: String::new(),
        reason: None,
        severity: has_site.then(|| "critical".to_owned()),
        incident_started_at: Some(at(-600)),
        overridden: None,
        directory: String::new(),
        attended: false,
        wait: true,
        accepted: Vec::new(),
        targets: BTreeMap::new(),
        rehearsal: false,
        began_with: None,
        pg_bin: None,
        version: String::new(),
    }
}

fn bytes(doing: &str, done: u64, total: Option<u64>) -> Progress {
    Progress { doing: doing.to_owned(), done, total, unit: Unit::Bytes }
}

/// The backup is being loaded, nothing in use is touched.
pub fn begun() -> Moment {
    let mut moment = Moment::new(PLAN, Some(SITE));
    moment.began(1, "restored");
    moment.told(2, "restored", bytes("checking the backup", 40_000_000, None));
    moment.until(12)
}

fn closed() -> Moment {
    let mut moment = Moment::new(PLAN, Some(SITE));
    for (id, seconds) in
        [("restored", 190), ("proven", 4), ("safety_backup", 192), ("checked", 20), ("switched", 1)]
    {
        moment.usually(id, seconds);
    }
    moment.began(1, "restored").ended(200, "restored").began(200, "proven").ended(204, "proven");
    moment.began(204, "maintenance.open").ended(205, "maintenance.open");
    moment.began(205, "frozen").ended(216, "frozen");
    moment.began(216, "safety_backup").began(216, "checked");
    moment
}

/// Closed to traffic; the safety backup is dumped, checks run beside it.
pub fn dumping() -> Moment {
    let mut moment = closed();
    moment.told(217, "safety_backup", bytes("dumping", 0, Some(4_000_000_000)));
    for second in 218..=274 {
        let done = (second - 217) as u64 * 21_000_000;
        moment.told(second, "safety_backup", bytes("dumping", done, Some(4_000_000_000)));
    }
    let checks = Progress { doing: "checking".to_owned(), done: 3, total: Some(10), unit: Unit::Items };
    moment.told(260, "checked", checks);
    moment.until(275)
}

/// One of two has agreed.
pub fn asking() -> Moment {
    let mut moment = closed();
    moment.ended(408, "safety_backup").ended(230, "checked");
    moment.asked(410, "go", &["ann", "bob", "cem"], 2);
    let step = StepId::from("go");
    let (by, comment) = ("ann".to_owned(), String::new());
    moment.event(460, Event::ApprovalGiven { step, by, comment, signed: None, break_glass: None });
    moment.until(470)
}

/// What cannot be undone runs.
pub fn dropping() -> Moment {
    let mut moment = asking();
    moment.ended(480, "go").began(480, "switched").ended(481, "switched").began(481, "dropped");
    moment.until(490)
}

/// The deadline has passed, a check failed, the backup is tried again.
pub fn trouble() -> Moment {
    let mut moment = closed();
    let failure = |message: &str| Failure::new("test::failed", message.to_owned());
    let step = StepId::from("safety_backup");
    let broken = failure(
        "pg_dump: error: connection to server was lost: the server closed the connection unexpectedly",
    );
    moment.event(700, Event::RetryScheduled { step, attempt: 1, at: at(760), failure: broken });
    let step = StepId::from("checked");
    moment.event(
        705,
        Event::StepFailed {
            step,
            attempt: 1,
            failure: failure("2 of 10 checks failed: no negative escrow, every user has a wallet"),
        },
    );
    moment.until(742)
}

pub fn undoing() -> Moment {
    let mut moment = asking();
    moment.ended(480, "go").began(480, "switched").ended(481, "switched");
    moment.event(500, Event::UndoRequested { to: None, reason: "the wrong backup".to_owned() });
    moment.event(500, Event::UndoStarted { step: "switched".into(), attempt: 1 });
    moment.until(503)
}

/// Two hundred steps: 100 are done, 40 run, three ask, one is tried again.
pub fn many() -> Moment {
    let mut plan = "runplan: 1\nname: many\nlimits: { parallel: 64 }\nsteps:\n".to_owned();
    for at in 1..=3 {
        let _ =
            writeln!(plan, "  - {{ id: asked_{at}, needs: [], approve: {{ message: \"Is it right?\" }} }}");
    }
    for at in 4..=200 {
        let _ = writeln!(
            plan,
            "  - {{ id: table_{at}, title: Table number {at}, needs: [], notify: {{ channels: [console], message: x }} }}"
        );
    }
    let mut moment = Moment::new(&plan, None);
    for at in 4..=103 {
        moment.began(at, &format!("table_{at}")).ended(at + 1, &format!("table_{at}"));
    }
    for at in 104..=143 {
        moment.began(at, &format!("table_{at}"));
    }
    for at in 1..=3 {
        moment.asked(150 + at, &format!("asked_{at}"), &[], 1);
    }
    let failure = Failure::new("test::failed", "lock timeout".to_owned());
    moment.event(160, Event::RetryScheduled { step: "table_104".into(), attempt: 1, at: at(200), failure });
    moment.until(190)
}

/// Titles, progress and failures that would like to be more than text.
pub fn hostile() -> Moment {
    let plan = "runplan: 1\nname: hostile\nsteps:\n  - { id: first, needs: [], title: \"\\e[2J\\e]0;owned\\a日本語のタイトル\\r\\nDone after 1s\", notify: { channels: [console], message: x } }\n  - { id: second, needs: [], title: \"\\e[31mred\\e[0m \\u202eevil\", notify: { channels: [console], message: x } }\n";
    let mut moment = Moment::new(plan, None);
    moment.began(1, "first").began(1, "second");
    moment.told(2, "first", bytes("dump\ning \u{1b}[1A\u{1b}[K", 5, Some(10)));
    moment.until(9)
}
