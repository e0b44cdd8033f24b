//! `approve`: who is asked, what, and until when. It only asks: who may answer and what an answer means is the core's
//! business. Must never turn roles that name nobody into a question that anybody may answer.

use super::attempt::{Attempt, broken};
use crate::clock;
use crate::plan::action::Approve;
use crate::plan::site::SeverityRow;
use crate::plan::{Name, Site, template};
use crate::run::{Ask, Failure, Outcome, Outputs};
use jiff::Timestamp;

/// What is asked when the author wrote no message.
const PLAIN_QUESTION: &str = "Go on?";

pub async fn act(attempt: &Attempt, action: &Approve) -> Outcome {
    if attempt.world.rehearsal.is_some() {
        return Outcome::Done(rehearsed());
    }
    match ask(attempt, action).await {
        Ok(ask) => Outcome::Asked(Box::new(ask)),
        Err(failure) => Outcome::Failed(failure),
    }
}

fn rehearsed() -> Outputs {
    let mut outputs = Outputs::new();
    outputs.insert("approved_by".to_owned(), "rehearsal".into());
    outputs.insert("approved_at".to_owned(), clock::now().to_string().into());
    outputs.insert("comment".to_owned(), "nobody was asked: this is a rehearsal".into());
    outputs.insert("signed".to_owned(), false.into());
    outputs
}

async fn ask(attempt: &Attempt, action: &Approve) -> Result<Ask, Failure> {
    let row = row(attempt).await?;
    let named: Vec<Name> = action.roles.iter().map(|role| role.value.clone()).collect();
    let roles = match (named.is_empty(), row.as_ref().and_then(|row| row.role.as_ref())) {
        (true, Some(role)) => vec![role.value.clone()],
        _ => named,
    };
    let people = people(attempt.world.shape.site.as_deref(), &roles)?;
    let of_row = row.as_ref().is_some_and(|row| row.allow_requester);
    let allow_requester = action.allow_requester.unwrap_or(of_row);
    enough(attempt, action.count, &people, allow_requester)?;
    Ok(Ask {
        message: message(attempt, action).await?,
        confirm: action.confirm.is_some(),
        people,
        roles,
        count: action.count.max(1),
        expires_at: action.expires.map(|limit| expiry(limit.std())).transpose()?,
        allow_requester,
        nonce: nonce(),
    })
}

/// Nobody can know it before.
fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn expiry(limit: std::time::Duration) -> Result<Timestamp, Failure> {
    clock::now().checked_add(limit).map_err(|_| {
        Failure::new("runplan::approve::expires", "`expires` lies beyond the end of the calendar").permanent()
    })
}

/// The plan's row of the decision matrix.
async fn row(attempt: &Attempt) -> Result<Option<SeverityRow>, Failure> {
    let shape = &attempt.world.shape;
    let (Some(severity), Some(site)) = (&shape.plan.severity, &shape.site) else { return Ok(None) };
    Ok(site.severities.get(attempt.plain(severity).await?.as_str()).cloned())
}

fn people(site: Option<&Site>, roles: &[Name]) -> Result<Vec<String>, Failure> {
    let mut people: Vec<String> = Vec::new();
    for name in roles {
        let role = site.and_then(|site| site.roles.get(name.as_str())).filter(|role| !role.people.is_empty());
        let Some(role) = role else {
            let message = format!("the role {name} names nobody, so nobody could approve");
            return Err(Failure::new("runplan::approve::nobody", message)
                .help("list its people in the site file, under `roles`")
                .permanent());
        };
        people.extend(
            role.people
                .iter()
                .map(|person| &person.name.value)
                .filter(|person| !people.contains(person))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    Ok(people)
}

/// A question that can never be answered with yes is said at once.
fn enough(attempt: &Attempt, count: u16, people: &[String], allow_requester: bool) -> Result<(), Failure> {
    if people.is_empty() {
        return Ok(());
    }
    let own = &attempt.world.operator.name;
    let counting = people.iter().filter(|person| allow_requester || *person != own).count();
    if counting >= usize::from(count.max(1)) {
        return Ok(());
    }
    let message = format!("{count} must agree, and of {} only {counting} may decide", people.join(", "));
    Err(Failure::new("runplan::approve::too_few", message)
        .help("name more people in the site file, lower `count`, or set `allow_requester: true`")
        .permanent())
}

async fn message(attempt: &Attempt, action: &Approve) -> Result<String, Failure> {
    let Some(text) = action.confirm.as_ref().or(action.message.as_ref()) else {
        return Ok(PLAIN_QUESTION.to_owned());
    };
    let scope = attempt.scope([text]).await?;
    let message = template::message(&text.raw, &scope).map_err(|error| broken(text, &error))?;
    Ok(attempt.world.secrets.redactor().clean(message.trim()))
}
