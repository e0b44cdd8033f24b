//! `notify`: tells people, on every channel, at least once. A message carries a key by which a receiver can tell a
//! repeated one. Must never put a secret into a message, nor an address into an error.

use super::attempt::{Attempt, broken};
use super::http::exchange::{self, Request};
use crate::clock;
use crate::plan::action::Notify;
use crate::plan::site::{Channel, ChannelType};
use crate::plan::{Text, digest, template};
use crate::run::{Failure, Outcome, Outputs};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The channel that every site has.
pub const CONSOLE: &str = "console";
const TRIES: u32 = 3;
/// Before the second try; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a receiver may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What is said, the same on every channel.
struct Message {
    text: String,
    details: Map<String, Value>,
    key: String,
}

pub async fn act(attempt: &Attempt, action: &Notify) -> Outcome {
    let message = match message(attempt, action).await {
        Ok(message) => message,
        Err(failure) => return Outcome::Failed(failure),
    };
    let mut undelivered = Vec::new();
    for channel in &action.channels {
        let name = channel.value.as_str();
        if let Err(why) = deliver(attempt, action, name, &message).await {
            undelivered.push(format!("{name}: {why}"));
        }
    }
    let mut outputs = Outputs::new();
    outputs.insert("delivered".to_owned(), undelivered.is_empty().into());
    if undelivered.is_empty() {
        return Outcome::Done(outputs);
    }
    let why = format!("the notification was not delivered: {}", undelivered.join("; "));
    if action.required {
        return Outcome::Failed(Failure::new("runplan::notify::undelivered", why));
    }
    attempt.warn(why);
    Outcome::Done(outputs)
}

async fn message(attempt: &Attempt, action: &Notify) -> Result<Message, Failure> {
    let texts: Vec<&Text> = std::iter::once(&action.message).chain(action.details.values()).collect();
    let scope = attempt.scope(texts).await?;
    let redactor = attempt.world.secrets.redactor();
    let render = |text: &Text| {
        let rendered = template::message(&text.raw, &scope).map_err(|error| broken(text, &error))?;
        Ok::<_, Failure>(redactor.clean(rendered.trim()))
    };
    let text = render(&action.message)?;
    let mut details = Map::new();
    for (name, value) in &action.details {
        details.insert(name.value.clone(), render(value)?.into());
    }
    let identity = json!([attempt.world.run.as_str(), attempt.step.id.as_str(), text]);
    let key = digest::sha256(identity.to_string().as_bytes())[..32].to_owned();
    Ok(Message { text, details, key })
}

async fn deliver(attempt: &Attempt, action: &Notify, name: &str, message: &Message) -> Result<(), String> {
    let site = attempt.world.shape.site.as_ref();
    let channel = match site.and_then(|site| site.channels.get(name)) {
        Some(channel) => channel,
        None if name == CONSOLE => return say(attempt, action, message),
        None => return Err("the site file has no such channel".to_owned()),
    };
    let body = match channel.type_ {
        ChannelType::Console => return say(attempt, action, message),
        ChannelType::Webhook => webhook(attempt, action, message),
        ChannelType::Slack => slack(attempt, action, message),
        ChannelType::Email | ChannelType::Pagerduty | ChannelType::Command => {
            return Err(format!("{} channels are not available in this version", channel.type_));
        }
    };
    let request = request(attempt, channel, message, &body).await?;
    let mut pause = PAUSE;
    for number in 1..=TRIES {
        let why = match exchange::send(&request, &attempt.cancelled).await {
            Ok(reply) if (200..300).contains(&reply.status) => return Ok(()),
            Ok(reply) => format!("it answered with status {}", reply.status),
            Err(trouble) => trouble.message().to_owned(),
        };
        if number == TRIES || attempt.cancelled.is_cancelled() {
            return Err(why);
        }
        tokio::select! {
            () = clock::sleep(pause) => pause *= 2,
            () = attempt.cancelled.cancelled() => return Err(why),
        }
    }
    Ok(())
}

fn say(attempt: &Attempt, action: &Notify, message: &Message) -> Result<(), String> {
    let details: String = message
        .details
        .iter()
        .map(|(name, value)| format!("\n  {name}: {}", value.as_str().unwrap_or_default()))
        .collect();
    attempt.say(action.level, format!("{}{details}", message.text));
    Ok(())
}

async fn request(
    attempt: &Attempt,
    channel: &Channel,
    message: &Message,
    body: &Value,
) -> Result<Request, String> {
    let Some(url) = &channel.url else { return Err("the channel has no `url`".to_owned()) };
    let texts: Vec<&Text> = std::iter::once(url).chain(channel.headers.values()).collect();
    let scope = attempt.scope(texts).await.map_err(|failure| failure.message)?;
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("Idempotency-Key".to_owned(), message.key.clone()),
    ];
    for (name, text) in channel.headers.iter() {
        headers.push((
            name.value.clone(),
            template::plain(&text.raw, &scope).map_err(|error| error.to_string())?,
        ));
    }
    let url = template::url(&url.raw, &scope).map_err(|error| error.to_string())?;
    Ok(Request {
        method: "POST",
        // The path of a webhook is its password.
        shown: exchange::shown(&url, true),
        url,
        headers,
        body: Some(body.to_string().into_bytes()),
        limit: LIMIT,
    })
}

fn webhook(attempt: &Attempt, action: &Notify, message: &Message) -> Value {
    json!({
        "format": 1,
        "run": attempt.world.run.as_str(),
        "plan": attempt.world.shape.plan.name.as_str(),
        "step": attempt.step.id.as_str(),
        "level": action.level.word(),
        "message": message.text,
        "details": message.details,
        "idempotency_key": message.key,
    })
}

fn slack(attempt: &Attempt, action: &Notify, message: &Message) -> Value {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let text = escape(&message.text);
    let mut blocks = vec![json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })];
    // Slack takes ten fields in a block.
    let fields: Vec<Value> = message
        .details
        .iter()
        .take(10)
        .map(|(name, value)| {
            let value = escape(value.as_str().unwrap_or_default());
            json!({ "type": "mrkdwn", "text": format!("*{}*\n{value}", escape(name)) })
        })
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let context = format!("{} · {} · {}", action.level.word(), attempt.world.run, attempt.step.id.value);
    blocks.push(json!({ "type": "context", "elements": [{ "type": "plain_text", "text": context }] }));
    json!({ "text": text, "blocks": blocks })
}
