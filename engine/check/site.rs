//! The site file: channels that can be reached, roles that exist, keys that can be read, the decision matrix.

use super::context::Context;
use crate::plan::finding::suggest;
use crate::plan::site::{Channel, ChannelType, Person, Role, Site};
use crate::plan::{Finding, Level, Name, Sp, Span};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let levels = Level::WORDS;
    if let Some(severity) = context.plan.severity.as_ref().filter(|text| !text.has_template())
        && !levels.contains(&severity.raw.as_str())
    {
        findings.push(unknown_severity(&severity.raw, severity.span));
    }
    let Some(site) = context.loaded.site.as_deref() else { return };
    for (name, channel) in &site.channels {
        fields(name, channel, findings);
    }
    for found in site.roles.values() {
        people(context, found, findings);
    }
    shared_keys(site, findings);
    for (name, row) in &site.severities {
        if !levels.contains(&name.value.as_str()) {
            findings.push(unknown_severity(&name.value, name.span));
        }
        row.role.iter().chain(&row.escalate_to).for_each(|name| role(context, name, findings));
    }
}

fn unknown_severity(word: &str, span: Span) -> Finding {
    Finding::error("runplan::check::unknown_severity", span, format!("`{word}` is not a severity"))
        .help(suggest(word, Level::WORDS.iter().copied()))
}

/// The name of a role, wherever one stands.
pub fn role(context: &Context<'_>, name: &Sp<Name>, findings: &mut Vec<Finding>) {
    let text = name.as_str();
    if context.roles.contains_key(text) || context.is_broken(text) {
        return;
    }
    let message = format!("there is no role `{text}`");
    let help = if context.roles.is_empty() {
        "roles are defined in the site file, `runplan.yaml`".to_owned()
    } else {
        suggest(text, context.roles.keys().copied())
    };
    findings.push(
        Finding::error("runplan::check::unknown_role", name.span, message)
            .label("not a role of the site file")
            .help(help),
    );
}

/// The name of a channel, wherever one stands.
pub fn channel(context: &Context<'_>, name: &Sp<Name>, findings: &mut Vec<Finding>) {
    let text = name.as_str();
    if text == "console" || context.channels.contains_key(text) || context.is_broken(text) {
        return;
    }
    let known = std::iter::once("console").chain(context.channels.keys().copied());
    findings.push(
        Finding::error("runplan::check::unknown_channel", name.span, format!("there is no channel `{text}`"))
            .label("not a channel of the site file")
            .help(suggest(text, known.collect::<Vec<_>>())),
    );
}

fn people(context: &Context<'_>, found: &Role, findings: &mut Vec<Finding>) {
    found.channels.iter().for_each(|name| channel(context, name, findings));
    let contacts = context.loaded.site.iter().flat_map(|site| site.contacts.keys());
    let known: Vec<&str> = contacts.map(|name| name.value.as_str()).collect();
    if let Some(contact) = &found.contact
        && !known.contains(&contact.as_str())
        && !context.is_broken(contact.as_str())
    {
        let message = format!("there is no contact `{}`", contact.value);
        findings.push(
            Finding::error("runplan::check::unknown_contact", contact.span, message)
                .label("not under `contacts`")
                .help(suggest(contact.as_str(), known)),
        );
    }
    for (at, person) in found.people.iter().enumerate() {
        if found.people[..at].iter().any(|other| other.name.value == person.name.value) {
            let message = format!("`{person}` is in the role twice, and counts once");
            findings.push(
                Finding::warning("runplan::check::person_twice", person.name.span, message)
                    .help("remove one of the two; several keys go under one name"),
            );
        }
        for key in &person.keys {
            if let Err(why) = public_key(&key.value) {
                let message = format!("this is not an SSH public key of `{person}`: {why}");
                findings.push(
                    Finding::error("runplan::check::bad_key", key.span, message)
                        .help("write a line of a `.pub` file: `ssh-ed25519 AAAA... name`"),
                );
            }
        }
    }
}

/// Whoever has the key would count as two.
fn shared_keys(site: &Site, findings: &mut Vec<Finding>) {
    let mut owners: HashMap<&str, &Person> = HashMap::new();
    for person in site.roles.values().flat_map(|role| &role.people) {
        for key in &person.keys {
            let Some(encoded) = key.value.split_whitespace().nth(1) else { continue };
            let owner = *owners.entry(encoded).or_insert(person);
            if owner.name.value != person.name.value {
                let message = format!("this key of `{person}` is also one of `{owner}`");
                findings.push(
                    Finding::error("runplan::check::shared_key", key.span, message)
                        .label("one key, two people")
                        .help("give each person a key of their own; one person goes under one name"),
                );
            }
        }
    }
}

