//! Small changes that keep most of an input's shape, so that it gets past the first look.

use crate::support::chance::Chance;
use std::ops::Range;

/// Changes the bytes a little. `word`: something of the language; `other`: another input of the same sort.
pub fn mutate(bytes: &mut Vec<u8>, word: &[u8], other: &[u8], chance: &mut Chance) {
    match chance.below(14) {
        0 => {
            let at = chance.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = chance.next() as u8;
            }
        }
        1 => {
            let start = chance.below(bytes.len());
            let end = (start + 1 + chance.below(12)).min(bytes.len());
            bytes.drain(start..end);
        }
        2 => insert(bytes, chance, word),
        3 | 4 => replace(bytes, random_word(bytes, chance), word),
        5 => {
            let line = random_line(bytes, chance);
            let copies = bytes[line.clone()].repeat(1 + chance.below(3));
            replace(bytes, line.end..line.end, &copies);
        }
        6 => replace(bytes, random_line(bytes, chance), b""),
        7 => {
            let (from, to) = (random_line(bytes, chance), random_line(bytes, chance));
            let moved = bytes[from].to_vec();
            replace(bytes, to.start..to.start, &moved);
        }
        8 => {
            let start = random_line(bytes, chance).start;
            let spaces = b"        ".get(..1 + chance.below(6)).unwrap_or_default().to_vec();
            replace(bytes, start..start, &spaces);
        }
        9 => {
            // The head of one, the tail of another.
            bytes.truncate(random_line(bytes, chance).start);
            bytes.extend_from_slice(&other[random_line(other, chance).start..]);
        }
        10 => {
            let start = chance.below(bytes.len());
            let end = (start + 1 + chance.below(24)).min(bytes.len());
            let many = [2, 3, 10, 100, 2_000][chance.below(5)];
            let repeated = bytes[start..end].repeat(many);
            replace(bytes, start..end, &repeated);
        }
        11 => {
            let many = [1, 2, 20, 500, 5_000][chance.below(5)];
            insert(bytes, chance, &word.repeat(many));
        }
        12 => replace(bytes, random_value(bytes, chance), word),
        _ => bytes.truncate(chance.below(bytes.len() + 1)),
    }
}

fn insert(bytes: &mut Vec<u8>, chance: &mut Chance, piece: &[u8]) {
    let at = chance.below(bytes.len() + 1);
    replace(bytes, at..at, piece);
}

fn replace(bytes: &mut Vec<u8>, range: Range<usize>, by: &[u8]) {
    bytes.splice(range, by.iter().copied());
}

/// A line with its end; empty for an empty text.
fn random_line(bytes: &[u8], chance: &mut Chance) -> Range<usize> {
    let at = chance.below(bytes.len());
    let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let end =
        bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| at + newline + 1);
    start..end
}

/// Letters and digits around a place.
fn random_word(bytes: &[u8], chance: &mut Chance) -> Range<usize> {
    let at = chance.below(bytes.len());
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let start = bytes[..at].iter().rposition(|byte| !is_word(byte)).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| !is_word(byte)).map_or(bytes.len(), |after| at + after);
    start..end.max(start)
}

/// From a colon to the end of its line.
fn random_value(bytes: &[u8], chance: &mut Chance) -> Range<usize> {
    let line = random_line(bytes, chance);
    let colon = bytes[line.clone()].windows(2).position(|pair| pair == b": ");
    let start = colon.map_or(line.start, |colon| line.start + colon + 2);
    let end = if bytes[line.clone()].last() == Some(&b'\n') { line.end - 1 } else { line.end };
    start..end.max(start)
}
