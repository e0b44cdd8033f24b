//! The site file: databases, channels, contacts, roles and the decision matrix of one organisation.

mod channel;
mod database;
mod people;

pub use channel::{Channel, ChannelType, Occasion, Tls};
pub use database::{Database, Pinned, Pooler, Replicas};
pub use people::{Contact, Deadline, Decision, Person, Role, SeverityRow};

use super::decode::{Decode, Reader, Schemas, Table, record};
use super::defaults::Defaults;
use super::finding::Finding;
use super::node::Node;
use serde_json::{Value, json};

record! {
    /// A value that is never shown nor stored. Give one of the three.
    pub struct SecretSource as "a secret" {
        /// The environment variable that holds it.
        /// Example: DATABASE_URL
        env: Option<String>,
        /// The file that holds it; a final newline is dropped.
        /// Example: /run/secrets/database_url
        file: Option<String>,
        /// The command that prints it.
        /// Example: ["op", "read", "op://prod/database/url"]
        command: Option<Vec<String>>,
    }
}

record! {
    /// What one organisation's plans share: `runplan.yaml` beside or above them.
    pub struct Site as "the site file" {
        /// The format version.
        /// Example: 1
        runplan: Version,
        /// Values that are never shown.
        /// Example: {"DATABASE_URL": {"env": "DATABASE_URL"}}
        secrets: Table<SecretSource> = Table::new(),
        /// The databases that plans name.
        /// Example: {"app": {"url": "{{ secrets.DATABASE_URL }}"}}
        databases: Table<Database> = Table::new(),
        /// Where notifications go.
        /// Example: {"team": {"type": "slack", "url": "{{ secrets.SLACK_WEBHOOK }}", "events": ["waiting", "failed", "done"]}}
        channels: Table<Channel> = Table::new(),
        /// Whom to call; printed when a run stops.
        /// Example: {"dba": {"name": "Database on call", "call": "+49 30 1234567"}}
        contacts: Table<Contact> = Table::new(),
        /// Who may approve.
        /// Example: {"team_lead": {"people": ["alice"]}}
        roles: Table<Role> = Table::new(),
        /// The decision matrix.
        /// Example: {"critical": {"impact": "Data loss", "role": "team_lead"}}
        severities: Table<SeverityRow> = Table::new(),
        /// What steps get that do not say it themselves; a plan's own `defaults` go before these.
        /// Example: {"timeout": "30m", "lock_timeout": "3s", "keep": "7d"}
        defaults: Defaults = Defaults::none(),
    }
}

/// The format version of a file; only 1 exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version;

impl Decode for Version {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            super::node::Kind::Scalar { text, .. } if text == "1" => Some(Self),
            _ => {
                let finding = Finding::error(
                    "runplan::plan::unsupported_version",
                    super::decode::visible(node),
                    "this format version is not supported",
                );
                reader.push(finding.help("write `runplan: 1`, or use a newer runplan"));
                None
            }
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "const": 1 })
    }
}
