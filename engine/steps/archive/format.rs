//! What sort of backup a file or directory is, by its content. Must never trust a name.

use super::unusable;
use crate::run::Failure;
use crate::sql::lex;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
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

impl Packing {
    /// The command that unpacks a file to its output; None: it is not packed.
    pub(super) fn program(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip -dc"),
            Self::Zstd => Some("zstd -dc"),
            Self::Lz4 => Some("lz4 -dc"),
        }
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
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => CLOSED,
            _ => "check the path; relative ones begin at the plan's directory",
        };
        unusable("unreadable", path, error).help(help)
    })?;
    if found.is_dir() {
        let contents = path.join("toc.dat");
        match open(&contents) {
            Ok(_) => return Ok(Format::Directory),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(unusable("unreadable", path, format!("toc.dat: {error}")).help(CLOSED));
            }
            _ => {}
        }
        let why = "a directory without toc.dat, so not a backup that pg_dump made";
        return Err(
            unusable("not_a_backup", path, why).help("name the backup itself, not the directory it is in")
        );
    }
    let mut head = Vec::new();
    open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(|error| {
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => CLOSED,
            _ => "name a backup that is a file or a directory",
        };
        unusable("unreadable", path, error).help(help)
    })?;
    let format = of_head(path, &head)?;
    if let Format::Plain(packing @ (Packing::Gzip | Packing::Zstd | Packing::Lz4)) = format {
        refuse_packed_archive(path, packing)?;
    }
    Ok(format)
}

const CLOSED: &str = "let the user who runs this read it: chmod, chown, or run as its owner";

/// So much of a file shows what it is.
const HEAD: u64 = 4096;

/// Opens a regular file, and nothing else: a pipe would be waited for without end, and a device has none.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let file =
        File::options().read(true).custom_flags(i32::try_from(flags).unwrap_or_default()).open(path)?;
    let kind = file.metadata()?;
    match kind.is_file() {
        true => Ok(file),
        false if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(io::Error::other("it is a pipe or a device, not a file")),
    }
}

/// pg_restore wants to go back and forth in an archive, which it cannot in a packed one.
fn refuse_packed_archive(path: &Path, packing: Packing) -> Result<(), Failure> {
    let mut head = Vec::new();
    // What is damaged is told by who reads all of it.
    let read = super::unpack::unpack(path, packing).and_then(|text| text.take(HEAD).read_to_end(&mut head));
    let what = match &head[..] {
        _ if read.is_err() && head.is_empty() => return Ok(()),
        [b'P', b'G', b'D', b'M', b'P', ..] => "a custom archive",
        head if is_tar(head) => "a tar archive",
        _ => return Ok(()),
    };
    let (name, program) = match packing {
        Packing::None | Packing::Gzip => ("gzip", "gzip -dc"),
        Packing::Zstd => ("zstd", "zstd -dc"),
        Packing::Lz4 => ("lz4", "lz4 -dc"),
    };
    let file = quoted(path);
    let mine = head.starts_with(b"PGDMP") || head.starts_with(b"toc.dat\0");
    let help = match mine {
        true => format!("unpack it first: {program} {file} > {}", quoted(&path.with_extension(""))),
        false => format!(
            "unpack it first: {program} {file} | tar -xf -; then name the directory that holds toc.dat"
        ),
    };
    Err(unusable("packed_archive", path, format!("{what} inside a file packed by {name}")).help(help))
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// For a shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Packed by something that is not read here: its name, and the command that unpacks.
fn other_packing(head: &[u8]) -> Option<(&'static str, &'static str)> {
    match head {
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(("bzip2", "bunzip2 -k")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("xz", "unxz -k")),
        [b'P', b'K', 3, 4, ..] => Some(("zip", "unzip")),
        head if is_tar(head) => Some(("tar", "tar -xf")),
        _ => None,
    }
}

fn of_head(path: &Path, head: &[u8]) -> Result<Format, Failure> {
    let format = match head {
        [] => return Err(unusable("empty", path, "the file is empty").help("use another backup")),
        [b'P', b'G', b'D', b'M', b'P', ..] => Format::Custom,
        [0x1f, 0x8b, ..] => Format::Plain(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Plain(Packing::Zstd),
        [0x04, 0x22, 0x4d, 0x18, ..] => Format::Plain(Packing::Lz4),
        _ if is_tar(head) && head.starts_with(b"toc.dat\0") => Format::Tar,
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
    if let Some((name, command)) = other_packing(head) {
        let why = format!("packed by {name}, which is not read here");
        return Err(unusable("not_a_backup", path, why)
            .help(format!("unpack it first: {command} {}; then name what was in it", quoted(path))));
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
        for (head, program) in
            [(&b"BZh91AY"[..], "bunzip2 -k 'x'"), (b"\xfd7zXZ\0\0", "unxz -k 'x'"), (b"PK\x03\x04", "unzip")]
        {
            let failure = of_head(path, head).unwrap_err();
            assert!(failure.help.unwrap().contains(program), "{program}");
        }
    }

    #[test]
    fn a_packed_archive_is_refused_with_the_command_that_unpacks_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("it's.dump.gz");
        let pack = |bytes: &[u8]| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut packed, bytes).unwrap();
            std::fs::write(&path, packed.finish().unwrap()).unwrap();
        };
        pack(b"PGDMP\x01\x0e\0\0");
        let failure = recognise(&path).unwrap_err();
        assert_eq!(failure.code, "runplan::archive::packed_archive");
        let help = failure.help.unwrap();
        assert!(help.contains("gzip -dc '") && help.contains(r"it'\''s.dump.gz' > '"), "{help}");
        let mut tar = vec![0; 512];
        tar[..6].copy_from_slice(b"backup");
        tar[257..262].copy_from_slice(b"ustar");
        pack(&tar);
        assert!(recognise(&path).unwrap_err().help.unwrap().contains("| tar -xf -"));
        pack(b"CREATE TABLE t ();\n");
        assert_eq!(recognise(&path).unwrap(), Format::Plain(Packing::Gzip));
        // Cut off in its head: told by who reads all of it.
        std::fs::write(&path, [0x1f, 0x8b, 8]).unwrap();
        assert_eq!(recognise(&path).unwrap(), Format::Plain(Packing::Gzip));
    }

    #[test]
    fn a_pipe_and_a_device_are_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [&pipe, Path::new("/dev/zero")] {
            let failure = recognise(path).unwrap_err();
            assert_eq!(failure.code, "runplan::archive::unreadable");
            assert!(failure.message.contains("a pipe or a device"), "{}", failure.message);
        }
    }
}
