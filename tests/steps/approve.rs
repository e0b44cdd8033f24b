//! Whom an approval asks.

use crate::support::stage::{done, failed, plan};
use runplan::run::{Ask, Outcome};
use serde_json::json;

const SITE: &str = "roles:
  team_lead: { people: [bob, carol] }
  empty: {}
severities:
  critical: { role: team_lead, allow_requester: true }
  low: {}
";

fn asked(outcome: Outcome) -> Ask {
    match outcome {
        Outcome::Asked(ask) => *ask,
        other => panic!("it does not ask: {other:?}"),
    }
}

#[tokio::test]
async fn the_question_names_its_people_and_its_end() {
    let stage = plan(
        "steps:\n- id: go\n  approve: { message: \"Really {{ params.what }}?\", roles: [team_lead], expires: 1h }",
    )
    .site(SITE)
    .param("what", "swap")
    .set();
    let ask = asked(stage.act("go").await);
    assert_eq!(ask.message, "Really swap?");
    assert_eq!(ask.people, ["bob", "carol"]);
    assert!(!ask.allow_requester && !ask.confirm);
    let left = ask.expires_at.unwrap().duration_since(runplan::clock::now());
    assert!((3500..=3600).contains(&left.as_secs()), "{left:?}");
}

#[tokio::test]
async fn without_roles_the_decision_matrix_decides_and_without_it_anyone() {
    let text = "severity: critical\nsteps:\n- id: go\n  approve: { confirm: Call support }";
    let ask = asked(plan(text).site(SITE).set().act("go").await);
    assert_eq!((ask.people.len(), ask.allow_requester, ask.confirm), (2, true, true));
    let ask = asked(plan(&text.replace("critical", "low")).site(SITE).set().act("go").await);
    assert!(ask.people.is_empty());
    let ask = asked(plan("steps:\n- id: go\n  approve: {}").set().act("go").await);
    assert!(ask.people.is_empty() && !ask.message.is_empty());
}

#[tokio::test]
async fn a_question_nobody_can_answer_fails_instead_of_opening_to_everybody() {
    let go = |fields: &str| plan(&format!("steps:\n- id: go\n  approve: {{ {fields} }}")).site(SITE).set();
    let failure = failed(go("roles: [empty]").act("go").await);
    assert!(failure.code == "runplan::approve::nobody" && failure.permanent, "{failure:?}");
    let failure = failed(go("roles: [missing]").act("go").await);
    assert_eq!(failure.code, "runplan::approve::nobody");
    let failure = failed(go("roles: [team_lead], count: 3").act("go").await);
    assert_eq!(failure.code, "runplan::approve::too_few");
}

#[tokio::test]
async fn a_rehearsal_asks_nobody_and_a_secret_is_not_shown() {
    let text = "steps:\n- id: go\n  approve: { message: \"use {{ secrets.TOKEN }}?\" }";
    let ask = asked(plan(text).secret("TOKEN", "hunter2-long").set().act("go").await);
    assert_eq!(ask.message, "use [redacted]?");
    let outputs = done(plan(text).rehearsal(json!({})).set().act("go").await);
    assert_eq!(outputs["approved_by"], "rehearsal");
}

#[tokio::test]
async fn no_two_questions_have_the_same_nonce() {
    let stage = plan("steps:\n- id: go\n  approve: {}").set();
    let (one, two) = (asked(stage.act("go").await), asked(stage.act("go").await));
    assert!(one.nonce.len() == 32 && one.nonce != two.nonce);
}
