//! The readers, each given an input as a user could give it, and what must hold whatever the input is.

use super::corpus::Corpus;
use super::input::{Input, Target};
use runplan::check::{CheckOptions, Given, check, resolve_params};
use runplan::graph::Graph;
use runplan::plan::{Loaded, digest, load, load_rehearsal, template};
use runplan::review::{ReviewInput, markdown, review, text};
use runplan::sql::dump::{Refusal, Scanner};
use runplan::{report, sql, terminal};
use std::sync::OnceLock;

/// Tries an input; what must not be is a panic.
pub fn run(input: &Input) {
    let text = input.text();
    match input.target {
        Target::Plan => plan(&text, None),
        Target::Site => {
            static CORPUS: OnceLock<Corpus> = OnceLock::new();
            plan(CORPUS.get_or_init(Corpus::read).plan(input.choice), Some(&text));
        }
        Target::Template => templates(&text),
        Target::Sql => statements(&text),
        Target::Dump => dump(&input.bytes, input.choice),
        Target::Value => values(&text),
    }
}

fn plan(text: &str, site: Option<&str>) {
    let read = |name: &str| match name.len() % 3 {
        0 => Err("there is no such file".to_owned()),
        _ => Ok(format!("select {{{{ params.{name} }}}};\ndelete from t -- {name}")),
    };
    let mut loaded = load(("fuzz.yaml", text), site.map(|site| ("runplan.yaml", site)), &read);
    let found = check(&loaded, &CheckOptions::default());
    shown(&found, &loaded);
    if found.iter().any(runplan::plan::Finding::is_error) {
        return;
    }
    let graph = Graph::new(&loaded.flow).expect("a plan without errors has an order");
    let plan = loaded.plan.clone().expect("a plan without errors is a plan");
    let given = Given { cli: Vec::new(), file: serde_json::Map::new(), env: &|_| None };
    let resolved = resolve_params(&plan, &given);
    let input = ReviewInput {
        params: resolved.values,
        missing: resolved.missing,
        findings: found,
        ..ReviewInput::default()
    };
    for rehearsal in [false, true] {
        let input = ReviewInput { rehearsal, ..input.clone() };
        let review = review(&loaded, &graph, &input);
        assert_eq!(review.steps.len(), loaded.flow.len());
        for line in text::lines(&review) {
            let width = line.text().chars().count();
            assert!(width <= text::WIDTH || !line.text().contains(' '), "{width} columns: {}", line.text());
        }
        markdown::markdown(&review);
        report::waves(&review);
        report::mermaid(&review);
        report::svg(&review);
        serde_json::to_string(&review).unwrap();
    }
    assert_eq!(digest::of_plan(&loaded), digest::of_plan(&loaded.clone()));
    load_rehearsal(&mut loaded, &read);
    shown(&check(&loaded, &CheckOptions::default()), &loaded);
}

/// Every finding has a place that is there, and can be shown.
fn shown(found: &[runplan::plan::Finding], loaded: &Loaded) {
    for finding in found {
        if let Some(span) = finding.span {
            let source = loaded.sources.get(span.file).expect("a finding is in a file that was read");
            assert!(source.text.get(span.range()).is_some(), "{}: {span:?}", finding.code);
        }
        assert!(!finding.message.is_empty(), "{}", finding.code);
    }
    let screen = terminal::Screen::new(terminal::Look::default());
    // One picture takes its time; a dozen show as much as five hundred.
    terminal::findings(&screen, &found[..found.len().min(12)], &loaded.sources);
    terminal::findings_json(found, &loaded.sources);
}

fn templates(text: &str) {
    let params = serde_json::json!({
        "text": "O'Brien \\ $(x) `y` \"z\" é\n;", "number": -5, "float": 1.5, "flag": true, "none": null,
        "list": ["a", "b'c"], "empty": [], "map": { "a": { "b": 1 } },
    });
    let known = |name: &str, value: &serde_json::Value| (name.to_owned(), template::value_of(value));
    let steps = serde_json::json!({ "a": { "rows": [{ "id": 1 }], "ok": true, "database": "app" } });
    let names = [known("params", &params), known("steps", &steps)];
    let _ = (template::references(text, true), template::references(text, false), template::read(text, true));
    let _ = (template::read_condition(text), template::pieces(text).map(|pieces| pieces.len()));
    for scope in [template::Scope::new(names.clone()), template::Scope::review(names)] {
        let _ = template::plain(text, &scope);
        let _ = template::message(text, &scope);
        let _ = template::url(text, &scope);
        let _ = template::value(text, &scope);
        let _ = template::condition(text, &scope);
        let _ = template::script(text, &scope);
        if let Ok(rendered) = template::sql(text, &scope) {
            sql::lex::tokens(&rendered.text);
        }
    }
}

fn statements(text: &str) {
    let script = sql::read(text);
    let whole: String = sql::split(text).into_iter().map(|range| &text[range]).collect();
    assert_eq!(whole, text, "nothing is lost by splitting");
    for statement in &script.statements {
        assert_eq!(&statement.text, &text[statement.range.clone()]);
        assert!(!statement.effects.is_empty(), "nothing is said of {}", statement.text);
        sql::tables(statement);
        for remark in &statement.findings {
            assert!(text.get(remark.range.clone()).is_some());
        }
    }
    assert!(script.errors.iter().all(|error| text.get(error.range.clone()).is_some()));
    sql::is_read_only(&script);
}

/// However a dump is cut, the answer is the same.
fn dump(bytes: &[u8], choice: u64) {
    let scan = |size: usize| {
        let mut scanner = Scanner::new();
        let mut passed = Vec::new();
        for chunk in bytes.chunks(size) {
            scanner.feed(chunk, |bytes| passed.extend_from_slice(bytes))?;
        }
        Ok::<_, Refusal>((passed, scanner.finish()))
    };
    let whole = scan(bytes.len().max(1));
    assert_eq!(whole, scan(1 + (choice % 97) as usize));
}

fn values(text: &str) {
    static PARAMS: OnceLock<Loaded> = OnceLock::new();
    let loaded = PARAMS.get_or_init(|| load(("params.yaml", PLAN), None, &|_| Err(String::new())));
    let plan = loaded.plan.as_ref().expect("the plan of parameters is one");
    for param in plan.params.values() {
        if let Ok(value) = param.parse(text) {
            assert_eq!(param.accept(&value), Ok(()), "what is parsed is accepted: {value}");
        }
    }
    let given = Given {
        cli: plan.params.keys().map(|name| (name.value.clone(), text.to_owned())).collect(),
        file: serde_json::Map::new(),
        env: &|_| None,
    };
    resolve_params(plan, &given);
    if let Some(duration) = runplan::plan::Duration::parse(text) {
        let again = runplan::plan::Duration::parse(&duration.to_string());
        assert_eq!(again, Some(duration), "a duration is shown as it can be read");
    }
    let _ = runplan::postgres::Settings::parse(text, &|_| None);
}

const PLAN: &str = r#"
runplan: 1
name: params
params:
  string: { type: string }
  word: { type: string, pattern: "[a-z]+" }
  integer: { type: integer, min: -5 }
  number: { type: number, max: 7.5 }
  boolean: { type: boolean }
  choice: { type: choice, choices: [a, b] }
  path: { type: path }
  url: { type: url }
  timestamp: { type: timestamp }
  duration: { type: duration }
  list: { type: list, items: integer }
  words: { type: list, items: string }
  secret: { type: string, secret: true }
steps:
  - { id: a, notify: { channels: [console], message: m } }
"#;
