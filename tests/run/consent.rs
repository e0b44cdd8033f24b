//! Who may decide, by what proof: every answer is judged by the core, whatever way it came. Signatures are made here with keys of
//! known seeds; that they are those of ssh-keygen is tested with the program.

use crate::support::shape::started;
use jiff::{SignedDuration, Timestamp};
use runplan::graph::Graph;
use runplan::plan::{Name, RunId, StepId, load};
use runplan::run::approval::{Verdict, canonical, decision};
use runplan::run::{
    Actor, Ask, Effect, Event, Failure, Input, Occasion, Outcome, Outputs, Phase, Post, Record, Shape,
    Signed, Started, State, StepState, decide, next_wakeup, notices,
};
use serde_json::Value;
use ssh_key::private::{Ed25519Keypair, PrivateKey};
use ssh_key::{HashAlg, LineEnding};
use std::sync::Arc;

const PLAN: &str = "runplan: 1
name: test
severity: medium
steps:
  - id: count
    shell: { argv: [\"true\"], changes: none }
  - id: go
    needs: [count]
    approve: { message: \"Go on?\", roles: [lead] }
  - id: end
    needs: [go]
    shell: { argv: [\"true\"], changes: none }
";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// bob signs with 1, carol with 2, and with bob's as well; dave has no key; eve signs with 3 and has another role.
fn site() -> String {
    let line = |seed| key(seed).public_key().to_openssh().unwrap();
    format!(
        "runplan: 1
channels:
  ops: {{ type: console }}
  leads: {{ type: console, events: [deadline] }}
  bosses: {{ type: console }}
roles:
  lead: {{ people: [ {{ name: bob, keys: [\"{}\"] }}, {{ name: carol, keys: [\"{}\", \"{}\"] }}, dave ], channels: [ops] }}
  other: {{ people: [ {{ name: eve, keys: [\"{}\"] }} ] }}
  boss: {{ people: [zoe], channels: [bosses] }}
severities:
  critical: {{ role: boss }}
  high: {{}}
  medium: {{ role: lead, deadline: 1h }}
",
        line(1),
        line(2),
        line(1),
        line(3)
    )
}

pub(super) struct Core {
    pub(super) state: State,
    pub(super) now: Timestamp,
}

fn shape(plan: &str) -> Shape {
    let site = site();
    let loaded = load(("plan.yaml", plan), Some(("runplan.yaml", &site)), &|_| Err("no files".to_owned()));
    assert_eq!(loaded.findings, []);
    Shape {
        plan: loaded.plan.clone().unwrap(),
        site: loaded.site.clone(),
        flow: loaded.flow.clone(),
        graph: Arc::new(Graph::new(&loaded.flow).unwrap()),
        loaded: Arc::new(loaded),
    }
}

pub(super) fn actor(name: &str) -> Actor {
    Actor { name: name.to_owned(), uid: 1, host: "h".to_owned() }
}

pub(super) fn ask(count: u16, expires_at: Option<Timestamp>) -> Ask {
    Ask {
        message: "Go on?".to_owned(),
        confirm: false,
        people: ["bob", "carol", "dave"].map(str::to_owned).to_vec(),
        roles: vec![Name::new("lead")],
        count,
        expires_at,
        allow_requester: false,
        nonce: "n1".to_owned(),
    }
}

impl Core {
    /// Begun by this person, and told when the incident began.
    fn begun(run: &str, by: &str, incident: Option<Timestamp>) -> Self {
        let run = RunId::parse(run).unwrap();
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
        let mut core = Self { state: State::new(run, shape(PLAN)), now };
        let severity = Some("medium".to_owned());
        let started = Started { severity, incident_started_at: incident, wait: true, ..started(false) };
        core.give_as(&actor(by), Input::Begin(Box::new(started)));
        core
    }

    /// It waits for the approval.
    pub(super) fn asked(run: &str, by: &str, ask: Ask) -> Self {
        let mut core = Self::begun(run, by, None);
        let outputs: Outputs = [("stdout".to_owned(), Value::from("42 rows"))].into_iter().collect();
        core.outcome("count", Outcome::Done(outputs));
        core.outcome("go", Outcome::Asked(Box::new(ask)));
        assert_eq!(core.is("go"), StepState::AwaitingApproval);
        core
    }

    pub(super) fn outcome(&mut self, step: &str, outcome: Outcome) {
        let attempt = self.state.entry(&StepId::from(step)).unwrap().attempts;
        self.give_as(&Actor::engine(), Input::Outcome { step: StepId::from(step), attempt, outcome });
    }

    pub(super) fn give_as(&mut self, who: &Actor, input: Input) -> Vec<Event> {
        let mut all = self.take(who, input);
        loop {
            let more = self.take(&Actor::engine(), Input::Next);
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    pub(super) fn take(&mut self, who: &Actor, input: Input) -> Vec<Event> {
        let events = decide(&self.state, who, input, self.now);
        for event in &events {
            let (run, head) = (self.state.run.clone(), self.state.head.clone());
            let record = Record::seal(&run, self.state.seq + 1, self.now, who, event.clone(), &head);
            // What is written can be read, in the same words.
            assert_eq!(Record::read(&record.line, record.seq, &head).unwrap(), record);
            self.state.apply(&record).unwrap();
        }
        events
    }

    fn is(&self, step: &str) -> StepState {
        self.state.entry(&StepId::from(step)).unwrap().state
    }

    /// What this person would sign now.
    pub(super) fn text(&self, by: &str, verdict: Verdict, comment: &str) -> String {
        canonical(&decision(&self.state, &StepId::from("go"), by, verdict, comment).unwrap())
    }

    pub(super) fn yes(&self, by: &str, seed: u8) -> Signed {
        signed(self.text(by, Verdict::Approve, ""), seed)
    }

    /// Whoever brings it.
    pub(super) fn bring(&mut self, signed: Signed) -> Vec<Event> {
        self.give_as(&actor("mail"), Input::Post(Post::Signed { step: StepId::from("go"), signed }))
    }

    /// It is refused, for this reason, and nothing has changed.
    #[track_caller]
    fn refuses(&mut self, signed: Signed, why: &str) {
        let before = self.is("go");
        let said = self.bring(signed);
        refused(&said, why);
        assert_eq!(self.is("go"), before);
    }
}

#[track_caller]
fn refused(said: &[Event], why: &str) {
    assert!(
        matches!(said, [Event::DecisionRefused { reason, .. }] if reason.contains(why)),
        "not refused with {why:?}: {said:?}"
    );
}

pub(super) fn signed(text: String, seed: u8) -> Signed {
    signed_for("runplan-approval", text, seed)
}

pub(super) fn signed_for(namespace: &str, text: String, seed: u8) -> Signed {
    let signature = key(seed).sign(namespace, HashAlg::Sha512, text.as_bytes()).unwrap();
    Signed { text, signature: signature.to_pem(LineEnding::LF).unwrap() }
}

pub(super) fn word(step: &str) -> Post {
    Post::Approve { step: StepId::from(step), comment: String::new() }
}

#[test]
fn a_signed_yes_counts_whoever_brings_it() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let yes = core.yes("bob", 1);
    let said = core.bring(yes.clone());
    assert!(
        matches!(&said[..2], [Event::ApprovalGiven { by, signed: Some(kept), .. }, Event::StepDone { outputs, .. }]
            if by == "bob" && *kept == yes && outputs["signed"] == true && outputs["approved_by"] == "bob"),
        "{said:?}"
    );
    assert_eq!(core.is("end"), StepState::Running);
}

#[test]
fn a_signed_no_is_a_failed_step() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let no = signed(core.text("carol", Verdict::Reject, "too much is lost"), 2);
    let said = core.bring(no);
    assert!(
        matches!(&said[0], Event::ApprovalRejected { by, reason, signed: Some(_), .. } if by == "carol" && reason == "too much is lost"),
        "{said:?}"
    );
    assert_eq!(core.is("go"), StepState::Failed);
}

#[test]
fn who_has_a_key_decides_by_signature_alone_and_who_has_none_by_word() {
    let mut core = Core::asked("r-1", "ann", ask(2, None));
    let no = Post::Reject { step: StepId::from("go"), reason: "no".to_owned() };
    for post in [word("go"), no, Post::Answer { attempt: 1, answer: Box::new(word("go")) }] {
        let said = core.give_as(&actor("bob"), Input::Post(post));
        refused(&said, "bob has a key in the site file and decides by signature");
    }
    let said = core.give_as(&actor("dave"), Input::Post(word("go")));
    assert!(matches!(&said[0], Event::ApprovalGiven { by, signed: None, .. } if by == "dave"), "{said:?}");
    let yes = core.yes("bob", 1);
    let said = core.bring(yes);
    let Event::StepDone { outputs, .. } = &said[1] else { panic!("{said:?}") };
    assert_eq!(outputs["signed"], false, "not all of them were signed");
}

#[test]
fn self_approval_is_refused_signed_or_not() {
    let mut core = Core::asked("r-1", "bob", ask(1, None));
    let own = core.yes("bob", 1);
    core.refuses(own, "bob started the run and cannot approve it");
    let mut core = Core::asked("r-1", "dave", ask(1, None));
    let said = core.give_as(&actor("dave"), Input::Post(word("go")));
    refused(&said, "dave started the run and cannot approve it");
}

#[test]
fn a_decision_for_another_run_is_refused() {
    let elsewhere = Core::asked("r-2", "ann", ask(1, None)).yes("bob", 1);
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    core.refuses(elsewhere, "it was signed for the run r-2, and this is r-1");
}

#[test]
fn a_decision_for_an_earlier_attempt_is_refused() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let old = core.yes("bob", 1);
    let no = signed(core.text("carol", Verdict::Reject, "not yet"), 2);
    core.bring(no);
    core.refuses(old.clone(), "it does not wait for an approval");
    core.give_as(&actor("ann"), Input::Resume { attended: false, wait: true });
    core.outcome("go", Outcome::Asked(Box::new(Ask { nonce: "n2".to_owned(), ..ask(1, None) })));
    core.refuses(old, "it was signed for attempt 1, and attempt 2 is asked now");
}

#[test]
fn the_same_decision_counts_once_and_one_person_once() {
    let mut core = Core::asked("r-1", "ann", ask(2, None));
    let yes = core.yes("bob", 1);
    core.bring(yes.clone());
    core.refuses(yes, "bob has approved already");
    let again = signed(core.text("bob", Verdict::Approve, "once more"), 1);
    core.refuses(again, "bob has approved already");
    let other = core.yes("carol", 2);
    core.bring(other);
    assert_eq!(core.is("go"), StepState::Done);
}

#[test]
fn a_decision_that_is_late_is_refused() {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(25);
    let mut core = Core::asked("r-1", "ann", ask(1, Some(now)));
    let yes = core.yes("bob", 1);
    core.now = now;
    core.refuses(yes, "its time is up, which counts as no");
}

#[test]
fn a_decision_of_the_wrong_role_is_refused() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let eve = core.yes("eve", 3);
    core.refuses(eve, "eve has none of the roles that decide; they are: bob, carol, dave");
    let posing = core.yes("eve", 1);
    core.refuses(posing, "eve has none of the roles that decide; they are: bob, carol, dave");
    let posing = core.yes("bob", 3);
    core.refuses(posing, "it says that bob decides, and is signed with a key of eve");
    let stranger = core.yes("bob", 9);
    core.refuses(stranger, "it was signed with another key (SHA256:");
    let keyless = core.yes("dave", 9);
    core.refuses(keyless, "dave has no key in the site file");
}

#[test]
fn a_forged_decision_is_refused() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let no = signed(core.text("bob", Verdict::Reject, "no"), 1);
    let turned = Signed { text: no.text.replace("\"reject\"", "\"approve\""), ..no.clone() };
    core.refuses(turned, "the decision or the signature was changed after it was signed");
    let mut letters: Vec<char> = no.signature.chars().collect();
    let middle = letters.len() * 3 / 4;
    letters[middle] = if letters[middle] == 'A' { 'B' } else { 'A' };
    let broken = Signed { signature: letters.into_iter().collect(), ..no.clone() };
    let said = core.bring(broken);
    assert!(matches!(said.as_slice(), [Event::DecisionRefused { .. }]), "{said:?}");
    let spaced = Signed { text: no.text.replace(",\"", ", \""), ..no.clone() };
    core.refuses(spaced, "not in its canonical form");
    let other = signed_for("file", core.text("bob", Verdict::Approve, ""), 1);
    core.refuses(other, "signed for another purpose (`file`, not `runplan-approval`)");
    for text in ["", "{}", "[1]", "null"] {
        let odd = signed(text.to_owned(), 1);
        let said = core.bring(odd);
        assert!(matches!(said.as_slice(), [Event::DecisionRefused { .. }]), "{said:?}");
    }
    core.refuses(
        Signed { signature: "-----BEGIN".to_owned(), ..core.yes("bob", 1) },
        "the signature cannot be read",
    );
}

#[test]
fn a_word_about_a_step_that_is_not_there_harms_nothing() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let yes = core.yes("bob", 1);
    let step = || StepId::from("nowhere");
    let odd = [
        word("nowhere"),
        Post::Signed { step: step(), signed: yes.clone() },
        Post::BreakGlass { step: step(), reason: "r".to_owned() },
        Post::Answer { attempt: 1, answer: Box::new(Post::Signed { step: step(), signed: yes }) },
    ];
    for post in odd {
        assert_eq!(core.give_as(&actor("eve"), Input::Post(post)), []);
    }
    core.state.phase = Phase::Finished;
    assert_eq!(core.give_as(&actor("eve"), Input::Post(word("nowhere"))), []);
}

#[test]
fn a_decision_on_another_plan_or_another_state_of_things_is_refused() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let text = core.text("bob", Verdict::Approve, "");
    let with = |name: &str, value: Value| {
        let mut said: Value = serde_json::from_str(&text).unwrap();
        assert!(said.get(name).is_some(), "{name}");
        said[name] = value;
        signed(canonical(&said), 1)
    };
    for name in ["plan_digest", "site_digest", "digest", "params"] {
        let other = with(name, "other".into());
        core.refuses(other, "it was signed for another plan");
    }
    for name in ["nonce", "journal_head", "asked_at_line"] {
        let other = with(name, 7.into());
        core.refuses(other, "for another request");
    }
    for name in ["targets", "outputs", "losses", "expires_at", "question", "roles", "count"] {
        let other = with(name, "other".into());
        core.refuses(other, &format!("its `{name}` is not what is asked now"));
    }
    let mut more: Value = serde_json::from_str(&text).unwrap();
    more["more"] = true.into();
    core.refuses(signed(canonical(&more), 1), "its `more` is not what is asked now");
    core.refuses(with("step", "end".into()), "it was signed for the step end");
    core.refuses(with("decision", "maybe".into()), "`maybe` is no decision");
}

#[test]
fn what_is_signed_holds_what_the_question_stands_on() {
    let core = Core::asked("r-1", "ann", ask(1, None));
    let said: Value = serde_json::from_str(&core.text("bob", Verdict::Approve, "fine")).unwrap();
    assert_eq!(said["outputs"]["count"]["stdout"], "42 rows");
    assert_eq!((&said["run"], &said["attempt"], &said["nonce"]), (&"r-1".into(), &1.into(), &"n1".into()));
    assert_eq!(said["journal_head"].as_str().unwrap().len(), 64);
}

#[test]
fn breaking_the_glass_goes_past_everybody_and_everybody_is_told() {
    let mut core = Core::asked("r-1", "ann", ask(2, None));
    let glass = |reason: &str| Post::BreakGlass { step: StepId::from("go"), reason: reason.to_owned() };
    let said = core.give_as(&actor("ann"), Input::Post(glass(" ")));
    refused(&said, "wants its reason");
    let said = core.give_as(&actor("ann"), Input::Post(glass("nobody answers")));
    let told = said.iter().find(|event| matches!(event, Event::GlassBroken { by, reason, .. } if by == "ann" && reason == "nobody answers"));
    let effects = Effect::of(told.unwrap());
    assert_eq!(effects, [Effect::Handle { occasion: Occasion::BreakGlass }]);
    assert_eq!(core.is("go"), StepState::Done);
    let notices = notices(&core.state, Occasion::BreakGlass);
    let channels: Vec<&str> = notices.iter().map(|notice| notice.channel.as_str()).collect();
    assert_eq!(channels, ["ops", "leads", "bosses"], "all of them, whatever they want to hear of");
    assert!(
        notices[0].text.contains("ann approved go alone, past the rules: nobody answers"),
        "{}",
        notices[0].text
    );
    assert!(core.take(&Actor::engine(), Input::Next).is_empty(), "once");
}

#[test]
fn glass_that_was_broken_while_nobody_drove_the_run_is_told_before_it_goes_on() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    core.take(&actor("ann"), Input::Stop { hard: false, reason: "later".to_owned() });
    core.take(&Actor::engine(), Input::Next);
    assert!(core.state.parked.is_some());
    let glass = Post::BreakGlass { step: StepId::from("go"), reason: "fire".to_owned() };
    core.take(&actor("ann"), Input::Post(glass));
    let said = core.give_as(&actor("ann"), Input::Resume { attended: false, wait: false });
    let kinds: Vec<&str> = said.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["run_resumed", "glass_broken", "step_started"]);
}

#[test]
fn what_a_channel_was_not_told_is_known_until_it_is() {
    let mut core = Core::asked("r-1", "ann", ask(1, None));
    let glass = Post::BreakGlass { step: StepId::from("go"), reason: "fire".to_owned() };
    core.give_as(&actor("ann"), Input::Post(glass));
    let left = |core: &Core| -> Vec<(String, u32)> {
        let glass = core.state.untold.iter().filter(|one| one.occasion == Occasion::BreakGlass);
        glass.map(|one| (one.notice.channel.clone(), one.rounds)).collect()
    };
    assert_eq!(left(&core), [("ops".to_owned(), 0), ("leads".to_owned(), 0), ("bosses".to_owned(), 0)]);
    let line = core.state.untold.iter().find(|one| one.occasion == Occasion::BreakGlass).unwrap().line;
    let end = |core: &mut Core, index, line, failure: Option<Failure>| {
        let occasion = Occasion::BreakGlass;
        core.take(&Actor::engine(), Input::HandlerFinished { occasion, index, failure, line });
        left(core)
    };
    let away = || Failure::new("test::away", "it is away");
    assert_eq!(end(&mut core, 0, Some(line + 1), None).len(), 3, "of another time");
    assert_eq!(end(&mut core, 0, Some(line), None), [("leads".to_owned(), 0), ("bosses".to_owned(), 0)]);
    assert_eq!(
        end(&mut core, 1, Some(line), Some(away())),
        [("leads".to_owned(), 1), ("bosses".to_owned(), 0)]
    );
    assert_eq!(end(&mut core, 2, Some(line), Some(away().permanent())), [("leads".to_owned(), 1)]);
    // It is not tried for ever; and what an older version told is told.
    for _ in 0..3 {
        end(&mut core, 1, Some(line), Some(away()));
    }
    assert_eq!(left(&core), []);
    let waiting = core.state.untold.iter().find(|one| one.occasion == Occasion::Waiting).unwrap().index;
    let before = core.state.untold.len();
    let (occasion, failure) = (Occasion::Waiting, Some(away()));
    core.take(&Actor::engine(), Input::HandlerFinished { occasion, index: waiting, failure, line: None });
    assert_eq!(core.state.untold.len(), before - 1);
}

#[test]
fn a_passed_deadline_is_told_once_to_the_next_role() {
    let began = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(24 * 60 - 50);
    let mut core = Core::begun("r-1", "ann", Some(began));
    let due = began + SignedDuration::from_hours(1);
    assert_eq!(next_wakeup(&core.state), Some(due));
    assert!(core.take(&Actor::engine(), Input::Tick).is_empty(), "ten minutes are left");
    core.now = due;
    let said = core.take(&Actor::engine(), Input::Tick);
    // `high` has no role: the next worse row that has one decides.
    let role = Some(Name::new("boss"));
    assert_eq!(
        said,
        [Event::DeadlinePassed {
            severity: "medium".to_owned(),
            due_at: due,
            role: role.clone(),
            roles: role.into_iter().collect()
        }]
    );
    assert_eq!(Effect::of(&said[0]), [Effect::Handle { occasion: Occasion::Deadline }]);
    let notices = notices(&core.state, Occasion::Deadline);
    let channels: Vec<&str> = notices.iter().map(|notice| notice.channel.as_str()).collect();
    assert_eq!(channels, ["leads", "bosses"], "who wants to hear of deadlines, and the role's own");
    assert!(notices[0].text.contains("told too: boss (zoe)"), "{}", notices[0].text);
    assert!(core.take(&Actor::engine(), Input::Tick).is_empty(), "once");
    assert_eq!(next_wakeup(&core.state), None);
}

#[test]
fn a_role_hears_on_its_own_channels_that_it_is_asked() {
    let core = Core::asked("r-1", "ann", ask(1, None));
    let notices = notices(&core.state, Occasion::Waiting);
    assert_eq!(notices.iter().map(|notice| notice.channel.as_str()).collect::<Vec<_>>(), ["ops"]);
}
