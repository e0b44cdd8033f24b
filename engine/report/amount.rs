//! Amounts as people read them: bytes, spans of time, counts.

use jiff::Timestamp;

/// `812 B`, `4.2 MB`, `1.3 GB`; powers of 1000, as disks are sold.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if amount < 999.95 {
            break;
        }
        amount /= 1000.0;
        unit = next;
    }
    format!("{amount:.1} {unit}")
}

/// `40 ms`, `3.2s`, `4m07s`, `2h05m`, `3d 4h`.
pub fn span(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{}s", secs, ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3600..86_400 => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d {}h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// Milliseconds from one time to another, never negative.
pub fn between(start: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.duration_since(start).as_millis()).unwrap_or(0)
}

/// `2026-11-22 03:11:07 UTC`: for words that reach people in several places.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `1 step`, `3 steps`
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(
            [0, 999, 1000, 999_949, 999_950, 12_345_678].map(bytes),
            ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "12.3 MB"]
        );
        assert_eq!(
            [0, 40, 3_249, 59_999, 60_000, 3_600_000, 90_000_000].map(span),
            ["0 ms", "40 ms", "3.2s", "59.9s", "1m00s", "1h00m", "1d 1h"]
        );
    }
}
