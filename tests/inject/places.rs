//! Places that a plan may try to put a value in: `check` refuses them, or every value arrives there as it was given. What
//! is expected of an accepted place is what it does with a harmless word, with the word replaced.

use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, plan};
use runplan::check::{CheckOptions, check};
use runplan::run::Outcome;
use runplan::steps;
use serde_json::json;

/// Values that would be something else than a value where quoting fails.
const KILLERS: &[&str] = &[
    "'",
    "\"",
    "\\",
    "' || (SELECT pwned()) || '",
    "'; SELECT pwned(); --",
    "\\'; SELECT pwned(); --",
    "\\0027",
    "!0027 || pwned() || !0027",
    "$$ || pwned() || $$",
    "$a$; SELECT pwned(); $a$",
    "*/ SELECT pwned() /*",
    "\n; SELECT pwned();\n--",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "\ntouch pwned\n",
    "'$(touch pwned)'",
    "a[$(touch pwned)]",
    "a[$(touch pwned)]=1",
    "x=a[$(touch pwned)]",
    "@(touch pwned)",
    "-v a[$(touch pwned)]",
    "($(touch pwned))",
    "EOF\ntouch pwned",
    "* ?",
    "~",
    "-e",
    " ",
    "é\u{301}\u{202e}",
];

/// So many of them have to do with SQL.
const IN_SQL: usize = 13;

/// A word that no place treats in its own way, and that nothing else prints.
const HARMLESS: &str = "zqzw";

fn is_accepted(stage: &Stage) -> bool {
    check(&stage.world.shape.loaded, &CheckOptions::default()).iter().all(|finding| !finding.is_error())
}

/// Every value replaced the word, and nothing else: what a place gave with the word tells what it has to give.
fn assert_only_replaced(with_word: &str, with_value: &str, value: &str, place: &str) {
    let wanted = with_word.replace(HARMLESS, value);
    assert_eq!(with_value, wanted, "{place} with {value:?}");
}

