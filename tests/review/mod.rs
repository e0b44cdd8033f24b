//! What a dry run shows, for the shipped plans and for small ones: the same bytes each time. `UPDATE=1` writes the
//! snapshots anew.

mod difference;
mod pictures;

use runplan::check::{CheckOptions, Given, check, resolve_params};
use runplan::graph::Graph;
use runplan::plan::{Loaded, load};
use runplan::review::{Review, ReviewInput, markdown, review, text};
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/review")
}

fn reviewed(loaded: &Loaded, cli: &[(&str, &str)], rehearsal: bool) -> Review {
    let plan = loaded.plan.as_ref().unwrap();
    let given = Given {
        cli: cli.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        file: serde_json::Map::new(),
        env: &|_| None,
    };
    let resolved = resolve_params(plan, &given);
    assert_eq!(resolved.findings, []);
    let findings = check(loaded, &CheckOptions::default());
    let input = ReviewInput {
        params: resolved.values,
        missing: resolved.missing,
        rehearsal,
        findings,
        ..ReviewInput::default()
    };
    review(loaded, &Graph::new(&loaded.flow).unwrap(), &input)
}

fn read(path: &Path) -> Loaded {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let site = std::fs::read_to_string(path.with_extension("site.yaml")).ok();
    load((&name, &text), site.as_ref().map(|text| ("runplan.yaml", text.as_str())), &|file| {
        std::fs::read_to_string(path.parent().unwrap().join(file)).map_err(|error| error.to_string())
    })
}

fn compare(name: &str, found: &str) {
    let path = directory().join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == found, "{name} differs from its snapshot; now:\n{found}");
}

fn snapshots(name: &str, review: &Review) {
    let shown = text::plain(review);
    for line in shown.lines() {
        assert!(line.chars().count() <= text::WIDTH, "too wide: {line}");
    }
    compare(&format!("{name}.txt"), &shown);
    compare(&format!("{name}.json"), &(serde_json::to_string_pretty(review).unwrap() + "\n"));
    compare(&format!("{name}.md"), &markdown::markdown(review));
}

#[test]
fn a_plan_without_its_parameters() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenario-2.yaml");
    let review = reviewed(&read(&plans), &[], false);
    assert_eq!(review.digest, None);
    snapshots("scenario-2", &review);
}

#[test]
fn a_plan_with_its_parameters_has_a_digest_of_them() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenario-2.yaml");
    let loaded = read(&plans);
    let one = reviewed(&loaded, &[("backup", "a")], false);
    let same = reviewed(&loaded, &[("backup", "a")], false);
    let other = reviewed(&loaded, &[("backup", "b")], false);
    assert!(one.digest.is_some() && one.digest == same.digest && one.digest != other.digest);
    assert_eq!(one.plan_digest, other.plan_digest);
}

#[test]
fn every_kind_of_field_and_decision() {
    let loaded = read(&directory().join("everything.yaml"));
    let review =
        reviewed(&loaded, &[("name", "O'Brien"), ("token", "hunter2-hunter2"), ("deep", "false")], false);
    let all = serde_json::to_string(&review).unwrap() + &text::plain(&review) + &markdown::markdown(&review);
    assert!(!all.contains("hunter2"));
    snapshots("everything", &review);
}

#[test]
fn a_rehearsal_shows_its_stand_ins() {
    let loaded = read(&directory().join("everything.yaml"));
    let review = reviewed(&loaded, &[("name", "x"), ("token", "hunter2-hunter2"), ("deep", "true")], true);
    snapshots("rehearsal", &review);
}
