//! The only `now` and the only `sleep`. The core never calls them: it is handed a `Timestamp`.
#![allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]

use std::time::{Duration, Instant};

pub use jiff::Timestamp;

/// The wall clock, in UTC.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits without holding a thread.
pub async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits on a thread of its own; for code that has no runtime (the supervisor, the store's thread).
pub fn block(time: Duration) {
    std::thread::sleep(time);
}

/// Measures elapsed time on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
