//! What people are asked about a step, and what their answers mean. Pure: text in, `Post` out.

use crate::plan::StepId;
use crate::run::{Post, Resolution, State, StepState, signers};

/// A question about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub step: StepId,
    pub kind: Kind,
    /// The question with all that is needed to decide it.
    pub lines: Vec<String>,
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
    Again(&'static str),
}

impl Question {
    /// None: there is nothing to ask about this step.
    pub fn of(state: &State, step: &StepId) -> Option<Self> {
        let entry = state.entry(step)?;
        let title = state.shape.flow.step(step.as_str()).and_then(|step| step.title.clone());
        let mut lines: Vec<String> = title.into_iter().collect();
        let kind = match entry.state {
            StepState::AwaitingApproval => {
                let ask = entry.ask.as_ref()?;
                lines.extend(ask.message.lines().map(str::to_owned));
                if !ask.people.is_empty() {
                    lines.push(format!("may decide: {}", ask.people.join(", ")));
                }
                let signers = signers(state, ask);
                if !signers.is_empty() {
                    let names = signers.join(", ");
                    lines.push(format!(
                        "by signature alone: {names}; with `runplan approve {} {step}`",
                        state.run
                    ));
                }
                if let Some(expires) = ask.expires_at {
                    lines.push(format!("without an answer by {expires} it counts as rejected"));
                }
                if ask.confirm { Kind::Task } else { Kind::Approval }
            }
            StepState::Unknown => {
                let evidence = entry.evidence.as_ref()?;
                lines.push(format!("It is not known what became of it: {}", evidence.message));
                lines.extend(evidence.facts.iter().map(|fact| format!("- {fact}")));
                Kind::Unknown
            }
            StepState::Waiting
            | StepState::Running
            | StepState::Retrying { .. }
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undoing
            | StepState::Undone
            | StepState::UndoFailed
            | StepState::Left => return None,
        };
        Some(Self { step: step.clone(), kind, lines })
    }

    /// The last line, after which the answer is typed.
    pub fn ask(&self) -> &'static str {
        match self.kind {
            Kind::Approval => "approve? [yes/no, a comment may follow: `yes, checked with Ann`] ",
            Kind::Task => "what you did and saw (`no` and why, when it cannot be done): ",
            Kind::Unknown => "[done] it took effect, [retry] do it again, [skip] go on without it, [stop] ",
        }
    }

    pub fn read(&self, line: &str) -> Answer {
        let line = line.trim();
        let (word, rest) = match line.find(|c: char| !c.is_alphanumeric()) {
            Some(end) => (&line[..end], line[end..].trim_start_matches([',', ':', ' ', '-']).trim()),
            None => (line, ""),
        };
        let word = word.to_lowercase();
        match self.kind {
            Kind::Approval => self.approval(&word, rest),
            Kind::Task => match word.as_str() {
                "" => Answer::Again("the evidence is wanted: what was done, and what was seen"),
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
            _ => Answer::Again("type `yes` or `no`"),
        }
    }

    fn rejection(&self, reason: &str) -> Answer {
        match reason {
            "" => Answer::Why { ask: "why not? ", resolution: None },
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
            _ => return Answer::Again("type the whole word: `done`, `retry`, `skip` or `stop`"),
        };
        match rest {
            "" => Answer::Why { ask: "how do you know? (for the report) ", resolution: Some(resolution) },
            reason => self.with_reason(Some(resolution), reason),
        }
    }

    /// The post that a reason completes.
    pub fn with_reason(&self, resolution: Option<Resolution>, reason: &str) -> Answer {
        let (step, reason) = (self.step.clone(), reason.trim().to_owned());
        if reason.is_empty() {
            return Answer::Again("a reason is wanted");
        }
        Answer::Post(match resolution {
            None => Post::Reject { step, reason },
            Some(resolution) => Post::Resolve { step, resolution, reason, loss: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, line: &str) -> Answer {
        Question { step: StepId::from("s"), kind, lines: Vec::new() }.read(line)
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
