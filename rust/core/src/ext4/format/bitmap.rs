//! The block and inode bitmaps of a group, with the counts that go into its descriptor.

use std::ops::Range;

use crate::units::BLOCK_LEN;

const BITS: u32 = BLOCK_LEN as u32 * 8;

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
    /// Sets bits; those beyond the block are none of its own.
    pub fn set(&mut self, bits: Range<u32>) {
        for bit in bits.start..bits.end.min(BITS) {
            let (byte, mask) = self.slot(bit);
            *byte |= mask;
            self.used = self.used.wrapping_add(1);
        }
    }

    pub fn clear(&mut self, bits: Range<u32>) {
        for bit in bits.start..bits.end.min(BITS) {
            let (byte, mask) = self.slot(bit);
            *byte &= !mask;
            self.used = self.used.wrapping_sub(1);
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bits.as_slice()
    }

    #[expect(clippy::indexing_slicing, reason = "set and clear stop at BITS, which is BLOCK_LEN * 8")]
    fn slot(&mut self, bit: u32) -> (&mut u8, u8) {
        (&mut self.bits[bit as usize / 8], 1 << (bit % 8))
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn bits_are_counted_and_those_beyond_the_block_left_out() {
        let mut bitmap = Bitmap::default();
        bitmap.set(0..10);
        bitmap.clear(3..4);
        bitmap.set(32767..40000);
        assert_eq!(bitmap.used, 10);
        assert_eq!(bitmap.as_bytes()[..3], [0xF7, 0x03, 0]);
        assert_eq!(bitmap.as_bytes()[4095], 0x80);
    }
}
