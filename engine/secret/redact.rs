//! The streaming redactor: replaces every known secret in a stream of bytes, also where it spans two reads or
//! appears percent-encoded, in base64, or as the password inside a URL.

use super::Secret;
use base64::Engine;

/// Shorter secrets are not searched for: they would blot out ordinary text.
pub const SHORTEST: usize = 6;
/// So many times a secret may be quoted in JSON within JSON.
const JSON_DEPTH: u32 = 3;
const MASK: &[u8] = b"[redacted]";

/// Finds secrets in a stream. Feed it every read in order, then `finish`.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// The longest first.
    needles: Vec<Needle>,
    /// The needles that begin with each byte; empty when there are none.
    begins: Vec<Vec<usize>>,
    longest: usize,
    held: Vec<u8>,
}

#[derive(Clone)]
struct Needle(zeroize::Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Needle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("‹secret›")
    }
}

impl Redactor {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut redactor = Self::default();
        for secret in secrets {
            redactor.add(secret);
        }
        redactor
    }

    /// Adds a secret and the other shapes in which it may appear.
    pub fn add(&mut self, secret: &Secret) {
        let text = secret.expose();
        self.add_shapes(text);
        for line in text.lines() {
            self.add_shapes(line.trim());
        }
        if let Some(password) = url_password(text) {
            self.add_shapes(&password);
            self.add_shapes(&decode_percent(&password));
        }
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.0.len()));
        self.needles.dedup_by(|a, b| a.0 == b.0);
        self.longest = self.needles.first().map_or(0, |needle| needle.0.len());
        self.begins = vec![Vec::new(); if self.needles.is_empty() { 0 } else { 256 }];
        for (at, needle) in self.needles.iter().enumerate() {
            self.begins[usize::from(needle.0[0])].push(at);
        }
    }

    fn add_shapes(&mut self, text: &str) {
        if text.len() < SHORTEST {
            return;
        }
        let all = percent_encoding::NON_ALPHANUMERIC;
        const LOOSE: &percent_encoding::AsciiSet =
            &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        const PATH: &percent_encoding::AsciiSet = &LOOSE.remove(b'/');
        self.push(text.as_bytes().to_vec());
        // An answer in JSON that quotes one in JSON that quotes the request.
        let mut json = text.to_owned();
        for _ in 0..JSON_DEPTH {
            json = quoted(&json);
            let ascii = ascii_json(&json);
            for shape in [ascii.replace('/', "\\/"), json.replace('/', "\\/"), ascii, json.clone()] {
                self.push(shape.into_bytes());
            }
        }
        for (slash, apostrophe) in
            [("/", "&#39;"), ("&#x2f;", "&#x27;"), ("&#x2F;", "&#x27;"), ("/", "&apos;")]
        {
            let html =
                text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            self.push(html.replace('\'', apostrophe).replace('/', slash).into_bytes());
        }
        for set in [all, LOOSE, PATH] {
            let encoded = percent_encoding::utf8_percent_encode(text, set).to_string();
            // As forms write it.
            let form = encoded.replace("%20", "+");
            for shape in [lower_hex(&encoded), lower_hex(&form), encoded, form] {
                self.push(shape.into_bytes());
            }
        }
        self.add_base64(text.as_bytes());
    }

    /// Base64 of the secret alone, and the stable middle of it at each of the three alignments.
    fn add_base64(&mut self, bytes: &[u8]) {
        let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        for skip in 0..3 {
            let mut padded = vec![0u8; skip];
            padded.extend_from_slice(bytes);
            let whole = padded.len() / 3 * 3;
            let from = [0, 2, 3][skip];
            for text in [engine.encode(&padded[..whole]), url_safe.encode(&padded[..whole])] {
                if let Some(middle) = text.get(from..).filter(|middle| middle.len() >= SHORTEST + 2) {
                    self.push(middle.as_bytes().to_vec());
                }
            }
        }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        if bytes.len() >= SHORTEST && !self.needles.iter().any(|needle| *needle.0 == bytes) {
            self.needles.push(Needle(zeroize::Zeroizing::new(bytes)));
        }
    }

    /// Takes the next bytes of the stream and gives those that are certainly clean.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.release(false)
    }

    /// The end of the stream: gives what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.release(true)
    }

    /// A whole text at once.
    pub fn clean(&self, text: &str) -> String {
        let mut copy = self.clone();
        copy.held.clear();
        let mut bytes = copy.feed(text.as_bytes());
        bytes.extend(copy.finish());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the text contains a secret in any shape.
    pub fn finds(&self, text: &str) -> bool {
        self.next_match(text.as_bytes(), 0).is_some()
    }

    fn release(&mut self, last: bool) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(held.len());
        let mut at = 0;
        // A match may begin in the last `longest - 1` bytes and end in the next read.
        let safe = if last { held.len() } else { held.len().saturating_sub(self.longest.saturating_sub(1)) };
        while let Some((start, end)) = self.next_match(&held, at).filter(|(start, _)| *start < safe || last) {
            out.extend_from_slice(&held[at..start]);
            out.extend_from_slice(MASK);
            at = end;
        }
        if at < safe {
            out.extend_from_slice(&held[at..safe]);
            at = safe;
        }
        self.held = held[at..].to_vec();
        out
    }

    /// The first match, and of those the longest. One walk, however many needles there are.
    fn next_match(&self, haystack: &[u8], from: usize) -> Option<(usize, usize)> {
        if self.needles.is_empty() {
            return None;
        }
        (from..haystack.len()).find_map(|start| {
            let rest = &haystack[start..];
            let found =
                self.begins[usize::from(rest[0])].iter().find(|&&at| rest.starts_with(&self.needles[at].0));
            found.map(|&at| (start, start + self.needles[at].0.len()))
        })
    }
}

