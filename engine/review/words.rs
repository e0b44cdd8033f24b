//! What the built-in actions do, step by step, in words and in the order in which it is done.

use crate::plan::action::backup::Format;
use crate::plan::action::copy::OnConflict;
use crate::plan::action::freeze::Mode;
use crate::plan::action::restore::{Into, Owners};
use crate::plan::action::{Backup, Copy, Freeze, Restore};
use crate::plan::{Duration, Retry};

pub fn backup(backup: &Backup, database: &str) -> Vec<String> {
    let format = match backup.format {
        Format::Directory => "directory",
        Format::Custom => "custom",
        Format::Plain => "plain",
    };
    let mut words = vec![
        format!(
            "pg_dump --format={format} of {database}, as NAME.partial, with the client of the server's version"
        ),
        "read the whole archive back; count the rows of every table in it".to_owned(),
    ];
    if !backup.record.is_empty() {
        words.push("record the values of the named checks".to_owned());
    }
    words.push(
        "write manifest.json with the sha256 of every file, make it durable, rename it to NAME".to_owned(),
    );
    words
}

pub fn restore(restore: &Restore, from: &str, database: &str) -> Vec<String> {
    let owners = match &restore.owners {
        Owners::Keep => "owners and privileges as in the backup".to_owned(),
        Owners::Skip => "without owners and privileges".to_owned(),
        Owners::Map(_) => format!("owners and privileges as in the backup, but {}", restore.owners),
    };
    match &restore.into {
        Into::Other(name) => vec![
            format!("prove that the database {} holds nothing, and mark it as this run's", name.value),
            format!("load {from} into it, the first error ends it, {owners}"),
            "analyse it, mark it complete".to_owned(),
        ],
        Into::Side => vec![
            format!(
                "create a database beside {database}, same owner, encoding and locale, marked as this run's"
            ),
            format!("load {from} into it, the first error ends it, {owners}"),
            "analyse it, mark it complete; the live database is not touched".to_owned(),
        ],
        Into::InPlace => vec![
            format!("in one transaction on {database}: drop its schemas with all they hold"),
            format!("load {from}, the first error takes everything back, {owners}"),
            "commit only after the last byte of a whole backup was read".to_owned(),
        ],
    }
}

pub fn swap(live: &str, with: &str, keep_old: Duration) -> Vec<String> {
    vec![
        format!("refuse if {live} was written since the freeze, or something would break"),
        format!("copy settings and privileges of {live}; raise the sequences of {with} to the live values"),
        format!("in one transaction: rename {live} to its old name, and {with} to {live}"),
        "end the sessions of the old database; nobody can connect to it any more".to_owned(),
        format!("keep it for {keep_old} at least"),
    ]
}

pub fn copy(copy: &Copy, table: &str, from: &str, to: &str) -> Vec<String> {
    let conflict = match copy.on_conflict {
        OnConflict::Fail => "a row whose key is there already takes everything back",
        OnConflict::Skip => "a row whose key is there already stays as it is",
        OnConflict::Update => "a row whose key is there already is kept as a before-image and overwritten",
    };
    let mut words = vec![
        format!("read the rows of {table} from {from} into a temporary table of {to}"),
        format!("in one transaction: insert them into {table} of {to}; {conflict}"),
    ];
    if copy.still.is_some() {
        words.push(
            "leave rows that are no longer as `still` says, or gone, as they are, and name them".to_owned(),
        );
    }
    if let Some(most) = &copy.max_rows {
        words.push(format!("roll back if it would be more than {} rows", most.value));
    }
    words.push("move the sequences of the table on; keep the before-images for the undo".to_owned());
    words
}

pub fn freeze(freeze: &Freeze, database: &str) -> Vec<String> {
    let first = match freeze.mode {
        Mode::ReadOnly => format!("ALTER DATABASE {database} SET default_transaction_read_only = on"),
        Mode::NoConnections => format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
    };
    vec![
        first,
        "end the other sessions; name the roles that could still write".to_owned(),
        format!("prove that its write counters stand still for {}", freeze.quiet),
    ]
}

pub fn retry(retry: &Retry) -> String {
    let growing =
        if retry.backoff > 1.0 { format!(", growing to {}", retry.max_every) } else { String::new() };
    format!("{} tries in all, {} between them{growing}", retry.attempts.value, retry.every)
}
