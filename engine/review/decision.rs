//! Whether a step would run, as far as that is known before.

use crate::plan::action::Kind;
use crate::plan::template::{self, Scope};
use crate::plan::{Bare, Plan, Step};
use serde::Serialize;

/// `decision` and `reason` of a reviewed step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", content = "reason", rename_all = "lowercase")]
pub enum Decision {
    /// It runs; with a `when`, because of it.
    Run(Option<String>),
    Skip(String),
    /// It cannot be known before.
    Unknown(String),
}

impl Decision {
    pub fn is_skip(&self) -> bool {
        matches!(self, Self::Skip(_))
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Skip(_) => "skip",
            Self::Unknown(_) => "unknown",
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Run(reason) => reason.as_deref(),
            Self::Skip(reason) | Self::Unknown(reason) => Some(reason),
        }
    }
}

pub fn of(step: &Step, scope: &Scope) -> Decision {
    let Some(when) = &step.when else { return Decision::Run(None) };
    let text = template::bare_expression(&when.raw).0.trim();
    let Ok(names) = template::read_condition(&when.raw) else {
        return Decision::Unknown(format!("`when` cannot be read: {text}"));
    };
    let late: Vec<&str> = names
        .references
        .iter()
        .filter(|reference| !scope.has(&reference.path))
        .map(|reference| reference.path.as_str())
        .collect();
    if let Some(first) = late.first() {
        let because = match first.split('.').collect::<Vec<_>>().as_slice() {
            ["params", name, ..] => format!("the parameter `{name}` has no value yet"),
            ["steps", step, ..] => format!("`{step}` has to run first"),
            _ => format!("`{first}` is known in a run alone"),
        };
        return Decision::Unknown(format!("{because}: {text}"));
    }
    match template::condition(&when.raw, scope) {
        Ok(true) => Decision::Run(Some(format!("`when` is true: {text}"))),
        Ok(false) => Decision::Skip(format!("`when` is false: {text}")),
        Err(error) => Decision::Unknown(format!("`when` cannot be computed: {error}")),
    }
}

/// In a rehearsal, for a step that reaches the world outside: its stand-in, or none.
pub fn stand_in<'p>(plan: &'p Plan, step: &Step) -> Option<Option<&'p Bare>> {
    let given = plan
        .rehearsal
        .iter()
        .flat_map(|rehearsal| &rehearsal.stand_ins)
        .find(|stand_in| stand_in.step.value == step.id.value)
        .map(|stand_in| &stand_in.with);
    let outside = matches!(step.action.kind(), Kind::Shell | Kind::Http | Kind::Notify);
    (given.is_some() || outside).then_some(given)
}

pub fn without_stand_in(step: &Step) -> Decision {
    Decision::Skip(format!("a rehearsal has no stand-in for this {} step", step.action.kind()))
}
