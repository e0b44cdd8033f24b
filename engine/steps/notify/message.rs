//! What is said, the same on every channel.

use crate::plan::action::notify::Level;
use crate::plan::digest;
use crate::plan::site::Occasion;
use serde_json::{Map, Value, json};

/// A message without secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub run: String,
    pub plan: String,
    /// The step that says it; of a notice, what happened.
    pub subject: String,
    pub level: Level,
    pub text: String,
    pub details: Map<String, Value>,
    /// The run is over and well: what was opened for it can be closed.
    pub occasion: Option<Occasion>,
    /// The same for every try: a receiver tells a repeated message by it.
    pub key: String,
}

impl Message {
    /// The key of a message that this run says under this name.
    pub fn key(run: &str, subject: &str, text: &str) -> String {
        let identity = json!([run, subject, text]);
        digest::sha256(identity.to_string().as_bytes())[..32].to_owned()
    }

    /// The first line, for a subject or a title.
    pub fn headline(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The text, and the details a line each.
    pub fn whole(&self) -> String {
        let details = self.details.iter().map(|(name, value)| format!("\n  {name}: {}", plain(value)));
        format!("{}{}", self.text, details.collect::<String>())
    }

    /// Several that came too soon after one another, as one; the loudest says how loud.
    pub fn joined(messages: Vec<Self>) -> Option<Self> {
        let mut messages = messages.into_iter();
        let mut first = messages.next()?;
        for next in messages {
            first.text = format!("{}\n\n{}", first.text, next.text);
            first.details.extend(next.details);
            if loudness(next.level) > loudness(first.level) {
                first.level = next.level;
            }
            // The last word counts: done after failed closes what failed opened.
            first.occasion = next.occasion.or(first.occasion);
            first.key = digest::sha256(format!("{} {}", first.key, next.key).as_bytes())[..32].to_owned();
        }
        Some(first)
    }
}

fn loudness(level: Level) -> u8 {
    match level {
        Level::Info => 0,
        Level::Warning => 1,
        Level::Critical => 2,
    }
}

pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, level: Level) -> Message {
        Message {
            run: "r".into(),
            plan: "p".into(),
            subject: "s".into(),
            level,
            text: text.into(),
            details: Map::new(),
            occasion: None,
            key: Message::key("r", "s", text),
        }
    }

    #[test]
    fn joined_messages_are_as_loud_as_the_loudest_and_have_a_key_of_their_own() {
        let (one, two) = (message("one", Level::Critical), message("two", Level::Info));
        let joined = Message::joined(vec![one.clone(), two]).unwrap();
        assert_eq!((joined.text.as_str(), joined.level), ("one\n\ntwo", Level::Critical));
        assert_ne!(joined.key, one.key);
        assert_eq!(Message::joined(vec![one.clone()]), Some(one));
        assert_eq!(Message::joined(Vec::new()), None);
    }
}
