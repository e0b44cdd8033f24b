//! One message to one channel: tried again when the receiver was away or busy, as long as it asks for within reason.
//! Must never put an address into an error: the path of a webhook is its password.

use super::message::Message;
use super::{command, email, pagerduty, slack, webhook};
use crate::clock;
use crate::plan::site::{Channel, ChannelType};
use crate::plan::{Text, template};
use crate::steps::http::exchange::{self, Request};
use crate::steps::http::pace;
use crate::steps::world::World;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const TRIES: u32 = 4;
/// Before the second try; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one try may take.
pub const LIMIT: Duration = Duration::from_secs(10);
/// A receiver that wants to be left alone for longer has to do without.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a try did not deliver.
pub struct Refused {
    pub why: String,
    /// Trying again may help.
    pub again: bool,
    /// Not before this.
    pub after: Option<Duration>,
}

impl Refused {
    /// It cannot be delivered, however often it is tried.
    pub fn never(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: false, after: None }
    }

    pub fn now(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: true, after: None }
    }
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// In a few words.
    pub why: String,
    /// The receiver was away or busy: another time it may take it.
    pub again: bool,
}

/// Delivers, or says why not.
pub async fn deliver(world: &Arc<World>, name: &str, message: &Message) -> Result<(), Lost> {
    let Some(channel) = world.shape.site.as_ref().and_then(|site| site.channels.get(name)) else {
        return Err(Lost { why: "the site file has no such channel".to_owned(), again: false });
    };
    let mut pause = PAUSE;
    for number in 1..=TRIES {
        let refused = match once(world, channel, message).await {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let wait = refused.after.unwrap_or(pause);
        if !refused.again || number == TRIES || wait > LONGEST_WAIT {
            return Err(Lost { why: refused.why, again: refused.again });
        }
        clock::sleep(wait).await;
        pause *= 2;
    }
    Ok(())
}

async fn once(world: &Arc<World>, channel: &Channel, message: &Message) -> Result<(), Refused> {
    match channel.type_ {
        // It was said when it was asked for.
        ChannelType::Console => Ok(()),
        ChannelType::Webhook => post(world, webhook::request(world, channel, message).await?).await,
        ChannelType::Slack => post(world, slack::request(world, channel, message).await?).await,
        ChannelType::Pagerduty => post(world, pagerduty::request(world, channel, message).await?).await,
        ChannelType::Email => email::send(world, channel, message).await,
        ChannelType::Command => command::run(world, channel, message).await,
    }
}

/// A POST of JSON to an address that nobody is shown.
pub fn json_request(url: String, headers: Vec<(String, String)>, body: &Value) -> Request {
    let mut all = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    all.extend(headers);
    Request {
        method: "POST",
        shown: exchange::shown(&url, true),
        url,
        headers: all,
        body: Some(body.to_string().into_bytes()),
        limit: LIMIT,
    }
}

async fn post(world: &Arc<World>, request: Request) -> Result<(), Refused> {
    let reply = exchange::send(&request, &CancellationToken::new())
        .await
        .map_err(|trouble| Refused::now(trouble.message()))?;
    if (200..300).contains(&reply.status) {
        return Ok(());
    }
    let words: String = world.secrets.redactor().clean(reply.body.trim()).chars().take(120).collect();
    let said = if words.is_empty() { String::new() } else { format!(": {}", words.replace('\n', " ")) };
    Err(Refused {
        why: format!("it answered with status {}{said}", reply.status),
        again: matches!(reply.status, 408 | 425 | 429 | 500..),
        after: pace::asked(&reply),
    })
}

/// A text of the channel, with its secrets.
pub async fn text(world: &World, text: &Text) -> Result<String, Refused> {
    let scope = world.scope(&[&text.raw]).await.map_err(|failure| Refused::never(failure.message))?;
    template::plain(&text.raw, &scope).map_err(|error| Refused::never(error.to_string()))
}

/// The channel's address.
pub async fn url(world: &World, channel: &Channel) -> Result<String, Refused> {
    let Some(url) = &channel.url else { return Err(Refused::never("the channel has no `url`")) };
    let scope = world.scope(&[&url.raw]).await.map_err(|failure| Refused::never(failure.message))?;
    template::url(&url.raw, &scope).map_err(|error| Refused::never(error.to_string()))
}
