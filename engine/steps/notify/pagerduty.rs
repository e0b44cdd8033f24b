//! PagerDuty, Events API v2: one incident for a run, opened by what needs people, closed when the run is done.

use super::deliver::{Refused, json_request, text, url};
use super::message::Message;
use crate::plan::action::notify::Level;
use crate::plan::site::{Channel, Occasion};
use crate::steps::http::exchange::Request;
use crate::steps::world::World;
use serde_json::{Value, json};

/// Where events go unless the channel says otherwise.
pub const ADDRESS: &str = "https://events.pagerduty.com/v2/enqueue";
/// Longer summaries are refused.
const LONGEST_SUMMARY: usize = 1024;

pub async fn request(world: &World, channel: &Channel, message: &Message) -> Result<Request, Refused> {
    let Some(key) = &channel.routing_key else {
        return Err(Refused::never("the channel has no `routing_key`"));
    };
    let key = text(world, key).await?;
    let address = if channel.url.is_some() { url(world, channel).await? } else { ADDRESS.to_owned() };
    Ok(json_request(address, Vec::new(), &body(&key, &world.operator.host, message)))
}

fn body(key: &str, host: &str, message: &Message) -> Value {
    let dedup = format!("runplan/{}", message.run);
    if message.occasion == Some(Occasion::Done) {
        return json!({ "routing_key": key, "event_action": "resolve", "dedup_key": dedup });
    }
    let summary: String = message.headline().chars().take(LONGEST_SUMMARY).collect();
    let mut details = message.details.clone();
    details.insert("message".to_owned(), message.text.clone().into());
    details.insert("run".to_owned(), message.run.clone().into());
    json!({
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": dedup,
        "client": "runplan",
        "payload": {
            "summary": if summary.is_empty() { message.run.clone() } else { summary },
            "source": host,
            "severity": match message.level {
                Level::Info => "info",
                Level::Warning => "warning",
                Level::Critical => "critical",
            },
            "component": message.subject,
            "group": message.plan,
            "custom_details": details,
        },
    })
}
