//! Block and inode numbers as types, and the arithmetic between bytes and blocks.

/// Size of a file system block in bytes; s_log_block_size = 2.
pub const BLOCK_SIZE: u64 = 4096;
pub const BLOCK_LEN: usize = 4096;

/// Blocks that one bitmap block, and so one block group, covers.
pub const BLOCKS_PER_GROUP: u32 = 32768;

/// A block's number, counted from the start of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockNumber(pub u32);

/// An inode's number, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNumber(pub u32);

impl BlockNumber {
    pub fn offset(self) -> u64 {
        u64::from(self.0) * BLOCK_SIZE
    }
}

impl InodeNumber {
    pub const ROOT: Self = Self(2);
    pub const LOST_AND_FOUND: Self = Self(11);
    /// First number that a tar entry can get.
    pub const FIRST_FREE: Self = Self(12);
}

/// Blocks needed for so many bytes.
pub fn blocks_for(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_SIZE)
}

/// Bytes from `length` to the next multiple of `unit`.
pub fn padding(length: u64, unit: u64) -> u64 {
    length.wrapping_neg() % unit
}
