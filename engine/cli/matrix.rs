//! The rules of the organisation before a run begins: the decision matrix, the least severity, protected databases.
//! Must never approve anything: it only refuses to begin.

use super::error::Error;
use super::surroundings;
use crate::plan::Level;
use crate::plan::site::Decision;
use crate::plan::template::{self, Scope, value_of};
use crate::review;
use crate::run::Shape;
use crate::terminal::{self, Screen};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The plan's severity with these values.
///
/// # Errors
/// It is not a row of the matrix.
pub fn severity(shape: &Shape, params: &Map<String, Value>) -> Result<Option<String>, Error> {
    let Some(text) = &shape.plan.severity else { return Ok(None) };
    let scope = Scope::new([("params".to_owned(), value_of(&Value::Object(params.clone())))]);
    let word = template::plain(&text.raw, &scope).map_err(|error| Error::NotByTheRules {
        message: format!("the plan's severity cannot be computed: {error}"),
        help: "give the parameters that it names".to_owned(),
    })?;
    let word = word.trim().to_owned();
    match Level::from_word(&word) {
        Some(_) => Ok(Some(word)),
        None => Err(Error::NotByTheRules {
            message: format!("`{word}` is not a severity"),
            help: "use critical, high, medium or low".to_owned(),
        }),
    }
}

/// What the matrix and the plan allow.
///
/// # Errors
/// The plan is for worse cases, or the matrix says to fix forward.
pub fn prove(shape: &Shape, severity: Option<&str>, overridden: Option<&str>) -> Result<(), Error> {
    let Some(word) = severity else { return Ok(()) };
    let level = Level::from_word(word);
    if let (Some(least), Some(level)) = (shape.plan.minimum_severity, level)
        && rank(level) > rank(least)
    {
        return Err(Error::NotByTheRules {
            message: format!("this plan is for incidents that are at least {}, not {word}", least.word()),
            help: "use a gentler plan, or give the severity that it really has".to_owned(),
        });
    }
    let row = shape.site.as_ref().and_then(|site| site.severities.get(word));
    let forward = row.is_some_and(|row| row.action == Decision::FixForward);
    match (forward, overridden.filter(|reason| !reason.trim().is_empty())) {
        (true, None) => Err(Error::NotByTheRules {
            message: format!("the decision matrix says to fix forward an incident that is {word}"),
            help: "correct it with a new release, or say why not with --override 'REASON'".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Who starts a run may leave nobody who decides in it. Found at the question, that would be behind a closed application,
/// with nothing to break the glass of. A step with `when` may never ask.
///
/// # Errors
/// Too few are left.
pub fn prove_deciders(shape: &Shape, severity: Option<&str>, me: &str) -> Result<(), Error> {
    let roles = shape.loaded.roles();
    for step in shape.flow.steps().iter().filter(|step| step.when.is_none()) {
        let Some(asked) = review::approval_of(step, &shape.loaded, severity) else { continue };
        let of_roles = asked.roles.iter().filter_map(|name| roles.get(name.as_str()));
        let people: BTreeSet<&str> =
            of_roles.flat_map(|role| &role.people).map(|person| person.name.as_str()).collect();
        let left = people.iter().filter(|name| asked.allow_requester || **name != me).count();
        if !people.is_empty() && left < usize::from(asked.count) {
            return Err(Error::NotByTheRules {
                message: format!(
                    "at `{}` {} must agree, and when {me} starts the run {left} of them may decide",
                    step.id, asked.who
                ),
                help: "let somebody else start it, or name more people in the site file, under `roles`"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// Worse is less.
fn rank(level: Level) -> u8 {
    match level {
        Level::Critical => 0,
        Level::High => 1,
        Level::Medium => 2,
        Level::Low => 3,
    }
}

/// A person types the environment's name before a protected database is changed.
///
/// # Errors
/// Nobody did.
pub fn confirm_protected(screen: &Screen, shape: &Shape, yes: bool) -> Result<(), Error> {
    let databases = shape.loaded.databases();
    for name in surroundings::changed(shape) {
        let Some(database) = databases.get(name.as_str()).filter(|database| database.protected) else {
            continue;
        };
        let environment = database.expect.as_ref().and_then(|expect| expect.environment.clone());
        let word = environment.unwrap_or_else(|| name.clone());
        if yes {
            continue;
        }
        let same = |text: &str| match text.trim() == word {
            true => Ok(()),
            false => Err(format!("type `{word}`, or end with Ctrl-C")),
        };
        let prompt = format!("The database `{name}` is protected. Type `{word}` to change it");
        let typed = match screen.is_attended() {
            true => terminal::ask_value(screen, &prompt, None, false, &same),
            false => None,
        };
        if typed.is_none() {
            return Err(Error::NotByTheRules {
                message: format!(
                    "the database `{name}` is protected and nobody confirmed that it may be changed"
                ),
                help: "confirm it on a terminal, or with --yes".to_owned(),
            });
        }
    }
    Ok(())
}
