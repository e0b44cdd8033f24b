//! What changed between two plans: told in terms of what would happen, and nothing told that would not.

use super::{compare, read, reviewed};
use runplan::plan::{Loaded, digest, load};
use runplan::review::difference::{Change, Difference, difference, markdown, text};
use std::path::Path;

fn between(old: &Loaded, new: &Loaded) -> Difference {
    let (one, two) = (reviewed(old, &[], false), reviewed(new, &[], false));
    difference((&one, &digest::of_parts(old)), (&two, &digest::of_parts(new)))
}

fn plan(text: &str) -> Loaded {
    load(("plan.yaml", text), None, &|_| Err("no such file".to_owned()))
}

const OLD: &str = "\
runplan: 1
name: clean
title: Clean up
params:
  days: { type: integer, default: 7 }
databases:
  app: { url: 'postgres://db.test/app' }
steps:
  - { id: look, verify: { database: app, checks: [ { name: some, sql: SELECT 1, expect: 1 } ] } }
  - { id: saved, backup: { database: app, to: backups, keep: 7d } }
  - { id: go, approve: { message: Go? } }
  - id: gone
    title: Throw away
    irreversible: rows are gone
    sql:
      database: app
      statement: |
        DELETE FROM old;
        SELECT {{ params.days }};
  - { id: told, notify: { channels: [console], message: done } }
";

const NEW: &str = "\
runplan: 1
name: clean
title: Clean up well
params:
  days: { type: integer, default: 30 }
  who: { type: string, required: true }
databases:
  app: { url: 'postgres://db.test/app' }
limits: { parallel: 2 }
steps:
  - { id: look, verify: { database: app, report_only: true, checks: [ { name: some, sql: SELECT 2, expect: 1 }, { name: more, sql: SELECT 3, expect: 3 } ] } }
  - { id: kept, backup: { database: app, to: backups, keep: 7d } }
  - id: gone
    title: Throw away
    unguarded: it is a cache
    irreversible: rows are gone
    sql:
      database: app
      statement: |
        DELETE FROM old;
        DELETE FROM older;
        SELECT {{ params.days }};
  - { id: extra, when: params.who == 'me', shell: { argv: [./sweep, '{{ params.who }}'], repeatable: true, changes: app }, irreversible: swept }
  - { id: told, needs: [gone], notify: { channels: [console], message: done } }
";

#[test]
fn steps_order_effects_guards_and_parameters_are_told() {
    let found = between(&plan(OLD), &plan(NEW));
    assert!(!found.equal);
    compare("difference.txt", &text::plain(&found));
    compare("difference.md", &markdown::markdown(&found));
    compare("difference.json", &(serde_json::to_string_pretty(&found).unwrap() + "\n"));
}

#[test]
fn the_way_back_tells_the_same_the_other_way_round() {
    let (there, back) = (between(&plan(OLD), &plan(NEW)), between(&plan(NEW), &plan(OLD)));
    let count = |found: &Difference, change| found.steps.iter().filter(|step| step.change == change).count();
    assert_eq!(count(&there, Change::Added), count(&back, Change::Removed));
    assert_eq!(count(&there, Change::Removed), count(&back, Change::Added));
    for change in [Change::Renamed, Change::Changed] {
        assert_eq!(count(&there, change), count(&back, change));
    }
    let mut sections = (there.sections.clone(), back.sections.clone());
    sections.0.sort();
    sections.1.sort();
    assert_eq!(sections.0, sections.1);
}

#[test]
fn layout_comments_and_the_order_of_keys_are_no_difference() {
    let other = OLD
        .replace("title: Clean up\n", "# a comment\n")
        .replace("name: clean\n", "name: clean\n\ntitle: 'Clean up'\n")
        .replace("{ type: integer, default: 7 }", "{ default: 7, type: integer }");
    // A quoted text is another thing to some fields, so the title is quoted in both.
    let found = between(&plan(&OLD.replace("title: Clean up\n", "title: 'Clean up'\n")), &plan(&other));
    assert!(found.equal, "{}", text::plain(&found));
    assert!(found.attention.is_empty() && found.steps.is_empty() && found.sections.is_empty());
}

#[test]
fn a_plan_does_not_differ_from_itself_and_a_changed_handler_is_seen() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenario-2.yaml");
    let loaded = read(&path);
    assert!(between(&loaded, &loaded).equal);
    let changed = std::fs::read_to_string(&path).unwrap().replace("Rollback done in", "Done in");
    let beside =
        |name: &str| std::fs::read_to_string(path.with_file_name(name)).map_err(|error| error.to_string());
    let other = load(("scenario-2.yaml", &changed), None, &beside);
    let found = between(&loaded, &other);
    assert!(!found.equal && found.steps.is_empty());
    assert_eq!(found.sections, ["handlers"]);
}

/// A step that is taken out, put in, or moved anywhere in a long chain is told exactly once.
#[test]
fn every_place_in_a_chain_is_told_once() {
    let chain = |skip: Option<usize>| {
        let steps: String = (0..12)
            .filter(|at| Some(*at) != skip)
            .map(|at| format!("  - {{ id: s{at}, notify: {{ channels: [console], message: m{at} }} }}\n"))
            .collect();
        plan(&format!("runplan: 1\nname: chain\nsteps:\n{steps}"))
    };
    for at in 0..12 {
        for (old, new, change) in [(None, Some(at), Change::Removed), (Some(at), None, Change::Added)] {
            let found = between(&chain(old), &chain(new));
            let told: Vec<&str> = found
                .steps
                .iter()
                .filter(|step| step.change == change)
                .map(|step| step.id.as_str())
                .collect();
            assert_eq!(told, [format!("s{at}")]);
            // The one after it waits for another step now.
            let moved = found.steps.iter().filter(|step| step.change == Change::Changed).count();
            assert_eq!(moved, usize::from(at != 11), "{}", text::plain(&found));
        }
    }
}
