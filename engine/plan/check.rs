//! One check: a question to the world and what the answer must be. Used by `verify`, by named checks and by probes.

use super::action::{Http, Shell};
use super::decode::{Decode, DecodeKeys, Reader, Schemas, Table, choice, record, visible};
use super::duration::Duration;
use super::expect::Expect;
use super::finding::Finding;
use super::node::Node;
use super::source::Sp;
use super::step::Retry;
use super::text::Text;
use serde_json::{Map, Value, json};

record! {
    /// One check of a `verify` step.
    pub struct Check as "a check" {
        /// What it proves, in words.
        /// Example: every user has a wallet
        name: Sp<String>,
        /// The database it asks, when it is not the step's.
        /// Example: app
        database: Option<Text>,
        /// What the answer must be.
        /// Example: empty
        expect: Option<Expect>,
        /// Try again before it counts as failed.
        /// Example: {"attempts": 10, "every": "3s"}
        retry: Option<Retry>,
        /// How long one try may take.
        /// Example: 30s
        timeout: Option<Duration>,
        /// Columns whose values are not shown nor kept.
        /// Example: ["email"]
        mask: Vec<String> = Vec::new(),
        .. question: Sp<Question>,
    }
}

record! {
    /// Answers whether an attempt took effect when nobody knows: it did when the check passes. A check that could not be
    /// asked has not said no.
    pub struct Probe as "a probe" {
        /// The database it asks, when it is not the step's.
        /// Example: app
        database: Option<Text>,
        /// What the answer is when the step took effect. Without it: a success.
        /// Example: {"equals": 1}
        expect: Option<Expect>,
        .. question: Sp<Question>,
    }
}

choice! {
    /// How an object can differ from a backup's.
    pub enum Differing {
        /// The backup holds it, and it is not there.
        Missing = "missing",
        /// It is there, and the backup does not hold it.
        Extra = "extra",
        /// It is there and does not do its work.
        Invalid = "invalid",
        /// Both have it, with other definitions.
        Changed = "changed",
    }
}

record! {
    /// Compares with a backup.
    pub struct AgainstBackup as "a comparison" {
        /// The backup.
        /// Example: {{ params.backup }}
        matches: Text,
        /// How far a count may differ, in percent of the backup's.
        /// Example: 1%
        tolerance: Option<Sp<String>>,
        /// Only these tables.
        /// Example: ["users"]
        tables: Option<Vec<Text>>,
        /// Of `schema`: only these differences count. `[extra]` asks whether the backup holds everything that is there.
        /// Example: ["extra"]
        only: Option<Vec<Differing>>,
    }
}

record! {
    /// What swapping the side database in would lose.
    pub struct Lost as "lost" {
        /// The side database.
        /// Example: {{ steps.restored.database }}
        side: Text,
        /// Only these tables.
        /// Example: ["users"]
        tables: Option<Vec<Text>>,
    }
}

record! {
    /// Looks for damage in indexes and tables with PostgreSQL's amcheck.
    pub struct Amcheck as "amcheck" {
        /// Only these tables and their indexes. Without it: all.
        /// Example: ["users"]
        tables: Option<Vec<Text>>,
        /// True: also read every row (verify_heapam, servers from 14 on).
        /// Example: true
        heap: bool = false,
        /// True: it fails where the extension is not installed. False: the check is left out there, and said to be.
        /// Example: true
        required: bool = false,
    }
}

record! {
    /// Looks at a backup.
    pub struct BackupCheck as "backup" {
        /// The backup.
        /// Example: {{ params.backup }}
        path: Text,
        /// How old it may be.
        /// Example: 24h
        max_age: Option<Duration>,
        /// Tables it must hold.
        /// Example: ["users"]
        tables: Option<Vec<Text>>,
    }
}

record! {
    /// Looks at a file.
    pub struct FileCheck as "file" {
        /// The file.
        /// Example: ./maintenance.flag
        path: Text,
        /// A text it must hold.
        /// Example: MAINTENANCE
        contains: Option<Text>,
        /// Its SHA-256, in hexadecimal.
        /// Example: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        sha256: Option<Text>,
        /// False: it must not be there.
        /// Example: true
        exists: bool = true,
    }
}

/// The question of a check; in YAML the key is its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    Sql(Text),
    Http(Http),
    Shell(Shell),
    File(FileCheck),
    Backup(BackupCheck),
    Schema(AgainstBackup),
    Counts(AgainstBackup),
    Lost(Lost),
    Amcheck(Amcheck),
}