const SCRIPTS: &[&str] = &[
    "printf '%s' {{ x }}",
    "printf '%s' \"{{ x }}\"",
    "printf '%s' '{{ x }}'",
    "printf '%s' $'{{ x }}'",
    "printf '%s' \"a\"{{ x }}\"b\"",
    "printf '%s' \\{{ x }}",
    "printf '%s' a\\\\{{ x }}",
    "cat <<EOF\n{{ x }}\nEOF\n",
    "cat <<'EOF'\n{{ x }}\nEOF\n",
    "cat <<-\"E O\"\n{{ x }}\nE O\n",
    "cat <<\\EOF\n{{ x }}\nEOF\n",
    "cat <<{{ x }}\na\nEOF\n",
    "# {{ x }}\nprintf a",
    "printf a # {{ x }}",
    "printf '%s' \"$(printf '%s.' {{ x }})\"",
    "printf '%s' \"$(printf '%s.' \"{{ x }}\")\"",
    "printf '%s' \"`printf '%s.' {{ x }}`\"",
    "printf '%s' ${v:-{{ x }}}",
    "printf '%s' \"${v:-{{ x }}}\"",
    "v=abc; printf '%s' ${v#{{ x }}}",
    "v=abc; printf '%s' \"${v/{{ x }}/y}\"",
    "v=abc; printf '%s' \"${v:{{ x }}}\"",
    "v=abc; printf '%s' ${v:{{ x }}:1}",
    "printf '%s' $(( {{ x }} ))",
    "printf '%s' \"$(( {{ x }} + 1 ))\"",
    "printf '%s' $[ {{ x }} ]",
    "(( {{ x }} )); printf a",
    "if (( {{ x }} > 1 )); then printf b; fi; printf a",
    "for (( i = {{ x }}; i < 1; i++ )); do :; done; printf a",
    "let {{ x }}; printf a",
    "let v={{ x }}; printf a",
    "[[ {{ x }} -eq 1 ]]; printf a",
    "[[ 1 -lt {{ x }} ]]; printf a",
    "if ! [[ -n a && 1 -ge {{ x }} ]]; then :; fi; printf a",
    "[[ -v {{ x }} ]]; printf a",
    "[[ {{ x }} == {{ x }} ]] && printf '%s' {{ x }}",
    "test -v {{ x }}; printf a",
    "[ -v {{ x }} ]; printf a",
    "[ {{ x }} -eq 1 ]; printf a",
    "a=(1 2); printf '%s' \"${a[{{ x }}]}\"",
    "a[{{ x }}]=1; printf a",
    "declare -i v={{ x }}; printf a",
    "declare -a v={{ x }}; printf a",
    "typeset -i v={{ x }}; printf a",
    "declare {{ x }}; printf a",
    "export {{ x }}; printf a",
    "readonly {{ x }}; printf a",
    "local_() { local {{ x }}; }; local_; printf a",
    "unset {{ x }}; printf a",
    "read -r {{ x }} <<< a; printf a",
    "printf -v {{ x }} a; printf a",
    "printf -v v '%s' {{ x }}; printf '%s' \"$v\"",
    "printf '%d' {{ x }} > /dev/null; printf a",
    "mapfile {{ x }} < /dev/null; printf a",
    "getopts a {{ x }}; printf a",
    "wait -n -p {{ x }}; printf a",
    "eval {{ x }}; printf a",
    "eval \"true\" {{ x }}; printf a",
    "builtin eval {{ x }}; printf a",
    "command eval {{ x }}; printf a",
    "trap {{ x }} EXIT; printf a",
    "source {{ x }}; printf a",
    ". {{ x }}; printf a",
    "bash -c {{ x }}; printf a",
    "sh -c {{ x }}; printf a",
    "sh -ec {{ x }}; printf a",
    "exec sh -c {{ x }}",
    "env A=b sh -c {{ x }}; printf a",
    "bash -c 'printf %s \"$1\"' x {{ x }}",
    "alias v={{ x }}; printf a",
    "v={{ x }}; printf '%s' \"$v\"",
    "v+={{ x }}; printf '%s' \"$v\"",
    "V={{ x }} printenv V",
    "case {{ x }} in {{ x }}) printf '%s' {{ x }} ;; esac",
    "for i in {{ x }}; do printf '%s' \"$i\"; done",
    "a=({{ x }}); printf '%s' \"${a[0]}\"",
    "cat <<< {{ x }}",
    "printf '%s' {{ x }} | cat",
    "{{ x }}; printf a",
    "f() { printf '%s' \"$1\"; }; f {{ x }}",
    "set -- {{ x }}; printf '%s' \"$1\"",
    "printf '%s' {{ x }} > ./out-{{ x }} || :",
    "printf '%s' ${#v}{{ x }}",
    "printf '%s' $#{{ x }}",
    "printf '%s' it\\'s {{ x }}",
    "v='a'\\''b'; printf '%s' {{ x }}",
    "echo \"$(( 1 << 2 ))\"; printf '%s' {{ x }}",
    "printf '%s' \"$( case a in a) printf '%s.' {{ x }} ;; esac )\"",
    "printf '%s' \"$(printf ')' ; printf '%s.' {{ x }})\"",
    "printf '%s' \"$( # it's\nprintf '%s.' {{ x }})\"",
];

/// The standard output of a script with a value, which is acted on as a run does; what was run beside it is found.
async fn script(stage: &mut Stage, value: &str, number: u32) -> Option<String> {
    stage.give([("x".to_owned(), json!(value))].into_iter().collect());
    match steps::act(&stage.attempt("s", number)).await {
        Outcome::Done(outputs) => Some(outputs["stdout"].as_str().unwrap().to_owned()),
        Outcome::Failed(_) => None,
        other => panic!("{other:?}"),
    }
}

