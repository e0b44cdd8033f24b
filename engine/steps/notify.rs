//! `notify`: tells people, on every channel, at least once. A message carries a key by which a receiver can tell a
//! repeated one. Must never hold up a rollback for a receiver that is slow, nor put a secret into a message.

mod command;
pub mod courier;
pub mod deliver;
pub mod email;
mod message;
pub mod pagerduty;
mod slack;
mod webhook;

use super::attempt::{Attempt, broken};
use crate::clock;
use crate::plan::action::Notify;
use crate::plan::action::notify::Level;
use crate::plan::site::ChannelType;
use crate::plan::{Text, template};
use crate::run::{Failure, LATE, Late, Notice, Outcome, Outputs, placed};
use deliver::Lost;
use message::Message;
use serde_json::{Map, json};
use std::time::Duration;
use tokio::sync::oneshot;

/// The channel that every site has.
pub const CONSOLE: &str = "console";
/// How long a step waits for receivers; then the run goes on and the message is still tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of a message on a channel.
enum Arrival {
    Delivered,
    StillTried,
    Lost(Lost),
}

pub async fn act(attempt: &Attempt, action: &Notify) -> Outcome {
    let message = match message(attempt, action).await {
        Ok(message) => message,
        Err(failure) => return Outcome::Failed(failure),
    };
    let channels: Vec<&str> = action.channels.iter().map(|channel| channel.value.as_str()).collect();
    let patience = (!action.required).then_some(PATIENCE);
    let arrivals = tell(attempt, &channels, &message, patience).await;
    let mut late = Vec::new();
    let mut lost = Vec::new();
    let mut busy = Vec::new();
    for (channel, arrival) in channels.iter().zip(arrivals) {
        match arrival {
            Arrival::Delivered => {}
            Arrival::StillTried => late.push((*channel).to_owned()),
            Arrival::Lost(Lost { why, again: true }) if !action.required => {
                busy.push(((*channel).to_owned(), format!("{channel}: {why}")));
            }
            Arrival::Lost(Lost { why, .. }) => lost.push(format!("{channel}: {why}")),
        }
    }
    // Only a cancelled attempt leaves before those have answered whom it must reach.
    if action.required && !late.is_empty() {
        let unknown =
            format!("it was cancelled before {} answered: who was told is not known", late.join(", "));
        let why = std::iter::once(unknown).chain(lost).collect::<Vec<_>>().join("; ");
        let help = "`runplan resume` sends it again, with the same key";
        return Outcome::Failed(Failure::new("runplan::step::cancelled", why).help(help));
    }
    let mut outputs = Outputs::new();
    let is_delivered = lost.is_empty() && late.is_empty() && busy.is_empty();
    outputs.insert("delivered".to_owned(), is_delivered.into());
    if !late.is_empty() {
        let silent = late.join(", ");
        attempt.warn(match attempt.cancelled.is_cancelled() {
            true => format!("cancelled before {silent} answered: the message is still tried"),
            false => format!(
                "no answer of {silent} within {} s: the run goes on, the message is still tried",
                PATIENCE.as_secs()
            ),
        });
    }
    if !busy.is_empty() {
        let (names, whys): (Vec<String>, Vec<String>) = busy.into_iter().unzip();
        attempt.warn(format!("not delivered yet, the message is still tried: {}", whys.join("; ")));
        late.extend(names);
    }
    if !late.is_empty() {
        let Message { level, text, details, key, .. } = message;
        let late = Late { channels: late, level, text, details, key };
        // Whoever takes the run up after a crash tells it. The driver is gone: so does the step's next attempt.
        if attempt.note(LATE, json!(late)).await.is_err() {
            return Outcome::Failed(Failure::new("runplan::notify::undelivered", "the run is ending"));
        }
    }
    if lost.is_empty() {
        return Outcome::Done(outputs);
    }
    let why = format!("the notification was not delivered: {}", lost.join("; "));
    if action.required {
        return Outcome::Failed(Failure::new("runplan::notify::undelivered", why));
    }
    attempt.warn(why);
    Outcome::Done(outputs)
}

/// Says what a handler of the plan says, however long it takes: nothing waits for it.
pub async fn handler(attempt: &Attempt, action: &Notify) -> Option<Failure> {
    let message = match message(attempt, action).await {
        Ok(message) => message,
        Err(failure) => return Some(failure),
    };
    let channels: Vec<&str> = action.channels.iter().map(|channel| channel.value.as_str()).collect();
    told(attempt, &channels, &message).await
}

