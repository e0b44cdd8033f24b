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
    /// After the cut nobody gets through any more.
    then_closed: bool,
    closed: bool,
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
        *self.rules.lock().unwrap() = Rules { cut: Some(cut), then_closed: true, closed: false };
    }

    pub fn open(&self) {
        *self.rules.lock().unwrap() = Rules::default();
    }
}

fn carry(client: TcpStream, server: TcpStream, rules: &Arc<Mutex<Rules>>) {
    let muted = Arc::new(Mutex::new(false));
    let both = || (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let ((mut from, mut to), rules, mute) = (both(), rules.clone(), muted.clone());
    std::thread::spawn(move || {
        pump(&mut from, &mut to, |bytes| {
            let mut rules = rules.lock().unwrap();
            if !bytes.windows(COMMIT.len()).any(|window| window == COMMIT) {
                return true;
            }
            let cut = rules.cut.take();
            rules.closed |= cut.is_some() && rules.then_closed;
            *mute.lock().unwrap() |= cut == Some(Cut::AfterCommit);
            cut != Some(Cut::BeforeCommit)
        });
    });
    let (mut to, mut from) = both();
    std::thread::spawn(move || pump(&mut from, &mut to, |_| !*muted.lock().unwrap()));
}

/// Carries bytes until one side ends or `passes` says no; then both sides are closed.
fn pump(from: &mut TcpStream, to: &mut TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if !passes(&chunk[..count]) || to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
