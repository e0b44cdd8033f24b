//! Places at which a build for tests can be told to die as if by `kill -9`. A release has none of this: not the
//! variable's name, not the places'. Must never do anything but end the process.

/// Which place, and which time: `RUNPLAN_FAILPOINT=after_append:12`.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "RUNPLAN_FAILPOINT";

/// Ends the process here if it was told to, for one of these numbers.
#[cfg(debug_assertions)]
pub fn reached(place: &str, numbers: std::ops::RangeInclusive<u64>) {
    if wish().is_some_and(|(wanted, number)| wanted == place && numbers.contains(&number)) {
        die();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reached(_place: &str, _numbers: std::ops::RangeInclusive<u64>) {}

/// Ends the process when it passes here for the time it was told.
#[cfg(debug_assertions)]
pub fn passed(place: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    if wish().is_some_and(|(wanted, number)| {
        wanted == place && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == number
    }) {
        die();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn passed(_place: &str) {}

#[cfg(debug_assertions)]
fn wish() -> Option<(String, u64)> {
    let wish = std::env::var(VARIABLE).ok()?;
    let (place, number) = wish.split_once(':')?;
    Some((place.to_owned(), number.parse().ok()?))
}

#[cfg(debug_assertions)]
fn die() -> ! {
    loop {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::hint::spin_loop();
    }
}
