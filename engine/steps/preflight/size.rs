//! Bytes as people read them.

/// `961 MB`; powers of 1024, as PostgreSQL's pg_size_pretty.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 10_240 {
        return format!("{count} bytes");
    }
    let mut value = count / 1024;
    let mut unit = 0;
    while value >= 10_240 && unit + 1 < UNITS.len() {
        value = value.div_ceil(1024);
        unit += 1;
    }
    format!("{value} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn as_people_read_them() {
        assert_eq!(bytes(7), "7 bytes");
        assert_eq!(bytes(10_240), "10 kB");
        assert_eq!(bytes(961 * 1024 * 1024), "961 MB");
        assert_eq!(bytes(u64::MAX), "16777216 TB");
    }
}
