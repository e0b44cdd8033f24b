//! PostgreSQL: connections and TLS, errors with a class, a server's identity and its position in time, the commit witness, the lock and the
//! claim on a target, a pooler's console, client programs, and the throw-away cluster. Must never know what a plan or a run is.

mod accounts;
pub mod claim;
mod cluster;
mod connection;
mod error;
pub mod identity;
mod lock;
mod pooler;
pub mod position;
mod programs;
mod result;
mod settings;
mod tls;
pub mod witness;

pub use claim::{Claim, Place};
pub use cluster::{Cluster, ClusterOptions, GUARD, Stop, guard_main, sweep};
pub use connection::{Backend, Connection, Notice};
pub use error::{Class, Error, Kind};
pub use identity::Identity;
pub use lock::{Acquired, TargetLock};
pub use pooler::{Pool, Pooler};
pub use position::Position;
pub use postgres_protocol::escape::{escape_identifier, escape_literal};
pub use programs::{Program, Programs, ServerPrograms};
pub use result::{ResultSet, Row};
pub use settings::{
    CLIENT_VARIABLES, ChannelBinding, Host, Keepalives, Roots, Session, Settings, SslMode, Tls,
};
pub use witness::{Verdict, Witness};

/// Turns a timestamptz in `to_char(value {UTC})` into text that neither the session's time zone nor its DateStyle
/// touches, to the microsecond.
pub(crate) const UTC: &str = r#"AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;
