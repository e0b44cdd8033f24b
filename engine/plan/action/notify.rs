//! `notify`: what the author writes.

use crate::plan::decode::{choice, record};
use crate::plan::{Name, Sp, Table, Text};

choice! {
    /// How loud.
    pub enum Level { Info = "info", Warning = "warning", Critical = "critical" }
}

record! {
    /// Tells people.
    pub struct Notify as "notify" {
        /// Channels of the site file; `console` is always there.
        /// Example: ["console"]
        channels: Vec<Sp<Name>>,
        /// What to say.
        /// Example: Rollback started: {{ run.reason }}
        message: Text,
        /// How loud.
        /// Example: info
        level: Level = Level::Info,
        /// More facts, by name.
        /// Example: {"run": "{{ run.id }}"}
        details: Table<Text> = Table::new(),
        /// True: a notification that cannot be delivered fails the step.
        /// Example: false
        required: bool = false,
    }
}

impl Notify {
    /// What the program says by itself.
    pub fn made() -> Self {
        Self {
            channels: Vec::new(),
            message: Text::made(""),
            level: Level::Info,
            details: Table::new(),
            required: false,
        }
    }
}
