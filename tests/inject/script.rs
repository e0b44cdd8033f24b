//! Values in scripts and arguments: the `shell` action as a run starts it, with the real `bash` and `sh`.

use super::batch::{Batch, argument, assert_checked, is_same};
use super::values::params;
use super::{chance, many};
use crate::support::stage::{Stage, plan};
use runplan::run::Outcome;
use runplan::steps;
use std::fmt::Write;

/// Values in one script: each is a variable of the environment, and there may be 2 MB of them.
const AT_ONCE: usize = 600;

/// Where a value may stand in any shell. Each prints what arrived; what is printed around it is taken off again.
const EVERYWHERE: &[&str] = &[
    "printf '%s\\0' {{ x }}",
    "v={{ x }}; printf '%s\\0' \"$v\"",
    "printf '%s\\0' \"pre\"{{ x }}'post'",
    "show {{ x }}",
    "case {{ x }} in {{ x }}) printf '%s\\0' {{ x }} ;; *) printf 'no\\0' ;; esac",
    "w=$(printf '%s.' {{ x }}); printf '%s\\0' \"${w%.}\"",
    "w=`printf '%s.' {{ x }}`; printf '%s\\0' \"${w%.}\"",
    "for i in {{ x }}; do printf '%s\\0' \"$i\"; done",
    "if [ {{ x }} = {{ x }} ]; then printf '%s\\0' {{ x }}; fi",
    "printf '%s\\0' ${unset-{{ x }}}",
    "export V={{ x }}; printf '%s\\0' \"$V\"",
    "printf '%s\\0' pre{{ x }}post",
    "printf '%s\\0' \\\n  {{ x }} # it's '",
    "w=\"$(printf '%s.' \"$(printf '%s,' {{ x }})\")\"; printf '%s\\0' \"${w%,.}\"",
    "v=a; v=${v#{{ x }}}; printf '%s\\0' {{ x }}",
    "set -- {{ x }} b; printf '%s\\0' \"$1\"",
];

/// And where it may stand in `bash`.
const IN_BASH: &[&str] = &[
    "a=({{ x }} b); printf '%s\\0' \"${a[0]}\"",
    "if [[ {{ x }} == {{ x }} ]]; then printf '%s\\0' {{ x }}; fi",
    "if [[ a{{ x }} =~ ^a{{ x }}$ ]]; then printf '%s\\0' {{ x }}; fi",
    "v=b; v+={{ x }}; printf '%s\\0' \"${v#b}\"",
    "local_() { local v={{ x }}; printf '%s\\0' \"$v\"; }; local_",
    "declare v={{ x }}; printf '%s\\0' \"$v\"",
    "printf -v v '%s' {{ x }}; printf '%s\\0' \"$v\"",
    "mapfile -d '' -t a < <(printf '%s\\0' {{ x }}); printf '%s\\0' \"${a[0]-}\"",
];

/// Costs a process each, so that they come rarely.
const DEAR: [usize; 4] = [5, 6, 13, EVERYWHERE.len() + 7];

fn place(bash: bool, kind: &str, at: usize) -> &'static str {
    let places = EVERYWHERE.len() + if bash { IN_BASH.len() } else { 0 };
    let mut place = at % places;
    if DEAR.contains(&place) && !(at / places).is_multiple_of(8) {
        place = 1;
    }
    let found = EVERYWHERE.iter().chain(IN_BASH).nth(place).unwrap();
    // In an expression of `bash` a character that is none in its locale would be compared as a byte.
    if kind == "boolean" { EVERYWHERE[0] } else { found }
}

fn script(bash: bool, kinds: &[&str]) -> String {
    let mut script = "exec > out\nshow() { printf '%s\\0' \"$1\"; }\n".to_owned();
    for (at, kind) in kinds.iter().enumerate() {
        let line = place(bash, kind, at).replace("{{ x }}", &format!("{{{{ params.p{at} }}}}"));
        let _ = writeln!(script, "{line}");
    }
    script
}

