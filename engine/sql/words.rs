//! What the leading words of a statement decide: its kind, transaction control, and whether PostgreSQL lets it
//! run inside a transaction block. Works on words alone, so that it holds where the parser gives up.

use super::lex::{Kind as Lexical, Token};
use super::script::{Kind, Remark, RemarkKind, Transactional};

/// The words of a statement in upper case; quoted names and literals are left as they are written.
pub(super) struct Words<'t> {
    words: Vec<String>,
    tokens: Vec<&'t Token>,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &str, tokens: &'t [Token]) -> Words<'t> {
        let tokens: Vec<&Token> = tokens.iter().filter(|token| !token.is_trivia()).collect();
        let word = |token: &&Token| match token.kind {
            Lexical::Ident => token.text(text).to_ascii_uppercase(),
            _ => token.text(text).to_owned(),
        };
        Words { words: tokens.iter().map(word).collect(), tokens }
    }

    pub(super) fn at(&self, place: usize) -> &str {
        self.words.get(place).map_or("", String::as_str)
    }

    /// True when the statement starts with these words.
    pub(super) fn start(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(place, word)| self.at(place) == *word)
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.place(word).is_some()
    }

    fn place(&self, word: &str) -> Option<usize> {
        self.words.iter().position(|other| other == word)
    }

    /// An option in parentheses or with `=` that is not switched off.
    fn is_on(&self, option: &str) -> bool {
        let off = |place: usize| {
            let value = if self.at(place + 1) == "=" { self.at(place + 2) } else { self.at(place + 1) };
            let value = value.trim_matches('\'').to_ascii_lowercase();
            matches!(value.as_str(), "false" | "off" | "0" | "no" | "f" | "n")
        };
        self.place(option).is_some_and(|place| !off(place))
    }

    fn is_off(&self, option: &str) -> bool {
        self.has(option) && !self.is_on(option)
    }

    /// The statement's first words in lower case, as far as they are words: `create unique index`.
    fn opening(&self, words: usize) -> String {
        let plain = |(token, _): &(&&Token, &String)| token.kind == Lexical::Ident;
        let opening: Vec<String> = self
            .tokens
            .iter()
            .zip(&self.words)
            .take(words)
            .take_while(plain)
            .map(|(_, word)| word.to_lowercase())
            .collect();
        opening.join(" ")
    }
}

const CONTROL: [&[&str]; 14] = [
    &["BEGIN"],
    &["START", "TRANSACTION"],
    &["COMMIT"],
    &["END"],
    &["ROLLBACK"],
    &["ABORT"],
    &["SAVEPOINT"],
    &["RELEASE"],
    &["PREPARE", "TRANSACTION"],
    &["SET", "TRANSACTION"],
    &["SET", "LOCAL", "TRANSACTION"],
    &["SET", "SESSION", "TRANSACTION"],
    &["SET", "SESSION", "CHARACTERISTICS"],
    &["SET", "LOCAL", "SESSION", "CHARACTERISTICS"],
];

/// The remark for BEGIN, COMMIT and everything else that steers transactions.
pub(super) fn control(words: &Words) -> Option<Remark> {
    let control = CONTROL.iter().find(|control| words.start(control))?;
    let range = words.tokens.first()?.range.start..words.tokens.get(control.len() - 1)?.range.end;
    let mut name = control.join(" ").to_lowercase();
    if words.at(1) == "PREPARED" {
        name.push_str(" prepared");
    }
    Some(Remark { kind: RemarkKind::Control(name), range })
}

const DDL: [&str; 9] =
    ["CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SECURITY", "IMPORT", "REASSIGN"];
const UTILITY: [&str; 28] = [
    "ANALYZE",
    "ANALYSE",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "DEALLOCATE",
    "DECLARE",
    "DISCARD",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MOVE",
    "NOTIFY",
    "PREPARE",
    "REFRESH",
    "REINDEX",
    "REPACK",
    "RESET",
    "SET",
    "SHOW",
    "TRUNCATE",
    "UNLISTEN",
    "VACUUM",
    "WAIT",
    "CHECK",
];

/// The kind by the first words; `WITH` is left to the parser.
pub(super) fn kind(words: &Words) -> Kind {
    match words.at(0) {
        _ if control(words).is_some() => Kind::Transaction(words.at(0).to_lowercase()),
        "SELECT" | "VALUES" | "TABLE" | "(" => Kind::Select,
        "INSERT" => Kind::Insert,
        "UPDATE" => Kind::Update,
        "DELETE" => Kind::Delete,
        "MERGE" => Kind::Merge,
        "DO" => Kind::Do,
        "COPY" => Kind::Copy,
        "CALL" => Kind::Call,
        first if DDL.contains(&first) => Kind::Ddl(what(words)),
        first if UTILITY.contains(&first) => Kind::Utility(first.to_lowercase()),
        _ => Kind::Other,
    }
}

