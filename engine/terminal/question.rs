//! What people are asked about a step, and what their answers mean: all that is to be decided is told first. Pure: state and
//! text in, `Post` out. Must never ask somebody whose word would not count.

use super::line::clock;
use crate::plan::StepId;
use crate::run::approval::{self, Verdict};
use crate::run::{
    Answers, Ask, Phase, Post, Resolution, State, StepState, answers, deciders, may_answer, signers,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// Results of a step that would be lost are told in so many lines at most.
const MOST_LOSSES: usize = 12;

/// A question about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub step: StepId,
    pub kind: Kind,
    pub title: String,
    /// The question with all that is needed to decide it.
    pub lines: Vec<String>,
    /// Everything that stands behind it, for whoever wants to read it.
    pub whole: Vec<String>,
    /// Commands that answer it from any terminal, what matters first.
    pub commands: Vec<String>,
    /// Why whoever sits here is not asked.
    pub barred: Option<String>,
    /// Who answers with those commands, when it is somebody else.
    pub whose: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Approval,
    /// Somebody does something by hand and says what they saw.
    Task,
    Unknown,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Post(Post),
    /// It wants a reason too; the post is made with it.
    Why {
        ask: &'static str,
        resolution: Option<Resolution>,
    },
    /// It is not an answer; what would be.
    Again(String),
    /// All that stands behind the question.
    More,
}

impl Question {
    /// None: there is nothing to ask about this step. `me`: who sits here.
    pub fn of(state: &State, step: &StepId, me: &str, zone: &TimeZone) -> Option<Self> {
        let entry = state.entry(step)?;
        match entry.state {
            StepState::AwaitingApproval => Self::of_people(state, step, me, zone),
            StepState::Unknown => Self::of_outcome(state, step),
            StepState::Waiting
            | StepState::Running
            | StepState::Retrying { .. }
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undoing
            | StepState::Undone
            | StepState::UndoFailed
            | StepState::Left => None,
        }
    }

    fn of_people(state: &State, step: &StepId, me: &str, zone: &TimeZone) -> Option<Self> {
        let entry = state.entry(step).filter(|_| state.phase == Phase::Forward)?;
        let ask = entry.ask.as_ref()?;
        let decision = approval::decision(state, step, me, Verdict::Approve, "")?;
        let empty = Map::new();
        let mut decision = decision.as_object().unwrap_or(&empty).clone();
        let mut lines: Vec<String> = ask.message.lines().map(str::to_owned).collect();
        if title(state, step).is_empty() {
            lines = lines.split_off(1.min(lines.len()));
        }
        lines.extend(at_stake(&decision));
        lines.extend(agreed(state, step, ask));
        lines.extend(who_decides(state, step, ask));
        if let Some(expires) = ask.expires_at {
            lines.push(format!("without an answer by {} it counts as no", when(expires, state, zone)));
        }
        for own in ["decision", "approver", "comment"] {
            decision.remove(own);
        }
        let Answers { whose, yes, ways, no } = answers(state, step, Some(me));
        Some(Self {
            step: step.clone(),
            kind: if ask.confirm { Kind::Task } else { Kind::Approval },
            title: headed(state, step, ask.message.lines().next().unwrap_or_default()),
            lines,
            whole: approval::shown(&decision),
            commands: [vec![yes], ways, vec![no]].concat(),
            barred: may_answer(state, step, me).err(),
            whose,
        })
    }

    fn of_outcome(state: &State, step: &StepId) -> Option<Self> {
        let evidence = state.entry(step)?.evidence.as_ref()?;
        let mut lines = vec![evidence.message.clone()];
        lines.extend(evidence.facts.iter().map(|fact| format!("- {fact}")));
        let run = &state.run;
        let command =
            |(flag, why): (&str, &str)| format!("runplan resolve {run} {step} {flag} --reason '{why}'");
        let answers =
            [("--done", "it took effect"), ("--retry", "it took no effect"), ("--skip", "it is not needed")];
        Some(Self {
            step: step.clone(),
            kind: Kind::Unknown,
            title: headed(state, step, "it is not known what became of it"),
            lines: match title(state, step).is_empty() {
                true => lines,
                false => [vec!["it is not known what became of it:".to_owned()], lines].concat(),
            },
            whole: Vec::new(),
            commands: answers.into_iter().map(command).collect(),
            barred: None,
            whose: None,
        })
    }

