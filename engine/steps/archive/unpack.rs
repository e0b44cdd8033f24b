//! Plain SQL as it was before it was compressed, read as a stream, while the bytes on disk are summed up: what was restored
//! and what was verified are then the same bytes. Constant memory.

use super::format::Packing;
use super::frames::Frames;
use crate::plan::digest::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The text of a backup.
pub struct Unpacked {
    text: Box<dyn Read + Send>,
    raw: Raw,
}

/// Opens a backup of plain SQL.
pub fn unpack(path: &Path, packing: Packing) -> io::Result<Unpacked> {
    let raw = Raw { file: super::open(path)?, sum: Arc::default() };
    let twin = Raw { file: raw.file.try_clone()?, sum: raw.sum.clone() };
    let text: Box<dyn Read + Send> = match packing {
        Packing::None => Box::new(raw),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 18, raw))),
        Packing::Zstd => Box::new(zstd::Decoder::new(raw)?),
        Packing::Lz4 => Box::new(Decoded { decoder: lz4_flex::frame::FrameDecoder::new(Frames::new(raw)) }),
    };
    Ok(Unpacked { text, raw: twin })
}

impl Unpacked {
    /// How many bytes of the file were read.
    pub fn position(&self) -> u64 {
        self.raw.sum.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Reads what the decoder left, and gives the checksum of the whole file.
    pub fn checksum(mut self) -> io::Result<String> {
        io::copy(&mut self.raw, &mut io::sink())?;
        let sum = self.raw.sum.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        Ok(hex(&sum.finalize()))
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer)
    }
}

/// The file itself, summed up as it is read. Twins share the place in the file.
struct Raw {
    file: File,
    sum: Arc<Mutex<(Sha256, u64)>>,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.0.update(&buffer[..count]);
        sum.1 += count as u64;
        Ok(count)
    }
}

/// The decoder ends with its first frame; a file may hold several.
struct Decoded<R: Read> {
    decoder: lz4_flex::frame::FrameDecoder<R>,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.decoder.read(buffer)? {
            // It begins the next frame, if there is one.
            0 => self.decoder.read(buffer),
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(packing: Packing, text: &[u8]) -> Vec<u8> {
        match packing {
            Packing::None => text.to_vec(),
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(text, 1).unwrap(),
            Packing::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn the_text_comes_back_and_a_cut_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for packing in [Packing::None, Packing::Gzip, Packing::Zstd, Packing::Lz4] {
            let bytes = packed(packing, &text);
            std::fs::write(&path, &bytes).unwrap();
            let mut back = Vec::new();
            let mut unpacked = unpack(&path, packing).unwrap();
            unpacked.read_to_end(&mut back).unwrap();
            assert!(back == text, "{packing:?}");
            assert_eq!(unpacked.checksum().unwrap(), crate::plan::digest::sha256(&bytes));
            if packing == Packing::None {
                continue;
            }
            let blocks = (bytes.len() - 200_000..bytes.len()).step_by(997);
            for cut in (bytes.len() - 20..bytes.len()).chain(blocks) {
                std::fs::write(&path, &bytes[..cut]).unwrap();
                let read = unpack(&path, packing).unwrap().read_to_end(&mut Vec::new());
                assert!(read.is_err(), "{packing:?} cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn several_frames_are_one_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        for packing in [Packing::Gzip, Packing::Zstd, Packing::Lz4] {
            let bytes = [packed(packing, b"one "), packed(packing, b"two")].concat();
            std::fs::write(&path, &bytes).unwrap();
            let mut back = String::new();
            unpack(&path, packing).unwrap().read_to_string(&mut back).unwrap();
            assert_eq!(back, "one two", "{packing:?}");
        }
    }
}
