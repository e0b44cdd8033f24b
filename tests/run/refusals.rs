//! Every refusal of a decision is brought about, and says what the table of docs/approvals.md says.

use super::consent::{Core, actor, ask, signed, signed_for, word};
use crate::support::refusals::{prove, prove_complete};
use jiff::{SignedDuration, Timestamp};
use runplan::plan::StepId;
use runplan::run::approval::{Verdict, canonical};
use runplan::run::{Actor, Ask, Event, Input, Outcome, Phase, Post, Signed};
use serde_json::Value;

fn go() -> StepId {
    StepId::from("go")
}

fn open() -> Core {
    Core::asked("r-1", "ann", ask(1, None))
}

/// Why it was refused. Nothing else came of it.
#[track_caller]
fn why(events: &[Event]) -> String {
    match events {
        [Event::DecisionRefused { reason, .. }] => reason.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn word_of(core: &mut Core, name: &str) -> String {
    why(&core.give_as(&actor(name), Input::Post(word("go"))))
}

#[track_caller]
fn brought(core: &mut Core, signed: Signed) -> String {
    why(&core.bring(signed))
}

/// What bob would sign, with one thing changed, and signed by him.
fn with(core: &Core, name: &str, value: Value) -> Signed {
    let mut said: Value = serde_json::from_str(&core.text("bob", Verdict::Approve, "")).unwrap();
    said[name] = value;
    signed(canonical(&said), 1)
}

fn who() -> Vec<(&'static str, String)> {
    let mut core = Core::asked("r-1", "bob", ask(1, None));
    let own = core.yes("bob", 1);
    let mut by_word = Core::asked("r-1", "dave", ask(1, None));
    let mut said = vec![("self", brought(&mut core, own)), ("self", word_of(&mut by_word, "dave"))];

    let mut core = open();
    said.push(("not_listed", word_of(&mut core, "eve")));
    said.push(("signature_wanted", word_of(&mut core, "bob")));
    let (eve, posing, stranger) = (core.yes("eve", 3), core.yes("bob", 3), core.yes("bob", 9));
    let keyless = core.yes("dave", 9);
    said.push(("wrong_role", brought(&mut core, eve)));
    let no = Post::Reject { step: go(), reason: " ".to_owned() };
    said.push(("no_why", why(&core.give_as(&actor("dave"), Input::Post(no)))));
    let mut two = Core::asked("r-1", "ann", ask(2, None));
    let (bob, carol) = (two.yes("bob", 1), two.yes("carol", 1));
    assert!(matches!(two.bring(bob)[0], Event::ApprovalGiven { .. }));
    said.push(("same_key", brought(&mut two, carol)));
    said.push(("other_owner", brought(&mut core, posing)));
    said.push(("other_key", brought(&mut core, stranger)));
    said.push(("no_key", brought(&mut core, keyless)));

    let mut core = Core::asked("r-1", "ann", Ask { people: vec![], roles: vec![], ..ask(1, None) });
    let yes = core.yes("bob", 1);
    said.push(("no_role", brought(&mut core, yes)));
    said
}

fn proof() -> Vec<(&'static str, String)> {
    let mut core = open();
    let no = signed(core.text("bob", Verdict::Reject, "no"), 1);
    let forged = Signed { text: no.text.replace("\"reject\"", "\"approve\""), ..no.clone() };
    let purpose = signed_for("file", core.text("bob", Verdict::Approve, ""), 1);
    let broken = Signed { signature: "-----BEGIN".to_owned(), ..no.clone() };
    let spaced = Signed { text: no.text.replace(",\"", ", \""), ..no.clone() };
    let maybe = with(&core, "decision", "maybe".into());
    let newer = with(&core, "format", 2.into());
    let long = Signed { text: " ".repeat((1 << 20) + 1), ..no };
    [
        ("forged", forged),
        ("other_purpose", purpose),
        ("unreadable", broken),
        ("not_canonical", spaced),
        ("no_decision", maybe),
        ("other_format", newer),
        ("too_long", long),
        ("not_json", signed("yes".to_owned(), 1)),
    ]
    .map(|(name, signed)| (name, brought(&mut core, signed)))
    .to_vec()
}

fn what() -> Vec<(&'static str, String)> {
    let mut core = open();
    let elsewhere = Core::asked("r-2", "ann", ask(1, None)).yes("bob", 1);
    let mut said = vec![("other_run", brought(&mut core, elsewhere))];
    let rows = [
        ("other_step", &["step"][..]),
        ("other_plan", &["plan_digest", "site_digest", "digest", "params"]),
        ("other_request", &["nonce", "journal_head", "asked_at_line"]),
        (
            "other_value",
            &["targets", "outputs", "losses", "expires_at", "question", "roles", "count", "requester"],
        ),
    ];
    for (row, names) in rows {
        for name in names {
            let other = with(&core, name, "other".into());
            said.push((row, brought(&mut core, other)));
        }
    }
    said
}

fn when() -> Vec<(&'static str, String)> {
    let mut core = Core::asked("r-1", "ann", ask(2, None));
    let yes = core.yes("bob", 1);
    core.bring(yes.clone());
    let mut said = vec![("twice", brought(&mut core, yes))];
    core.give_as(&actor("dave"), Input::Post(word("go")));
    said.push(("approved", word_of(&mut core, "dave")));

    let mut core = open();
    let old = core.yes("bob", 1);
    let no = signed(core.text("carol", Verdict::Reject, "not yet"), 2);
    core.bring(no);
    said.push(("not_asked", brought(&mut core, old.clone())));
    core.give_as(&actor("ann"), Input::Resume { attended: false, wait: true });
    core.outcome("go", Outcome::Asked(Box::new(Ask { nonce: "n2".to_owned(), ..ask(1, None) })));
    said.push(("other_attempt", brought(&mut core, old)));
    let late = Post::Answer { attempt: 1, answer: Box::new(word("go")) };
    said.push(("old_answer", why(&core.give_as(&actor("dave"), Input::Post(late)))));

    let end = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(25);
    let mut core = Core::asked("r-1", "ann", ask(1, Some(end)));
    let yes = core.yes("bob", 1);
    let no = signed(core.text("bob", Verdict::Reject, "no"), 1);
    core.now = end;
    said.push(("late", brought(&mut core, yes)));
    said.push(("late", brought(&mut core, no)));
    said.push(("late", word_of(&mut core, "dave")));

    let mut core = Core::asked("r-1", "ann", Ask { confirm: true, ..ask(1, None) });
    said.push(("no_evidence", word_of(&mut core, "dave")));
    let glass = Post::BreakGlass { step: go(), reason: " ".to_owned() };
    said.push(("no_reason", why(&core.give_as(&actor("ann"), Input::Post(glass)))));
    said
}

fn over() -> Vec<(&'static str, String)> {
    let mut core = open();
    let yes = core.yes("bob", 1);
    let mut said = Vec::new();
    core.state.phase = Phase::Backward;
    let post = || Input::Post(Post::Signed { step: go(), signed: yes.clone() });
    said.push(("undoing", why(&core.take(&actor("mail"), post()))));
    core.state.phase = Phase::Finished;
    said.push(("over", why(&core.take(&actor("mail"), post()))));
    let mut core = open();
    let away = Input::Export { to: "elsewhere".to_owned() };
    core.take(&actor("ann"), Input::Stop { hard: false, reason: "later".to_owned() });
    core.take(&Actor::engine(), Input::Next);
    core.take(&actor("ann"), away);
    said.push(("moved", word_of(&mut core, "dave")));
    said
}

#[test]
fn every_refusal_is_said_as_the_table_says() {
    let said: Vec<_> = [who(), proof(), what(), when(), over()].concat();
    prove(0, &said);
}

#[test]
fn no_refusal_is_missing_from_the_table() {
    let posts = include_str!("../../engine/run/decide/said.rs").split("\nfn resolve(").next().unwrap();
    let sources = [
        include_str!("../../engine/run/consent.rs"),
        include_str!("../../engine/run/approval.rs"),
        include_str!("../../engine/run/signature.rs"),
        posts,
    ];
    prove_complete(0, &sources, &[]);
}