async fn scripts(shell: &str, range: std::ops::Range<usize>) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for place in &SCRIPTS[range] {
        let text = place.replace("{{ x }}", "{{ params.x }}");
        let text = format!(
            "params: {{ x: {{ type: string, required: true }} }}\nsteps:\n- id: s\n  shell:\n    changes: none\n    \
             shell: [{shell}]\n    success_codes: [0, 1, 2]\n    run: |\n      {}\n",
            text.replace('\n', "\n      ")
        );
        let mut stage = plan(&text).set();
        if !is_accepted(&stage) {
            refused += 1;
            continue;
        }
        accepted += 1;
        let with_word = script(&mut stage, HARMLESS, 1).await;
        // `sh` has nothing that `bash` has not: every other value there.
        let every = if shell == "sh" { 2 } else { 1 };
        for (number, value) in (2..).zip(KILLERS.iter().step_by(every)) {
            let with_value = script(&mut stage, value, number).await;
            assert!(!stage.path("pwned").exists(), "{shell}: {place} runs {value:?}");
            if let (Some(word), Some(value_out)) = (&with_word, &with_value)
                && word.contains(HARMLESS)
            {
                assert_only_replaced(word, value_out, value, place);
            }
        }
    }
    (accepted, refused)
}

#[tokio::test]
async fn a_place_in_a_script_is_refused_or_holds_every_value() {
    let half = SCRIPTS.len() / 2;
    let (one, two, three, four) = tokio::join!(
        scripts("bash", 0..half),
        scripts("bash", half..SCRIPTS.len()),
        scripts("sh", 0..half),
        scripts("sh", half..SCRIPTS.len())
    );
    println!("bash: {one:?} {two:?}, sh: {three:?} {four:?} places accepted and refused");
    assert!(one.0 + two.0 > 30 && one.1 + two.1 > 30);
}

/// Behind `SELECT `, or whole statements.
const STATEMENTS: &[&str] = &[
    "SELECT {{ x }}",
    "SELECT '{{ x }}'",
    "SELECT E'{{ x }}'",
    "SELECT E{{ x }}",
    "SELECT U&{{ x }}",
    "SELECT U&{{ x }} UESCAPE '!'",
    "SELECT U& {{ x }}",
    "SELECT N{{ x }}",
    "SELECT B{{ x }}",
    "SELECT X{{ x }}",
    "SELECT \"{{ x }}\"",
    "SELECT $${{ x }}$$",
    "SELECT $a$ {{ x }} $a$",
    "SELECT 1 -- {{ x }}",
    "SELECT /* {{ x }} */ 1",
    "SELECT /* a /* b */ {{ x }} */ 1",
    "SELECT 'a' {{ x }}",
    "SELECT 'a'\n{{ x }}",
    "SELECT 'a' -- b\n{{ x }}",
    "SELECT E'a'\n{{ x }}",
    "SELECT U&'a'\n{{ x }}",
    "SELECT {{ x }}\n'a'",
    "SELECT {{ x }}{{ x }}",
    "SELECT {{ x }} {{ x }}",
    "SELECT {{ x }}\n{{ x }}",
    "SELECT {{ x }} || {{ x }}",
    "SELECT a{{ x }}",
    "SELECT {{ x }}a",
    "SELECT {{ x }} a",
    "SELECT 1 AS {{ x | ident }}",
    "SELECT 1 AS \"{{ x | ident }}\"",
    "SELECT 1 AS U&{{ x | ident }}",
    "SELECT 1 AS U&{{ x | ident }} UESCAPE '!'",
    "SELECT 1 AS a{{ x | ident }}",
    "SELECT {{ x | like }}",
    "SELECT 'a' LIKE {{ x | like }}",
    "SELECT 'a' LIKE '%{{ x | like }}%'",
    "SELECT {{ x }}::text",
    "SELECT text {{ x }}",
    "SELECT CAST({{ x }} AS text)",
    "SELECT :{{ x }}",
    "SELECT $1{{ x }}",
    "SELECT current_setting('server_version_num') || {{ x }}",
    "DO $$ BEGIN PERFORM {{ x }}; END $$",
    "DO {{ x }}",
    "SELECT set_config('a.b', {{ x }}, true)",
    "SELECT concat({{ x }},{{ x }})",
    "SELECT v FROM (VALUES ({{ x }})) AS t (v) WHERE v = {{ x }}",
    "SELECT {{ x | tojson }}",
    "SELECT {{ x | safe }}",
    "SELECT {{ x | upper }}",
    "SELECT {{ x ~ 'a' }}",
    "SELECT ({{ [x, 'b'] }})[1]",
    "SELECT {{ {'a': x} }} ->> 'a'",
    "SELECT {{ x | replace(\"'\", \"''\") }}",
    "{% if x %}SELECT 1{% endif %}",
    "SELECT {# {{ x }} #} 1",
    "{{ x }}",
    "SELECT 1; {{ x }}",
    "SELECT 1 {{ x }}",
    "\\echo {{ x }}",
];