/// `ssh-ed25519 AAAA... comment`: the kind stands once more in the encoded part.
fn public_key(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let (kind, encoded) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if line.contains("PRIVATE KEY") {
        return Err("it is a private one, which belongs in no file of this kind".to_owned());
    }
    if !(kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-")) {
        return Err("it does not begin with a kind of key".to_owned());
    }
    let bytes = STANDARD.decode(encoded).map_err(|_| "its second word is not base64".to_owned())?;
    let (length, rest) = bytes.split_at_checked(4).ok_or("it is cut short")?;
    let length = length.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
    let inner = rest.get(..length).ok_or("it is cut short")?;
    if inner != kind.as_bytes() || rest.len() < length + 32 {
        return Err("its second word does not hold a key of that kind".to_owned());
    }
    Ok(())
}

/// The fields of a channel: `!` must be there, the others may.
fn allowed(kind: ChannelType) -> &'static [&'static str] {
    match kind {
        ChannelType::Console => &[],
        ChannelType::Webhook => &["!url", "headers", "secret"],
        ChannelType::Slack => &["!url"],
        ChannelType::Email => &["!server", "port", "tls", "user", "password", "!from", "!to"],
        ChannelType::Pagerduty => &["!routing_key", "url"],
        ChannelType::Command => &["!argv", "env"],
    }
}

fn fields(name: &Sp<String>, channel: &Channel, findings: &mut Vec<Finding>) {
    let given = [
        ("url", channel.url.is_some()),
        ("headers", !channel.headers.is_empty()),
        ("secret", channel.secret.is_some()),
        ("server", channel.server.is_some()),
        ("port", channel.port.is_some()),
        ("user", channel.user.is_some()),
        ("password", channel.password.is_some()),
        ("from", channel.from.is_some()),
        ("to", !channel.to.is_empty()),
        ("routing_key", channel.routing_key.is_some()),
        ("argv", channel.argv.as_ref().is_some_and(|argv| !argv.is_empty())),
        ("env", !channel.env.is_empty()),
    ];
    let fields = allowed(channel.type_);
    for (field, given) in given {
        let needed = fields.iter().any(|known| known.strip_prefix('!') == Some(field));
        if needed && !given {
            let message = format!("the channel `{}` has no `{field}`", name.value);
            let help = match field {
                "url" | "routing_key" => format!("add `{field}: \"{{{{ secrets.NAME }}}}\"`"),
                _ => format!("add `{field}:`; {} needs it", article(channel.type_)),
            };
            findings.push(Finding::error("runplan::check::channel_address", name.span, message).help(help));
        } else if given && !needed && !fields.contains(&field) {
            let message =
                format!("the channel `{}` is {}, which has no `{field}`", name.value, article(channel.type_));
            let all: Vec<&str> = fields.iter().map(|field| field.trim_start_matches('!')).collect();
            findings.push(Finding::error("runplan::check::channel_field", name.span, message).help(format!(
                "remove it; what it has: {}",
                if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
            )));
        }
    }
    if channel.user.is_some() != channel.password.is_some() && channel.type_ == ChannelType::Email {
        let message = format!("the channel `{}` has one of `user` and `password`", name.value);
        findings.push(
            Finding::error("runplan::check::channel_field", name.span, message).help("give both, or none"),
        );
    }
}

fn article(kind: ChannelType) -> &'static str {
    match kind {
        ChannelType::Console => "the console",
        ChannelType::Webhook => "a webhook",
        ChannelType::Slack => "a Slack channel",
        ChannelType::Email => "a mail channel",
        ChannelType::Pagerduty => "a PagerDuty service",
        ChannelType::Command => "a command",
    }
}

#[cfg(test)]
mod tests {
    use super::public_key;

    #[test]
    fn public_keys_are_told_from_other_lines() {
        let good =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5Gq0hHn8K2Lw6fYw8ZVzvO3mYhQm0y3f8r0m1Q2w3E bob@laptop";
        assert_eq!(public_key(good), Ok(()));
        for bad in [
            "",
            "bob",
            "ssh-ed25519",
            "ssh-ed25519 not-base64!",
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ5Gq0hHn8K2Lw6fYw8ZVzvO3mYhQm0y3f8r0m1Q2w3E",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEx4",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }
}
