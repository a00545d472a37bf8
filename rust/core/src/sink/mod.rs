//! Where the image goes: positional writes of what is not zero, and a length at the end.

pub mod file;
pub mod output;

use std::ops::Range;

use crate::error::Result;
use crate::units::BLOCK_LEN;

/// A place for bytes that starts empty; what is never written reads as zeros.
pub trait Sink: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Writes what is not zero of whole blocks; gives an empty buffer back, this one or another.
    fn write_buffer(&mut self, offset: u64, mut blocks: Vec<u8>) -> Result<Vec<u8>>
    where
        Self: Sized,
    {
        write_blocks(self, offset, &blocks)?;
        blocks.clear();
        Ok(blocks)
    }

    /// Says that a range will be written, or may be written again, after what follows it.
    fn may_change(&mut self, _offset: u64, _length: u64) {}
}

/// A sink of its own, and not one in front of another: it has an end.
pub trait Destination: Sink {
    /// Whether only the thread that called may use it, as with an object of Python.
    fn is_bound(&self) -> bool {
        false
    }

    /// Sets the length, and with `sync` returns only when everything is on stable storage.
    fn finish(&mut self, length: u64, sync: bool) -> Result<()>;
}

/// Writes whole blocks in as few pieces as the zero ones among them allow.
pub fn write_blocks(sink: &mut impl Sink, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut start = 0;
    let mut end = 0;
    for block in bytes.chunks(BLOCK_LEN) {
        let next = end + block.len();
        if is_zero(block) {
            write_run(sink, offset, bytes, start..end)?;
            start = next;
        }
        end = next;
    }
    write_run(sink, offset, bytes, start..end)
}

fn write_run(sink: &mut impl Sink, offset: u64, bytes: &[u8], run: Range<usize>) -> Result<()> {
    let from = offset + run.start as u64;
    match bytes.get(run) {
        Some(run) if !run.is_empty() => sink.write_at(from, run),
        _ => Ok(()),
    }
}

/// Data mostly shows itself in the first bytes.
pub fn is_zero(block: &[u8]) -> bool {
    let (start, rest) = block.split_at_checked(16).unwrap_or((block, b""));
    start.iter().all(|&b| b == 0) && rest.chunks(64).all(|chunk| chunk.iter().fold(0, |all, &b| all | b) == 0)
}

/// A place where nothing is kept.
pub struct Nowhere;

impl Sink for Nowhere {
    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl Destination for Nowhere {
    fn finish(&mut self, _length: u64, _sync: bool) -> Result<()> {
        Ok(())
    }
}

/// An image in memory, for tests.
impl Sink for Vec<u8> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let start = offset as usize;
        self.resize(self.len().max(start + bytes.len()), 0);
        if let Some(place) = self.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }
}

impl Destination for Vec<u8> {
    fn finish(&mut self, length: u64, _sync: bool) -> Result<()> {
        self.resize(length as usize, 0);
        Ok(())
    }
}