#[tokio::test]
async fn a_place_in_sql_is_refused_or_holds_every_value() {
    let settings = database("inject_places").await;
    let look = connect(&settings).await;
    let pwned = "CREATE SEQUENCE pwn; CREATE FUNCTION pwned() RETURNS text LANGUAGE sql AS $$ SELECT 'pwned' || nextval('pwn') $$";
    look.text(pwned).await.unwrap();
    let (mut accepted, mut refused) = (0, 0);
    let mut number = 0;
    for strings in ["on", "off"] {
        let by_default =
            format!("ALTER DATABASE {} SET standard_conforming_strings = {strings}", settings.database());
        look.execute(&by_default).await.unwrap();
        for place in STATEMENTS {
            let text = place
                .replace("{{ x", "{{ params.x")
                .replace("[x,", "[params.x,")
                .replace("'a': x}", "'a': params.x}");
            let statement = text.replace("if x ", "if params.x ").replace('\n', "\n      ");
            let text = format!(
                "params: {{ x: {{ type: string, required: true }} }}\ndatabases: {{ app: {{ url: 'postgres://h/app' }} }}\n\
                 steps:\n- id: s\n  sql:\n    database: app\n    read_only: true\n    statement: |\n      {statement}\n"
            );
            let mut stage = plan(&text).database("app", &settings).set();
            let fine = is_accepted(&stage);
            if fine {
                accepted += 1
            } else {
                refused += 1
            }
            let mut with_word = None;
            for value in std::iter::once(&HARMLESS).chain(&KILLERS[..IN_SQL]) {
                if strings == "off" && *value != HARMLESS && !value.contains('\\') {
                    continue;
                }
                number += 1;
                stage.give([("x".to_owned(), json!(value))].into_iter().collect());
                // Also what `check` refuses is tried: the step refuses it by itself, or the server does.
                let Outcome::Done(outputs) = steps::act(&stage.attempt("s", number)).await else { continue };
                let out = json!([outputs["first"].as_object().map(|row| row.iter().collect::<Vec<_>>())]);
                let out = texts(&out).join("\u{0}");
                match (&with_word, *value == HARMLESS) {
                    (None, true) => with_word = Some(out),
                    (Some(word), _)
                        if fine
                            && !place.contains("like")
                            && !place.contains("upper")
                            && !place.contains("replace") =>
                    {
                        assert_only_replaced(word, &out, value, place);
                    }
                    _ => {}
                }
            }
        }
    }
    assert_eq!(look.one("SELECT is_called FROM pwn").await.unwrap(), "f", "a value was run");
    println!("{accepted} places of SQL accepted, {refused} refused");
    assert!(accepted > 30 && refused > 50);
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(texts).collect(),
        serde_json::Value::Object(map) => {
            map.iter().flat_map(|(key, value)| [vec![key.clone()], texts(value)].concat()).collect()
        }
        other => vec![other.to_string()],
    }
}
