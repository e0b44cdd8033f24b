//! A way to the server that breaks where a test wants it: at the COMMIT, in one direction or the other, or altogether.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Where the way breaks, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the COMMIT.
    BeforeCommit,
    /// The server commits, and its answer is lost.
    AfterCommit,
}

#[derive(Default)]
struct Rules {
    cut: Option<Cut>,
    /// So many bytes go through in both directions and all connections, then the one in which they end is cut.
    budget: Option<u64>,
    /// After the cut nobody gets through any more.
    then_closed: bool,
    closed: bool,
    /// What may not pass is swallowed, and nobody is told: a route that drops.
    silent: bool,
}

pub struct Proxy {
    port: u16,
    rules: Arc<Mutex<Rules>>,
}

/// The simple query `COMMIT` and nothing else: what flushes the WAL has one among other statements.
const COMMIT: &[u8] = b"Q\x00\x00\x00\x0bCOMMIT\x00";

impl Proxy {
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let rules = Arc::new(Mutex::new(Rules::default()));
        let shared = rules.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.lock().unwrap().closed {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).expect("the server");
                carry(client, server, &shared);
            }
        });
        Self { port, rules }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cut(&self, cut: Cut) {
        self.rules.lock().unwrap().cut = Some(cut);
    }

    /// Cuts, and lets nobody through afterwards.
    pub fn cut_and_close(&self, cut: Cut) {
        *self.rules.lock().unwrap() = Rules { cut: Some(cut), then_closed: true, ..Rules::default() };
    }

    /// Cuts the connection that carries the byte of that number from now on, once.
    pub fn cut_after(&self, bytes: u64) {
        self.rules.lock().unwrap().budget = Some(bytes);
    }

    /// After so many bytes nothing gets through any more, in any direction, and no connection ends.
    pub fn swallow_after(&self, bytes: u64) {
        *self.rules.lock().unwrap() = Rules { budget: Some(bytes), silent: true, ..Rules::default() };
    }

    pub fn open(&self) {
        *self.rules.lock().unwrap() = Rules::default();
    }
}

impl Rules {
    /// How many of these may go through.
    fn afford(&mut self, bytes: &[u8]) -> usize {
        let Some(budget) = self.budget else { return bytes.len() };
        let passes = budget.min(bytes.len() as u64);
        self.budget = (self.silent || passes == bytes.len() as u64).then_some(budget - passes);
        passes as usize
    }
}

fn carry(client: TcpStream, server: TcpStream, rules: &Arc<Mutex<Rules>>) {
    let muted = Arc::new(Mutex::new(false));
    let both = || (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let ((mut from, mut to), shared, mute) = (both(), rules.clone(), muted.clone());
    std::thread::spawn(move || {
        let silent = || shared.lock().unwrap().silent;
        pump(&mut from, &mut to, silent, |bytes| {
            let mut rules = shared.lock().unwrap();
            if !bytes.windows(COMMIT.len()).any(|window| window == COMMIT) {
                return rules.afford(bytes);
            }
            let cut = rules.cut.take();
            rules.closed |= cut.is_some() && rules.then_closed;
            *mute.lock().unwrap() |= cut == Some(Cut::AfterCommit);
            if cut == Some(Cut::BeforeCommit) { 0 } else { rules.afford(bytes) }
        });
    });
    let ((mut to, mut from), rules) = (both(), rules.clone());
    std::thread::spawn(move || {
        let silent = || rules.lock().unwrap().silent;
        pump(&mut from, &mut to, silent, |bytes| {
            if *muted.lock().unwrap() { 0 } else { rules.lock().unwrap().afford(bytes) }
        });
    });
}

/// Carries bytes until one side ends or fewer of them may pass than came; then both sides are closed, unless it is
/// done in silence.
fn pump(
    from: &mut TcpStream,
    to: &mut TcpStream,
    silent: impl Fn() -> bool,
    mut passes: impl FnMut(&[u8]) -> usize,
) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        let allowed = passes(&chunk[..count]);
        if to.write_all(&chunk[..allowed]).is_err() || (allowed < count && !silent()) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
