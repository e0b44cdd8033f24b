//! What inputs are made of: the plans and statements that the other tests use, and the words of the plan language.

use super::input::{Input, Target};
use super::mutation::mutate;
use crate::support::chance::Chance;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Larger inputs take their time in a build without optimisation.
const LARGEST: usize = 48 * 1024;

pub struct Corpus {
    plans: Vec<String>,
    sites: Vec<String>,
    templates: Vec<String>,
    statements: Vec<String>,
    dumps: Vec<String>,
    values: Vec<String>,
    words: Vec<String>,
}

impl Corpus {
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        for directory in
            ["tests/check/cases", "tests/check/good", "tests/review", "plans", "engine/cli/templates"]
        {
            let Ok(entries) = std::fs::read_dir(root.join(directory)) else { continue };
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.sort();
        let read = |end: &str| -> Vec<String> {
            let wanted = files.iter().filter(|path| path.to_string_lossy().ends_with(end));
            wanted.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect()
        };
        let sites = [read(".site.yaml"), read("runplan.yaml")].concat();
        let plans: Vec<String> = read(".yaml").into_iter().filter(|text| !sites.contains(text)).collect();
        let mut statements: Vec<String> = crate::sql::corpus::CORPUS.lines().map(str::to_owned).collect();
        statements.extend(read(".sql"));
        let templated = |line: &&str| line.contains("{{") || line.contains("when:");
        let mut templates: BTreeSet<String> =
            plans.iter().flat_map(|plan| plan.lines().filter(templated).map(value_of)).collect();
        templates.extend(TEMPLATES.iter().map(|text| (*text).to_owned()));
        Self {
            plans,
            sites,
            templates: templates.into_iter().collect(),
            statements,
            dumps: [crate::sql::dumps::COPY, crate::sql::dumps::INSERTS].map(str::to_owned).to_vec(),
            values: VALUES.iter().map(|text| (*text).to_owned()).collect(),
            words: words(),
        }
    }

    /// The input of a number.
    pub fn input(&self, seed: u64, number: u64) -> Input {
        // Each number is a world of its own, so that one input can be made again alone.
        let mut chance = Chance::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let target = match chance.below(20) {
            0..=8 => Target::Plan,
            9 => Target::Site,
            10..=12 => Target::Template,
            13..=15 => Target::Sql,
            16..=17 => Target::Dump,
            _ => Target::Value,
        };
        let pool = match target {
            Target::Plan => &self.plans,
            Target::Site => &self.sites,
            Target::Template => &self.templates,
            Target::Sql => &self.statements,
            Target::Dump => &self.dumps,
            Target::Value => &self.values,
        };
        let mut bytes = pool[chance.below(pool.len())].clone().into_bytes();
        let other = pool[chance.below(pool.len())].as_bytes();
        let all = [&self.templates, &self.statements, &self.values];
        for _ in 0..=chance.below(6) {
            let word = match chance.below(4) {
                0 => {
                    let pool = all[chance.below(all.len())];
                    pool[chance.below(pool.len())].clone()
                }
                _ => self.words[chance.below(self.words.len())].clone(),
            };
            mutate(&mut bytes, word.as_bytes(), other, &mut chance);
            bytes.truncate(LARGEST);
        }
        Input { target, bytes, choice: chance.next() }
    }

    /// A plan and a file for those inputs that need one.
    pub fn plan(&self, choice: u64) -> &str {
        &self.plans[(choice % self.plans.len() as u64) as usize]
    }
}

/// What stands behind `key: `, without its quotes.
fn value_of(line: &str) -> String {
    let value = line.split_once(": ").map_or(line, |(_, value)| value);
    value.trim().trim_matches('"').to_owned()
}

/// Every key, choice and example of the schemas, and what YAML, templates and SQL are built of.
fn words() -> Vec<String> {
    let mut words: BTreeSet<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    for schema in [runplan::plan::schema::plan(), runplan::plan::schema::site()] {
        collect(&schema, &mut words);
    }
    words.into_iter().collect()
}

