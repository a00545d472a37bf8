//! The block and inode bitmaps of a group, with the counts that go into its descriptor.

use std::ops::Range;

use crate::units::BLOCK_LEN;

/// One bitmap block, and the number of bits set less those cleared.
pub struct Bitmap {
    bits: Box<[u8; BLOCK_LEN]>,
    /// u16 and blind to a bit's former state, as hcsshim counts (differs from a true count in N2 only).
    pub used: u16,
}

impl Default for Bitmap {
    fn default() -> Self {
        Self { bits: Box::new([0; BLOCK_LEN]), used: 0 }
    }
}

impl Bitmap {
    pub fn set(&mut self, bits: Range<u32>) {
        for bit in self.visit(bits) {
            let (byte, mask) = position(bit);
            if let Some(byte) = self.bits.get_mut(byte) {
                *byte |= mask;
            }
            self.used = self.used.wrapping_add(1);
        }
    }

    pub fn clear(&mut self, bits: Range<u32>) {
        for bit in self.visit(bits) {
            let (byte, mask) = position(bit);
            if let Some(byte) = self.bits.get_mut(byte) {
                *byte &= !mask;
            }
            self.used = self.used.wrapping_sub(1);
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bits.as_slice()
    }

    fn visit(&self, bits: Range<u32>) -> Range<u32> {
        bits.start..bits.end.min(BLOCK_LEN as u32 * 8)
    }
}

fn position(bit: u32) -> (usize, u8) {
    (bit as usize / 8, 1 << (bit % 8))
}