/// What a statement is called: `alter table`, `create materialized view`, `vacuum`.
pub(super) fn what(words: &Words) -> String {
    const FILLERS: [&str; 12] = [
        "OR",
        "REPLACE",
        "GLOBAL",
        "LOCAL",
        "TEMP",
        "TEMPORARY",
        "UNLOGGED",
        "UNIQUE",
        "RECURSIVE",
        "TRUSTED",
        "PROCEDURAL",
        "CONSTRAINT",
    ];
    const FIRST_OF_TWO: [&str; 8] =
        ["MATERIALIZED", "FOREIGN", "EVENT", "TEXT", "ACCESS", "USER", "DEFAULT", "PROPERTY"];
    let first = words.at(0);
    if !matches!(first, "CREATE" | "ALTER" | "DROP") {
        return words.opening(if matches!(first, "SECURITY" | "REASSIGN" | "IMPORT") { 2 } else { 1 });
    }
    let Some(noun) = (1..words.words.len()).find(|place| !FILLERS.contains(&words.at(*place))) else {
        return words.opening(1);
    };
    let mut name = format!("{first} {}", words.at(noun));
    let next = words.at(noun + 1);
    let two = FIRST_OF_TWO.contains(&words.at(noun)) && (words.at(noun) != "USER" || next == "MAPPING");
    if two || words.at(noun) == "OPERATOR" && matches!(next, "CLASS" | "FAMILY") {
        name = format!("{name} {next}");
    }
    if matches!(words.at(noun), "TEXT" | "FOREIGN") && next != "TABLE" {
        name = format!("{name} {}", words.at(noun + 2));
    }
    name.to_lowercase()
}

/// Whether PostgreSQL lets the statement run in a transaction block.
pub(super) fn transactional(words: &Words) -> Transactional {
    use Transactional::{No, Yes};
    match (words.at(0), words.at(1)) {
        ("CREATE", "DATABASE") => No("CREATE DATABASE cannot run inside a transaction block"),
        ("DROP", "DATABASE") => No("DROP DATABASE cannot run inside a transaction block"),
        ("CREATE", "TABLESPACE") => No("CREATE TABLESPACE cannot run inside a transaction block"),
        ("DROP", "TABLESPACE") => No("DROP TABLESPACE cannot run inside a transaction block"),
        ("ALTER", "SYSTEM") => No("ALTER SYSTEM cannot run inside a transaction block"),
        ("ALTER", "DATABASE") if words.at(3) == "SET" && words.at(4) == "TABLESPACE" => {
            No("ALTER DATABASE SET TABLESPACE cannot run inside a transaction block")
        }
        ("CREATE", "INDEX") if words.at(2) == "CONCURRENTLY" => No(CONCURRENT_CREATE),
        ("CREATE", "UNIQUE") if words.at(3) == "CONCURRENTLY" => No(CONCURRENT_CREATE),
        ("DROP", "INDEX") if words.at(2) == "CONCURRENTLY" => {
            No("DROP INDEX CONCURRENTLY cannot run inside a transaction block")
        }
        ("ALTER", "TABLE") if words.has("DETACH") && words.has("CONCURRENTLY") => {
            No("DETACH PARTITION CONCURRENTLY cannot run inside a transaction block")
        }
        ("REINDEX", _) => reindex(words),
        ("VACUUM", _) => No("VACUUM cannot run inside a transaction block"),
        ("CLUSTER", _) if clusters_all(words) => {
            No("CLUSTER without a table cannot run inside a transaction block")
        }
        ("REPACK", _) if words.is_on("CONCURRENTLY") => {
            No("REPACK CONCURRENTLY cannot run inside a transaction block")
        }
        ("DISCARD", "ALL") => No("DISCARD ALL cannot run inside a transaction block"),
        ("COMMIT" | "ROLLBACK", "PREPARED") => {
            No("COMMIT PREPARED and ROLLBACK PREPARED cannot run inside a transaction block")
        }
        (_, "SUBSCRIPTION") => subscription(words),
        _ => Yes,
    }
}

const CONCURRENT_CREATE: &str = "CREATE INDEX CONCURRENTLY cannot run inside a transaction block";

fn reindex(words: &Words) -> Transactional {
    let options = if words.at(1) == "(" { words.place(")").unwrap_or(0) } else { 0 };
    if matches!(words.at(options + 1), "DATABASE" | "SYSTEM" | "SCHEMA") {
        Transactional::No("REINDEX of a schema, database or system cannot run inside a transaction block")
    } else if words.is_on("CONCURRENTLY") {
        Transactional::No("REINDEX CONCURRENTLY cannot run inside a transaction block")
    } else {
        Transactional::Yes
    }
}

/// `CLUSTER`, `CLUSTER VERBOSE` and `CLUSTER (VERBOSE)` rewrite every table, one transaction each.
fn clusters_all(words: &Words) -> bool {
    match words.words.last().map(String::as_str) {
        Some("CLUSTER") => words.words.len() == 1,
        Some("VERBOSE") => words.words.len() == 2,
        Some(")") => words.at(1) == "(" && words.words.iter().filter(|word| *word == ")").count() == 1,
        _ => false,
    }
}

fn subscription(words: &Words) -> Transactional {
    use Transactional::{No, Yes};
    match words.at(0) {
        "CREATE" if words.is_off("CREATE_SLOT") || words.is_off("CONNECT") => Yes,
        "CREATE" => No("CREATE SUBSCRIPTION that creates a slot cannot run inside a transaction block"),
        "DROP" => No("DROP SUBSCRIPTION that drops its slot cannot run inside a transaction block"),
        "ALTER" if words.at(3) == "REFRESH" => {
            No("ALTER SUBSCRIPTION REFRESH cannot run inside a transaction block")
        }
        "ALTER" if words.at(4) == "PUBLICATION" && !words.is_off("REFRESH") => {
            No("ALTER SUBSCRIPTION with refresh cannot run inside a transaction block")
        }
        _ => Yes,
    }
}
