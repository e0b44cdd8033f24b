//! The supervisor's loop: one thread that puts everything in one order. It ends when nothing runs and no engine is
//! connected. Must never block on an engine, and never tell one "absent" about what a dead one still had started.

use super::attempt::Attempt;
use super::connection::Connection;
use super::launch::launch;
use super::record::{self, ExitRecord, Paths};
use super::wire::{self, Refusal, Reply, Request, Start};
use crate::clock;
use crate::failpoint;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The loop's inputs.
enum Event {
    Arrived(io::Result<UnixStream>),
    Readable(u64),
    Writable(u64),
    Ended(Box<ExitRecord>),
}

/// What the programs of an engine inherit.
type Environment = Rc<Vec<(OsString, OsString)>>;

/// An attempt under way, or waiting to be.
struct Entry {
    /// None while it waits.
    under_way: Option<(i32, UnboundedSender<Duration>)>,
    /// The engines that want to know its end.
    engines: Vec<u64>,
}

struct Waiting {
    start: Box<Start>,
    environment: Environment,
}

pub(super) struct Server {
    directory: PathBuf,
    session: i32,
    listener: Rc<UnixListener>,
    engines: BTreeMap<u64, (Connection, Environment)>,
    next: u64,
    attempts: HashMap<String, Entry>,
    waiting: VecDeque<Waiting>,
    running: usize,
    limit: usize,
    work: FuturesUnordered<LocalBoxFuture<'static, Event>>,
}

impl Server {
    pub fn new(directory: PathBuf, listener: UnixListener) -> Self {
        let server = Self {
            directory,
            session: i32::try_from(std::process::id()).unwrap_or_default(),
            listener: Rc::new(listener),
            engines: BTreeMap::new(),
            next: 0,
            attempts: HashMap::new(),
            waiting: VecDeque::new(),
            running: 0,
            limit: limit(),
            work: FuturesUnordered::new(),
        };
        server.await_engine(Duration::ZERO);
        server
    }

    pub async fn run(&mut self) {
        while !(self.engines.is_empty() && self.attempts.is_empty()) {
            let Some(event) = self.work.next().await else { break };
            match event {
                Event::Arrived(Ok(stream)) => {
                    self.admit(stream);
                    self.await_engine(Duration::ZERO);
                }
                // Out of descriptors, most likely: some will be free soon.
                Event::Arrived(Err(_)) => self.await_engine(Duration::from_millis(100)),
                Event::Readable(engine) => {
                    self.hear(engine);
                    self.await_input(engine);
                }
                Event::Writable(engine) => self.flush(engine),
                Event::Ended(exit) => self.ended(*exit),
            }
        }
        // An engine that comes now gets no greeting and starts another supervisor.
        let _ = std::fs::remove_file(self.directory.join("supervisor.sock"));
    }

    fn await_engine(&self, delay: Duration) {
        let listener = self.listener.clone();
        let arrival = async move {
            if !delay.is_zero() {
                clock::sleep(delay).await;
            }
            Event::Arrived(listener.accept().await.map(|(stream, _)| stream))
        };
        self.work.push(arrival.boxed_local());
    }

    pub fn admit(&mut self, stream: UnixStream) {
        let own = rustix::process::geteuid().as_raw();
        if stream.peer_cred().is_ok_and(|peer| peer.uid() != own && peer.uid() != 0) {
            return;
        }
        let engine = self.next;
        self.next += 1;
        self.engines.insert(engine, (Connection::new(stream), Environment::default()));
        self.tell(engine, &Reply::Hello { version: wire::VERSION });
        self.await_input(engine);
    }

    fn await_input(&self, engine: u64) {
        let Some((connection, _)) = self.engines.get(&engine) else { return };
        let stream = connection.stream.clone();
        let readable = async move {
            // An error is found by the reading itself.
            let _ = stream.readable().await;
            Event::Readable(engine)
        };
        self.work.push(readable.boxed_local());
    }

    /// Takes what an engine has sent and does it. Before an attempt is asked for, all engines are heard, the oldest
    /// first: what a dead one has asked for has all arrived, and so nobody hears "absent" about an attempt that is
    /// started afterwards.
    fn hear(&mut self, engine: u64) {
        let Some((connection, _)) = self.engines.get_mut(&engine) else { return };
        let mut heard = BTreeMap::from([(engine, connection.read())]);
        if heard[&engine].messages.iter().any(|request| matches!(request, Request::Attach { .. })) {
            for (other, (connection, _)) in self.engines.iter_mut().filter(|(other, _)| **other != engine) {
                heard.insert(*other, connection.read());
            }
        }
        for (engine, heard) in heard {
            for request in heard.messages {
                self.serve(engine, request);
            }
            if heard.over {
                self.dismiss(engine);
            }
        }
    }

    fn dismiss(&mut self, engine: u64) {
        if let Some((gone, _)) = self.engines.remove(&engine) {
            gone.close();
        }
        for entry in self.attempts.values_mut() {
            entry.engines.retain(|known| *known != engine);
        }
    }

