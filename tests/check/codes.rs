//! Every code is explained, and every explanation is true.

use runplan::check::{CheckOptions, check, codes, explain};
use runplan::plan::load;
use std::collections::BTreeSet;

#[test]
fn every_code_is_explained_once() {
    let known: Vec<String> = codes().iter().map(|code| code.code.to_owned()).collect();
    let set: BTreeSet<String> = known.iter().cloned().collect();
    assert_eq!(set.len(), known.len(), "a code is explained twice");
    for code in codes() {
        assert!(
            !code.meaning.is_empty() && !code.remedy.is_empty() && !code.bad.text.is_empty(),
            "{}",
            code.code
        );
    }
    assert_eq!(explain("plan::bad_default").map(|code| code.code), Some("runplan::plan::bad_default"));
    assert_eq!(explain("unknown_need").map(|code| code.code), Some("runplan::check::unknown_need"));
}

#[test]
fn the_list_of_codes_is_stable() {
    let list: String = codes().iter().map(|code| format!("{}\n", code.code)).collect();
    let path = super::corpus::directory("codes.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), list);
}

#[test]
fn every_example_is_true() {
    let mut wrong = Vec::new();
    for code in codes() {
        for (example, is_bad) in
            [(&code.bad, true), (&code.good, false)].into_iter().filter(|(e, _)| e.is_plan)
        {
            let plan = example.plan();
            let loaded = load(("example.yaml", &plan), None, &|_| Err("no such file".to_owned()));
            let findings = check(&loaded, &CheckOptions::default());
            if findings.iter().any(|finding| finding.code == code.code) != is_bad {
                let found: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
                wrong.push(format!("{} (bad: {is_bad}): {found:?}\n{plan}", code.code));
            }
            // A good example has no other error either.
            let mut errors = findings.iter().filter(|finding| finding.is_error());
            if !is_bad && let Some(error) = errors.next() {
                wrong.push(format!("{} (good): {}\n{plan}", code.code, error.message));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
