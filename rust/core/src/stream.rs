//! A stream of bytes in chunks, and its digest.

use crate::error::Result;

/// Where bytes come from. Chunks are never empty.
pub trait Input {
    /// Fetches the next chunk; `false` at the end, and ever after.
    fn next_chunk(&mut self) -> Result<bool>;

    /// The chunk that was fetched last.
    fn chunk(&self) -> &[u8];
}

impl<I: Input + ?Sized> Input for &mut I {
    fn next_chunk(&mut self) -> Result<bool> {
        (**self).next_chunk()
    }

    fn chunk(&self) -> &[u8] {
        (**self).chunk()
    }
}

/// The stream's SHA-256 and length, to the last byte.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    pub sha256: [u8; 32],
    pub size: u64,
}