fn url_password(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(password.to_owned())
}

/// As it stands in JSON, between the quotes.
fn quoted(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// `é` as many programs write it in JSON: `\u00e9`.
fn ascii_json(text: &str) -> String {
    let mut ascii = String::new();
    let mut units = [0; 2];
    for c in text.chars() {
        match c.is_ascii() {
            true => ascii.push(c),
            false => {
                c.encode_utf16(&mut units).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")))
            }
        }
    }
    ascii
}

/// `%2F` as some programs write it: `%2f`.
fn lower_hex(encoded: &str) -> String {
    let mut left = 0;
    let lower = |c: char| {
        left = if c == '%' { 2 } else { i32::max(left - 1, -1) };
        if left >= 0 && c != '%' { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}

fn decode_percent(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(redactor: &Redactor, text: &str, size: usize) -> String {
        let mut redactor = redactor.clone();
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            out.extend(redactor.feed(chunk));
        }
        out.extend(redactor.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_found_however_the_reads_fall() {
        let redactor = Redactor::new([&Secret::new("hunter2-long")]);
        for size in 1..20 {
            assert_eq!(through(&redactor, "a hunter2-long b hunter2-lo", size), "a [redacted] b hunter2-lo");
        }
    }

    #[test]
    fn every_way_to_write_it_in_a_url_is_found() {
        let redactor = Redactor::new([&Secret::new("t0K/en+S3 Cret&é")]);
        for shape in [
            "t0K%2Fen%2BS3%20Cret%26%C3%A9",
            "t0K/en%2BS3%20Cret%26%C3%A9",
            "t0K%2Fen%2BS3+Cret%26%C3%A9",
            "t0K/en%2BS3+Cret%26%C3%A9",
            "t0K%2fen%2bS3%20Cret%26%c3%a9",
            "t0K%2fen%2bS3+Cret%26%c3%a9",
            "t0K\\/en+S3 Cret&é",
            "t0K/en+S3 Cret&\\u00e9",
            "t0K/en+S3 Cret&amp;é",
            "t0K&#x2f;en+S3 Cret&amp;é",
        ] {
            assert_eq!(redactor.clean(&format!("a {shape} b")), "a [redacted] b", "{shape}");
        }
    }

    #[test]
    fn other_shapes_are_found_too() {
        let redactor = Redactor::new([&Secret::new("postgresql://app:p%40ss+word@db/app")]);
        assert!(redactor.finds("the password is p@ss+word"));
        let redactor = Redactor::new([&Secret::new("postgresql://app:p%40ssword9@db/app")]);
        assert!(redactor.finds("the password is p@ssword9"));
        for skip in 0..3 {
            let text = format!("{}p@ssword9 and more", "x".repeat(skip));
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            assert!(redactor.finds(&encoded), "{skip}: {encoded}");
        }
    }

    #[test]
    fn a_short_secret_is_not_searched_for() {
        assert_eq!(Redactor::new([&Secret::new("abc")]).clean("abcdef"), "abcdef");
    }

    #[test]
    fn what_is_clean_passes_unchanged() {
        let redactor = Redactor::new([&Secret::new("aaaaaaab")]);
        for size in 1..10 {
            assert_eq!(through(&redactor, "aaaaaaaaaaaaaa", size), "aaaaaaaaaaaaaa");
        }
    }
}
