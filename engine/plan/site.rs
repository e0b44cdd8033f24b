//! The site file: databases, channels, contacts, roles and the decision matrix of one organisation.

use super::decode::{Decode, Reader, Schemas, Table, choice, record};
use super::duration::Duration;
use super::finding::Finding;
use super::headers::Headers;
use super::name::Name;
use super::node::Node;
use super::source::Sp;
use super::text::Text;
use serde_json::{Value, json};

record! {
    /// The server a database must be on; a run against another is refused.
    pub struct Pinned as "expect" {
        /// What people call it.
        /// Example: production
        environment: Option<String>,
        /// The host of the connection.
        /// Example: db.internal
        host: Option<String>,
        /// The name of the database.
        /// Example: app
        database: Option<String>,
        /// `system_identifier` of pg_control_system().
        /// Example: "7301234567890123456"
        system_identifier: Option<String>,
    }
}

record! {
    /// The connection pooler between the application and the server.
    pub struct Pooler as "pooler" {
        /// PgBouncer's admin console.
        /// Example: {{ secrets.PGBOUNCER_URL }}
        admin_url: Text,
    }
}

record! {
    /// A PostgreSQL database that plans name.
    pub struct Database as "a database" {
        /// How to reach it: URL or key=value, as libpq reads them; unpooled.
        /// Example: {{ secrets.DATABASE_URL }}
        url: Text,
        /// The database to stand on while the target itself is renamed.
        /// Example: postgres
        maintenance: Option<String>,
        /// The server it must be.
        /// Example: {"environment": "production"}
        expect: Option<Pinned>,
        /// True: a person types the environment's name before anything is changed.
        /// Example: true
        protected: bool = false,
        /// The pooler before it; a swap pauses it.
        /// Example: {"admin_url": "{{ secrets.PGBOUNCER_URL }}"}
        pooler: Option<Pooler>,
        /// Its replicas; a swap waits for them. `ignore`: there are some and they do not matter.
        /// Example: ["{{ secrets.REPLICA_URL }}"]
        replicas: Option<Replicas>,
    }
}

/// The replicas of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicas {
    Ignore,
    Urls(Vec<Text>),
}

impl Decode for Replicas {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let super::node::Kind::Scalar { text, .. } = &node.kind {
            if text == "ignore" {
                return Some(Self::Ignore);
            }
            reader.wrong(node, "a list of addresses, or the word `ignore`");
            return None;
        }
        Vec::decode(node, reader).map(Self::Urls)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        let text = Text::schema(schemas);
        json!({ "anyOf": [ { "const": "ignore" }, { "type": "array", "items": text } ] })
    }
}

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

choice! {
    /// The protocol of a channel.
    pub enum ChannelType { Console = "console", Webhook = "webhook", Slack = "slack" }
}

record! {
    /// Where notifications go.
    pub struct Channel as "a channel" {
        /// Its protocol.
        /// Example: slack
        type_: ChannelType,
        /// Its address.
        /// Example: {{ secrets.SLACK_WEBHOOK }}
        url: Option<Text>,
        /// Headers of a webhook.
        /// Example: {"Authorization": "Bearer {{ secrets.TOKEN }}"}
        headers: Headers = Headers::new(),
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
        /// The people, by name.
        /// Example: ["alice", "bob"]
        people: Vec<String> = Vec::new(),
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
        /// By when; `now` is 0s.
        /// Example: 1h
        deadline: Option<Duration>,
        /// The role that approves.
        /// Example: team_lead
        role: Option<Sp<Name>>,
        /// Whether the person who started the run counts.
        /// Example: false
        allow_requester: bool = false,
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
        /// Example: {"team": {"type": "slack", "url": "{{ secrets.SLACK_WEBHOOK }}"}}
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
