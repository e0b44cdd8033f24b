//! One end of the connection between engine and supervisor; both use it. Never blocks: what the other side does not
//! take waits here.

use super::wire;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zeroize::{Zeroize, Zeroizing};

const CHUNK: usize = 64 * 1024;

pub(super) struct Connection {
    pub stream: Arc<UnixStream>,
    incoming: Zeroizing<Vec<u8>>,
    chunk: Box<[u8]>,
    outgoing: VecDeque<u8>,
}

/// What the other side has said.
pub(super) struct Heard<T> {
    pub messages: Vec<T>,
    /// It is gone, or talks nonsense. Half a message of the dead is none.
    pub over: bool,
}

impl Connection {
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream: Arc::new(stream),
            incoming: Zeroizing::default(),
            chunk: vec![0; CHUNK].into(),
            outgoing: VecDeque::new(),
        }
    }

    /// Everything that has arrived. Asks the kernel itself, because the runtime may not have been told yet.
    pub fn read<T: DeserializeOwned>(&mut self) -> Heard<T> {
        let mut over = false;
        loop {
            match rustix::net::recv(&self.stream, &mut self.chunk[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => over = true,
                Ok((count, _)) => {
                    self.incoming.extend_from_slice(&self.chunk[..count]);
                    self.chunk[..count].zeroize();
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => self.forget_readiness(Interest::READABLE),
                Err(_) => over = true,
            }
            break;
        }
        match wire::decode(&mut self.incoming) {
            Ok(messages) => Heard { messages, over },
            Err(_) => Heard { messages: Vec::new(), over: true },
        }
    }

    /// Sends as much as is taken now.
    pub fn send(&mut self, message: &[u8]) {
        self.outgoing.extend(message);
        self.write();
    }

    /// Whether something still waits to be taken.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Sends what waited.
    pub fn write(&mut self) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.stream, self.outgoing.make_contiguous(), flags) {
                Ok(count) => self.taken(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return self.forget_readiness(Interest::WRITABLE),
                // It is gone, which reading will tell.
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    /// Wipes it too: it may have held secrets.
    fn taken(&mut self, count: usize) {
        self.outgoing.make_contiguous()[..count].zeroize();
        self.outgoing.drain(..count);
    }

    pub fn close(&self) {
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Both);
    }

    fn forget_readiness(&self, interest: Interest) {
        let _ = self.stream.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
