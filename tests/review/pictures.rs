//! The graph of a plan as text, Mermaid and SVG: everything is in it, and nothing in a plan can break it.

use super::{compare, directory, read, reviewed};
use runplan::plan::load;
use runplan::report;
use std::path::Path;

#[test]
fn pictures_of_the_shipped_plan_and_of_every_kind_of_step() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenario-2.yaml");
    let plans = [
        ("graph-scenario-2", read(&shipped)),
        ("graph-everything", read(&directory().join("everything.yaml"))),
    ];
    for (name, loaded) in plans {
        let review = reviewed(&loaded, &[], false);
        compare(&format!("{name}.txt"), &report::waves(&review));
        compare(&format!("{name}.mmd"), &report::mermaid(&review));
        compare(&format!("{name}.svg"), &report::svg(&review));
    }
}

/// Every tag is closed, in the order it was opened; every text is escaped. (Of XML the picture uses no more than this.)
fn well_formed(svg: &str) -> Vec<String> {
    let mut open = Vec::new();
    let mut texts = Vec::new();
    let mut rest = svg;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "{before}");
        for (at, _) in before.match_indices('&') {
            let entity = before[at..].split(';').next().unwrap();
            assert!(["&amp", "&lt", "&gt", "&quot"].contains(&entity), "{entity}");
        }
        assert!(before.chars().all(|c| !c.is_control() || c == '\n'));
        if !before.trim().is_empty() {
            texts.push(before.trim().to_owned());
        }
        let (tag, after) = after.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap().to_owned()),
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    texts
}

#[test]
fn hostile_titles_stay_titles() {
    let hostile = r##"</text><script>alert(1)</script> & "x' ]] --> #quot; ` \\ \u0001 é 漢"##;
    let plan = format!(
        "runplan: 1\nname: t\ntitle: \"{0}\"\nsteps:\n  - {{ id: a, title: \"{0}\", notify: {{ channels: [console], message: m }} }}\n",
        hostile.replace('"', "\\\"")
    );
    let loaded = load(("t.yaml", &plan), None, &|_| Err(String::new()));
    assert!(!loaded.has_errors(), "{:?}", loaded.findings);
    let review = reviewed(&loaded, &[], false);
    let texts = well_formed(&report::svg(&review));
    assert!(texts.iter().any(|text| text.contains("&lt;script&gt;")), "{texts:?}");
    let mermaid = report::mermaid(&review);
    let node = mermaid.lines().find(|line| line.contains("s0(")).unwrap();
    assert!(!node.contains("<script") && node.matches('"').count() == 2, "{node}");
}

#[test]
fn two_hundred_steps_are_all_in_the_picture_and_none_lies_over_another() {
    let steps: String = (0..200)
        .map(|at: usize| {
            let needs: Vec<String> = [at.checked_sub(4), at.checked_sub(9)]
                .iter()
                .flatten()
                .map(|need| format!("s{need}"))
                .collect();
            let window = if (80..120).contains(&at) { "window: closed, " } else { "" };
            format!(
                "  - {{ id: s{at}, needs: [{}], {window}notify: {{ channels: [console], message: m }} }}\n",
                needs.join(", ")
            )
        })
        .collect();
    let switch = "{ shell: { argv: [x], changes: none, repeatable: true } }";
    let plan = format!(
        "runplan: 1\nname: large\nwindows:\n  closed: {{ open: {switch}, close: {switch} }}\nsteps:\n{steps}"
    );
    let loaded = load(("large.yaml", &plan), None, &|_| Err(String::new()));
    let review = reviewed(&loaded, &[], false);
    let svg = report::svg(&review);
    assert_eq!(svg, report::svg(&review), "the same bytes each time");
    let texts = well_formed(&svg);
    for at in 0..200 {
        assert!(texts.contains(&format!("s{at}")), "s{at} is missing");
    }
    assert!(texts.contains(&"window closed".to_owned()));
    let number = |line: &str, name: &str| -> f64 {
        line.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    let boxes: Vec<(f64, f64, f64, f64)> = svg
        .lines()
        .filter(|line| {
            line.starts_with("<rect") && line.contains(" stroke=") && number(line, "width") > 100.0
        })
        .map(|line| (number(line, "x"), number(line, "y"), number(line, "width"), number(line, "height")))
        .collect();
    assert_eq!(boxes.len(), 202, "one for each step");
    for (at, one) in boxes.iter().enumerate() {
        for other in &boxes[at + 1..] {
            let apart = one.0 + one.2 <= other.0
                || other.0 + other.2 <= one.0
                || one.1 + one.3 <= other.1
                || other.1 + other.3 <= one.1;
            assert!(apart, "{one:?} lies over {other:?}");
        }
    }
}
