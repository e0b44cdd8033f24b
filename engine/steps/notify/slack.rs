//! An incoming webhook of Slack: the text for notifications, blocks for the channel.

use super::deliver::{Refused, json_request, url};
use super::message::{Message, plain};
use crate::plan::site::Channel;
use crate::steps::http::exchange::Request;
use crate::steps::world::World;
use serde_json::{Value, json};

/// Slack refuses a longer text in a section.
const LONGEST_TEXT: usize = 3000;
const LONGEST_FIELD: usize = 2000;
/// And more fields in one.
const MOST_FIELDS: usize = 10;

pub async fn request(world: &World, channel: &Channel, message: &Message) -> Result<Request, Refused> {
    let headers = vec![("Idempotency-Key".to_owned(), message.key.clone())];
    Ok(json_request(url(world, channel).await?, headers, &body(message)))
}

fn body(message: &Message) -> Value {
    let text = escaped(&message.text, LONGEST_TEXT);
    let mut blocks = vec![json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })];
    let fields: Vec<Value> = message
        .details
        .iter()
        .take(MOST_FIELDS)
        .map(|(name, value)| {
            let text = format!("*{}*\n{}", escaped(name, 100), escaped(&plain(value), LONGEST_FIELD - 110));
            json!({ "type": "mrkdwn", "text": text })
        })
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let context = format!("{} · {} · {}", message.level.word(), message.run, message.subject);
    blocks.push(json!({ "type": "context", "elements": [{ "type": "plain_text", "text": context }] }));
    json!({ "text": text, "blocks": blocks })
}

/// Text that Slack takes for text, not longer than it may be.
fn escaped(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let piece = match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c => c.to_string(),
        };
        if out.chars().count() + piece.chars().count() >= longest {
            out.push('…');
            break;
        }
        out.push_str(&piece);
    }
    // An empty text is refused.
    if out.trim().is_empty() { "-".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_is_escaped_and_within_the_limit() {
        assert_eq!(escaped("<!channel> & co", 100), "&lt;!channel&gt; &amp; co");
        assert!(escaped(&"<".repeat(5000), 3000).chars().count() <= 3000);
        assert_eq!(escaped(" \n", 10), "-");
    }
}
