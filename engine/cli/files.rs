//! Reads the files of a plan: itself, the site file beside or above it, the SQL files it names. Must never read more of
//! a file than a plan may have.

use super::error::Error;
use crate::plan::{self, FileId, Loaded, node};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of a site file.
const SITE: &str = "runplan.yaml";

/// A plan as it was read, and where it stands.
pub struct Opened {
    pub loaded: Loaded,
    /// The plan's directory; paths in the plan are relative to it.
    pub directory: PathBuf,
}

/// Reads a plan. What is wrong inside the files is among the findings.
///
/// # Errors
/// The plan or a site file that was asked for cannot be read at all.
pub fn open(path: &Path, site: Option<&Path>) -> Result<Opened, Error> {
    let text = read(path, "give the path of a plan: a YAML file")?;
    if path.file_name().is_some_and(|name| name == SITE) {
        return Ok(site_alone(path, &text));
    }
    let whole = path.canonicalize().map_err(|error| unreadable(path, &error.to_string(), ""))?;
    let directory = whole.parent().unwrap_or(Path::new("/")).to_path_buf();
    let site_path = match site {
        Some(given) => Some(given.to_path_buf()),
        None => find_site(&whole),
    };
    let site = match &site_path {
        Some(path) => Some((shown(path), read(path, "name another site file with --site")?)),
        None => None,
    };
    let from = directory.clone();
    let loaded = plan::load(
        (&path.display().to_string(), &text),
        site.as_ref().map(|(name, text)| (name.as_str(), text.as_str())),
        &|name| read_text(&from.join(name)),
    );
    Ok(Opened { loaded, directory })
}

/// A site file in a plan's place, as `check plans/*.yaml` gives it: it is read beside a plan that says nothing.
fn site_alone(path: &Path, text: &str) -> Opened {
    let plan = "runplan: 1\nname: none\nsteps: []\n";
    let mut loaded = plan::load(("", plan), Some((&shown(path), text)), &|_| Err(String::new()));
    loaded.findings.retain(|finding| finding.span.is_some_and(|span| span.file != FileId(0)));
    loaded.plan = None;
    let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
    Opened { loaded, directory }
}

/// The site file beside a plan, or in the nearest directory above.
pub fn find_site(plan: &Path) -> Option<PathBuf> {
    plan.ancestors().skip(1).map(|directory| directory.join(SITE)).find(|site| site.is_file() && site != plan)
}

/// A path as people would write it: relative to where they are, when it is below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
    let short = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    short.display().to_string()
}

/// A whole text file.
///
/// # Errors
/// It cannot be read; with the remedy.
pub fn read(path: &Path, help: &str) -> Result<String, Error> {
    read_text(path).map_err(|why| unreadable(path, &why, help))
}

/// Writes a file that is not there yet.
///
/// # Errors
/// It is there, or cannot be written.
pub fn create(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::{ErrorKind, Write};
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::usage_with(
            format!("{} is there already; it was not touched", path.display()),
            "give another name, or move the file away",
        ),
        ErrorKind::NotFound => Error::usage_with(
            format!("{} cannot be written: its directory is not there", path.display()),
            "make the directory first",
        ),
        _ => Error::usage(format!("{} cannot be written: {error}", path.display())),
    })
}

fn unreadable(path: &Path, why: &str, help: &str) -> Error {
    Error::Unreadable { path: path.to_path_buf(), why: why.to_owned(), help: help.to_owned() }
}

/// A whole text file, or why not, in words.
pub fn read_text(path: &Path) -> Result<String, String> {
    let words = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission is denied".to_owned(),
        _ => error.to_string(),
    };
    let file = File::open(path).map_err(words)?;
    let about = file.metadata().map_err(words)?;
    if about.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if about.len() > node::LARGEST_FILE as u64 {
        return Err(format!("it has {} bytes; the most is {}", about.len(), node::LARGEST_FILE));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to be told that it is too large.
    file.take(node::LARGEST_FILE as u64 + 1).read_to_end(&mut bytes).map_err(words)?;
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
}