fn collect(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(fields)) => {
                        words.extend(fields.keys().map(|field| format!("{field}: ")));
                    }
                    ("enum", Value::Array(choices)) => {
                        words.extend(choices.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("examples", Value::Array(examples)) => {
                        words.extend(examples.iter().map(|example| format!("{example}")));
                    }
                    _ => {}
                }
                collect(value, words);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        _ => {}
    }
}

const TEMPLATES: &[&str] = &[
    "{{ params.text }}",
    "{{ params.text | ident }}",
    "{{ params.text | like }}",
    "select * from t where a = {{ params.number }} and b = {{ params.list }}",
    "{{ params.list[0] }}{{ params.list[-1] }}",
    "{{ params.text.upper() ~ 1 }}",
    "{% for a in params.list %}{{ a }}{% endfor %}",
    "{{ steps.a.rows[0].id }} {{ steps['a'].rows | length }}",
    "{% if params.flag %}yes{% else %}no{% endif %}",
    "{{ params.number ** 99999 }}",
    "{{ 'a' * 1000000 }}",
    "{{ range(1000) | list }}",
    "{{ params.text | replace('a', 'bbbb') | tojson }}",
    "{# comment #}{{ now() }}",
    "{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(1) }}",
    "echo {{ params.text }} \"$HOME\" '{{ params.text }}'",
    "cat <<EOF\n{{ params.text }}\nEOF\n",
    "https://h.test/{{ params.text }}?a={{ params.text }}",
    "params.flag and steps.a.ok",
    "{{ 1 / 0 }}{{ 1 // 0 }}{{ 1 % 0 }}{{ -9223372036854775808 // -1 }}",
    "{{ 170141183460469231731687303715884105727 + 1 }}",
];

const VALUES: &[&str] = &[
    "",
    "0",
    "-0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1e309",
    "NaN",
    "0x10",
    "1_000",
    "true",
    "null",
    "~",
    "5m",
    "1h30m",
    "7d",
    "99999999999999d",
    "1.5h",
    "2026-11-22T03:11:07Z",
    "2026-02-30",
    "0000-00-00",
    "-9999-01-01T00:00:00Z",
    "./a/../b",
    "http://[::1]:80/a?b#c",
    "http://%zz",
    "é",
    "a\u{0}b",
    "\u{202e}",
    "[a, b]",
    "a,b",
    "postgres://u:p@h:5432/d?sslmode=require",
    "{\"a\": [1, 2]}",
];

const PIECES: &[&str] = &[
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "<<: [*a, *a]",
    "!!str ",
    "!t ",
    "|",
    "|-",
    "|2",
    ">",
    ">+",
    "%YAML 1.2\n",
    "---\n",
    "...\n",
    "# ",
    "'",
    "\"",
    "\\x00",
    "\\u{",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\t",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\0",
    "é",
    "漢",
    "🦀",
    "\u{1b}[31m",
    "{{",
    "}}",
    "{{ ",
    " }}",
    "{%",
    "%}",
    "{#",
    "#}",
    "params.",
    "steps.",
    "secrets.",
    "databases.",
    "run.",
    "site.",
    "now()",
    " | ident",
    " | like",
    " | tojson",
    "loop.index",
    "null",
    "~",
    "true",
    "yes",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "0x7f",
    "1.5",
    "10m",
    "0s",
    "$$",
    "$a$",
    "E'\\",
    "--",
    "/*",
    "*/",
    ";",
    "commit;",
    "drop table t;",
    "delete from t;",
    "truncate t;",
    "do $$ begin end $$;",
    "copy t from stdin;\n",
    "\\.\n",
    "\\restrict a\n",
    "\\connect a\n",
    "with a as (delete from t) select 1",
    "a.b.c",
    "maintenance.open",
    "for_each: [a, b]\n",
    "uses: x.yaml\n",
    "with: {}\n",
    "needs: []",
    "needs: [a]",
    "id: a",
    "id: a.b",
    "id: \"\"",
    "steps:\n",
];
