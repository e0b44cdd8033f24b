//! The first bytes of a custom archive or of a directory's toc.dat: who dumped what, when, with which version. Says nothing
//! of the rest.

use super::format::Format;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

/// Where an archive comes from, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub database: String,
    /// Of the server: `15.18 (Debian ...)`.
    pub server_version: String,
    /// Of pg_dump.
    pub dump_version: String,
    /// When pg_dump began, by the clock and in the time zone of its machine.
    pub created: String,
    /// The archive format: 1.14.
    pub version: (u8, u8),
}

impl Origin {
    /// Of the server that was dumped.
    pub fn server_major(&self) -> Option<u32> {
        major(&self.server_version)
    }

    /// Of pg_dump.
    pub fn dump_major(&self) -> Option<u32> {
        major(&self.dump_version)
    }

    /// The oldest major version whose pg_restore reads this archive format.
    pub fn readable_from(&self) -> u32 {
        match self.version {
            (1, ..=14) => 13,
            (1, 15) => 16,
            (1, 16) => 17,
            _ => self.dump_major().unwrap_or(18),
        }
    }
}

/// `15.18 (Debian ...)` is 15.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Reads the header; None when there is none that can be read.
pub fn read(path: &Path, format: Format) -> Option<Origin> {
    let file = match format {
        Format::Directory => path.join("toc.dat"),
        Format::Custom => path.to_owned(),
        Format::Tar | Format::Plain(_) => return None,
    };
    let mut bytes = Vec::new();
    super::open(&file).ok()?.take(4096).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Origin> {
    let mut rest = Rest { bytes: bytes.strip_prefix(b"PGDMP")?, int: 4 };
    let version = (rest.byte()?, rest.byte()?);
    let _revision = rest.byte()?;
    rest.int = usize::from(rest.byte()?);
    let _offset = rest.byte()?;
    let _format = rest.byte()?;
    if version >= (1, 15) {
        rest.byte()?;
    } else {
        rest.number()?;
    }
    let mut time = [0; 7];
    for part in &mut time {
        *part = rest.number()?;
    }
    let [sec, min, hour, day, month, year, _] = time;
    let created = format!("{:04}-{:02}-{:02}T{hour:02}:{min:02}:{sec:02}", year + 1900, month + 1, day);
    Some(Origin {
        database: rest.text()?,
        server_version: rest.text()?,
        dump_version: rest.text()?,
        created,
        version,
    })
}

/// pg_dump's portable numbers: a sign byte, then so many bytes as the header says, lowest first.
struct Rest<'a> {
    bytes: &'a [u8],
    int: usize,
}

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<i64> {
        let negative = self.byte()? != 0;
        let mut value = 0i64;
        for place in 0..self.int.min(7) {
            value |= i64::from(self.byte()?) << (8 * place);
        }
        Some(if negative { -value } else { value })
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_header_is_no_header() {
        assert_eq!(parse(b"PGDMP\x01\x0e\x00\x04\x08"), None);
        assert_eq!(parse(b"something else"), None);
    }
}