/// Tells a channel what a step said.
pub async fn late(attempt: &Attempt, channel: &str, late: Late) -> Option<Failure> {
    let Late { level, text, details, key, .. } = late;
    // While the step's word of it became durable.
    if attempt.world.courier.has_delivered(channel, &key) {
        return None;
    }
    told(attempt, &[channel], &Message { level, text, details, key, ..blank(attempt) }).await
}

/// What became of a message that is waited for, whatever it takes.
async fn told(attempt: &Attempt, channels: &[&str], message: &Message) -> Option<Failure> {
    let arrivals = tell(attempt, channels, message, None).await;
    let lost = channels.iter().zip(arrivals).filter_map(|(channel, arrival)| match arrival {
        Arrival::Lost(lost) => Some((format!("{channel}: {}", lost.why), lost.again)),
        Arrival::Delivered | Arrival::StillTried => None,
    });
    let (why, again): (Vec<String>, Vec<bool>) = lost.unzip();
    (!why.is_empty()).then(|| Failure {
        permanent: !again.contains(&true),
        ..Failure::new("runplan::notify::undelivered", why.join("; "))
    })
}

/// Tells a channel of the site what happened, however long it takes: nothing waits for it.
pub async fn notice(attempt: &Attempt, notice: &Notice) -> Option<Failure> {
    let text = match &notice.template {
        Some(text) => match rendered(attempt, text).await {
            Ok(text) => text,
            Err(failure) => return Some(failure),
        },
        None => {
            let text = placed(&notice.text, attempt.world.place.as_deref());
            attempt.world.secrets.redactor().clean(&text)
        }
    };
    let subject = notice.subject.clone();
    let run = attempt.world.run.as_str();
    let message = Message {
        // The same thing may happen twice in a run: two approvals are two messages.
        key: Message::key(run, attempt.step.id.as_str(), &text),
        subject,
        level: notice.level,
        text,
        details: Map::new(),
        occasion: notice.occasion,
        ..blank(attempt)
    };
    told(attempt, &[&notice.channel], &message).await
}

fn blank(attempt: &Attempt) -> Message {
    Message {
        run: attempt.world.run.to_string(),
        plan: attempt.world.shape.plan.name.as_str().to_owned(),
        subject: attempt.step.id.as_str().to_owned(),
        level: Level::Info,
        text: String::new(),
        details: Map::new(),
        occasion: None,
        key: String::new(),
    }
}

async fn rendered(attempt: &Attempt, text: &Text) -> Result<String, Failure> {
    let scope = attempt.scope([text]).await?;
    let rendered = template::message(&text.raw, &scope).map_err(|error| broken(text, &error))?;
    Ok(attempt.world.secrets.redactor().clean(rendered.trim()))
}

async fn message(attempt: &Attempt, action: &Notify) -> Result<Message, Failure> {
    let text = rendered(attempt, &action.message).await?;
    let mut details = Map::new();
    for (name, value) in &action.details {
        details.insert(name.value.clone(), rendered(attempt, value).await?.into());
    }
    let key = Message::key(attempt.world.run.as_str(), attempt.step.id.as_str(), &text);
    Ok(Message { level: action.level, text, details, key, ..blank(attempt) })
}

/// Hands the message to every channel at once and waits: for a while, or until each has it or has it not.
async fn tell(
    attempt: &Attempt,
    channels: &[&str],
    message: &Message,
    patience: Option<Duration>,
) -> Vec<Arrival> {
    let waited = clock::Stopwatch::start();
    let sent: Vec<Option<oneshot::Receiver<_>>> = channels
        .iter()
        .map(|channel| {
            if is_console(attempt, channel) {
                attempt.say(message.level, message.whole());
                return None;
            }
            Some(attempt.world.courier.send(&attempt.world, channel, message.clone()))
        })
        .collect();
    let mut arrivals = Vec::new();
    for reply in sent {
        let Some(reply) = reply else {
            arrivals.push(Arrival::Delivered);
            continue;
        };
        let limit = async {
            match patience {
                Some(patience) => clock::sleep(patience.saturating_sub(waited.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        arrivals.push(tokio::select! {
            biased;
            reply = reply => match reply {
                Ok(Ok(())) => Arrival::Delivered,
                Ok(Err(lost)) => Arrival::Lost(lost),
                Err(_) => Arrival::Lost(Lost { why: "the run ended before".to_owned(), again: true }),
            },
            () = limit => Arrival::StillTried,
            () = attempt.cancelled.cancelled() => Arrival::StillTried,
        });
    }
    arrivals
}

fn is_console(attempt: &Attempt, channel: &str) -> bool {
    let site = attempt.world.shape.site.as_ref();
    let named = site.and_then(|site| site.channels.get(channel));
    named.map_or(channel == CONSOLE, |found| found.type_ == ChannelType::Console)
}
