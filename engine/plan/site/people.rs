//! The people of an organisation: whom to call, who may approve, and the decision matrix.

use crate::plan::decode::{Decode, Reader, Schemas, choice, record};
use crate::plan::duration::Duration;
use crate::plan::name::Name;
use crate::plan::node::{Kind, Node};
use crate::plan::source::Sp;
use serde_json::{Value, json};

record! {
    /// A person with keys.
    pub struct Signer as "a person" {
        /// The name: that of the account on the machine, or the one in a signed decision.
        /// Example: bob
        name: Sp<String>,
        /// SSH public keys, as in authorized_keys. Who has one decides by signature alone.
        /// Example: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEx4 bob"]
        keys: Vec<Sp<String>> = Vec::new(),
    }
}

/// One who may approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: Sp<String>,
    /// SSH public keys; with one of them a decision must be signed.
    pub keys: Vec<Sp<String>>,
}

impl Person {
    /// Whether the person's decisions count only when they are signed.
    pub fn signs(&self) -> bool {
        !self.keys.is_empty()
    }
}

impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Decode for Person {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => {
                Signer::decode(node, reader).map(|signer| Self { name: signer.name, keys: signer.keys })
            }
            Kind::Scalar { .. } => {
                Sp::<String>::decode(node, reader).map(|name| Self { name, keys: Vec::new() })
            }
            Kind::List(_) => {
                reader.wrong(node, "the name of a person, or a name with keys");
                None
            }
        }
    }

    fn schema(schemas: &mut Schemas) -> Value {
        let signer = Signer::schema(schemas);
        json!({ "anyOf": [ { "type": "string" }, signer ] })
    }
}

/// How long there is, from the beginning of the incident; `now` is no time at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Duration);

impl std::fmt::Display for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.ms == 0 { f.write_str("now") } else { self.0.fmt(f) }
    }
}

impl Decode for Deadline {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, .. } if text == "now" => Some(Self(Duration::from_ms(0))),
            _ => Duration::decode(node, reader).map(Self),
        }
    }

    fn schema(schemas: &mut Schemas) -> Value {
        let duration = Duration::schema(schemas);
        json!({ "anyOf": [ { "const": "now" }, duration ] })
    }
}

record! {
    /// Whom to call.
    pub struct Contact as "a contact" {
        /// A person or a team.
        /// Example: Database on call
        name: String,
        /// How to reach them.
        /// Example: +49 30 1234567
        call: String,
    }
}

record! {
    /// Who may approve.
    pub struct Role as "a role" {
        /// The people: a name, or a name with the SSH public keys that the person signs with.
        /// Example: ["alice", {"name": "bob", "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEx4 bob"]}]
        people: Vec<Person> = Vec::new(),
        /// Channels on which the role is told that it is asked, or that a deadline has passed.
        /// Example: ["leads"]
        channels: Vec<Sp<Name>> = Vec::new(),
        /// The contact to call when nobody of the role answers.
        /// Example: dba
        contact: Option<Sp<Name>>,
    }
}

choice! {
    /// What the decision matrix says to do.
    pub enum Decision { Rollback = "rollback", FixForward = "fix_forward" }
}

record! {
    /// A row of the decision matrix.
    pub struct SeverityRow as "a severity" {
        /// What it means for the users.
        /// Example: Data loss
        impact: Option<String>,
        /// What to do.
        /// Example: rollback
        action: Decision = Decision::Rollback,
        /// By when it must be decided and done, from the beginning of the incident: a duration, or `now`.
        /// Example: 1h
        deadline: Option<Deadline>,
        /// The role that approves.
        /// Example: team_lead
        role: Option<Sp<Name>>,
        /// The role that is told when the deadline has passed. Without it: that of the next worse row.
        /// Example: head_of_engineering
        escalate_to: Option<Sp<Name>>,
        /// Whether the person who started the run counts.
        /// Example: false
        allow_requester: bool = false,
    }
}
