//! The HTTP addresses that a rehearsal serves on loopback, in the place of the application: healthy while its database
//! answers. Must never listen anywhere else.

use crate::plan::rehearsal::Served as Address;
use crate::plan::template::{self, Scope};
use crate::postgres::{Connection, Settings};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tiny_http::{Header, Response, Server};

/// How long the database may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

/// One address, ready to be served.
struct Page {
    database: Option<Settings>,
    healthy: Value,
}

/// The running server; dropping it ends it.
pub struct Served {
    server: Arc<Server>,
    port: u16,
}

impl Served {
    /// Serves on a free port.
    ///
    /// # Errors
    /// The port cannot be had, or an answer cannot be built.
    pub fn start(addresses: &[Address], databases: &HashMap<String, Settings>) -> Result<Self, String> {
        let mut pages = HashMap::new();
        for address in addresses {
            let healthy = address
                .json
                .build(&mut |text| template::value(&text.raw, &Scope::new([])))
                .map_err(|error| error.to_string())?;
            let database = address.database.as_ref().and_then(|name| databases.get(name.as_str()).cloned());
            pages.insert(address.path.clone(), Page { database, healthy });
        }
        let server = Server::http("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = server.server_addr().to_ip().map(|address| address.port()).ok_or("no port")?;
        let server = Arc::new(server);
        let serving = server.clone();
        std::thread::Builder::new()
            .name("rehearsal-http".to_owned())
            .spawn(move || serve(&serving, &pages))
            .map_err(|error| error.to_string())?;
        Ok(Self { server, port })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

fn serve(server: &Server, pages: &HashMap<String, Page>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    for request in server.incoming_requests() {
        let path = request.url().split('?').next().unwrap_or_default().to_owned();
        let (status, body) = match pages.get(&path) {
            None => (404, serde_json::json!({ "error": "not served by this rehearsal" })),
            Some(page) => runtime.block_on(answer(page)),
        };
        let response = Response::from_string(body.to_string()).with_status_code(status);
        let json = Header::from_bytes(&b"Content-Type"[..], &b"application/json"[..]);
        // The asker went away: nothing to do.
        let _ = match json {
            Ok(json) => request.respond(response.with_header(json)),
            Err(()) => request.respond(response),
        };
    }
}

async fn answer(page: &Page) -> (u16, Value) {
    let Some(settings) = &page.database else { return (200, page.healthy.clone()) };
    let ask = async {
        let connection = Connection::connect(settings, "application").await?;
        connection.one("SELECT 1").await
    };
    match tokio::time::timeout(LIMIT, ask).await {
        Ok(Ok(_)) => (200, page.healthy.clone()),
        Ok(Err(error)) => (503, serde_json::json!({ "status": "unhealthy", "error": error.message() })),
        Err(_) => {
            (503, serde_json::json!({ "status": "unhealthy", "error": "the database does not answer" }))
        }
    }
}
