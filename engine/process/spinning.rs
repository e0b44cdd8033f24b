//! A program that is caught in a loop: it uses the processor and neither reads nor writes. Some damaged archives do that to
//! pg_restore, which would never end. A disk that gives nothing uses no processor, and is not taken for it.

use super::proc;
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Ends when the process has used so much of a processor without a byte read or written. Without `/proc` it never does.
pub(super) async fn spins(pid: i32, limit: Duration) {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let mut since = None;
    loop {
        let (Some(moved), Some(used)) = (proc::moved(pid), proc::used(pid)) else {
            return std::future::pending().await;
        };
        match since {
            Some((before, from)) if before == moved => {
                if used.saturating_sub(from) * 1000 / ticks >= limit {
                    return;
                }
            }
            _ => since = Some((moved, used)),
        }
        crate::clock::sleep(LOOK).await;
    }
}
