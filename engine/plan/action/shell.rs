//! `shell`: what the author writes.

use crate::plan::decode::record;
use crate::plan::{Changes, Probe, Sp, Table, Text};

record! {
    /// How one named output is taken out of what a program prints. Give one of the two.
    pub struct Take as "an output" {
        /// A path into the JSON on stdout: `deployment.id`.
        /// Example: deployment.id
        json: Option<String>,
        /// A regular expression on stdout; its first group, or the whole match.
        /// Example: version (\d+)
        regex: Option<Sp<String>>,
    }
}

record! {
    /// Runs a program under the supervisor.
    pub struct Shell as "shell" {
        /// The program and its arguments, passed as they are. Give this or `run`.
        /// Example: ["railway", "variables", "--set", "MAINTENANCE_MODE=true"]
        argv: Option<Vec<Text>>,
        /// A script. `{{ }}` becomes a quoted environment variable. Give this or `argv`.
        /// Example: npm test
        run: Option<Text>,
        /// The shell that runs the script.
        /// Example: ["bash", "-euo", "pipefail"]
        shell: Vec<String> = vec!["bash".into(), "-euo".into(), "pipefail".into()],
        /// The working directory. Without it: the plan's.
        /// Example: ./app
        cwd: Option<Text>,
        /// Added to the environment; the place for secrets.
        /// Example: {"PGPASSWORD": "{{ secrets.PASSWORD }}"}
        env: Table<Text> = Table::new(),
        /// What the program reads on stdin.
        /// Example: yes
        stdin: Option<Text>,
        /// Exit codes that mean success.
        /// Example: [0]
        success_codes: Vec<i64> = vec![0],
        /// Named outputs taken from what it prints.
        /// Example: {"id": {"json": "deployment.id"}}
        outputs: Table<Take> = Table::new(),
        /// Answers after a crash whether it took effect.
        /// Example: {"shell": {"argv": ["test", "-e", "/tmp/done"]}}
        probe: Option<Box<Probe>>,
        /// True: running it twice does no harm.
        /// Example: true
        repeatable: bool = false,
        /// What it changes: the name of a database, or `none`. Without it: unknown.
        /// Example: none
        changes: Option<Changes>,
        /// True: it destroys data, and needs a backup and an approval before it.
        /// Example: false
        destructive: bool = false,
        /// The database whose whole server it replaces.
        /// Example: app
        replaces: Option<Text>,
    }
}