impl Question {
    pub const WORDS: &'static [&'static str] =
        &["sql", "http", "shell", "file", "backup", "schema", "counts", "lost", "amcheck"];

    pub fn word(&self) -> &'static str {
        match self {
            Self::Sql(_) => "sql",
            Self::Http(_) => "http",
            Self::Shell(_) => "shell",
            Self::File(_) => "file",
            Self::Backup(_) => "backup",
            Self::Schema(_) => "schema",
            Self::Counts(_) => "counts",
            Self::Lost(_) => "lost",
            Self::Amcheck(_) => "amcheck",
        }
    }

    fn decode_one(word: &str, node: &Node, reader: &mut Reader) -> Option<Self> {
        match word {
            "sql" => Text::decode(node, reader).map(Self::Sql),
            "http" => Http::decode(node, reader).map(Self::Http),
            "shell" => Shell::decode(node, reader).map(Self::Shell),
            "file" => FileCheck::decode(node, reader).map(Self::File),
            "backup" => BackupCheck::decode(node, reader).map(Self::Backup),
            "schema" => AgainstBackup::decode(node, reader).map(Self::Schema),
            "counts" => AgainstBackup::decode(node, reader).map(Self::Counts),
            "lost" => Lost::decode(node, reader).map(Self::Lost),
            "amcheck" => Amcheck::decode(node, reader).map(Self::Amcheck),
            _ => None,
        }
    }
}

impl DecodeKeys for Sp<Question> {
    fn keys() -> &'static [&'static str] {
        Question::WORDS
    }

    fn decode_keys(
        node: &Node,
        entries: &[(Sp<String>, Node)],
        what: &str,
        reader: &mut Reader,
    ) -> Option<Self> {
        let mut found = entries.iter().filter(|(key, _)| Question::WORDS.contains(&key.value.as_str()));
        let Some((key, value)) = found.next() else {
            let message = format!("{what} asks nothing");
            reader.push(
                Finding::error("runplan::plan::no_question", visible(node), message)
                    .help(format!("add one of {}", Question::WORDS.join(", "))),
            );
            return None;
        };
        if let Some((second, _)) = found.next() {
            let message = format!("{what} asks two things: `{}` and `{}`", key.value, second.value);
            reader.push(
                Finding::error("runplan::plan::two_questions", second.span, message)
                    .help("make two checks of it"),
            );
        }
        Question::decode_one(&key.value, value, reader).map(|question| Sp::new(question, key.span))
    }

    fn extend_schema(schema: &mut Map<String, Value>, schemas: &mut Schemas) {
        let mut add = |word: &str, doc: &str, value: Value| {
            if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                properties.insert(word.to_owned(), Schemas::describe(value, doc));
            }
        };
        add("sql", "A query.\nExample: SELECT count(*) FROM users", Text::schema(schemas));
        add(
            "http",
            "A request.\nExample: {\"url\": \"https://app.example.com/health\"}",
            Http::schema(schemas),
        );
        add(
            "shell",
            "A program; success is the answer.\nExample: {\"argv\": [\"npm\", \"test\"]}",
            Shell::schema(schemas),
        );
        add("file", "A file.\nExample: {\"path\": \"./flag\"}", FileCheck::schema(schemas));
        add(
            "backup",
            "A backup, read whole.\nExample: {\"path\": \"{{ params.backup }}\"}",
            BackupCheck::schema(schemas),
        );
        add(
            "schema",
            "Tables, columns, indexes and constraints as in a backup.\nExample: {\"matches\": \"{{ params.backup }}\"}",
            AgainstBackup::schema(schemas),
        );
        add(
            "counts",
            "Row counts as in a backup.\nExample: {\"matches\": \"{{ params.backup }}\", \"tolerance\": \"1%\"}",
            AgainstBackup::schema(schemas),
        );
        add(
            "lost",
            "What a swap would lose.\nExample: {\"side\": \"{{ steps.restored.database }}\"}",
            Lost::schema(schemas),
        );
        add(
            "amcheck",
            "Damage in indexes and tables, found by PostgreSQL's amcheck.\nExample: {\"tables\": [\"users\"], \"heap\": true}",
            Amcheck::schema(schemas),
        );
        let one_of: Vec<Value> = Question::WORDS.iter().map(|word| json!({ "required": [word] })).collect();
        schema.insert("oneOf".to_owned(), one_of.into());
    }
}

/// Named checks of a plan.
pub type Checks = Table<Vec<Check>>;
