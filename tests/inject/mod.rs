//! Values that want to get out of their place, put where the plan language allows one: what arrives at the real server
//! and the real shells is byte for byte what was given, or it is refused. `make test` tries 100,000, `make fuzz` more
//! (`HOSTILE_VALUES=10000000`); `SEED=n` makes the same ones again.

mod batch;
mod places;
mod script;
mod sizes;
mod sql;
mod values;

use crate::support::chance::Chance;

/// How many values a place of use is tried with: so many of every 100,000.
fn many(share: usize) -> usize {
    let all = std::env::var("HOSTILE_VALUES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    share * (all / 1_000) / 100
}

fn chance(place: u64) -> Chance {
    Chance::new(crate::support::chance::seed() ^ place.wrapping_mul(0x5851_f42d_4c95_7f2d))
}
