//! The README is true: its plans pass the check, its commands exist, its make targets are there.

use crate::support::sandbox::Sandbox;

const README: &str = include_str!("../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_plan_in_the_readme_passes_the_check() {
    let plans = blocks("yaml");
    assert!(!plans.is_empty());
    for plan in plans {
        let sandbox = Sandbox::new();
        sandbox.write("plan.yaml", &plan);
        sandbox.run("check plan.yaml --strict").code(0);
        sandbox.run("plan.yaml --dry-run").code(0);
    }
}

#[test]
fn every_command_in_the_readme_exists() {
    let sandbox = Sandbox::new();
    let mut seen = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let line = line.split('#').next().unwrap().trim();
        if let Some(target) = line.strip_prefix("make ") {
            assert!(include_str!("../Makefile").contains(&format!("\n{target}:")), "{line}");
            seen += 1;
        } else if let Some(rest) = line.strip_prefix("runplan ") {
            let words = shlex::split(rest).unwrap();
            let command = if words[0].ends_with(".yaml") { "run" } else { words[0].as_str() };
            let ran = sandbox.run(&format!("{command} --help")).code(0);
            for option in words.iter().filter(|word| word.starts_with('-')) {
                assert!(ran.stdout.contains(option.as_str()), "`{command} --help` lacks {option}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} commands");
}

#[test]
fn every_code_block_is_of_a_tested_kind() {
    let fences = README.lines().filter(|line| line.starts_with("```") && line.len() > 3);
    for fence in fences {
        assert!(matches!(fence, "```sh" | "```yaml"), "nothing tests a block of {fence}");
    }
}

#[test]
fn every_shipped_plan_passes_the_check_and_points_to_the_schema() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut plans = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        plans += 1;
        let first = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(
            first,
            "# yaml-language-server: $schema=../schemas/plan.schema.json",
            "{}",
            path.display()
        );
        Sandbox::new().run(&format!("check {} --strict", path.display())).code(0);
        let site = directory.join("example/runplan.yaml");
        Sandbox::new().run(&format!("check {} --site {}", path.display(), site.display())).code(0);
    }
    assert!(plans > 0);
}
