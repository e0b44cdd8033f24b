//! The queues of the channels: each delivers in the order in which things were said, tries again, keeps the channel's
//! pace, and never holds up a step. Must never be waited for without a limit.
#![allow(clippy::disallowed_methods, reason = "each channel's queue is a task of its own")]

use super::deliver::{Lost, deliver};
use super::message::Message;
use crate::clock::{self, Stopwatch};
use crate::steps::world::World;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// More than this is not put into one message.
const MOST_JOINED: usize = 20;

type Reply = oneshot::Sender<Result<(), Lost>>;
/// What has a channel and a key is the same message, whoever sends it.
type Known = (String, String);

/// What this process knows of a message.
enum Fate {
    /// It is waited for by these.
    UnderWay(Vec<Reply>),
    Delivered,
}

/// All queues of a run.
#[derive(Default)]
pub struct Courier {
    queues: Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>,
    fates: Arc<Mutex<HashMap<Known, Fate>>>,
}

impl Courier {
    /// Whether this process delivered that.
    pub fn has_delivered(&self, channel: &str, key: &str) -> bool {
        let known = (channel.to_owned(), key.to_owned());
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(fates.get(&known), Some(Fate::Delivered))
    }

    /// Puts a message into a channel's queue; the reply comes when it was delivered or given up. One that is under way is
    /// not sent a second time.
    pub fn send(
        &self,
        world: &Arc<World>,
        channel: &str,
        message: Message,
    ) -> oneshot::Receiver<Result<(), Lost>> {
        let (reply, replied) = oneshot::channel();
        let known = (channel.to_owned(), message.key.clone());
        match self.fates.lock().unwrap_or_else(PoisonError::into_inner).entry(known) {
            Entry::Occupied(mut found) => match found.get_mut() {
                Fate::UnderWay(replies) => {
                    replies.push(reply);
                    return replied;
                }
                again @ Fate::Delivered => *again = Fate::UnderWay(vec![reply]),
            },
            Entry::Vacant(place) => drop(place.insert(Fate::UnderWay(vec![reply]))),
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(channel.to_owned()).or_insert_with(|| self.open(world, channel.to_owned()));
        // The queue's task ends only with the process.
        let _ = queue.send(message);
        replied
    }

    fn open(&self, world: &Arc<World>, channel: String) -> mpsc::UnboundedSender<Message> {
        let (sender, messages) = mpsc::unbounded_channel();
        // Weak: the world owns the courier, and the courier's tasks must not keep it.
        let world = Arc::downgrade(world);
        let fates = self.fates.clone();
        tokio::spawn(async move {
            let mut queue = Queue { channel, messages, last: None };
            while let Some(messages) = queue.next(&world).await {
                let keys: Vec<String> = messages.iter().map(|message| message.key.clone()).collect();
                let Some(result) = queue.deliver(messages, &world).await else { return };
                let mut fates = fates.lock().unwrap_or_else(PoisonError::into_inner);
                for known in keys.into_iter().map(|key| (queue.channel.clone(), key)) {
                    let before = match result {
                        Ok(()) => fates.insert(known, Fate::Delivered),
                        Err(_) => fates.remove(&known),
                    };
                    let Some(Fate::UnderWay(replies)) = before else { continue };
                    // Whoever does not wait any more finds it in the outbox.
                    replies.into_iter().for_each(|reply| drop(reply.send(result.clone())));
                }
            }
        });
        sender
    }
}

struct Queue {
    channel: String,
    messages: mpsc::UnboundedReceiver<Message>,
    /// Since the last delivery.
    last: Option<Stopwatch>,
}

impl Queue {
    /// The next messages that go out together, when the channel's pace allows it.
    async fn next(&mut self, world: &Weak<World>) -> Option<Vec<Message>> {
        let mut found = vec![self.messages.recv().await?];
        let pace = world.upgrade().and_then(|world| pace(&world, &self.channel)).unwrap_or(Duration::ZERO);
        let since = self.last.as_ref().map_or(pace, Stopwatch::elapsed);
        if since < pace {
            clock::sleep(pace.saturating_sub(since)).await;
            while found.len() < MOST_JOINED
                && let Ok(message) = self.messages.try_recv()
            {
                found.push(message);
            }
        }
        self.last = Some(Stopwatch::start());
        Some(found)
    }

    /// None: the run is over.
    async fn deliver(&self, messages: Vec<Message>, world: &Weak<World>) -> Option<Result<(), Lost>> {
        let (world, message) = (world.upgrade()?, Message::joined(messages)?);
        Some(deliver(&world, &self.channel, &message).await)
    }
}

fn pace(world: &World, channel: &str) -> Option<Duration> {
    let site = world.shape.site.as_ref()?;
    site.channels.get(channel)?.at_most_every.map(|pace| pace.std())
}