fn stage(declared: &str, fields: &str) -> Stage {
    let fields = fields.replace('\n', "\n    ");
    plan(&format!("{declared}steps:\n- id: s\n  shell:\n    changes: none\n    {fields}\n")).set()
}

/// Acts with hostile values until there were enough; what the program leaves in `out` is what it was given.
async fn round_trip(
    mut stage: Stage,
    kinds: &[&'static str],
    place: u64,
    share: usize,
    what: &str,
) -> String {
    assert_checked(&stage);
    let mut chance = chance(place);
    let (mut tried, mut refused, mut number) = (0, 0, 0);
    while tried < many(share) {
        number += 1;
        let batch = Batch::new(&stage, kinds, &mut chance, |_| true);
        batch.give(&mut stage);
        match steps::act(&stage.attempt("s", number)).await {
            Outcome::Done(_) => {}
            other => {
                panic!("{what} {number}: {}", format!("{other:?}").chars().take(2_000).collect::<String>())
            }
        }
        let out = std::fs::read(stage.path("out")).unwrap();
        let mut arrived: Vec<&[u8]> = out.split(|byte| *byte == 0).collect();
        assert_eq!(arrived.pop(), Some(&b""[..]));
        assert_eq!(arrived.len(), kinds.len(), "{what} {number}");
        for (at, bytes) in arrived.into_iter().enumerate() {
            let text = std::str::from_utf8(bytes).unwrap_or("not UTF-8");
            let given = &batch.values[at];
            let within = text.strip_prefix("pre").and_then(|text| text.strip_suffix("post"));
            let same = is_same(given, text) || within.is_some_and(|text| is_same(given, text));
            assert!(same, "{what} {number}, p{at}: {:?} became {text:?}", argument(given));
        }
        assert!(!stage.path("pwned").exists(), "{what} {number}: a value was run");
        tried += batch.values.len();
        refused += batch.refused;
    }
    format!("{what}: {tried} values arrived, {refused} were refused")
}

#[tokio::test]
async fn every_value_arrives_in_bash_as_it_was_given() {
    let (declared, kinds) = params(AT_ONCE);
    let text = format!("run: |\n  {}", script(true, &kinds).replace('\n', "\n  "));
    println!("{}", round_trip(stage(&declared, &text), &kinds, 2, 20_000, "bash").await);
}

#[tokio::test]
async fn every_value_arrives_in_sh_as_it_was_given() {
    let (declared, kinds) = params(AT_ONCE);
    let text = format!("shell: [sh, -eu]\nrun: |\n  {}", script(false, &kinds).replace('\n', "\n  "));
    println!("{}", round_trip(stage(&declared, &text), &kinds, 3, 20_000, "sh").await);
}

#[tokio::test]
async fn every_value_arrives_in_arguments_and_the_environment_as_it_was_given() {
    let (declared, kinds) = params(AT_ONCE);
    let half = AT_ONCE / 2;
    let item = |at: usize| match at % 3 {
        0 => format!("\"pre{{{{ params.p{at} }}}}post\""),
        _ => format!("\"{{{{ params.p{at} }}}}\""),
    };
    let argv: Vec<String> = (0..half).map(item).collect();
    let env: Vec<String> = (half..AT_ONCE).map(|at| format!("V{at}: {}", item(at))).collect();
    // `printenv` is no shell: what it prints is what the kernel was given.
    let names: Vec<String> = (half..AT_ONCE).map(|at| format!("V{at}")).collect();
    let program = format!("{{ printf '%s\\0' \"$@\"; printenv -0 {}; }} > out", names.join(" "));
    let text = format!(
        "argv: [sh, -c, {}, x, {}]\nenv: {{ {} }}",
        serde_json::json!(program),
        argv.join(", "),
        env.join(", ")
    );
    println!("{}", round_trip(stage(&declared, &text), &kinds, 4, 20_000, "argv and env").await);
}
