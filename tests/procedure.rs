//! The table of the procedure is whole and true: every section, command and checklist line of the procedure stands in it,
//! in order, and what it names exists. The lines are kept in `tests/procedure.txt`: their kind, a tab, their text.

use std::collections::{HashMap, HashSet};

const LINES: &str = include_str!("procedure.txt");
const TABLE: &str = include_str!("../docs/procedure.md");

/// The cells of every row: what the procedure says, where it went, the remark.
fn rows() -> Vec<[String; 3]> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| the procedure |"));
    rows.map(|line| {
        let cells = line.replace("\\|", "\u{1}");
        let mut cells = cells.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('\u{1}', "|"));
        let mut next = || cells.next().unwrap_or_default();
        [next(), next(), next().trim_end_matches('|').trim().to_owned()]
    })
    .collect()
}

/// The ids of every plan's steps, and its windows' own.
fn steps() -> HashMap<String, HashSet<String>> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut plans = HashMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (plan, _) = text.split_once("\nrehearsal:").unwrap_or((&text, ""));
        let mut ids: HashSet<String> =
            plan.lines().filter_map(|line| line.strip_prefix("  - id: ")).map(str::to_owned).collect();
        if plan.contains("\n  maintenance:\n") {
            ids.extend(["maintenance.open".to_owned(), "maintenance.close".to_owned()]);
        }
        plans.insert(path.file_stem().unwrap().to_string_lossy().into_owned(), ids);
    }
    plans
}

#[test]
fn every_line_of_the_procedure_is_in_the_table_in_its_order() {
    let wanted = LINES.lines().map(|line| {
        let (kind, text) = line.split_once('\t').unwrap();
        match kind {
            "section" => format!("**{text}**"),
            "command" => format!("`{text}`"),
            _ => text.to_owned(),
        }
    });
    let found: Vec<String> = rows().into_iter().map(|[line, ..]| line).collect();
    assert_eq!(found, wanted.collect::<Vec<_>>());
    assert!(found.len() > 150);
}

#[test]
fn what_the_table_names_exists() {
    let plans = steps();
    let mut named = HashSet::new();
    for [line, place, remark] in rows() {
        assert!(!place.is_empty(), "{line} went nowhere");
        for name in format!("{place} {remark}").split('`').skip(1).step_by(2) {
            let Some((plan, step)) = name.split_once(": ") else { continue };
            let ids = plans.get(plan).unwrap_or_else(|| panic!("{line}: there is no plans/{plan}.yaml"));
            assert!(ids.contains(step), "{line}: plans/{plan}.yaml has no step {step}");
            named.insert(plan.to_owned());
        }
        let is_known =
            ["`", "report: ", "site: ", "run: ", "plan: "].iter().any(|begin| place.starts_with(begin));
        assert!(is_known, "{line}: {place}");
    }
    // Nothing that ships is without its place in the procedure, but for what it does not know.
    let unknown = ["salvage", "maintenance-command"];
    for plan in plans.keys().filter(|plan| !unknown.contains(&plan.as_str())) {
        assert!(named.contains(plan), "nothing of the procedure is in {plan}");
    }
}

#[test]
fn the_readme_leads_to_every_plan_and_to_the_table() {
    let readme = include_str!("../README.md");
    assert!(readme.contains("(docs/procedure.md)"));
    let plans = steps();
    for plan in plans.keys() {
        assert!(
            readme.contains(&format!("`plans/{plan}.yaml`")),
            "the README does not name plans/{plan}.yaml"
        );
    }
    for named in readme.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("plans/")) {
        let Some(plan) = named.strip_suffix(".yaml").filter(|plan| !plan.contains('/')) else { continue };
        assert!(plans.contains_key(plan), "the README names plans/{plan}.yaml");
    }
}