    /// How to answer.
    pub fn ask(&self) -> &'static str {
        match self.kind {
            Kind::Approval => "approve? [yes/no, a comment may follow: `yes, checked with Ann`]",
            Kind::Task => "what you did and saw (`no` and why, when it cannot be done):",
            Kind::Unknown => {
                "[done] it took effect, [retry] do it again, [skip] go on without it, [stop] the run"
            }
        }
    }

    pub fn read(&self, line: &str) -> Answer {
        let line = line.trim();
        if line == "?" {
            return Answer::More;
        }
        let (word, rest) = match line.find(|c: char| !c.is_alphanumeric()) {
            Some(end) => (&line[..end], line[end..].trim_start_matches([',', ':', ' ', '-']).trim()),
            None => (line, ""),
        };
        let word = word.to_lowercase();
        match self.kind {
            Kind::Approval => self.approval(&word, rest),
            Kind::Task => match word.as_str() {
                "" => Answer::Again("the evidence is wanted: what was done, and what was seen".to_owned()),
                "n" | "no" => self.rejection(rest),
                _ => Answer::Post(Post::Approve { step: self.step.clone(), comment: line.to_owned() }),
            },
            Kind::Unknown => self.resolution(&word, rest),
        }
    }

    fn approval(&self, word: &str, rest: &str) -> Answer {
        match word {
            "y" | "yes" => Answer::Post(Post::Approve { step: self.step.clone(), comment: rest.to_owned() }),
            "n" | "no" => self.rejection(rest),
            _ => Answer::Again(no_answer(word, self.words())),
        }
    }

    fn rejection(&self, reason: &str) -> Answer {
        match reason {
            "" => Answer::Why { ask: "why not? (nothing is decided without a reason)", resolution: None },
            reason => Answer::Post(Post::Reject { step: self.step.clone(), reason: reason.to_owned() }),
        }
    }

    fn resolution(&self, word: &str, rest: &str) -> Answer {
        let resolution = match word {
            "done" => Resolution::Done,
            "retry" => Resolution::Retry,
            "skip" => Resolution::Skip,
            "stop" => {
                let reason = if rest.is_empty() { "stopped at the question" } else { rest };
                return Answer::Post(Post::Stop { hard: false, reason: reason.to_owned() });
            }
            _ => return Answer::Again(no_answer(word, self.words())),
        };
        match rest {
            "" => Answer::Why { ask: "how do you know? (for the report)", resolution: Some(resolution) },
            reason => self.with_reason(Some(resolution), reason),
        }
    }

    fn words(&self) -> &'static str {
        match self.kind {
            Kind::Approval => "type `yes` or `no`",
            Kind::Task => "type what was done and seen, or `no`",
            Kind::Unknown => "type `done`, `retry`, `skip` or `stop`",
        }
    }

    /// The post that a reason completes.
    pub fn with_reason(&self, resolution: Option<Resolution>, reason: &str) -> Answer {
        let (step, reason) = (self.step.clone(), reason.trim().to_owned());
        if reason.is_empty() {
            return Answer::Again(format!("nothing is decided without a reason; {}", self.words()));
        }
        Answer::Post(match resolution {
            None => Post::Reject { step, reason },
            Some(resolution) => Post::Resolve { step, resolution, reason, loss: None },
        })
    }
}

/// What was typed is named, as far as it is one.
fn no_answer(word: &str, words: &str) -> String {
    match word {
        "" => format!("nothing is decided yet: {words}"),
        word => format!("`{}` is no answer: {words}", word.chars().take(20).collect::<String>()),
    }
}

fn title<'s>(state: &'s State, step: &StepId) -> &'s str {
    state.shape.flow.step(step.as_str()).and_then(|step| step.title.as_deref()).unwrap_or_default()
}

/// `go: Swap it in?`
fn headed(state: &State, step: &StepId, or: &str) -> String {
    let title = title(state, step);
    format!("{step}: {}", if title.is_empty() { or } else { title })
}

/// What would be lost, where, how bad it is and who wants it, from what is signed where decisions are signed.
fn at_stake(decision: &Map<String, Value>) -> Vec<String> {
    let word = |name: &str| decision.get(name).and_then(Value::as_str).unwrap_or_default();
    let fields = |name: &str| decision.get(name).and_then(Value::as_object).into_iter().flatten();
    let mut lines = Vec::new();
    for (step, summary) in fields("losses") {
        let text = summary.as_str().map_or_else(|| summary.to_string(), str::to_owned);
        let mut told = text.lines();
        lines.push(format!("would be lost ({step}): {}", told.next().unwrap_or_default()));
        lines.extend(told.by_ref().take(MOST_LOSSES).map(|line| format!("  {line}")));
        if told.next().is_some() {
            lines.push("  … and more: type ? to read all of it".to_owned());
        }
    }
    for (name, target) in fields("targets") {
        let environment = target.get("environment").and_then(Value::as_str);
        let environment = environment.map(|word| format!(" ({word})")).unwrap_or_default();
        let server = target.get("system_identifier").and_then(Value::as_str).unwrap_or("not known");
        lines.push(format!("target: {name}{environment}, server {server}"));
    }
    let severity = word("severity");
    let by = if word("requester").is_empty() { "" } else { word("requester") };
    let started = match (by, word("reason")) {
        ("", "") => String::new(),
        (by, "") => format!("started by {by}"),
        (by, reason) => format!("started by {by}: {reason}"),
    };
    match (severity, started.as_str()) {
        ("", "") => {}
        ("", started) => lines.push(started.to_owned()),
        (severity, "") => lines.push(format!("severity: {severity}")),
        (severity, started) => lines.push(format!("severity: {severity}; {started}")),
    }
    lines
}

