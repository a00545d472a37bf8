//! A tar in pieces, as an input and as a source of the core.

use layerdisk_core::error::Result;
use layerdisk_core::pipeline::Source;
use layerdisk_core::stream::Input;

/// Pieces of random lengths, none of them empty.
pub struct Pieces<'t> {
    current: &'t [u8],
    rest: &'t [u8],
    state: u64,
    max_len: usize,
}

impl<'t> Pieces<'t> {
    /// All in one.
    pub fn whole(tar: &'t [u8]) -> Self {
        Self { current: b"", rest: tar, state: 0, max_len: usize::MAX }
    }

    /// The byte's remainder by 18 gives the longest piece, from 1 byte to 128 KiB, or more where that would make
    /// many more than `about` pieces; all of it seeds the lengths.
    pub fn cut(tar: &'t [u8], byte: u8, about: usize) -> Self {
        let max_len = (1 << (byte % 18)).max(2 * tar.len() / about);
        Self { current: b"", rest: tar, state: byte.into(), max_len }
    }

    fn advance(&mut self) -> bool {
        // Knuth's MMIX generator: its high bits are random enough.
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = match self.max_len {
            usize::MAX => self.rest.len(),
            max_len => 1 + (self.state >> 33) as usize % max_len,
        };
        (self.current, self.rest) = self.rest.split_at(length.min(self.rest.len()));
        !self.current.is_empty()
    }
}

impl Input for Pieces<'_> {
    fn next_chunk(&mut self) -> Result<bool> {
        Ok(self.advance())
    }

    fn chunk(&self) -> &[u8] {
        self.current
    }
}

impl<'t> Source for Pieces<'t> {
    type Chunk = &'t [u8];

    fn read(&mut self, _spare: Option<&'t [u8]>) -> Result<Option<&'t [u8]>> {
        Ok(self.advance().then_some(self.current))
    }

    fn poll(&mut self) -> Result<()> {
        Ok(())
    }
}
