//! Time as a width. Stretches in which only people were waited for are folded to a fixed width, so that a night's wait
//! for an approval does not squeeze the minutes that count into one column.

/// The width of a folded stretch.
const FOLD: f64 = 64.0;
/// Shorter waits than this are drawn as they were, in milliseconds.
const LEAST_FOLDED: u64 = 60_000;
/// Between two ticks at least.
const APART: f64 = 96.0;

/// Steps of the ruler, in milliseconds.
const STEPS: [u64; 19] = [
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

/// A stretch of time and where it is drawn. Times in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    pub from: u64,
    pub to: u64,
    pub left: f64,
    pub right: f64,
    pub folded: bool,
}

/// Where each moment is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub pieces: Vec<Piece>,
}

impl Axis {
    /// `busy`: stretches in which something was done, in any order; `left` to `right`: where it is drawn.
    pub fn new(from: u64, to: u64, busy: &[(u64, u64)], left: f64, right: f64) -> Self {
        let to = to.max(from + 1);
        let stretches = stretches(from, to, busy);
        let kept: u64 = stretches.iter().filter(|(.., folded)| !folded).map(|(from, to, _)| to - from).sum();
        let folds = stretches.iter().filter(|(.., folded)| *folded).count() as f64;
        let scale = (right - left - folds * FOLD).max(1.0) / kept.max(1) as f64;
        let mut x = left;
        let pieces = stretches.into_iter().map(|(from, to, folded)| {
            let start = x;
            x += if folded { FOLD } else { (to - from) as f64 * scale };
            Piece { from, to, left: start, right: x, folded }
        });
        Self { pieces: pieces.collect() }
    }

    /// Where a moment is; those outside are at the end they are nearest to.
    pub fn x(&self, at: u64) -> f64 {
        let Some(last) = self.pieces.last() else { return 0.0 };
        let piece = self.pieces.iter().find(|piece| at <= piece.to).unwrap_or(last);
        let at = at.clamp(piece.from, piece.to);
        piece.left + (piece.right - piece.left) * ((at - piece.from) as f64 / (piece.to - piece.from) as f64)
    }

    /// Moments to be labelled: round ones, far enough from each other, none within a fold.
    pub fn ticks(&self) -> Vec<u64> {
        let mut ticks = Vec::new();
        for piece in self.pieces.iter().filter(|piece| !piece.folded) {
            let scale = (piece.right - piece.left) / (piece.to - piece.from) as f64;
            let step = STEPS.iter().copied().find(|step| *step as f64 * scale >= APART).unwrap_or(STEPS[18]);
            let mut at = piece.from.div_ceil(step) * step;
            while at <= piece.to {
                ticks.push(at);
                at += step;
            }
        }
        ticks
    }
}

/// The whole time, cut where waiting begins and ends.
fn stretches(from: u64, to: u64, busy: &[(u64, u64)]) -> Vec<(u64, u64, bool)> {
    let mut busy: Vec<(u64, u64)> =
        busy.iter().map(|(start, end)| ((*start).clamp(from, to), (*end).clamp(from, to))).collect();
    busy.sort_unstable();
    let worked: u64 = busy.iter().map(|(start, end)| end - start).sum();
    // What is short beside the work is no night.
    let least = LEAST_FOLDED.max(worked / 4);
    let mut found: Vec<(u64, u64, bool)> = Vec::new();
    let mut at = from;
    let mut push = |start: u64, end: u64, folded: bool| match found.last_mut() {
        _ if start == end => {}
        Some(last) if last.2 == folded => last.1 = end,
        _ => found.push((start, end, folded)),
    };
    for (start, end) in busy.into_iter().chain([(to, to)]) {
        if start > at {
            push(at, start, start - at >= least);
            at = start;
        }
        if end > at {
            push(at, end, false);
            at = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_of_waiting_is_folded_and_the_minutes_are_not() {
        let hour = 3_600_000;
        let axis = Axis::new(0, 10 * hour, &[(0, 60_000), (9 * hour, 9 * hour + 60_000)], 100.0, 1000.0);
        let folds: Vec<(u64, u64)> =
            axis.pieces.iter().filter(|piece| piece.folded).map(|piece| (piece.from, piece.to)).collect();
        assert_eq!(folds, [(60_000, 9 * hour), (9 * hour + 60_000, 10 * hour)]);
        assert!((axis.x(0) - 100.0).abs() < 0.01 && (axis.x(10 * hour) - 1000.0).abs() < 0.01);
        assert!(axis.x(60_000) - axis.x(0) > 300.0, "{axis:?}");
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let axis = Axis::new(1_234, 31_234, &[(1_234, 31_234)], 0.0, 600.0);
        assert_eq!(axis.ticks(), [5_000, 10_000, 15_000, 20_000, 25_000, 30_000]);
    }

    #[test]
    fn time_never_runs_backwards() {
        let axis = Axis::new(0, 1_000_000, &[(500, 900), (100, 700), (400_000, 400_001)], 0.0, 800.0);
        let places: Vec<f64> = (0..=1000).map(|at| axis.x(at * 1000)).collect();
        assert!(places.is_sorted(), "{places:?}");
        let alone = Axis::new(7, 7, &[], 0.0, 10.0);
        assert!(alone.x(7).is_finite());
    }
}
