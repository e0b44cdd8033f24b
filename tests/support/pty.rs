//! A terminal of a given size, with a screen that can be read and keys that can be pressed.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use runplan::clock::{self, Stopwatch};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    pub fn start(command: CommandBuilder, rows: u16, cols: u16) -> Self {
        let pair =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let size = |length| std::num::NonZero::new(length).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(cols), 1000)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (shown, kept) = (screen.clone(), raw.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            let mut waiting = Vec::new();
            while let Ok(count @ 1..) = output.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..count]);
                waiting.extend_from_slice(&piece[..count]);
                let rest = waiting.split_off(whole(&waiting));
                shown.lock().unwrap().process(&waiting);
                waiting = rest;
            }
            shown.lock().unwrap().process(&waiting);
        });
        Self { screen, raw, keys, child, master: pair.master }
    }

    /// What stands on the screen, row by row.
    pub fn text(&self) -> String {
        let parser = self.screen.lock().unwrap();
        let (_, columns) = parser.screen().size();
        let rows: Vec<String> =
            parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// The screen with its colours.
    pub fn screen(&self) -> vt100::Screen {
        self.screen.lock().unwrap().screen().clone()
    }

    /// Everything that was ever written to it.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().unwrap()).into_owned()
    }

    /// Somebody pulls at a corner of the window.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = |length| std::num::NonZero::new(length).unwrap();
        self.screen.lock().unwrap().screen_mut().set_size(size(rows), size(cols));
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Waits until something stands on the screen.
    #[track_caller]
    pub fn until(&self, text: &str) {
        let began = Stopwatch::start();
        while !self.text().contains(text) {
            assert!(began.elapsed() < LIMIT, "waited too long for {text:?} in\n{}", self.text());
            clock::block(Duration::from_millis(10));
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// The exit code.
    #[track_caller]
    pub fn wait(&mut self) -> u32 {
        let began = Stopwatch::start();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What was printed last may still be on its way.
                clock::block(Duration::from_millis(100));
                return status.exit_code();
            }
            assert!(began.elapsed() < LIMIT, "it did not end\n{}", self.text());
            clock::block(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How much of it can be shown: a picture that is marked as one (synchronized output) is seen whole or not at all, like on the
/// terminals that people use.
fn whole(output: &[u8]) -> usize {
    const BEGIN: &[u8] = b"\x1b[?2026h";
    const END: &[u8] = b"\x1b[?2026l";
    let last = |mark: &[u8]| output.windows(mark.len()).rposition(|piece| piece == mark);
    match last(BEGIN) {
        Some(begin) if last(END).is_none_or(|end| end < begin) => begin,
        // Half a mark may be the last of what has come.
        _ => (1..BEGIN.len())
            .rev()
            .find(|have| output.ends_with(&BEGIN[..*have]))
            .map_or(output.len(), |have| output.len() - have),
    }
}
