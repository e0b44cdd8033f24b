//! Every rule of the checker: the smallest plan that breaks it, and a good plan that comes near and does not.

use super::corpus::{directory, read};
use runplan::check::{CheckOptions, check};
use std::collections::BTreeSet;

/// The rule, its code, a bad plan of the corpus, a good one that has what the rule looks at.
const RULES: &[(&str, &str, &str, &str)] = &[
    ("syntax", "yaml::syntax", "not-yaml", "anchors"),
    ("duplicate keys", "yaml::duplicate_key", "duplicate-key", "anchors"),
    ("unknown fields", "plan::unknown_field", "unknown-step-field", "elsewhere"),
    ("no action", "plan::no_action", "no-action", "hello"),
    ("two actions", "plan::two_actions", "two-actions", "hello"),
    ("durations", "plan::bad_duration", "bad-duration", "elsewhere"),
    ("defaults", "plan::bad_default", "param-default-over-max", "params"),
    ("format version", "plan::unsupported_version", "unsupported-version", "hello"),
    ("duplicate ids", "check::duplicate_id", "duplicate-id", "include-twice"),
    ("unknown needs", "check::unknown_need", "unknown-need", "order"),
    ("cycles", "check::cycle", "cycle", "order"),
    ("a parameter that is not there", "check::unknown_param", "unknown-param", "params"),
    ("a secret that is not there", "check::unknown_secret", "unknown-secret", "secrets"),
    ("a channel that is not there", "check::unknown_channel", "unknown-channel", "site"),
    ("a role that is not there", "check::unknown_role", "unknown-role", "site"),
    ("an output that is not there", "check::unknown_output", "unknown-output", "references"),
    ("a step that is no ancestor", "check::not_before", "not-an-ancestor", "references"),
    ("quotes around a value", "check::template_in_quotes", "copy-where-quoted", "templates-in-sql"),
    ("a filter round the quoting", "check::filter_not_here", "filter-safe-in-sql", "templates-in-sql"),
    ("a secret in argv", "check::secret_in_argv", "secret-in-argv", "secrets-where-they-may-be"),
    ("a secret in a script", "check::secret_in_script", "secret-in-script", "secrets-where-they-may-be"),
    ("SQL syntax", "check::sql_syntax", "check-sql-syntax", "numbers-in-sql"),
    ("outside a transaction", "check::not_in_transaction", "rehearsal-prepare", "index-concurrently"),
    ("DROP", "check::unguarded", "guard-none", "guarded-drop"),
    (
        "DROP of a backed up table",
        "check::unguarded",
        "guard-other-tables",
        "guarded-drop-of-backed-up-table",
    ),
    ("DELETE of everything", "check::unguarded", "guard-delete-all", "delete-with-condition"),
    ("declared destructive", "check::unguarded", "guard-destructive-shell", "guarded-shell"),
    ("a restore in place", "check::unguarded", "guard-in-place", "guarded-in-place"),
    ("an undo that destroys", "check::unguarded", "guard-destructive-undo", "guarded-undo"),
    ("a side beside its swap", "check::unguarded", "guard-side-beside-swap", "drop-in-side-database"),
    ("a copy", "check::unguarded", "guard-each-copies", "each-guarded"),
    ("an include", "check::unguarded", "guard-include-may-be-skipped", "include-guards"),
    ("a swap", "check::unguarded_swap", "guard-swap-approved-between", "guarded-swap"),
    ("a second swap", "check::unguarded_swap", "guard-second-swap", "two-swaps"),
    ("a copy that overwrites", "check::unapproved_copy", "copy-overwrites", "copy"),
    ("a check that never fails", "check::never_fails", "check-expects-nothing", "expectations"),
    ("too many values", "yaml::too_many_values", "alias-bomb", "anchors"),
    ("no way back", "check::no_undo", "no-undo", "drop-in-undo"),
    ("no witness", "check::no_witness", "shell-no-witness", "witnesses"),
    ("NOT IN", "check::not_in", "sql-not-in", "not-exists"),
    ("an approval for nothing", "check::useless_approval", "approve-useless", "guarded-drop"),
    ("side by side", "check::side_by_side", "copy-side-by-side", "one-after-the-other"),
    ("unused", "check::unused", "param-unused", "params"),
];

#[test]
fn every_rule_has_a_plan_that_breaks_it_and_one_that_does_not() {
    let mut wrong = Vec::new();
    for (rule, code, bad, good) in RULES {
        let code = format!("runplan::{code}");
        for (folder, name, is_bad) in [("cases", bad, true), ("good", good, false)] {
            let path = directory(folder).join(format!("{name}.yaml"));
            if !path.exists() {
                wrong.push(format!("{rule}: there is no {folder}/{name}.yaml"));
                continue;
            }
            let findings = check(&read(&path), &CheckOptions::default());
            if findings.iter().any(|finding| finding.code == code) != is_bad {
                let found: BTreeSet<&str> = findings.iter().map(|finding| finding.code).collect();
                wrong.push(format!("{rule}: {folder}/{name}.yaml has {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_enough() {
    assert!(super::corpus::plans("cases").len() >= 150);
    assert!(super::corpus::plans("good").len() >= 40);
}
