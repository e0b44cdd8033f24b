//! Large values: they arrive whole, or are refused before anything is started.

use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::run::{Failure, Outcome};
use runplan::steps;
use serde_json::json;

const MEGABYTE: usize = 1 << 20;
/// The most that a script takes.
const IN_SCRIPT: usize = 100 * 1024;

/// Of this many bytes, with everything in it that needs care.
fn large(bytes: usize) -> String {
    let mut text = "'\\\"$(touch pwned)`\n\r\n é🦀\u{202e}%_$$ ".repeat(bytes / 32 + 1);
    while text.len() > bytes {
        text.pop();
    }
    while text.len() < bytes {
        text.push('x');
    }
    text
}

fn stage(step: &str) -> Stage {
    plan(&format!("params: {{ x: {{ type: string, required: true }} }}\nsteps:\n- id: s\n  {step}\n")).set()
}

async fn act(stage: &mut Stage, value: &str, number: u32) -> Outcome {
    stage.give([("x".to_owned(), json!(value))].into_iter().collect());
    steps::act(&stage.attempt("s", number)).await
}

async fn refused(stage: &mut Stage, value: &str, number: u32) -> Failure {
    failed(act(stage, value, number).await)
}

#[tokio::test]
async fn a_script_takes_100_kib_and_no_more() {
    for shell in ["[bash, -euo, pipefail]", "[sh, -eu]"] {
        let run = "printf '%s' {{ params.x }} > out";
        let mut stage = stage(&format!("shell: {{ changes: none, shell: {shell}, run: \"{run}\" }}"));
        let most = large(IN_SCRIPT);
        done(act(&mut stage, &most, 1).await);
        assert_eq!(std::fs::read_to_string(stage.path("out")).unwrap(), most);
        std::fs::remove_file(stage.path("out")).unwrap();
        for (number, more) in [(2, large(IN_SCRIPT + 1)), (3, large(MEGABYTE))] {
            let failure = refused(&mut stage, &more, number).await;
            assert!(failure.message.contains("pass it by `stdin`"), "{}", &failure.message[..200]);
            assert!(failure.permanent && !stage.path("out").exists(), "nothing was started");
        }
    }
}

#[tokio::test]
async fn a_megabyte_arrives_by_stdin_and_in_sql() {
    let value = large(MEGABYTE);
    let mut by_stdin =
        stage("shell: { changes: none, argv: [sh, -c, 'cat > out'], stdin: \"{{ params.x }}\" }");
    done(act(&mut by_stdin, &value, 1).await);
    assert!(std::fs::read_to_string(by_stdin.path("out")).unwrap() == value, "stdin");

    let settings = database("inject_sizes").await;
    let look = connect(&settings).await;
    look.execute("CREATE TABLE got (t text)").await.unwrap();
    let text = "params: { x: { type: string, required: true } }\nsteps:\n- id: s\n  sql: { database: app, \
                statement: \"INSERT INTO got VALUES ({{ params.x }})\" }";
    let mut stage = plan(text).database("app", &settings).set();
    done(act(&mut stage, &value, 1).await);
    assert!(look.one("SELECT t FROM got").await.unwrap() == value, "SQL");
}

#[tokio::test]
async fn what_the_kernel_does_not_take_is_a_certain_failure() {
    for (number, place) in [
        "argv: [sh, -c, 'echo x > out', \"{{ params.x }}\"]",
        "argv: [sh, -c, 'echo x > out'], env: { V: \"{{ params.x }}\" }",
    ]
    .into_iter()
    .enumerate()
    {
        let mut stage = stage(&format!("shell: {{ changes: none, {place} }}"));
        let failure = refused(&mut stage, &large(MEGABYTE), number as u32 + 1).await;
        assert!(failure.message.len() < 2_000, "the message holds the value");
        assert!(!stage.path("out").exists(), "nothing was started");
        done(act(&mut stage, "small", number as u32 + 3).await);
        assert!(stage.path("out").exists());
    }
}

#[tokio::test]
async fn nul_is_refused_wherever_it_comes_from() {
    for place in [
        "shell: { changes: none, argv: [sh, -c, 'echo x > out', \"{{ params.x }}\"] }",
        "shell: { changes: none, argv: [sh, -c, 'echo x > out'], env: { V: \"a{{ params.x }}\" } }",
        "shell: { changes: none, run: \"echo {{ params.x }} > out\" }",
        "shell: { changes: none, argv: [sh, -c, 'echo x > out'], stdin: \"{{ params.x }}\" }",
    ] {
        let mut stage = stage(place);
        let failure = refused(&mut stage, "a\0b", 1).await;
        assert!(failure.message.contains("NUL") && failure.permanent, "{place}: {}", failure.message);
        assert!(!stage.path("out").exists(), "nothing was started");
    }
    let settings = database("inject_nul").await;
    for statement in
        ["SELECT {{ params.x }}", "SELECT 1 AS {{ params.x | ident }}", "SELECT {{ [params.x] }}"]
    {
        let text = format!(
            "params: {{ x: {{ type: string, required: true }} }}\nsteps:\n- id: s\n  sql: {{ database: app, read_only: true, \
             statement: \"{statement}\" }}"
        );
        let mut stage = plan(&text).database("app", &settings).set();
        let failure = refused(&mut stage, "a\0b", 1).await;
        assert!(failure.message.contains("NUL"), "{statement}: {}", failure.message);
    }
}
