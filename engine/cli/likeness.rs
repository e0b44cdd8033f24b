//! How far an earlier run of a plan is like this one: the values it was given, and how large the files were that these
//! name. Must never keep a value: only its digest.

use crate::plan::param::Type;
use crate::plan::{Plan, digest};
use crate::report::amount::bytes;
use crate::store::Valued;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The values of a run, as they are compared; `params` are not secret.
pub fn valued(plan: &Plan, params: &Map<String, Value>, directory: &Path) -> BTreeMap<String, Valued> {
    let one = |(name, value): (&String, &Value)| {
        let is_path = plan.params.get(name.as_str()).is_some_and(|param| param.type_.value == Type::Path);
        let path = value.as_str().filter(|_| is_path).map(|path| directory.join(path));
        let sha256 = digest::sha256(value.to_string().as_bytes());
        (name.clone(), Valued { sha256, bytes: path.as_deref().and_then(size) })
    };
    params.iter().map(one).collect()
}

/// Of a file, or of a directory that is a backup; of others it says nothing, and they may be endless.
pub fn size(path: &Path) -> Option<u64> {
    let meta = path.metadata().ok()?;
    if meta.is_file() {
        return Some(meta.len());
    }
    path.join("toc.dat").is_file().then_some(())?;
    let sizes = path.read_dir().ok()?.flatten().filter_map(|entry| entry.metadata().ok());
    Some(sizes.map(|meta| meta.len()).sum())
}

/// `with another backup of 3.1 kB (now 36.0 MB)`; nothing where both are alike. A value that is not known now is not
/// compared. Of the parameters that every rehearsal gives itself (`own`), only the sizes tell anything.
pub fn difference(
    then: &BTreeMap<String, Valued>,
    now: &BTreeMap<String, Valued>,
    own: &BTreeSet<String>,
) -> Option<String> {
    let mut others = Vec::new();
    for (name, is) in now {
        let Some(was) = then.get(name).filter(|was| *was != is) else { continue };
        match (was.bytes, is.bytes) {
            (Some(was), Some(is)) => {
                others.push(format!("another {name} of {} (now {})", bytes(was), bytes(is)));
            }
            _ if own.contains(name) => {}
            _ => others.push(format!("another {name}")),
        }
    }
    (!others.is_empty()).then(|| format!("with {}", others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rehearsed_is_told_apart_from_what_is_run() {
        let one = |sha256: &str, bytes| Valued { sha256: sha256.to_owned(), bytes };
        let of = |values: &[(&str, Valued)]| -> BTreeMap<String, Valued> {
            values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let then =
            of(&[("backup", one("a", Some(3_100))), ("to", one("b", None)), ("wanted", one("c", None))]);
        let own = BTreeSet::new();
        assert_eq!(difference(&then, &then, &own), None);
        assert_eq!(difference(&then, &of(&[]), &own), None, "not known yet");
        assert_eq!(difference(&of(&[]), &then, &own), None, "written by an older version");
        let now =
            of(&[("backup", one("x", Some(36_000_000))), ("to", one("b", None)), ("wanted", one("y", None))]);
        assert_eq!(
            difference(&then, &now, &own).as_deref(),
            Some("with another backup of 3.1 kB (now 36.0 MB), another wanted")
        );
        let own = ["backup", "wanted"].map(str::to_owned).into();
        assert_eq!(
            difference(&then, &now, &own).as_deref(),
            Some("with another backup of 3.1 kB (now 36.0 MB)"),
            "every rehearsal is with others"
        );
    }
}
