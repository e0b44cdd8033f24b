//! The databases of an organisation: how to reach each, what it must be, and what stands around it.

use crate::plan::decode::{Decode, Reader, Schemas, record};
use crate::plan::node::{Kind, Node};
use crate::plan::text::Text;
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
        /// The database to stand on while the target itself is renamed: another one of its server.
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
        if let Kind::Scalar { text, .. } = &node.kind {
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
