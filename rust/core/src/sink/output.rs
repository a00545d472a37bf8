//! The image as one growing sequence: small pieces gathered, large ones passed on uncopied, zero blocks left as holes.

use crate::error::{Error, Result};
use crate::sink::{Sink, write_blocks};
use crate::units::{BLOCK_LEN, BLOCK_SIZE, BlockNumber, padding};

/// Small writes are gathered up to this many bytes: large enough to make system calls rare, small enough for a cache.
const BUFFER_LEN: usize = 256 * 1024;
/// Pieces from this length on are not copied into the buffer.
const DIRECT_LEN: usize = 64 * 1024;

pub struct Output<S> {
    sink: S,
    maximum: u64,
    /// What was gathered, and the offset of its first byte, a multiple of the block size.
    buffer: Vec<u8>,
    buffer_offset: u64,
}

impl<S: Sink> Output<S> {
    /// What is before the start is written last.
    pub fn new(mut sink: S, start: BlockNumber, maximum: u64) -> Self {
        sink.may_change(0, start.offset());
        Self { sink, maximum, buffer: Vec::with_capacity(BUFFER_LEN), buffer_offset: start.offset() }
    }

    pub fn position(&self) -> u64 {
        self.buffer_offset + self.buffer.len() as u64
    }

    /// The block at the position, which is block aligned between entries.
    pub fn block(&self) -> Result<BlockNumber> {
        u32::try_from(self.position() / BLOCK_SIZE).map(BlockNumber::new).map_err(|_| self.exceeded())
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_room(bytes.len() as u64)?;
        let mut tail = bytes;
        if bytes.len() >= DIRECT_LEN {
            let fill = padding(self.buffer.len() as u64, BLOCK_SIZE) as usize;
            let (head, rest) = split(bytes, fill);
            self.buffer.extend_from_slice(head);
            self.flush_blocks()?;
            let (blocks, rest) = split(rest, rest.len() - rest.len() % BLOCK_LEN);
            write_blocks(&mut self.sink, self.buffer_offset, blocks)?;
            self.buffer_offset += blocks.len() as u64;
            tail = rest;
        } else if self.buffer.len() + bytes.len() > BUFFER_LEN {
            self.flush_blocks()?;
        }
        self.buffer.extend_from_slice(tail);
        Ok(())
    }

    /// Says that the block that comes next may be written again.
    pub fn may_change(&mut self) {
        self.sink.may_change(self.position(), BLOCK_SIZE);
    }

    /// A hole of any length.
    pub fn zeros(&mut self, length: u64) -> Result<()> {
        self.check_room(length)?;
        let fill = padding(self.buffer.len() as u64, BLOCK_SIZE).min(length);
        self.buffer.resize(self.buffer.len() + fill as usize, 0);
        let rest = length - fill;
        if rest > 0 {
            self.flush_blocks()?;
            self.buffer_offset += rest - rest % BLOCK_SIZE;
            self.buffer.resize((rest % BLOCK_SIZE) as usize, 0);
        }
        Ok(())
    }

    /// Whether so many bytes more are possible; an error if not.
    pub fn check_room(&self, length: u64) -> Result<()> {
        match self.position().checked_add(length) {
            Some(end) if end <= self.maximum => Ok(()),
            _ => Err(self.exceeded()),
        }
    }

    pub fn pad_to_block(&mut self) -> Result<()> {
        self.zeros(padding(self.position(), BLOCK_SIZE))
    }

    /// Writes whole blocks before the position, which are not held against the maximum.
    pub fn rewrite(&mut self, offset: u64, blocks: &[u8]) -> Result<()> {
        let gathered = offset.checked_sub(self.buffer_offset).map(|at| at as usize);
        match gathered.and_then(|at| self.buffer.get_mut(at..at + blocks.len())) {
            Some(place) => {
                place.copy_from_slice(blocks);
                Ok(())
            }
            // Behind the blocks that are on their way there.
            None => self.sink.write_buffer(offset, blocks.to_vec()).map(|_| ()),
        }
    }

    /// Writes out what is left.
    pub fn finish(&mut self) -> Result<()> {
        write_blocks(&mut self.sink, self.buffer_offset, &self.buffer)
    }

    /// The error of a write past the maximum disk size.
    pub fn exceeded(&self) -> Error {
        Error::disk_size(format!("the image exceeds the maximum disk size of {} bytes", self.maximum))
    }

    fn flush_blocks(&mut self) -> Result<()> {
        let whole = self.buffer.len() - self.buffer.len() % BLOCK_LEN;
        if whole < DIRECT_LEN {
            write_blocks(&mut self.sink, self.buffer_offset, split(&self.buffer, whole).0)?;
            self.buffer.drain(..whole);
        } else {
            let mut blocks = std::mem::take(&mut self.buffer);
            let tail = split(&blocks, whole).1.to_vec();
            blocks.truncate(whole);
            self.buffer = self.sink.write_buffer(self.buffer_offset, blocks)?;
            self.buffer.extend_from_slice(&tail);
        }
        self.buffer_offset += whole as u64;
        Ok(())
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, b""))
}

#[cfg(test)]
mod tests {
    use super::Output;
    use crate::units::BlockNumber;

    #[test]
    fn pieces_of_any_size_arrive_in_order() {
        let mut expected = vec![0; 4096];
        let mut output = Output::new(Vec::new(), BlockNumber::new(1), 1 << 30);
        for (i, len) in [1usize, 4095, 70_000, 5, 300_000, 1, 0, 65_536, 9].into_iter().enumerate() {
            let piece = vec![i as u8 + 1; len];
            output.write(&piece).unwrap();
            expected.extend_from_slice(&piece);
            output.zeros(len as u64 * 3).unwrap();
            expected.resize(expected.len() + len * 3, 0);
            assert_eq!(output.position(), expected.len() as u64);
        }
        output.pad_to_block().unwrap();
        output.rewrite(8192, &[9; 4096]).unwrap();
        expected[8192..12288].fill(9);
        output.finish().unwrap();
        let mut sink = output.sink;
        sink.resize(expected.len().next_multiple_of(4096), 0);
        expected.resize(sink.len(), 0);
        assert!(sink == expected);
    }

    #[test]
    fn the_maximum_is_kept() {
        let mut output = Output::new(Vec::new(), BlockNumber::new(1), 8192);
        output.write(&[1; 4096]).unwrap();
        assert!(output.write(&[1]).is_err());
        assert!(output.zeros(u64::MAX).is_err());
    }
}
