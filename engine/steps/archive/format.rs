//! What sort of backup a file or directory is, by its content. Must never trust a name.

use super::unusable;
use crate::run::Failure;
use crate::sql::lex;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The sort of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Directory,
    Custom,
    Tar,
    Plain(Packing),
}

/// How plain SQL is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    None,
    Gzip,
    Zstd,
    Lz4,
}

impl Format {
    /// Whether pg_restore reads it.
    pub fn is_archive(self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory archive",
            Self::Custom => "custom archive",
            Self::Tar => "tar archive",
            Self::Plain(Packing::None) => "plain SQL",
            Self::Plain(Packing::Gzip) => "plain SQL, gzip",
            Self::Plain(Packing::Zstd) => "plain SQL, zstd",
            Self::Plain(Packing::Lz4) => "plain SQL, lz4",
        })
    }
}

/// Looks at the first bytes.
///
/// # Errors
/// It is not there, empty, or certainly not a backup.
pub fn recognise(path: &Path) -> Result<Format, Failure> {
    let found = std::fs::metadata(path).map_err(|error| {
        unusable("unreadable", path, error)
            .help("check the path; relative ones begin at the plan's directory")
    })?;
    if found.is_dir() {
        if path.join("toc.dat").is_file() {
            return Ok(Format::Directory);
        }
        let why = "a directory without toc.dat, so not a backup that pg_dump made";
        return Err(
            unusable("not_a_backup", path, why).help("name the backup itself, not the directory it is in")
        );
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4096).read_to_end(&mut head))
        .map_err(|error| unusable("unreadable", path, error))?;
    of_head(path, &head)
}

fn of_head(path: &Path, head: &[u8]) -> Result<Format, Failure> {
    let format = match head {
        [] => return Err(unusable("empty", path, "the file is empty").help("use another backup")),
        [b'P', b'G', b'D', b'M', b'P', ..] => Format::Custom,
        [0x1f, 0x8b, ..] => Format::Plain(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Plain(Packing::Zstd),
        [0x04, 0x22, 0x4d, 0x18, ..] => Format::Plain(Packing::Lz4),
        _ if head.get(257..262) == Some(b"ustar") && head.starts_with(b"toc.dat\0") => Format::Tar,
        _ => Format::Plain(Packing::None),
    };
    if format == Format::Plain(Packing::None) {
        refuse_binary(path, head)?;
    }
    Ok(format)
}

/// Text that is packed must be text when it is unpacked.
pub fn refuse_binary(path: &Path, head: &[u8]) -> Result<(), Failure> {
    let help = "pg_dump writes plain SQL, custom, directory and tar backups; other files cannot be restored";
    if head.starts_with(b"PGDMP") {
        let why = "a custom archive inside a compressed file";
        return Err(unusable("packed_archive", path, why)
            .help("unpack it first: pg_restore reads archives by itself"));
    }
    if String::from_utf8_lossy(head).contains("PostgreSQL database cluster dump") {
        let why = "the dump of a whole server by pg_dumpall: it makes roles and other databases too";
        return Err(unusable("whole_server", path, why).help(
            "restore it with psql on a server of its own, and take a backup of the one database there",
        ));
    }
    if head.contains(&0) {
        return Err(unusable("not_a_backup", path, "neither an archive of pg_dump nor SQL text").help(help));
    }
    match other_than_sql(head) {
        Some(word) => {
            let why = format!("text, but not SQL: it begins with `{word}`");
            Err(unusable("not_a_backup", path, why).help(help))
        }
        None => Ok(()),
    }
}

/// What the first statement of a dump can begin with.
const STATEMENTS: [&str; 34] = [
    "ABORT", "ALTER", "ANALYZE", "BEGIN", "CALL", "CLUSTER", "COMMENT", "COMMIT", "COPY", "CREATE", "DELETE",
    "DISCARD", "DO", "DROP", "END", "GRANT", "IMPORT", "INSERT", "LOCK", "MERGE", "REASSIGN", "REFRESH",
    "REINDEX", "RESET", "REVOKE", "ROLLBACK", "SECURITY", "SELECT", "SET", "START", "TRUNCATE", "UPDATE",
    "VACUUM", "WITH",
];

/// The first word of a text that cannot be SQL. Commands of psql are the scanner's to refuse.
fn other_than_sql(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}');
    let tokens = lex::tokens(text);
    let first = tokens.iter().find(|token| !token.is_trivia() && token.text(text) != ";")?;
    // Of a long comment only the beginning may be here.
    if first.kind == lex::Kind::Meta {
        return None;
    }
    let word = first.text(text);
    let known = STATEMENTS.iter().any(|statement| word.eq_ignore_ascii_case(statement));
    (!known).then(|| word.chars().take(30).filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_known_by_its_first_bytes() {
        let path = Path::new("x");
        assert_eq!(of_head(path, b"PGDMP\x01\x0e").unwrap(), Format::Custom);
        assert_eq!(of_head(path, b"--\n-- PostgreSQL").unwrap(), Format::Plain(Packing::None));
        assert_eq!(of_head(path, &[0x1f, 0x8b, 8, 0]).unwrap(), Format::Plain(Packing::Gzip));
        assert_eq!(of_head(path, b"").unwrap_err().code, "runplan::archive::empty");
        assert_eq!(of_head(path, b"\x7fELF\0\0").unwrap_err().code, "runplan::archive::not_a_backup");
        let all = b"--\n-- PostgreSQL database cluster dump\n--\n";
        assert_eq!(of_head(path, all).unwrap_err().code, "runplan::archive::whole_server");
        for garbage in ["hello, this is a letter", "{\"json\": 1}", "<html>", "-- a comment\n%PDF"] {
            assert_eq!(
                of_head(path, garbage.as_bytes()).unwrap_err().code,
                "runplan::archive::not_a_backup",
                "{garbage}"
            );
        }
        for sql in
            ["insert into t values (1)", "/* x */ BEGIN", "-- only a comment", "\\! rm", ";\nSET a = 1"]
        {
            assert_eq!(of_head(path, sql.as_bytes()).unwrap(), Format::Plain(Packing::None), "{sql}");
        }
        assert_eq!(refuse_binary(path, b"PGDMP\x01").unwrap_err().code, "runplan::archive::packed_archive");
    }
}
