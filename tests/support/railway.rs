//! A stand-in for Railway's API: it holds every request against the schema, keeps what it was told, takes its time, limits,
//! breaks, and hangs up when a test says so. A committed restore really replaces what the test says.

use super::graphql::{Asked, Schema, cut};
use super::server::{Server, Told};
use runplan::clock::{self, Stopwatch, Timestamp};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub const SCHEMA: &str = include_str!("railway.graphql");
pub const TOKEN: &str = "token-of-the-railway";

/// What happens to the next call of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// 429, with a time.
    Limited,
    /// 500, and nothing is done.
    Broken,
    /// It is not done, and the connection is closed without an answer; meanwhile somebody staged a change of their own.
    Overtaken,
    /// It is done, and the connection is closed without an answer.
    Lost,
    /// It is done, and the answer waits until `let_go`.
    Held,
}

type Replace = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub struct State {
    /// As the API lists them.
    pub backups: Vec<Value>,
    pub troubles: Vec<(&'static str, Trouble)>,
    /// Names of the calls that were done, in order.
    pub done: Vec<String>,
    /// Requests that the schema does not allow.
    pub invalid: Vec<String>,
    /// Service, name, value, in the order they were set.
    pub variables: Vec<(String, String, String)>,
    pub services: Vec<String>,
    pub status: &'static str,
    /// Something waits to be committed.
    pub staged: bool,
    /// Somebody else's change waits too: a variable of the application.
    pub foreign: bool,
    /// With which a workflow ends instead of success.
    pub workflow_error: Option<&'static str>,
    /// The volume is being restored for so many questions more.
    pub busy: u32,
    is_restoring: u32,
    patch_status: &'static str,
    /// For how many questions still a deployment or a workflow is under way.
    under_way: u32,
    held: bool,
}

pub struct Railway {
    pub url: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

impl Railway {
    /// `replace`: what a committed restore does, in a while.
    pub fn start(replace: impl Fn() + Send + Sync + 'static) -> Self {
        let state =
            Arc::new(Mutex::new(State { patch_status: "STAGED", status: "SUCCESS", ..State::default() }));
        let (shared, replace): (_, Replace) = (state.clone(), Arc::new(replace));
        let schema = Schema::parse(SCHEMA);
        let server = Server::with_headers(move |asked| {
            if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
                return Some((200, Vec::new(), errors("Not Authorized", true)));
            }
            let calls = match schema.read(&asked.json()) {
                Ok(calls) => calls,
                Err(why) => {
                    lock(&shared).invalid.push(format!("{why}: {}", asked.body));
                    return Some((400, Vec::new(), errors(&why, false)));
                }
            };
            answer(&shared, &replace, &calls)
        });
        Self { url: format!("{}/graphql/v2", server.url), state, _server: server }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn times(&self, name: &str) -> usize {
        self.state().done.iter().filter(|done| *done == name).count()
    }

    /// Waits until a held answer is held.
    pub fn until_held(&self) {
        let watch = Stopwatch::start();
        while !self.state().held {
            assert!(watch.elapsed() < Duration::from_secs(60), "nothing is held: {:?}", self.state().done);
            clock::block(Duration::from_millis(5));
        }
    }

    pub fn let_go(&self) {
        self.state().held = false;
    }
}

pub fn backup(id: &str, made: Timestamp) -> Value {
    json!({ "id": id, "name": null, "createdAt": made.to_string(), "expiresAt": null, "usedMB": 40 })
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

fn errors(why: &str, begun: bool) -> String {
    let mut answer = json!({ "errors": [{ "message": why }] });
    if begun {
        answer["data"] = Value::Null;
    }
    answer.to_string()
}

fn answer(state: &Arc<Mutex<State>>, replace: &Replace, calls: &[Asked]) -> Option<Told> {
    let trouble = {
        let mut state = lock(state);
        let at = state.troubles.iter().position(|(name, _)| calls.iter().any(|call| call.name == *name));
        at.map(|at| state.troubles.remove(at).1)
    };
    match trouble {
        Some(Trouble::Limited) => {
            let after = vec![("Retry-After".to_owned(), "1".to_owned())];
            return Some((429, after, "{\"message\": \"slow down\"}".to_owned()));
        }
        Some(Trouble::Broken) => return Some((500, Vec::new(), "it broke".to_owned())),
        Some(Trouble::Overtaken) => {
            lock(state).foreign = true;
            return None;
        }
        Some(Trouble::Lost | Trouble::Held) | None => {}
    }
    // It is never quick.
    clock::block(Duration::from_millis(20));
    let mut data = json!({});
    for call in calls {
        match done(state, replace, call) {
            Ok(value) => data[&call.name] = cut(value, call),
            Err(why) => return Some((200, Vec::new(), errors(&why, true))),
        }
    }
    if trouble == Some(Trouble::Held) {
        lock(state).held = true;
        while lock(state).held {
            clock::block(Duration::from_millis(5));
        }
    }
    (trouble.is_none()).then(|| (200, Vec::new(), json!({ "data": data }).to_string()))
}

/// Counts down what is under way.
fn settled(state: &mut State) -> bool {
    state.under_way = state.under_way.saturating_sub(1);
    state.under_way == 0
}

fn done(shared: &Arc<Mutex<State>>, replace: &Replace, call: &Asked) -> Result<Value, String> {
    let mut state = lock(shared);
    let args = &call.args;
    let is = |name: &str, wanted: &str| match args[name] == wanted {
        true => Ok(()),
        false => Err("Not Authorized".to_owned()),
    };
    state.done.push(call.name.clone());
    let patch = |state: &State| {
        let mut services = json!({});
        if state.staged {
            services["db"] = json!({ "volumeMounts": { "new": { "mountPath": "/data" } } });
        }
        if state.foreign {
            services["app"] = json!({ "variables": { "X": { "value": "1" } } });
        }
        match state.staged || state.foreign {
            true => {
                json!({ "id": "patch-1", "status": state.patch_status, "patch": { "services": services } })
            }
            false => json!({ "id": "patch-0", "status": "STAGED", "patch": {} }),
        }
    };
    Ok(match call.name.as_str() {
        "environment" => {
            is("id", "env")?;
            let node =
                |id: &str, of: &str| json!({ "node": { "id": id, "serviceId": of, "state": "READY" } });
            let edges = [node("vi-cache", "cache"), node("vi-db", "db")];
            json!({ "id": "env", "volumeInstances": { "edges": edges } })
        }
        "volumeInstance" => {
            is("id", "vi-db")?;
            state.is_restoring = state.is_restoring.saturating_sub(1);
            state.busy = state.busy.saturating_sub(1);
            let word = if state.is_restoring > 0 || state.busy > 0 { "RESTORING" } else { "READY" };
            json!({ "id": "vi-db", "serviceId": "db", "state": word })
        }
        "volumeInstanceBackupList" => {
            is("volumeInstanceId", "vi-db")?;
            state.backups.clone().into()
        }
        "volumeInstanceBackupLock" => true.into(),
        "volumeInstanceBackupCreate" => {
            let name = args["name"].clone();
            let made = backup(&format!("made-{}", state.backups.len()), clock::now());
            state.backups.push(made);
            state.backups.last_mut().unwrap()["name"] = name;
            state.under_way = 2;
            json!({ "workflowId": "workflow" })
        }
        "volumeInstanceBackupRestore" => {
            is("volumeInstanceId", "vi-db")?;
            let id = &args["volumeInstanceBackupId"];
            let chosen = state.backups.iter().position(|one| one["id"] == *id).ok_or("no such backup")?;
            state.backups.truncate(chosen + 1);
            (state.is_restoring, state.under_way, state.staged) = (2, 3, true);
            json!({ "workflowId": "workflow" })
        }
        "volumeInstancePITRRestore" => {
            is("volumeInstanceId", "vi-db")?;
            let name = args["newServiceName"].as_str().unwrap_or("restored").to_owned();
            state.services.push(name);
            state.under_way = 3;
            json!({ "workflowId": "workflow" })
        }
        "workflowStatus" => {
            let word = if settled(&mut state) { "Complete" } else { "Running" };
            match state.workflow_error {
                Some(error) => json!({ "status": "Error", "error": error }),
                None => json!({ "status": word, "error": null }),
            }
        }
        "project" => {
            let node = |name: &String| json!({ "node": { "id": format!("id-of-{name}"), "name": name } });
            let edges: Vec<Value> = state.services.iter().map(node).collect();
            json!({ "id": "project", "services": { "edges": edges } })
        }
        "environmentStagedChanges" => patch(&state),
        "environmentPatch" => {
            is("id", "patch-1")?;
            json!({ "id": "patch-1", "status": state.patch_status, "patch": {} })
        }
        "environmentPatchCommitStaged" => {
            if !state.staged {
                return Err("nothing is staged".to_owned());
            }
            (state.staged, state.patch_status) = (false, "APPLYING");
            let (later, replace) = (shared.clone(), replace.clone());
            std::thread::spawn(move || {
                clock::block(Duration::from_millis(300));
                replace();
                lock(&later).patch_status = "COMMITTED";
            });
            "patch-1".into()
        }
        "variableUpsert" => {
            let text = |name: &str| args["input"][name].as_str().unwrap_or_default().to_owned();
            let set = (text("serviceId"), text("name"), text("value"));
            state.variables.push(set);
            true.into()
        }
        "serviceInstanceDeployV2" => {
            state.under_way = 2;
            "deployment-1".into()
        }
        "deployment" => {
            let word = if settled(&mut state) { state.status } else { "BUILDING" };
            json!({ "id": "deployment-1", "status": word })
        }
        "deploymentLogs" => {
            json!([{ "timestamp": "2026-01-01T00:00:00Z", "severity": "info", "message": "listening" }])
        }
        other => return Err(format!("the stand-in does not do {other}")),
    })
}
