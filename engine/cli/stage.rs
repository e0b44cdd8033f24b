//! What a rehearsal stands on: a throw-away PostgreSQL with the plan's databases, and its HTTP addresses. Gone when it is
//! dropped, and when this process dies in any way. Must never touch a server that it did not start.

use super::served::Served;
use crate::plan::Rehearsal;
use crate::postgres::{self, Cluster, ClusterOptions, Connection, Programs, Settings, escape_identifier};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub struct Stage {
    cluster: Cluster,
    /// Kept for its drop.
    _served: Served,
    databases: HashMap<String, Settings>,
    values: Map<String, Value>,
}

/// Why the stage cannot be set.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("the throw-away PostgreSQL cannot be started: {0}")]
    #[diagnostic(code(runplan::rehearse::cluster), help("{}", .0.help().unwrap_or("install PostgreSQL's server programs, or name them with `--pg-bin`")))]
    Cluster(postgres::Error),
    #[error("the rehearsal's HTTP addresses cannot be served: {0}")]
    #[diagnostic(code(runplan::rehearse::http), help("see whether loopback is up"))]
    Http(String),
    #[error("{} cannot be made: {why}", path.display())]
    #[diagnostic(code(runplan::rehearse::directory), help("choose another place with `--state`"))]
    Directory { path: PathBuf, why: String },
}

impl Stage {
    /// Starts the server, makes the databases and serves the addresses. About a second.
    ///
    /// # Errors
    /// The server's programs are missing or do not start; a port or directory cannot be had.
    pub async fn set(
        names: &[String],
        rehearsal: &Rehearsal,
        directory: &Path,
        programs: &Programs,
        exe: PathBuf,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(directory)
            .map_err(|error| Error::Directory { path: directory.to_owned(), why: error.to_string() })?;
        let server = programs.server_programs(None).map_err(Error::Cluster)?;
        let cluster = Cluster::launch(ClusterOptions::new(server, exe)).await.map_err(Error::Cluster)?;
        let databases = make_databases(&cluster, names).await.map_err(Error::Cluster)?;
        let served = Served::start(&rehearsal.serve, &databases).map_err(Error::Http)?;
        let mut values = Map::new();
        values.insert("dir".to_owned(), directory.display().to_string().into());
        values.insert("url".to_owned(), served.url().into());
        Ok(Self { cluster, _served: served, databases, values })
    }

    /// How to reach the databases that take the place of the real ones.
    pub fn databases(&self) -> HashMap<String, Settings> {
        self.databases.clone()
    }

    /// `rehearsal` in templates.
    pub fn values(&self) -> Map<String, Value> {
        self.values.clone()
    }

    /// Stops the server and removes everything of it.
    ///
    /// # Errors
    /// It does not stop in order; the guard ends it all the same.
    pub fn strike(self) -> Result<(), postgres::Error> {
        self.cluster.stop()
    }
}

async fn make_databases(
    cluster: &Cluster,
    names: &[String],
) -> Result<HashMap<String, Settings>, postgres::Error> {
    let connection = Connection::connect(&cluster.settings("postgres")?, "runplan:rehearsal").await?;
    let mut databases = HashMap::new();
    for name in names {
        connection.execute(&format!("CREATE DATABASE {}", escape_identifier(name))).await?;
        databases.insert(name.clone(), cluster.settings(name)?);
    }
    Ok(databases)
}
