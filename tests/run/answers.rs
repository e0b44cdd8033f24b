//! What each person is told to type about a question: never what would be refused to them.

use super::consent::{Core, actor, ask, word};
use jiff::{SignedDuration, Timestamp};
use runplan::plan::StepId;
use runplan::run::{Answers, Ask, Event, Input, Occasion, Post, answers, awaited, notices, standing};

const YES: &str = "runplan approve r-1 go";

fn told(core: &Core, me: Option<&str>) -> Answers {
    answers(&core.state, &StepId::from("go"), me)
}

/// Whose it is, the command and the other ways, a line each.
fn lines(core: &Core, me: Option<&str>) -> String {
    let Answers { whose, yes, ways, .. } = told(core, me);
    let all: Vec<String> = whose.into_iter().chain([yes]).chain(ways).collect();
    all.join("\n")
}

/// bob and carol have keys, dave has none.
#[test]
fn each_is_told_what_counts_from_them() {
    let core = Core::asked("r-1", "ann", ask(1, None));
    assert_eq!(lines(&core, Some("dave")), YES);
    assert_eq!(lines(&core, Some("bob")), format!("{YES}\n{YES} --key FILE"));
    // Who is not listed types for whoever is, with their key here or into a file.
    let anybody = format!(
        "to be decided by bob, carol or dave (lead)\n{YES}\n{YES} --key FILE\n{YES} --as bob --out decision.json"
    );
    for me in [None, Some("ann"), Some("deploy")] {
        assert_eq!(lines(&core, me), anybody, "{me:?}");
    }
    let no = told(&core, Some("dave")).no;
    assert_eq!(no, "runplan reject r-1 go --reason 'why not'");
}

#[test]
fn who_started_the_run_is_told_how_the_others_decide() {
    let core = Core::asked("r-1", "bob", ask(1, None));
    // A word of bob's would be refused, and so would be the own key: it has to say whose decision it is.
    assert_eq!(
        lines(&core, Some("bob")),
        format!(
            "to be decided by carol or dave (lead)\n{YES} --as carol --out decision.json\n{YES} --as carol --key FILE\n{YES}"
        )
    );
    assert_eq!(
        told(&core, Some("bob")).no,
        "runplan reject r-1 go --as carol --out decision.json --reason 'why not'"
    );
    let signed = Ask { people: vec!["bob".to_owned(), "carol".to_owned()], ..ask(1, None) };
    let core = Core::asked("r-1", "bob", signed);
    assert_eq!(told(&core, Some("bob")).whose.as_deref(), Some("to be signed by carol (lead)"));
    let typed = Ask { people: vec!["zoe".to_owned(), "dave".to_owned()], ..ask(1, None) };
    let core = Core::asked("r-1", "dave", typed);
    assert_eq!(lines(&core, Some("dave")), format!("to be typed by zoe (lead)\n{YES}"));
}

/// Nothing is told as one's own that the run would refuse.
#[test]
fn what_is_told_as_the_own_command_counts() {
    let names = ["ann", "bob", "carol", "dave", "zoe"];
    for (starts, people) in [("ann", vec!["dave", "zoe"]), ("dave", vec!["dave", "zoe"]), ("ann", vec![])] {
        for me in names {
            let people = people.iter().map(ToString::to_string).collect();
            let mut core = Core::asked("r-1", starts, Ask { people, ..ask(1, None) });
            let own = told(&core, Some(me)).whose.is_none();
            let said = core.give_as(&actor(me), Input::Post(word("go")));
            let counts = matches!(said.first(), Some(Event::ApprovalGiven { .. }));
            assert_eq!(own, counts, "{me} in a run of {starts}: {said:?}");
        }
    }
}

#[test]
fn who_has_agreed_is_waited_for_no_more() {
    let mut core = Core::asked("r-1", "ann", ask(2, None));
    assert_eq!(told(&core, None).whose.unwrap(), "to be decided by 2 of bob, carol or dave (lead)");
    core.give_as(&actor("dave"), Input::Post(word("go")));
    assert_eq!(told(&core, Some("dave")).whose.unwrap(), "to be signed by one more of bob or carol (lead)");
    let go = StepId::from("go");
    assert_eq!(awaited(&core.state, &go).unwrap(), "lead (bob, carol)");
    // The rest is named where there is room for it.
    let people = ["bob", "carol", "dave", "eve", "fay"].map(str::to_owned).to_vec();
    let core = Core::asked("r-1", "ann", Ask { people, ..ask(1, None) });
    assert_eq!(told(&core, None).whose.unwrap(), "to be decided by bob, carol, dave or 2 more (lead)");
}

#[test]
fn where_no_role_is_asked_it_is_whoever_may() {
    let open = |count| Ask { people: Vec::new(), roles: Vec::new(), ..ask(count, None) };
    let mut core = Core::asked("r-1", "ann", open(2));
    assert_eq!(lines(&core, Some("dave")), YES);
    assert_eq!(lines(&core, None), YES);
    // The site has roles, so who started it does not decide.
    assert_eq!(lines(&core, Some("ann")), format!("to be typed by somebody else\n{YES}"));
    core.give_as(&actor("dave"), Input::Post(word("go")));
    assert_eq!(lines(&core, Some("dave")), format!("to be typed by somebody else\n{YES}"));
}

#[test]
fn where_nobody_is_left_it_says_so() {
    let core = Core::asked("r-1", "dave", Ask { people: vec!["dave".to_owned()], ..ask(1, None) });
    let told = told(&core, Some("dave"));
    assert_eq!(told.whose.unwrap(), "nobody is left who may decide; in an emergency");
    assert_eq!(told.yes, format!("{YES} --break-glass 'why it cannot wait'"));
}

#[test]
fn a_task_is_typed_with_its_evidence() {
    let task = Ask { confirm: true, allow_requester: true, ..ask(1, None) };
    let core = Core::asked("r-1", "dave", task);
    assert_eq!(told(&core, Some("dave")).yes, format!("{YES} --comment 'what was done and seen'"));
}

#[test]
fn a_parked_run_and_a_notice_say_the_same() {
    let mut core = Core::asked("r-1", "dave", ask(1, None));
    core.give_as(&actor("dave"), Input::Post(Post::Stop { hard: false, reason: "lunch".to_owned() }));
    let stands = |core: &Core, me| standing(&core.state, core.now, me);
    assert!(stands(&core, None).is_some_and(|standing| standing.whose.is_none()), "it was stopped");

    let mut core =
        Core::asked("r-1", "dave", ask(1, Some(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(25))));
    core.give_as(&actor("dave"), Input::Resume { attended: false, wait: false });
    let own = stands(&core, Some("dave")).unwrap();
    assert_eq!(own.command, format!("{YES} --as bob --out decision.json"));
    assert!(own.typed().starts_with("to be signed by bob or carol (lead): runplan approve"), "{own:?}");
    assert_eq!(own.as_json()["whose"], "to be signed by bob or carol (lead)");
    assert_eq!(stands(&core, Some("bob")).unwrap().whose, None);
    let notice = notices(&core.state, Occasion::Waiting).remove(0).text;
    assert!(
        notice.contains(&format!("to be signed by bob or carol (lead): {YES}\nor: {YES} --key FILE\n")),
        "{notice}"
    );
    core.now += SignedDuration::from_hours(2);
    let late = stands(&core, Some("dave")).unwrap();
    assert_eq!((late.command.as_str(), late.whose), ("runplan resume r-1", None));
}
