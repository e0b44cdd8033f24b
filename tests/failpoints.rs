//! A release cannot be told to die: nothing of the failpoints is in it.
#![allow(clippy::disallowed_methods, reason = "the compiler is started here")]

use crate::support::cluster::RUNPLAN;
use std::path::Path;
use std::process::Command;

const NAME: &str = "RUNPLAN_FAILPOINT";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/engine/failpoint.rs");

fn holds(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The module alone, with calls of both its functions as the engine has them, compiled with these options.
fn compiled(options: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (source, object) = (directory.path().join("user.rs"), directory.path().join("user.o"));
    let text = format!(
        "#[path = {FILE:?}] pub mod failpoint;\n\
         #[unsafe(no_mangle)] pub fn user(n: u64) {{\n    \
         failpoint::reached(\"the_place_of_a_test\", n..=n);\n    failpoint::passed(\"the_place_of_a_test\");\n}}\n"
    );
    std::fs::write(&source, text).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "lib", "--emit", "obj", "-O"]).args(options);
    let output = command.arg("-o").arg(&object).arg(&source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (directory, object)
}

#[test]
fn a_release_has_none() {
    let (_directory, object) = compiled(&[]);
    assert!(holds(&object, "user"), "it was compiled");
    for text in [NAME, "the_place_of_a_test"] {
        assert!(!holds(&object, text), "{text} is in what a release would be made of");
    }
    // What is looked for would be found: here it is.
    assert!(holds(Path::new(RUNPLAN), NAME), "the build for tests has it");
    // And a release is a build without them.
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let (_, release) = manifest.split_once("[profile.release]").expect("a profile for releases");
    let release = release.split("\n[").next().unwrap_or_default();
    assert!(release.contains("lto"), "{release}");
    assert!(!release.contains("debug-assertions"), "a release has no assertions, and so no failpoints");
}
