//! Bad plans and their findings, good plans and none.

use runplan::check::{CheckOptions, check};
use runplan::plan::{Finding, Loaded, Severity, load};
use std::fmt::Write;
use std::path::{Path, PathBuf};

pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check").join(name)
}

/// The plans of a directory, by name; a site file is `NAME.site.yaml` beside its plan.
pub fn plans(name: &str) -> Vec<PathBuf> {
    let mut plans: Vec<PathBuf> = std::fs::read_dir(directory(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(".yaml") && !name.ends_with(".site.yaml")
        })
        .collect();
    plans.sort();
    plans
}

pub fn read(path: &Path) -> Loaded {
    // Not every bad plan is text.
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let site = path.with_extension("site.yaml");
    let site_text = std::fs::read_to_string(&site).ok();
    let files = path.parent().unwrap().join("files");
    let name = path.file_name().unwrap().to_string_lossy();
    load((&name, &text), site_text.as_ref().map(|text| ("runplan.yaml", text.as_str())), &|file| {
        std::fs::read_to_string(files.join(file)).map_err(|_| "no such file".to_owned())
    })
}

/// One finding as lines of a snapshot.
fn render(finding: &Finding, loaded: &Loaded) -> String {
    let mut text = String::new();
    let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
    let place = finding.span.map_or_else(String::new, |span| {
        let (line, column) = loaded.sources.position(span.file, span.start);
        let (end_line, end_column) = loaded.sources.position(span.file, span.end);
        let source = loaded.sources.get(span.file).unwrap();
        let shown = source.text.get(span.range()).unwrap_or("(not text)").lines().next().unwrap_or_default();
        let shown: String = shown.chars().take(80).collect();
        format!(" {}:{line}:{column}-{end_line}:{end_column} `{shown}`", source.name)
    });
    writeln!(text, "{severity} {}{place}", finding.code).unwrap();
    writeln!(text, "  {}", finding.message).unwrap();
    if !finding.label.is_empty() {
        writeln!(text, "  | {}", finding.label).unwrap();
    }
    if let Some(help) = &finding.help {
        writeln!(text, "  > {help}").unwrap();
    }
    text
}

pub fn report(path: &Path) -> String {
    let loaded = read(path);
    let findings = check(&loaded, &CheckOptions::default());
    findings.iter().map(|finding| render(finding, &loaded)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_bad_plan_has_its_findings() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in plans("cases") {
        let found = report(&path);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if found.is_empty() {
            wrong.push(format!("{name}: nothing is found"));
            continue;
        }
        let snapshot = path.with_extension("out");
        if update {
            std::fs::write(&snapshot, &found).unwrap();
        } else if std::fs::read_to_string(&snapshot).ok().as_deref() != Some(&found) {
            wrong.push(format!("{name}: differs from its snapshot; now:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_snapshot_without_its_plan() {
    for entry in std::fs::read_dir(directory("cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "out") {
            assert!(path.with_extension("yaml").exists(), "{} is left over", path.display());
        }
    }
}

#[test]
fn good_plans_have_no_finding() {
    let mut wrong = String::new();
    for path in plans("good") {
        let found = report(&path);
        if !found.is_empty() {
            writeln!(wrong, "{}:\n{found}", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn shipped_plans_have_no_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut seen = 0;
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let site = std::fs::read_to_string(root.join("runplan.yaml")).ok();
        let is_site = path.file_name().is_some_and(|name| name == "runplan.yaml");
        if is_site {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy();
        let read = |file: &str| std::fs::read_to_string(root.join(file)).map_err(|error| error.to_string());
        let mut loaded =
            load((&name, &text), site.as_ref().map(|text| ("runplan.yaml", text.as_str())), &read);
        runplan::plan::parse::load_rehearsal(&mut loaded, &read);
        let found: String =
            check(&loaded, &CheckOptions::default()).iter().map(|finding| render(finding, &loaded)).collect();
        assert!(found.is_empty(), "{found}");
        seen += 1;
    }
    assert!(seen > 0);
}
