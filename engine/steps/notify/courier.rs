//! The queues of the channels: each delivers in the order in which things were said, tries again, keeps the channel's
//! pace, and never holds up a step. Must never be waited for without a limit.
#![allow(clippy::disallowed_methods, reason = "each channel's queue is a task of its own")]

use super::deliver::{Lost, deliver};
use super::message::Message;
use crate::clock::{self, Stopwatch};
use crate::steps::attempt::Attempt;
use crate::steps::world::World;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// More than this is not put into one message.
const MOST_JOINED: usize = 20;

/// A message on its way, and who is told what became of it.
struct Letter {
    message: Message,
    reply: oneshot::Sender<Result<(), Lost>>,
    /// Told when nobody waits for the reply any more.
    sender: Attempt,
}

/// All queues of a run.
#[derive(Default)]
pub struct Courier {
    queues: Mutex<HashMap<String, mpsc::UnboundedSender<Letter>>>,
    under_way: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
}

impl Courier {
    /// Puts a message into a channel's queue; the reply comes when it was delivered or given up.
    pub fn send(
        &self,
        attempt: &Attempt,
        channel: &str,
        message: Message,
    ) -> oneshot::Receiver<Result<(), Lost>> {
        let (reply, replied) = oneshot::channel();
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let letter = Letter { message, reply, sender: attempt.clone() };
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue =
            queues.entry(channel.to_owned()).or_insert_with(|| self.open(&attempt.world, channel.to_owned()));
        // The queue's task ends only with the process.
        let _ = queue.send(letter);
        replied
    }

    fn open(&self, world: &Arc<World>, channel: String) -> mpsc::UnboundedSender<Letter> {
        let (sender, letters) = mpsc::unbounded_channel();
        // Weak: the world owns the courier, and the courier's tasks must not keep it.
        let world = Arc::downgrade(world);
        let (under_way, arrived) = (self.under_way.clone(), self.arrived.clone());
        tokio::spawn(async move {
            let mut queue = Queue { channel, letters, last: None };
            while let Some(letters) = queue.next(&world).await {
                let count = letters.len();
                queue.deliver(letters, &world).await;
                under_way.fetch_sub(count, Ordering::SeqCst);
                arrived.notify_waiters();
            }
        });
        sender
    }

    /// How many messages are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Waits until nothing is under way any more.
    pub async fn idle(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            arrived.await;
        }
    }
}

struct Queue {
    channel: String,
    letters: mpsc::UnboundedReceiver<Letter>,
    /// Since the last delivery.
    last: Option<Stopwatch>,
}

impl Queue {
    /// The next letters that go out together, when the channel's pace allows it.
    async fn next(&mut self, world: &std::sync::Weak<World>) -> Option<Vec<Letter>> {
        let mut found = vec![self.letters.recv().await?];
        let pace = world.upgrade().and_then(|world| pace(&world, &self.channel)).unwrap_or(Duration::ZERO);
        let since = self.last.as_ref().map_or(pace, Stopwatch::elapsed);
        if since < pace {
            clock::sleep(pace.saturating_sub(since)).await;
            while found.len() < MOST_JOINED
                && let Ok(letter) = self.letters.try_recv()
            {
                found.push(letter);
            }
        }
        self.last = Some(Stopwatch::start());
        Some(found)
    }

    async fn deliver(&self, letters: Vec<Letter>, world: &std::sync::Weak<World>) {
        let (messages, rest): (Vec<_>, Vec<_>) =
            letters.into_iter().map(|letter| (letter.message, (letter.reply, letter.sender))).unzip();
        let (Some(world), Some(message)) = (world.upgrade(), Message::joined(messages)) else { return };
        let result = deliver(&world, &self.channel, &message).await;
        for (reply, sender) in rest {
            if let Err(Err(lost)) = reply.send(result.clone()) {
                sender.warn(format!("the notification was not delivered: {}: {}", self.channel, lost.why));
            }
        }
    }
}

fn pace(world: &World, channel: &str) -> Option<Duration> {
    let site = world.shape.site.as_ref()?;
    site.channels.get(channel)?.at_most_every.map(|pace| pace.std())
}