/// `1 of 2 have agreed: ann (looks right)`
fn agreed(state: &State, step: &StepId, ask: &Ask) -> Option<String> {
    let count = ask.count.max(1);
    let entry = state.entry(step)?;
    let approved: Vec<String> = entry
        .decisions
        .iter()
        .filter(|decision| decision.approved)
        .map(|decision| match decision.comment.trim() {
            "" => decision.by.clone(),
            comment => format!("{} ({comment})", decision.by),
        })
        .collect();
    let names = if approved.is_empty() { String::new() } else { format!(": {}", approved.join(", ")) };
    (count > 1 || !approved.is_empty()).then(|| format!("{} of {count} have agreed{names}", approved.len()))
}

fn who_decides(state: &State, step: &StepId, ask: &Ask) -> Vec<String> {
    let people = deciders(state, step);
    let mut lines = Vec::new();
    if !ask.people.is_empty() {
        let roles: Vec<&str> = ask.roles.iter().map(|role| role.as_str()).collect();
        let roles = if roles.is_empty() { String::new() } else { format!(" ({})", roles.join(", ")) };
        lines.push(format!("may decide: {}{roles}", people.join(", ")));
    }
    let signers: Vec<String> = signers(state, ask).into_iter().filter(|name| people.contains(name)).collect();
    if !signers.is_empty() {
        lines.push(format!("by signature alone: {}", signers.join(", ")));
    }
    lines
}

/// The time of day, with the day when that is another one than the question's.
fn when(at: Timestamp, state: &State, zone: &TimeZone) -> String {
    let day = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let is_today = state.started_at.is_some_and(|began| day(began) == day(at));
    if is_today { clock(at, zone) } else { format!("{} {}", day(at), clock(at, zone)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, line: &str) -> Answer {
        let none = Vec::new;
        let (step, title) = (StepId::from("s"), String::new());
        let question = Question {
            step,
            kind,
            title,
            lines: none(),
            whole: none(),
            commands: none(),
            barred: None,
            whose: None,
        };
        question.read(line)
    }

    fn approve(comment: &str) -> Answer {
        Answer::Post(Post::Approve { step: StepId::from("s"), comment: comment.to_owned() })
    }

    #[test]
    fn only_a_clear_yes_approves() {
        assert_eq!(read(Kind::Approval, "y"), approve(""));
        assert_eq!(read(Kind::Approval, " Yes, checked with Ann "), approve("checked with Ann"));
        for unclear in ["", " ", "ok", "yesterday", "ye", "j", "1", "true"] {
            assert!(matches!(read(Kind::Approval, unclear), Answer::Again(_)), "{unclear:?}");
        }
        let no = Post::Reject { step: StepId::from("s"), reason: "too late".to_owned() };
        assert_eq!(read(Kind::Approval, "no: too late"), Answer::Post(no));
        assert!(matches!(read(Kind::Approval, "n"), Answer::Why { resolution: None, .. }));
    }

    #[test]
    fn what_is_no_answer_is_named_with_what_would_be_one() {
        let said = |kind, line| match read(kind, line) {
            Answer::Again(words) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(Kind::Approval, "maybe"), "`maybe` is no answer: type `yes` or `no`");
        assert_eq!(said(Kind::Approval, "  "), "nothing is decided yet: type `yes` or `no`");
        assert_eq!(said(Kind::Unknown, "yes"), "`yes` is no answer: type `done`, `retry`, `skip` or `stop`");
        assert_eq!(read(Kind::Unknown, " ? "), Answer::More);
    }

    #[test]
    fn a_task_wants_its_evidence() {
        assert!(matches!(read(Kind::Task, ""), Answer::Again(_)));
        assert_eq!(read(Kind::Task, "ticket 4711 says restored"), approve("ticket 4711 says restored"));
        assert!(matches!(read(Kind::Task, "no"), Answer::Why { .. }));
    }

    #[test]
    fn an_unknown_outcome_wants_a_word_and_a_reason() {
        assert!(matches!(read(Kind::Unknown, "yes"), Answer::Again(_)));
        assert!(matches!(
            read(Kind::Unknown, "done"),
            Answer::Why { resolution: Some(Resolution::Done), .. }
        ));
        let retry = Post::Resolve {
            step: StepId::from("s"),
            resolution: Resolution::Retry,
            reason: "the file is not there".to_owned(),
            loss: None,
        };
        assert_eq!(read(Kind::Unknown, "retry: the file is not there"), Answer::Post(retry));
        assert!(matches!(read(Kind::Unknown, "stop"), Answer::Post(Post::Stop { hard: false, .. })));
    }

    #[test]
    fn one_letter_settles_no_doubt() {
        for letter in ["d", "s", "r", "do it again"] {
            assert!(matches!(read(Kind::Unknown, letter), Answer::Again(_)), "{letter}");
        }
    }
}
