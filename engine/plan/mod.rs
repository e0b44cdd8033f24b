//! What the author wrote: the plan and the site file as data. Pure; never reads a file, a clock or the environment.

pub mod action;
pub mod check;
pub mod decode;
pub mod defaults;
pub mod digest;
pub mod duration;
pub mod each;
pub mod expand;
pub mod expect;
pub mod finding;
pub mod flow;
pub mod headers;
pub mod include;
pub mod json;
pub mod name;
pub mod node;
pub mod param;
pub mod parse;
pub mod rehearsal;
pub mod rewrite;
pub mod roles;
pub mod schema;
pub mod site;
pub mod source;
pub mod step;
pub mod template;
pub mod text;
pub mod vocabulary;

pub use action::Action;
pub use check::{AgainstBackup, Check, Checks, Differing, Probe, Question};
pub use decode::Table;
pub use defaults::Defaults;
pub use duration::Duration;
pub use expect::{Conditions, Expect};
pub use finding::{Finding, Placed, Severity};
pub use flow::{Flow, Made};
pub use headers::Headers;
pub use json::Json;
pub use name::{Name, RunId, StepId};
pub use param::Param;
pub use parse::{Loaded, load, load_rehearsal};
pub use rehearsal::Rehearsal;
pub use roles::Roles;
pub use site::Site;
pub use source::{FileId, Source, Sources, Sp, Span};
pub use step::{Bare, Changes, Retry, Step};
pub use text::{Text, written_password};

use decode::{choice, record};
use site::{Database, SecretSource, Version};

choice! {
    /// How bad it is: a row of the decision matrix.
    pub enum Level { Critical = "critical", High = "high", Medium = "medium", Low = "low" }
}

choice! {
    /// What a failure leads to.
    pub enum OnFailure {
        /// The run waits for a person.
        Park = "park",
        /// What was done is undone.
        Undo = "undo",
    }
}

record! {
    /// A stretch of the run in which the application is closed to traffic.
    pub struct Window as "a window" {
        /// Closes the application: runs before the first step of the window.
        /// Example: {"shell": {"argv": ["./maintenance", "on"], "repeatable": true}}
        open: Bare,
        /// Opens it again: runs after the last step of the window.
        /// Example: {"shell": {"argv": ["./maintenance", "off"], "repeatable": true}}
        close: Bare,
    }
}

record! {
    /// What a run may use.
    pub struct Limits as "limits" {
        /// How many steps run at once.
        /// Example: 4
        parallel: Sp<u16> = Sp::made(4),
        /// How long the whole run may take.
        /// Example: 4h
        deadline: Option<Duration>,
    }
}

record! {
    /// What is done when something happens to the run. Never part of the graph, never changes the result.
    pub struct Handlers as "handlers" {
        /// An approval is needed.
        /// Example: [{"notify": {"channels": ["console"], "message": "waiting"}}]
        waiting: Vec<Bare> = Vec::new(),
        /// The run has stopped and can go on.
        /// Example: [{"notify": {"channels": ["console"], "message": "parked"}}]
        parked: Vec<Bare> = Vec::new(),
        /// A step has failed and the run has stopped.
        /// Example: [{"notify": {"channels": ["console"], "message": "failed"}}]
        failed: Vec<Bare> = Vec::new(),
        /// The run is done.
        /// Example: [{"notify": {"channels": ["console"], "message": "done"}}]
        finished: Vec<Bare> = Vec::new(),
    }
}

record! {
    /// A rollback scenario as code: a graph of steps with typed parameters.
    pub struct Plan as "a plan" {
        /// The format version.
        /// Example: 1
        runplan: Version,
        /// Its name.
        /// Example: scenario_2
        name: Sp<Name>,
        /// A short title for people.
        /// Example: Data corruption after deployment
        title: Option<String>,
        /// What it is for and when to use it.
        /// Example: Restore the last good backup beside the live database and swap it in
        description: Option<String>,
        /// Who keeps it up to date.
        /// Example: database team
        owner: Option<String>,
        /// The values it is run with.
        /// Example: {"backup": {"type": "path", "required": true}}
        params: Table<Param> = Table::new(),
        /// The row of the decision matrix; such a plan asks for `--reason`.
        /// Example: {{ params.severity }}
        severity: Option<Text>,
        /// The least severity this plan may be run with.
        /// Example: high
        minimum_severity: Option<Level>,
        /// Values that are never shown.
        /// Example: {"DATABASE_URL": {"env": "DATABASE_URL"}}
        secrets: Table<SecretSource> = Table::new(),
        /// The databases it works on; usually in the site file.
        /// Example: {"app": {"url": "{{ secrets.DATABASE_URL }}"}}
        databases: Table<Database> = Table::new(),
        /// Stretches in which the application is closed to traffic.
        /// Example: {"maintenance": {"open": {"shell": {"argv": ["./on"]}}, "close": {"shell": {"argv": ["./off"]}}}}
        windows: Table<Window> = Table::new(),
        /// Named checks for `verify`.
        /// Example: {"integrity": [{"name": "users are there", "sql": "SELECT 1", "expect": 1}]}
        checks: Checks = Checks::new(),
        /// Programs that must be on PATH.
        /// Example: ["railway"]
        requires: Vec<String> = Vec::new(),
        /// What a run may use.
        /// Example: {"parallel": 4, "deadline": "4h"}
        limits: Limits = Limits { parallel: Sp::made(4), deadline: None },
        /// What steps get that do not say it themselves. They go before the site's.
        /// Example: {"timeout": "30m", "lock_timeout": "3s"}
        defaults: Defaults = Defaults::none(),
        /// What a failure leads to.
        /// Example: park
        on_failure: OnFailure = OnFailure::Park,
        /// The steps, in the order of a runbook.
        /// Example: [{"id": "hello", "notify": {"channels": ["console"], "message": "hello"}}]
        steps: Vec<Step>,
        /// What is done when something happens to the run.
        /// Example: {"failed": [{"notify": {"channels": ["console"], "message": "failed"}}]}
        handlers: Handlers = Handlers { waiting: vec![], parked: vec![], failed: vec![], finished: vec![] },
        /// How it is rehearsed on a throw-away PostgreSQL.
        /// Example: {"prepare": []}
        rehearsal: Option<Rehearsal>,
    }
}

/// Most steps a plan may have, made ones included.
pub const MOST_STEPS: usize = 20_000;
