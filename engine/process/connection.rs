//! The supervisor's end of the connection to one engine. Never blocks: what the engine does not take waits here.

use super::wire::{self, Reply, Request};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

pub(super) type Environment = Rc<Vec<(OsString, OsString)>>;

pub(super) struct Connection {
    pub stream: Rc<UnixStream>,
    /// What the programs of this engine inherit.
    pub environment: Environment,
    incoming: Zeroizing<Vec<u8>>,
    outgoing: VecDeque<u8>,
}

/// What an engine has said.
pub(super) struct Heard {
    pub requests: Vec<Request>,
    /// The engine is gone, or talks nonsense. Half a request of a dead engine is none.
    pub over: bool,
}

impl Connection {
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream: Rc::new(stream),
            environment: Rc::default(),
            incoming: Zeroizing::default(),
            outgoing: VecDeque::new(),
        }
    }

    /// Everything that has arrived. Asks the kernel itself, because the runtime may not have been told yet.
    pub fn read(&mut self) -> Heard {
        let mut chunk = Zeroizing::new(vec![0; 64 * 1024]);
        let mut over = false;
        loop {
            match rustix::net::recv(&self.stream, &mut chunk[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => over = true,
                Ok((count, _)) => {
                    self.incoming.extend_from_slice(&chunk[..count]);
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => self.forget_readiness(Interest::READABLE),
                Err(_) => over = true,
            }
            break;
        }
        match wire::decode(&mut self.incoming) {
            Ok(requests) => Heard { requests, over },
            Err(_) => Heard { requests: Vec::new(), over: true },
        }
    }

    pub fn queue(&mut self, reply: &Reply) {
        if let Ok(bytes) = wire::encode(reply) {
            self.outgoing.extend(bytes.iter());
        }
    }

    /// Whether something still waits to be taken.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Sends what the engine takes.
    pub fn write(&mut self) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.stream, self.outgoing.make_contiguous(), flags) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return self.forget_readiness(Interest::WRITABLE),
                // It is gone, which reading will tell.
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    pub fn close(self) {
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Both);
    }

    fn forget_readiness(&self, interest: Interest) {
        let _ = self.stream.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
