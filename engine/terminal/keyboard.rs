//! The keys of the terminal, one by one and without an echo, as long as a question stands. Ctrl-C stays a signal. Must never
//! leave the terminal other than it was found, nor keep what was typed before the question stood there.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcgetpgrp,
    tcsetattr,
};
use std::time::Duration;

/// How often it is asked whether the question still stands.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What came of waiting for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Nothing,
    Keys(Vec<u8>),
    /// Nobody can type any more.
    End,
}

/// While it lives the terminal gives key by key.
#[derive(Default)]
pub struct Keyboard {
    /// How the terminal was found, as soon as it was touched.
    before: Option<Termios>,
}

impl Keyboard {
    /// None: there is no terminal that could be asked. What was typed ahead is forgotten.
    pub fn open() -> Option<Self> {
        tcgetattr(std::io::stdin()).ok()?;
        let mut keyboard = Self::default();
        keyboard.is_ours();
        keyboard.forget();
        Some(keyboard)
    }

    fn prepare(&mut self, found: Termios) {
        let mut modes = found.clone();
        self.before.get_or_insert(found);
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &modes);
        self.forget();
    }

    /// Forgets what was typed ahead.
    pub fn forget(&self) {
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    }

    /// The next keys, if there are any soon.
    pub fn read(&mut self) -> Typed {
        if !self.is_ours() {
            crate::clock::block(LOOK_AGAIN);
            return Typed::Nothing;
        }
        let stdin = std::io::stdin();
        let mut wait = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut wait, Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Typed::Nothing,
            Ok(_) => {}
            Err(_) => return Typed::End,
        }
        let mut piece = [0; 1024];
        match rustix::io::read(&stdin, &mut piece) {
            Ok(0) => Typed::End,
            Ok(count) => Typed::Keys(piece[..count].to_vec()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Typed::Nothing,
            Err(_) => Typed::End,
        }
    }

    /// Whether this process has the terminal, with its keys: a shell takes both when it is suspended.
    fn is_ours(&mut self) -> bool {
        if !is_in_front() {
            return false;
        }
        match tcgetattr(std::io::stdin()) {
            Ok(found) if found.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO) => {
                self.prepare(found);
            }
            _ => {}
        }
        true
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = self.before.take().filter(|_| is_in_front()) {
            self.forget();
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
        }
    }
}

/// Gives a terminal its echo and its lines again that a process of ours had no time to give back: it was killed at a question.
/// Whether it did.
pub fn mend() -> bool {
    let stdin = std::io::stdin();
    let Ok(mut modes) = tcgetattr(&stdin) else { return false };
    let ours = LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
    // Nobody else leaves the signals, and takes just these three.
    let is_left = !modes.local_modes.intersects(ours) && modes.local_modes.contains(LocalModes::ISIG);
    if !is_left || !is_in_front() {
        return false;
    }
    modes.local_modes |= ours;
    tcsetattr(&stdin, OptionalActions::Now, &modes).is_ok()
}

/// In the background whoever reads from the terminal, or changes it, is stopped.
fn is_in_front() -> bool {
    tcgetpgrp(std::io::stdin()).map_or(true, |foreground| foreground == getpgrp())
}
