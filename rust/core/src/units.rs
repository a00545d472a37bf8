//! Block and inode numbers as types with checked arithmetic, times, and the arithmetic between bytes and blocks.

/// Size of a file system block in bytes; s_log_block_size = 2.
pub const BLOCK_SIZE: u64 = 4096;
pub const BLOCK_LEN: usize = 4096;

/// Blocks that one bitmap block, and so one block group, covers.
pub const BLOCKS_PER_GROUP: u32 = 32768;

/// A block's number, counted from the start of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockNumber(u32);

impl BlockNumber {
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    /// Byte at which the block starts; at most 2^44.
    pub const fn offset(self) -> u64 {
        self.0 as u64 * BLOCK_SIZE
    }

    /// The block this many blocks further on; `None` beyond the last number there is.
    pub fn checked_add(self, blocks: u32) -> Option<Self> {
        self.0.checked_add(blocks).map(Self)
    }

    /// The same modulo 2^32: where hcsshim's numbers wrap (N2), and for the fields of what was checked before.
    pub const fn wrapping_add(self, blocks: u32) -> Self {
        Self(self.0.wrapping_add(blocks))
    }

    /// Blocks from an earlier one up to this one, 0 where it is not earlier.
    pub const fn blocks_since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An inode's number, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNumber(u32);

impl InodeNumber {
    /// No inode: what an unused directory entry holds.
    pub const NONE: Self = Self(0);
    pub const ROOT: Self = Self(2);
    pub const LOST_AND_FOUND: Self = Self(11);
    /// First number that a tar entry can get.
    pub const FIRST_FREE: Self = Self(12);

    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Position in a list that starts with number 1; `None` for no inode.
    pub fn position(self) -> Option<usize> {
        self.0.checked_sub(1).map(|position| position as usize)
    }
}

/// Seconds since 1970, rounded down, and nanoseconds below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Blocks needed for this many bytes.
pub const fn blocks_for(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_SIZE)
}

/// Bytes from `length` to the next multiple of `unit`.
pub const fn padding(length: u64, unit: u64) -> u64 {
    length.wrapping_neg() % unit
}

#[cfg(test)]
mod tests {
    use super::{BlockNumber, InodeNumber, blocks_for, padding};

    #[test]
    fn arithmetic_stops_at_the_last_number() {
        let last = BlockNumber::new(u32::MAX);
        assert_eq!(last.offset(), (1 << 44) - 4096);
        assert_eq!(BlockNumber::new(5).checked_add(2), Some(BlockNumber::new(7)));
        assert_eq!(last.checked_add(1), None);
        assert_eq!(last.wrapping_add(2), BlockNumber::new(1));
        assert_eq!(BlockNumber::new(7).blocks_since(BlockNumber::new(5)), 2);
        assert_eq!(BlockNumber::new(5).blocks_since(BlockNumber::new(7)), 0);
        assert_eq!((InodeNumber::NONE.position(), InodeNumber::ROOT.position()), (None, Some(1)));
    }

    #[test]
    fn bytes_and_blocks() {
        assert_eq!((blocks_for(0), blocks_for(1), blocks_for(4096), blocks_for(4097)), (0, 1, 1, 2));
        assert_eq!((padding(0, 512), padding(1, 512), padding(512, 512)), (0, 511, 0));
    }
}
