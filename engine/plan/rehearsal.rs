//! How a plan is rehearsed: what fills the throw-away database, and what stands in for the world outside.

use super::decode::{Table, choice, record};
use super::json::Json;
use super::name::{Name, StepId};
use super::source::Sp;
use super::step::{Bare, Step};
use super::text::Text;

record! {
    /// An HTTP address that the rehearsal serves on loopback: healthy while its database answers.
    pub struct Served as "a served address" {
        /// The path.
        /// Example: /health
        path: String,
        /// The database that must answer; without it the answer is always healthy.
        /// Example: app
        database: Option<Sp<Name>>,
        /// The JSON of a healthy answer (status 200). An unhealthy one is 503.
        /// Example: {"status": "healthy"}
        json: Json,
    }
}

choice! {
    /// What of the target is cloned; it is only read.
    pub enum Clone {
        /// Its definitions, without rows.
        Schema = "schema",
        /// Its definitions and its rows.
        Data = "data",
    }
}

record! {
    /// What a database of the rehearsal begins with. Give one of the three.
    pub struct Beginning as "a beginning" {
        /// A backup: a file or a directory.
        /// Example: {{ params.backup }}
        backup: Option<Text>,
        /// The target itself, as it is now.
        /// Example: schema
        clone: Option<Clone>,
        /// An SQL file, beside the plan.
        /// Example: rehearsal/seed.sql
        seed: Option<Text>,
    }
}

record! {
    /// An action that takes the place of a step's in a rehearsal.
    pub struct StandIn as "a stand-in" {
        /// The step; `maintenance.open` for a window's.
        /// Example: maintenance.open
        step: Sp<StepId>,
        /// What is done instead.
        /// Example: {"notify": {"channels": ["console"], "message": "maintenance page on"}}
        with: Bare,
    }
}

record! {
    /// How a plan is rehearsed on a throw-away PostgreSQL. `rehearsal.dir` and `rehearsal.url` may be used in templates.
    pub struct Rehearsal as "rehearsal" {
        /// Values of the parameters.
        /// Example: {"backup": "{{ rehearsal.dir }}/backup"}
        params: Table<Json> = Table::new(),
        /// What the databases begin with, by name; `runplan rehearse --from` goes before it. Without an entry: empty.
        /// Example: {"app": {"seed": "rehearsal/seed.sql"}}
        load: Table<Beginning> = Table::new(),
        /// Steps that fill the databases before the rehearsal begins.
        /// Example: [{"id": "seed", "sql": {"database": "app", "file": "rehearsal/seed.sql"}}]
        prepare: Vec<Step> = Vec::new(),
        /// HTTP addresses served on loopback.
        /// Example: [{"path": "/health", "database": "app", "json": {"status": "healthy"}}]
        serve: Vec<Served> = Vec::new(),
        /// What stands in for steps that reach the world outside. A shell, http or notify step without one is skipped, and said to be.
        /// Example: [{"step": "maintenance.open", "with": {"notify": {"channels": ["console"], "message": "on"}}}]
        stand_ins: Vec<StandIn> = Vec::new(),
        /// Values of the secrets, for steps that use them.
        /// Example: {"TOKEN": "none"}
        secrets: Table<Text> = Table::new(),
    }
}
