//! Lines typed at the terminal, read so that the reading can be given up: a question may be answered elsewhere.
//! Must never keep what was typed before the question stood there.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};

/// How often it is asked whether the question still stands.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const LONGEST: usize = 64 * 1024;

/// What came of waiting for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Line(String),
    /// Nobody can type any more.
    End,
    /// The question does not stand any more.
    Withdrawn,
}

pub struct Keyboard;

impl Keyboard {
    /// Forgets what was typed ahead.
    pub fn forget(&self) {
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    }

    /// The next line, without its end.
    pub fn line(&self, stands: &dyn Fn() -> bool) -> Typed {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\n") && bytes.len() < LONGEST {
            if !stands() {
                return Typed::Withdrawn;
            }
            let stdin = std::io::stdin();
            let mut wait = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut wait, Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => return Typed::End,
            }
            let mut piece = [0; 1024];
            match rustix::io::read(&stdin, &mut piece) {
                Ok(0) => return Typed::End,
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(_) => return Typed::End,
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        Typed::Line(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}
