//! Notifications, and what stands in for the world outside in a rehearsal.

use crate::support::server::Server;
use crate::support::stage::{done, failed, plan};
use runplan::run::Outcome;
use runplan::steps;
use serde_json::json;

const SITE: &str = "channels:
  team: { type: slack, url: \"{{ secrets.HOOK }}\" }
  hook: { type: webhook, url: \"{{ secrets.HOOK }}\", headers: { X-Key: \"{{ secrets.KEY }}\" } }
";

#[tokio::test]
async fn every_channel_is_told_in_its_own_way() {
    let server = Server::start(|_| Some((200, "ok".to_owned())));
    let text = "steps:\n- id: s\n  notify: { channels: [console, team, hook], level: critical,
      message: \"{{ run.id }} <down> {{ secrets.KEY }}\", details: { what: \"a & b\" } }";
    let stage = plan(text)
        .site(SITE)
        .secret("HOOK", &format!("{}/services/T00/secret", server.url))
        .secret("KEY", "hunter2-long")
        .set();
    assert_eq!(stage.done("s").await["delivered"], true);
    assert_eq!(stage.said(), ["test-20261122-0311-k7f3 <down> [redacted]\n  what: a & b"]);
    // Each channel has a queue of its own: the order is nobody's.
    let of = |signed: bool| {
        let asked = server.asked().into_iter().filter(|asked| asked.header("x-key").is_some() == signed);
        asked.collect::<Vec<_>>()
    };
    let (slack, hook) = (&of(false)[0], &of(true)[0]);
    assert!(slack.json()["text"].as_str().unwrap().contains("&lt;down&gt;"));
    assert_eq!(slack.json()["blocks"][1]["fields"][0]["text"], "*what*\na &amp; b");
    let body = hook.json();
    assert_eq!(
        (&body["level"], &body["step"], &body["plan"]),
        (&json!("critical"), &json!("s"), &json!("test"))
    );
    assert_eq!(body["details"], json!({ "what": "a & b" }));
    assert_eq!(hook.header("x-key"), Some("hunter2-long"));
    assert_eq!(hook.header("idempotency-key"), body["idempotency_key"].as_str());
    done(stage.act("s").await);
    assert_eq!(
        of(true)[1].json()["idempotency_key"],
        body["idempotency_key"],
        "a repeated one is told by its key"
    );
}

#[tokio::test]
async fn a_failed_delivery_is_retried_reported_and_stops_only_when_required() {
    let mut count = 0;
    let server = Server::start(move |_| {
        count += 1;
        Some((if count == 1 { 500 } else { 200 }, String::new()))
    });
    let text =
        |fields: &str| format!("steps:\n- id: s\n  notify: {{ channels: [team], message: m, {fields} }}");
    let stage = plan(&text("level: info")).site(SITE).secret("HOOK", &server.url).set();
    assert_eq!(stage.done("s").await["delivered"], true);
    assert_eq!(server.asked().len(), 2);
    let dead = "http://127.0.0.1:9/services/T00/secret-part";
    let stage = plan(&text("level: info")).site(SITE).secret("HOOK", dead).set();
    assert_eq!(stage.done("s").await["delivered"], false);
    let [warning] = &stage.warnings()[..] else { panic!("{:?}", stage.warnings()) };
    assert!(warning.contains("no answer of team") && warning.contains("still tried"), "{warning}");
    let failure = failed(plan(&text("required: true")).site(SITE).secret("HOOK", dead).set().act("s").await);
    assert_eq!(failure.code, "runplan::notify::undelivered");
    let why = failure.message;
    assert!(why.contains("team: nothing listens") && !why.contains("secret-part"), "{why}");
}

#[tokio::test]
async fn cancelled_a_message_that_somebody_must_get_is_not_done() {
    for (fields, is_done) in [("required: true", false), ("level: info", true)] {
        // It takes the message, and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("steps:\n- id: s\n  notify: {{ channels: [team], message: m, {fields} }}");
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let stage = plan(&text).site(SITE).secret("HOOK", &url).set();
        let attempt = stage.attempt("s", 1);
        let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
            let _caller = tokio::task::spawn_blocking(move || silent.accept()).await.unwrap();
            attempt.cancelled.cancel();
        });
        if is_done {
            assert_eq!(done(outcome)["delivered"], false);
            let [warning] = &stage.warnings()[..] else { panic!("{:?}", stage.warnings()) };
            assert!(warning.contains("cancelled before team answered"), "{warning}");
            continue;
        }
        let failure = failed(outcome);
        assert_eq!(failure.code, "runplan::step::cancelled");
        assert!(failure.message.contains("team") && !failure.permanent, "{failure:?}");
    }
}

#[tokio::test]
async fn a_rehearsal_lets_nothing_out_without_a_stand_in() {
    let text = "steps:
- id: local
  notify: { channels: [console], message: here }
- id: out
  notify: { channels: [team], message: there }
- id: run
  shell: { argv: [touch, ran] }
- id: call
  http: { url: \"http://127.0.0.1:9/\" }
rehearsal:
  prepare:
  - id: seed
    shell: { argv: [touch, seeded] }
  stand_ins:
  - { step: run, with: { shell: { argv: [touch, stood_in] } } }";
    let stage = plan(text).site(SITE).rehearsal(json!({})).set();
    stage.done("local").await;
    for id in ["out", "call"] {
        let outcome = stage.act(id).await;
        assert!(matches!(&outcome, Outcome::Skipped(why) if why.contains("no stand-in")), "{outcome:?}");
    }
    stage.done("run").await;
    stage.done("seed").await;
    let there = |name: &str| stage.path(name).exists();
    assert!(there("stood_in") && there("seeded") && !there("ran"));
    plan(text).site(SITE).set().done("run").await;
}
