//! The input with a cursor.

use super::block::{BLOCK_LEN, Block};
use crate::error::{Error, Result};
use crate::stream::Input;

/// An input, and how far it is read.
pub struct Stream<I> {
    input: I,
    /// Position in the current chunk.
    at: usize,
    position: u64,
}

impl<I: Input> Stream<I> {
    pub fn new(input: I) -> Self {
        Self { input, at: 0, position: 0 }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes left in the chunk, of the next one where there are none; 0 at the end.
    pub fn available(&mut self) -> Result<usize> {
        let left = self.input.chunk().len() - self.at;
        if left > 0 {
            return Ok(left);
        }
        self.at = 0;
        let more = self.input.next_chunk()?;
        Ok(if more { self.input.chunk().len() } else { 0 })
    }

    /// The next of the available bytes.
    pub fn take(&mut self, length: usize) -> &[u8] {
        let start = self.at;
        self.at += length;
        self.position += length as u64;
        self.input.chunk().get(start..self.at).unwrap_or_default()
    }

    /// Fills the target as far as the stream reaches; returns how far.
    pub fn read(&mut self, target: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = target.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let length = self.available()?.min(rest.len());
            if length == 0 {
                break;
            }
            if let Some(place) = rest.get_mut(..length) {
                place.copy_from_slice(self.take(length));
            }
            filled += length;
        }
        Ok(filled)
    }

    pub fn block(&mut self) -> Result<Block> {
        let mut block = [0; BLOCK_LEN];
        match self.read(&mut block)? {
            BLOCK_LEN => Ok(block),
            _ => Err(Error::truncated("the archive ends in the sparse map")),
        }
    }

    /// Whether anything but zeros is left; reads to the end.
    pub fn rest_has_data(&mut self) -> Result<bool> {
        let mut has_data = false;
        loop {
            let available = self.available()?;
            if available == 0 {
                return Ok(has_data);
            }
            has_data |= self.take(available).iter().any(|&b| b != 0);
        }
    }

    pub fn skip(&mut self, length: u64) -> Result<u64> {
        let mut skipped = 0;
        while skipped < length {
            let available = self.available()? as u64;
            if available == 0 {
                break;
            }
            let step = available.min(length - skipped);
            self.take(step as usize);
            skipped += step;
        }
        Ok(skipped)
    }
}
