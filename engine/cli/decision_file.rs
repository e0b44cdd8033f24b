//! A decision as a file, which travels to whom it concerns and back: the canonical text, and the signature once it is there.
//! Must never be believed: what counts is proved by the run that it is for.

use super::error::Error;
use super::files;
use crate::run::{Signed, approval};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What tells these files from others.
const KIND: &str = "runplan-decision";

/// A decision that is signed or still to be.
pub struct DecisionFile {
    pub text: String,
    pub signature: Option<String>,
    /// The keys that may sign it.
    pub keys: Vec<String>,
}

impl DecisionFile {
    /// # Errors
    /// There is no such file, or it is something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let help = "give a file that `runplan approve RUN STEP --out FILE` wrote";
        let unreadable =
            |why: String| Error::Unreadable { path: path.to_path_buf(), why, help: help.to_owned() };
        let text = mended(&files::read(path, help)?);
        let value: Value = serde_json::from_str(&text).map_err(|error| {
            unreadable(match text.contains(KIND) {
                true => format!("it is a decision that was damaged on its way: {error}"),
                false => "it is not a decision".to_owned(),
            })
        })?;
        let word = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let keys = value.get("keys").and_then(Value::as_array).into_iter().flatten();
        match (word("kind").as_deref(), value.get("format").and_then(Value::as_u64), word("text")) {
            (Some(KIND), Some(1), Some(text)) => Ok(Self {
                text,
                signature: word("signature"),
                keys: keys.filter_map(Value::as_str).map(str::to_owned).collect(),
            }),
            (Some(KIND), Some(1), None) => Err(unreadable("it is a decision without its `text`".to_owned())),
            (Some(KIND), format, _) => {
                let format = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
                Err(unreadable(format!("its format is {format}, and this version reads 1")))
            }
            _ => Err(unreadable("it is not a decision".to_owned())),
        }
    }

    /// Writes a file that is not there yet.
    ///
    /// # Errors
    /// It is there, or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let value = json!({
            "format": 1, "kind": KIND, "text": self.text, "signature": self.signature, "keys": self.keys,
        });
        files::create(path, &format!("{value:#}\n"))
    }

    /// What it says.
    ///
    /// # Errors
    /// It is not a canonical decision.
    pub fn said(&self, path: &Path) -> Result<Map<String, Value>, Error> {
        approval::read(&self.text).map_err(|why| Error::Unreadable {
            path: path.to_path_buf(),
            why,
            help: "have it written again with `runplan approve RUN STEP --out FILE`".to_owned(),
        })
    }

    /// A signature that came in a file of its own.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn signature(path: &Path) -> Result<String, Error> {
        Ok(mended(&files::read(path, "give the .sig file that ssh-keygen wrote")?))
    }

    pub fn signed(&self) -> Option<Signed> {
        let signature = self.signature.clone()?;
        Some(Signed { text: self.text.clone(), signature })
    }
}

/// What mail programs and editors do to a text that stays the same: a mark at its beginning, other line ends.
fn mended(text: &str) -> String {
    text.trim_start_matches('\u{feff}').replace("\r\n", "\n")
}
