//! The skeleton of an lz4 file: frames of blocks, each frame with an end mark. The decoder takes a file that stops between two
//! blocks for a finished one; this notices. Passes every byte on as it is.

use std::io::{self, ErrorKind, Read};

/// Follows the frames of what is read through it.
pub struct Frames<R> {
    inner: R,
    /// What comes next, and how many bytes of it are missing.
    part: Part,
    missing: u64,
    /// The bytes of a number that is being read.
    number: Vec<u8>,
    block_checksums: bool,
    content_checksum: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Magic,
    Flags,
    /// The rest of the header, a block's bytes, a checksum: passed over; then a block's size.
    Passed,
    /// After these bytes the frame is over.
    Last,
    BlockSize,
    /// The size of a frame that decoders skip.
    SkippedSize,
}

impl<R: Read> Frames<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            part: Part::Magic,
            missing: 4,
            number: Vec::new(),
            block_checksums: false,
            content_checksum: false,
        }
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = usize::try_from(self.missing).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            if !matches!(self.part, Part::Passed | Part::Last) {
                self.number.extend_from_slice(now);
            }
            self.missing -= count as u64;
            bytes = rest;
            while self.missing == 0 {
                self.turn();
            }
        }
    }

    /// A part is complete.
    fn turn(&mut self) {
        let number = self.number.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        self.number.clear();
        (self.part, self.missing) = match self.part {
            Part::Magic if number & 0xffff_fff0 == 0x184d_2a50 => (Part::SkippedSize, 4),
            // Another magic number is the decoder's to refuse.
            Part::Magic => (Part::Flags, 1),
            Part::Flags => {
                self.block_checksums = number & 0x10 != 0;
                self.content_checksum = number & 0x04 != 0;
                let size = if number & 0x08 != 0 { 8 } else { 0 };
                let dictionary = if number & 0x01 != 0 { 4 } else { 0 };
                (Part::Passed, 2 + size + dictionary)
            }
            Part::Passed => (Part::BlockSize, 4),
            Part::BlockSize if number == 0 && self.content_checksum => (Part::Last, 4),
            Part::BlockSize if number == 0 => (Part::Magic, 4),
            Part::BlockSize => {
                let checksum = if self.block_checksums { 4 } else { 0 };
                (Part::Passed, (number & 0x7fff_ffff) + checksum)
            }
            Part::SkippedSize if number > 0 => (Part::Last, number),
            Part::SkippedSize | Part::Last => (Part::Magic, 4),
        };
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() && (self.part != Part::Magic || self.missing != 4) {
            // Not `UnexpectedEof`: the decoder would take it for the end.
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the file ends in the middle of an lz4 frame",
            ));
        }
        self.follow(&buffer[..count]);
        Ok(count)
    }
}
