//! Where the image goes: positional writes of what is not zero, and a length at the end.

pub mod file;
pub mod output;

use crate::error::Result;

/// A place for bytes that starts empty; what is never written reads as zeros.
pub trait Sink: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Sets the length, and with `sync` returns only when everything is on stable storage.
    fn finish(&mut self, length: u64, sync: bool) -> Result<()>;
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

    fn finish(&mut self, length: u64, _sync: bool) -> Result<()> {
        self.resize(length as usize, 0);
        Ok(())
    }
}