    fn serve(&mut self, engine: u64, request: Request) {
        match request {
            Request::Hello { environment } => {
                if let Some((_, known)) = self.engines.get_mut(&engine) {
                    *known = Rc::new(environment);
                }
            }
            Request::Start(start) => self.start(engine, start),
            Request::Attach { key } => self.attach(engine, key),
            Request::Cancel { key, grace_ms } => self.cancel(engine, key, Duration::from_millis(grace_ms)),
        }
    }

    fn start(&mut self, engine: u64, start: Box<Start>) {
        if self.attempts.contains_key(&start.key) {
            self.tell(engine, &Reply::Refused { key: start.key, why: Refusal::StartedBefore });
            return;
        }
        let environment = self.engines.get(&engine).map(|(_, known)| known.clone()).unwrap_or_default();
        self.attempts.insert(start.key.clone(), Entry { under_way: None, engines: vec![engine] });
        if self.running >= self.limit {
            self.tell(engine, &Reply::Queued { key: start.key.clone() });
        }
        self.waiting.push_back(Waiting { start, environment });
        self.launch_waiting();
    }

    fn launch_waiting(&mut self) {
        while self.running < self.limit {
            let Some(Waiting { start, environment }) = self.waiting.pop_front() else { return };
            let key = start.key.clone();
            match launch(&self.directory, self.session, &start, &environment) {
                Ok(launched) => {
                    let (cancel, wishes) = unbounded_channel();
                    let pid = launched.pid;
                    if let Some(entry) = self.attempts.get_mut(&key) {
                        entry.under_way = Some((pid, cancel));
                    }
                    self.running += 1;
                    let attempt = Attempt::new(*start, launched, wishes);
                    self.work.push(attempt.run().map(|exit| Event::Ended(Box::new(exit))).boxed_local());
                    self.announce(&key, &Reply::Started { key: key.clone(), pid });
                }
                Err(why) => {
                    self.announce(&key, &Reply::Refused { key: key.clone(), why });
                    self.attempts.remove(&key);
                }
            }
        }
    }

    fn attach(&mut self, engine: u64, key: String) {
        match self.attempts.get_mut(&key) {
            None => self.tell(engine, &Reply::Absent { key }),
            Some(entry) => {
                if !entry.engines.contains(&engine) {
                    entry.engines.push(engine);
                }
                let reply = match entry.under_way {
                    Some((pid, _)) => Reply::Started { key, pid },
                    None => Reply::Queued { key },
                };
                self.tell(engine, &reply);
            }
        }
    }

    fn cancel(&mut self, engine: u64, key: String, grace: Duration) {
        match self.attempts.get(&key) {
            None => self.tell(engine, &Reply::Absent { key }),
            Some(Entry { under_way: Some((_, cancel)), .. }) => {
                // If it has just ended, its exit is on the way.
                let _ = cancel.send(grace);
            }
            Some(Entry { under_way: None, .. }) => {
                self.waiting.retain(|waiting| waiting.start.key != key);
                let why = Refusal::NotStarted("it was cancelled before its turn came".into());
                self.announce(&key, &Reply::Refused { key: key.clone(), why });
                self.attempts.remove(&key);
            }
        }
    }

    /// Recorded first, told then: whoever has heard of an end finds it recorded.
    fn ended(&mut self, mut exit: ExitRecord) {
        let key = exit.key.clone();
        self.running -= 1;
        failpoint::passed("before_exit_record");
        let recorded = Paths::new(&self.directory, &key)
            .map_err(|error| error.to_string())
            .and_then(|paths| record::write_exit(&paths, &exit).map_err(|error| error.to_string()));
        if let Err(reason) = recorded {
            exit.evidence.push(format!("the exit could not be recorded: {reason}"));
        }
        failpoint::passed("after_exit_record");
        self.announce(&key, &Reply::Exited { key: key.clone(), exit: Box::new(exit) });
        self.attempts.remove(&key);
        self.launch_waiting();
    }

    fn announce(&mut self, key: &str, reply: &Reply) {
        let engines = self.attempts.get(key).map(|entry| entry.engines.clone()).unwrap_or_default();
        for engine in engines {
            self.tell(engine, reply);
        }
    }

    fn tell(&mut self, engine: u64, reply: &Reply) {
        let Some((connection, _)) = self.engines.get_mut(&engine) else { return };
        let Ok(message) = wire::encode(reply) else { return };
        let was_waiting = connection.is_waiting();
        connection.send(&message);
        if !was_waiting {
            self.await_room(engine);
        }
    }

    fn flush(&mut self, engine: u64) {
        if let Some((connection, _)) = self.engines.get_mut(&engine) {
            connection.write();
        }
        self.await_room(engine);
    }

    /// If the engine does not take everything now, it will be given the rest when it takes more.
    fn await_room(&self, engine: u64) {
        let Some((connection, _)) = self.engines.get(&engine).filter(|(it, _)| it.is_waiting()) else {
            return;
        };
        let stream = connection.stream.clone();
        let writable = async move {
            // An error is found by the writing itself.
            let _ = stream.writable().await;
            Event::Writable(engine)
        };
        self.work.push(writable.boxed_local());
    }
}

/// How many programs run at once: each needs two pipes, two files and a handle. More wait for their turn.
fn limit() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    usize::try_from(descriptors.saturating_sub(64) / 6).unwrap_or(1).clamp(1, 256)
}
