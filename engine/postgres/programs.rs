//! Where the client and server programs of PostgreSQL are on this machine, and which version each is.
//! Must never choose a client older than the server, nor Debian's wrapper in place of the program.

use super::error::{Error, Kind};
use crate::process::plain;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The directories that are searched, best first.
#[derive(Debug, Clone)]
pub struct Programs {
    pg_bin: Option<PathBuf>,
    installed: Vec<PathBuf>,
    path: Vec<PathBuf>,
}

/// A program that was found and asked for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    pub major: u32,
    /// As it says itself: `15.18`.
    pub version: String,
    /// What the operator should know: that it is newer than the server, for one.
    pub note: Option<String>,
}

/// The programs that make and run a server, all of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPrograms {
    pub directory: PathBuf,
    pub initdb: PathBuf,
    pub postgres: PathBuf,
    pub pg_ctl: PathBuf,
    pub major: u32,
    pub version: String,
}

/// Where packages put the programs of each major version: Debian, Red Hat, Homebrew.
const INSTALLED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

impl Programs {
    /// `pg_bin` is a directory named by the operator: if given, nothing else is searched. `path` is PATH.
    pub fn new(pg_bin: Option<PathBuf>, path: Option<OsString>) -> Self {
        let path = path.map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        Self { pg_bin, installed: installed(), path }
    }

    /// The program that fits the server: of the same major version, else the oldest newer one, with a note.
    pub fn find(&self, name: &str, server_major: u32) -> Result<Program, Error> {
        let found: Vec<Program> = self.all(name).collect();
        if let Some(same) = found.iter().find(|program| program.major == server_major) {
            return Ok(same.clone());
        }
        let newer = found.iter().filter(|program| program.major > server_major);
        if let Some(program) = newer.min_by_key(|program| program.major) {
            let note = format!(
                "{name} {} is newer than the server ({server_major}): what it writes may need a newer server too",
                program.version
            );
            return Ok(Program { note: Some(note), ..program.clone() });
        }
        let here = found.iter().map(|program| format!("{} ({})", program.path.display(), program.version));
        let here = here.collect::<Vec<_>>().join(", ");
        let message = match here.is_empty() {
            true => format!("{name} for PostgreSQL {server_major} is not on this machine"),
            false => format!("{name} for PostgreSQL {server_major} is not on this machine, only {here}"),
        };
        Err(Error::new(Kind::Programs, message, install(server_major, "client")))
    }

    /// initdb, postgres and pg_ctl of that major version, or of the newest one.
    pub fn server_programs(&self, major: Option<u32>) -> Result<ServerPrograms, Error> {
        let complete = |program: &Program| {
            let directory = program.path.parent()?.to_path_buf();
            let (initdb, pg_ctl) = (directory.join("initdb"), directory.join("pg_ctl"));
            (is_program(&initdb) && is_program(&pg_ctl)).then(|| ServerPrograms {
                initdb,
                pg_ctl,
                postgres: program.path.clone(),
                directory,
                major: program.major,
                version: program.version.clone(),
            })
        };
        self.all("postgres")
            .filter(|program| major.is_none_or(|major| program.major == major))
            .filter_map(|program| complete(&program))
            .max_by_key(|server| server.major)
            .ok_or_else(|| {
                let of = major.map_or_else(String::new, |major| format!(" {major}"));
                Error::new(
                    Kind::Programs,
                    format!("the server programs of PostgreSQL{of} (initdb, postgres, pg_ctl) are not on this machine"),
                    install(major.unwrap_or(18), "server"),
                )
            })
    }

    /// Every version of a program that is on this machine, in the order of search.
    pub fn versions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Program> + 'a {
        self.all(name)
    }

    /// Every program of that name, in the order of search, each directory once.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Program> + 'a {
        let directories: Vec<&PathBuf> = match &self.pg_bin {
            Some(only) => vec![only],
            None => self.installed.iter().chain(&self.path).collect(),
        };
        let mut seen = std::collections::HashSet::new();
        directories
            .into_iter()
            .map(move |directory| directory.join(name))
            .filter(|path| is_program(path))
            .filter_map(|path| path.canonicalize().ok().map(|real| (path, real)))
            .filter(move |(_, real)| seen.insert(real.clone()) && !is_wrapper(real))
            .filter_map(|(path, _)| ask(path))
    }
}

fn install(major: u32, part: &str) -> String {
    format!(
        "install it (Debian: apt install postgresql-{part}-{major}), or say where it is with --pg-bin DIR"
    )
    .replace("postgresql-server-", "postgresql-")
}

fn installed() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (base, prefix, below) in INSTALLED {
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let major =
                name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|rest| rest.parse().ok());
            if let Some(major) = major {
                found.push((major, entry.path().join(below)));
            }
        }
    }
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, directory)| directory).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Debian's `pg_wrapper` is a Perl script that picks a version by its own rules.
fn is_wrapper(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

fn ask(path: PathBuf) -> Option<Program> {
    let output = plain::command(&path).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = version_in(&text)?;
    let major = major_of(version)?;
    Some(Program { version: version.to_owned(), path, major, note: None })
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-1)` says 15.18.
fn version_in(text: &str) -> Option<&str> {
    text.split_once("(PostgreSQL)")?.1.split_whitespace().next()
}

/// `15.18`, `19beta1` and `19devel` have a major version each.
fn major_of(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_a_program_says() {
        assert_eq!(version_in("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some("15.18"));
        assert_eq!(version_in("something else 1.2"), None);
        assert_eq!(major_of("15.18"), Some(15));
        assert_eq!(major_of("19beta1"), Some(19));
        assert_eq!(major_of("devel"), None);
    }

    /// A directory with programs that say they are of these versions.
    fn directory(versions: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, script) in versions {
            let path = directory.path().join(name);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        directory
    }

    #[test]
    fn a_script_is_not_the_program() {
        let directory = directory(&[("pg_dump", "#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.1'\n")]);
        let programs = Programs { pg_bin: Some(directory.path().into()), installed: vec![], path: vec![] };
        let error = programs.find("pg_dump", 15).unwrap_err();
        assert_eq!(error.message(), "pg_dump for PostgreSQL 15 is not on this machine");
    }

    #[test]
    fn the_installed_programs_are_found_and_an_older_one_is_refused() {
        let programs = Programs::new(None, None);
        let server = programs.server_programs(None).expect("server programs are installed");
        let same = programs.find("pg_dump", server.major).unwrap();
        assert_eq!((same.major, same.note), (server.major, None));
        let older = programs.find("pg_dump", server.major - 1).map(|program| program.note.is_some());
        assert_eq!(
            older.unwrap(),
            programs.find("pg_dump", server.major - 1).unwrap().major != server.major - 1
        );
        assert_eq!(programs.find("pg_dump", 99).unwrap_err().kind(), Kind::Programs);
    }
}
