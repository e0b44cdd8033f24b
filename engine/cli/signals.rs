//! Signals -> wishes to stop. The first Ctrl-C lets running steps finish, the second cancels them; SIGTERM and SIGHUP are
//! as the first. Must never end the process by itself.

use crate::drive::Stop;
use crate::terminal::print_error;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Nothing runs any more: the words for who stops a run do not apply.
static STANDS_STILL: AtomicBool = AtomicBool::new(false);

/// The run stands still: a signal from now on only ends the delivery of its last messages.
pub fn stand_still() {
    STANDS_STILL.store(true, Ordering::Relaxed);
}

/// Listens from now on, on a thread of its own. `live`: the screen is drawn over, and says itself what a signal does.
///
/// # Errors
/// The system does not let this process listen.
pub fn listen(live: bool) -> std::io::Result<UnboundedReceiver<Stop>> {
    let (sender, receiver) = unbounded_channel();
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async { forward(&sender, &ready, live).await }),
            Err(error) => drop(ready.send(Err(error))),
        }
    })?;
    is_ready.recv().unwrap_or_else(|_| Err(std::io::Error::other("the signal thread ended")))?;
    Ok(receiver)
}

type Ready = std::sync::mpsc::Sender<std::io::Result<()>>;

async fn forward(sender: &UnboundedSender<Stop>, ready: &Ready, live: bool) {
    let streams = || -> std::io::Result<[Signal; 3]> {
        Ok([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ])
    };
    let [mut interrupt, mut terminate, mut hangup] = match streams() {
        Ok(streams) => streams,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let _ = ready.send(Ok(()));
    let mut interrupts = 0_u32;
    loop {
        let stop = tokio::select! {
            _ = interrupt.recv() => {
                interrupts += 1;
                let is_said = !live && !STANDS_STILL.load(Ordering::Relaxed);
                if let Some(words) = words(interrupts).filter(|_| is_said) {
                    print_error(words);
                }
                match interrupts {
                    1 => Stop { hard: false, reason: Stop::CTRL_C.to_owned() },
                    2 => Stop { hard: true, reason: "a second Ctrl-C".to_owned() },
                    _ => continue,
                }
            }
            _ = terminate.recv() => Stop { hard: false, reason: "SIGTERM".to_owned() },
            _ = hangup.recv() => Stop { hard: false, reason: "SIGHUP".to_owned() },
        };
        if sender.send(stop).is_err() {
            // The run is over; a signal from now on changes nothing.
            return;
        }
    }
}

fn words(interrupts: u32) -> Option<&'static str> {
    match interrupts {
        1 => Some("\nCtrl-C: nothing new is started, running steps finish; Ctrl-C again cancels them"),
        2 => None,
        _ => Some("what runs is being cancelled; the run parks as soon as it is certain what happened"),
    }
}
